"""A run that has not ended: where it is kept meanwhile, and how it goes on.

Beside the output folder DIR lies the hidden folder ``.DIR.unfinished`` with what was asked for and
the checkpoints of the training. It goes when the output is whole.
"""

import dataclasses
import json
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, ClassVar, TypeAlias, TypeVar

import typer

from gmvae.support.errors import ArgumentError, InterruptedRunError
from gmvae.support.files import CONFIG_FILE, NAMELESS, beside_its_folder
from gmvae.support.locks import lock, unlock
from gmvae.support.names import listed
from gmvae.support.reading import read_text

from .entry import EndedFromOutside
from .experiment import Reading, Request
from .options import option_name
from .output import write_json
from .run_folder import lasting

ASKED, SUFFIX = "asked.json", ".unfinished"
# What JSON does not keep as it is: sources of images, other paths, and numbers in order.
SOURCES, PATHS, NUMBERS = (
    ("data", "val"),
    ("data_root", "output", "start", "labels_from"),
    ("classes", "numbers"),
)


@dataclass(frozen=True, kw_only=True)
class AskedRun:
    """What a command that trains was asked for, ready for JSON but for its paths."""

    classes: tuple[int | str, ...] | None
    settings: dict[str, Any]
    restarts: int
    jobs: int | None
    device: str
    data_root: Path | None
    output: Path
    force: bool
    resize: int | None = None
    grey: bool = False
    strict: bool = False
    json: bool = False

    @property
    def reading(self) -> Reading:
        """How the images are read."""
        return Reading(self.resize, self.grey, self.strict)


@dataclass(frozen=True, kw_only=True)
class AskedTraining(AskedRun):
    """What ``gmvae train`` was asked for."""

    command: ClassVar[str] = "train"

    data: str | None
    val: str | None
    labels: int | None
    start: Path | None = None
    labels_from: Path | None = None
    log: str | None = None
    report_every: int | None = None

    @property
    def request(self) -> Request:
        """Which images and labels."""
        return Request(
            self.data,
            self.val,
            self.classes,
            self.labels,
            self.data_root,
            self.settings["seed"],
            self.reading,
            self.labels_from,
        )


@dataclass(frozen=True, kw_only=True)
class AskedComparison(AskedRun):
    """What ``gmvae select`` was asked for."""

    command: ClassVar[str] = "select"

    data: str
    numbers: tuple[int, ...]

    @property
    def request(self) -> Request:
        """Which images."""
        return Request(
            self.data,
            classes=self.classes,
            labels=0,
            data_root=self.data_root,
            reading=self.reading,
        )


Asked: TypeAlias = AskedTraining | AskedComparison
Kind = TypeVar("Kind", AskedTraining, AskedComparison)


def folder_of(output: Path) -> Path:
    """Where the run into ``output`` is kept until it ends."""
    place = beside_its_folder(output)
    return place.with_name(f".{place.name}{SUFFIX}")


def check_free(asked: Asked) -> None:
    """Refuse, before any work, a folder whose run has not ended.

    Raises:
        FileExistsError: there is such a run, and no ``--force``; or another process trains it.
    """
    check_stopped(asked.output, "--output")
    if (folder_of(asked.output) / ASKED).exists() and not asked.force:
        raise FileExistsError(
            f"`--output` expected a folder without an unfinished run; got {asked.output}. Go "
            f"on with it: {go_on(asked.output)}, or begin anew with --force."
        )


def check_stopped(output: Path, option: str) -> None:
    """Refuse a folder into which another process trains.

    Raises:
        FileExistsError: there is one.
    """
    with _held(folder_of(output), output, option):
        pass


@contextmanager
def _held(folder: Path, output: Path, option: str) -> Iterator[None]:
    """Keep other processes from the folder of an unfinished run, where there is one.

    Raises:
        FileExistsError: another one holds it.
    """
    try:
        descriptor = lock(folder)
    except FileNotFoundError:
        descriptor = None
    except BlockingIOError as error:
        raise FileExistsError(
            f"`{option}` expected a folder into which no other process trains; got {output}, whose "
            "run is going on. Wait for it, or choose another --output."
        ) from error
    try:
        yield
    finally:
        unlock(descriptor)


def begin(asked: Asked) -> Path:
    """Write down what was asked for; the folder for the checkpoints.

    Raises:
        FileExistsError: as for :func:`check_free`.
    """
    check_free(asked)
    folder = folder_of(asked.output)
    if (folder / ASKED).exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    record = {"command": asked.command, **dataclasses.asdict(asked)}
    # Found again from any folder.
    for name in SOURCES:
        if record.get(name) is not None:
            record[name] = lasting(record[name])
    for name in PATHS:
        if record.get(name) is not None:
            record[name] = str(record[name].absolute())
    write_json(folder / ASKED, record)
    return folder


