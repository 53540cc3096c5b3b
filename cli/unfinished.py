"""A run that has not ended: where it is kept meanwhile, and how it goes on.

Beside the run folder DIR lies the hidden folder ``.DIR.unfinished`` with what was asked for and
the checkpoints of the training. It goes when the run folder is whole.
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
from typing import Any

from gmvae.support.errors import ArgumentError, InterruptedRunError
from gmvae.support.files import CONFIG_FILE, beside_its_folder
from gmvae.support.names import listed

from .entry import EndedFromOutside
from .experiment import Reading, Request
from .output import write_json
from .run_folder import lasting

ASKED, SUFFIX = "asked.json", ".unfinished"


@dataclass(frozen=True)
class Asked:
    """What ``gmvae train`` was asked for, ready for JSON but for its paths."""

    data: str | None
    val: str | None
    classes: tuple[int | str, ...] | None
    labels: int | None
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
    labels_from: Path | None = None

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
            Reading(self.resize, self.grey, self.strict),
            self.labels_from,
        )


def folder_of(output: Path) -> Path:
    """Where the run into ``output`` is kept until it ends."""
    place = beside_its_folder(output)
    return place.with_name(f".{place.name}{SUFFIX}")


def begin(asked: Asked) -> Path:
    """Write down what was asked for; the folder for the checkpoints.

    Raises:
        FileExistsError: an unfinished run into the same folder, and no ``--force``.
    """
    folder = folder_of(asked.output)
    if (folder / ASKED).exists():
        if not asked.force:
            raise FileExistsError(
                f"`--output` expected a folder without an unfinished run; got {asked.output}. Go "
                f"on with it: {go_on(asked.output)}, or begin anew with --force."
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    record = dataclasses.asdict(asked)
    # Found again from any folder.
    for name in ("data", "val"):
        record[name] = record[name] and lasting(record[name])
    for name in ("data_root", "output", "labels_from"):
        record[name] = record[name] and str(record[name].absolute())
    write_json(folder / ASKED, record)
    return folder


def asked_for(output: Path) -> Asked:
    """What the unfinished run into ``output`` was asked for.

    Raises:
        ArgumentError: there is none, or what was written down is spoilt.
    """
    path = folder_of(output) / ASKED
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        record |= {
            "classes": record["classes"] and tuple(record["classes"]),
            "data_root": record["data_root"] and Path(record["data_root"]),
            "labels_from": record.get("labels_from") and Path(record["labels_from"]),
            # By where it lies now: the folder around it may have moved.
            "output": output,
        }
        return Asked(**record)
    except FileNotFoundError:
        raise ArgumentError(
            f"`--resume` expected the folder of an unfinished run; got {output}, {_why_not(output)}"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArgumentError(
            f"`--resume` expected a run that can go on; got {path}, which is spoilt ({error}). "
            "Begin anew with --force."
        ) from error


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
    """The run folder is whole: nothing more has to be kept."""
    shutil.rmtree(folder, ignore_errors=True)


def go_on(output: Path) -> str:
    """The command that takes the run up again."""
    return shlex.join(["gmvae", "train", "--resume", str(output)])


@contextmanager
def kept(folder: Path | None, output: Path) -> Iterator[Callable[[], bool]]:
    """Yield whether the training is to end at its next step: SIGINT and SIGTERM ask for that.

    A second one ends it at once, as far as it was saved.

    Args:
        folder: of the unfinished run; None where it is not kept, and signals do what they did.
        output: its run folder.

    Raises:
        InterruptedRunError: the run was asked to end and can go on; it says by which command.
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
        yield lambda: bool(received)
    except (KeyboardInterrupt, InterruptedRunError, EndedFromOutside):
        if not any(folder.glob("**/*.safetensors")):
            shutil.rmtree(folder, ignore_errors=True)
            raise
        raise InterruptedRunError(
            f"interrupted; what is done is kept. Go on: {go_on(output)}"
        ) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