def asked_for(output: Path, kind: type[Kind]) -> Kind:
    """What the unfinished run into ``output`` was asked for.

    Raises:
        ArgumentError: there is none, it is of another command, or what was written down is spoilt.
        FileExistsError: another process is going on with it.
    """
    check_stopped(output, "--resume")
    path = folder_of(output) / ASKED
    try:
        record = json.loads(read_text(path))
        command = record.pop("command")
        if command == kind.command:
            record |= {name: Path(record[name]) for name in PATHS if record.get(name)}
            record |= {name: tuple(record[name]) for name in NUMBERS if record.get(name)}
            # By where it lies now: the folder around it may have moved.
            return kind(**{**record, "output": output})
    except FileNotFoundError:
        raise ArgumentError(
            f"`--resume` expected the folder of an unfinished run; got {output}, {_why_not(output)}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArgumentError(
            f"`--resume` expected a run that can go on; got {path}, which is spoilt ({error}). "
            "Begin anew with --force."
        ) from error
    raise ArgumentError(
        f"`--resume` expected an unfinished run of gmvae {kind.command}; got {output}, one of "
        f"gmvae {command}. Go on with it: {go_on(output)}"
    )


def check_alone(context: typer.Context) -> None:
    """Refuse what is typed beside ``--resume``, which goes on as it was asked for.

    Raises:
        ArgumentError: DATA or another option is typed, too.
    """
    others = [name for name in typed(context) if name != "resume"]
    if others:
        name = "DATA" if others[0] == "data" else option_name(others[0])
        raise ArgumentError(
            f"`--resume` expected to stand alone, since a run goes on as it was asked for; got "
            f"{name}, too. Leave it out, or begin another run."
        )


def typed(context: typer.Context) -> list[str]:
    """The parameters that the user has given, on the command line or in a file."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return [name for name, source in sources.items() if source and source.name != "DEFAULT"]


def _why_not(output: Path) -> str:
    """Why there is nothing to go on with, and what to do."""
    if (output / CONFIG_FILE).exists():
        return "which is whole: that run has ended. Use it, or train into another folder."
    around = beside_its_folder(output).parent
    names = sorted(path.name for path in around.glob(f".*{SUFFIX}"))
    if names:
        unfinished = listed(name.removeprefix(".").removesuffix(SUFFIX) for name in names)
        return f"of which none is kept. Unfinished there: {unfinished}."
    return "of which none is kept. Name what --output was."


def end(folder: Path) -> None:
    """The output folder is whole: nothing more has to be kept."""
    shutil.rmtree(folder, ignore_errors=True)


def go_on(output: Path) -> str:
    """The command that takes the run up again."""
    try:
        record = json.loads(read_text(folder_of(output) / ASKED))
        command = str(record["command"])
    except (OSError, ValueError, KeyError, TypeError):  # spoilt, which --resume will say
        command = AskedTraining.command
    return shlex.join(["gmvae", command, "--resume", str(output)])


@contextmanager
def told(folder: Path | None, output: Path) -> Iterator[None]:
    """Say of an interruption, or of a full disk, by which command the run goes on.

    A run that ends in this block before anything was saved leaves nothing behind.

    Args:
        folder: of the unfinished run; None where it is not kept.
        output: its run folder.

    Raises:
        InterruptedRunError: the run was asked to end and can go on.
        OSError: it could not be saved; likewise.
    """
    if folder is None:
        yield
        return
    record = folder / ASKED
    asked = record.read_bytes() if record.exists() else None
    try:
        yield
    except BaseException as error:
        if not any(folder.glob("**/*.safetensors")):
            shutil.rmtree(folder, ignore_errors=True)
            raise
        # The folder may have vanished, and been made again by the next checkpoint.
        if asked is not None and not record.exists():
            record.write_bytes(asked)
        if isinstance(error, (KeyboardInterrupt, InterruptedRunError, EndedFromOutside)):
            raise InterruptedRunError(
                f"interrupted; what is done is kept. Go on: {go_on(output)}"
            ) from None
        if isinstance(error, OSError) and error.errno in NAMELESS:
            why = f"{error.strerror}: {error.filename}"
            raise OSError(
                f"the run could not be saved ({why}); what was saved before is kept. Go on: "
                f"{go_on(output)}"
            ) from error
        raise


@contextmanager
def kept(folder: Path | None, output: Path) -> Iterator[Callable[[], bool]]:
    """Yield whether the training is to end at its next step: SIGINT and SIGTERM ask for that.

    A second one ends it at once, as far as it was saved; what is said then, :func:`told` says.
    Meanwhile no other process trains into the folder.

    Args:
        folder: of the unfinished run; None where it is not kept, and signals do what they did.
        output: its run folder.
    """
    received: list[int] = []
    if folder is None:
        yield lambda: False
        return

    def hear(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for heard, handler in before.items():
            signal.signal(heard, handler)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number in before:
        signal.signal(number, hear)
    try:
        with _held(folder, output, "--output"), told(folder, output):
            yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
