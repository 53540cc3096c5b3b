"""Scoring of images without end: a batch at a time, kept as it comes, and to be gone on with.

Until FILE is whole its answers lie in the hidden folder ``.FILE.partial`` beside it. Several
processes score a part each, into drafts of their own in that folder; the first one adds what the
others have answered to its own draft, and writes FILE.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import typer

from gmvae.support.errors import ArgumentError, InterruptedRunError
from gmvae.support.files import CONFIG_FILE, LONGEST_PREFIX, NAMELESS, beside_its_folder

from .answer_files import parts
from .drafts import SAVED, Draft
from .entry import EndedFromOutside
from .processes import Sharing, n_processes
from .progress import rate_lines

if TYPE_CHECKING:
    import numpy as np
    from torch import Generator

    from gmvae import Images

# From the row to begin with to the answers for some rows at a time, in order.
Blocks: TypeAlias = "Callable[[int], Iterator[Mapping[str, np.ndarray]]]"

SUFFIX = ".partial"
# Seconds between two savings: as much is lost at most, and one takes some milliseconds.
BETWEEN = 1.0
# Seconds before anything is said: shorter work is over before one has read it.
SILENT = 2.0
# Images whose pixels say whether these are the same ones: a look at all would take a part of the
# time that the scoring takes.
LOOKED_AT = 1_024
# What processes tell each other: that the folder is ready, and by whose number whose part is done.
BEGUN, DONE = "begun", "done {}"


@dataclass(frozen=True)
class Scoring:
    """What is scored, and where to.

    Attributes:
        output: the file to be written.
        run: the folder of the model.
        images: N images.
        asked: what else the answers depend on, by what it is called; ready for JSON.
        resume: whether a scoring that has not ended goes on.
        batch_length: images of a block of answers, of which processes share whole ones.
        generator: whose state the draws of the answers depend on; None where there is none.
    """

    output: Path
    run: Path
    images: "Images"
    asked: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    batch_length: int = 1
    generator: "Generator | None" = None

    @property
    def record(self) -> dict[str, Any]:
        """What has to be the same where a scoring goes on."""
        from gmvae.support.weights import digest

        # The configuration holds the sum of the weights, and the names of the components.
        model = digest((self.run / CONFIG_FILE).read_bytes())
        of_run = {"model": model, "DATA": digest_of(self.images), **self.asked}
        # Each of them goes on with its own part.
        return {**of_run, "number of processes": n_processes()}


def folder_of(output: Path) -> Path:
    """Where the answers lie until the output is whole."""
    place = beside_its_folder(output)
    name = place.name
    if len(name) > LONGEST_PREFIX:
        # Not with the module: every command would wait for it.
        from hashlib import sha256

        name = name[:LONGEST_PREFIX] + sha256(os.fsencode(name)).hexdigest()[:8]
    return place.with_name(f".{name}{SUFFIX}")


def check_resume(output: Path, resume: bool) -> None:
    """Refuse, before any work, to go on with what was not begun.

    Raises:
        ArgumentError: no scoring into ``output`` is kept.
    """
    if resume and not (folder_of(output) / SAVED).exists():
        raise ArgumentError(
            f"`--resume` expected a file whose scoring has not ended; got {output}, of which "
            "nothing is kept. Leave --resume out."
        )


def digest_of(images: "Images") -> str:
    """A sum of the images: their number, shape and files, and the pixels of an even share."""
    from hashlib import sha256

    import numpy as np

    from gmvae.data.images import let_go

    pixels = images.pixels
    found = sha256(f"{pixels.shape} {pixels.dtype}".encode())
    for row in np.linspace(0, len(images) - 1, min(LOOKED_AT, len(images))).astype(int):
        found.update(np.ascontiguousarray(pixels[row]).data)
        # The system may lay megabytes around each of them into memory.
        let_go(pixels)
    if images.files is not None:
        found.update("\0".join(images.files.tolist()).encode("utf-8", "surrogateescape"))
    return found.hexdigest()


@contextmanager
def scored(scoring: Scoring, blocks: Blocks) -> Iterator[Draft]:
    """Yield a draft of all answers, from which the output is to be written.

    Where this block ends well the draft goes. Where the scoring, or this block, is interrupted, or
    the disk is full, what was saved is kept and it is said how to go on. Of several processes the
    first one alone gets to the block, the others end before it; what they have saved is kept
    whatever ends them.

    Args:
        scoring: what is scored.
        blocks: from the row to begin with to the answers, in order.

    Raises:
        ArgumentError: a scoring of other images, or by another model, is to go on.
        FileExistsError: another process writes to the same file.
        InterruptedRunError: it was asked to end, and can go on.
        OSError: a full disk.
        typer.Exit: this process has done its part, or another one has failed and says so.
    """
    sharing = Sharing()
    with sharing.ending_together():
        if sharing.is_first:
            with _drafted(scoring, sharing, blocks) as draft:
                yield draft
            return
        sharing.wait(BEGUN)
        with _drafted(scoring, sharing, blocks):
            pass
        sharing.tell(DONE.format(sharing.number))
    raise typer.Exit


@contextmanager
def _drafted(scoring: Scoring, sharing: Sharing, blocks: Blocks) -> Iterator[Draft]:
    """Yield the draft of this process, when all its rows are there: of the first one, all rows."""
    folder, n = _draft_of(scoring, sharing, sharing.number)
    draft = Draft(folder, n)
    keep = scoring.resume
    try:
        record = scoring.record
        # One that was interrupted early has saved nothing of its part.
        if scoring.resume and (sharing.is_first or (folder / SAVED).exists()):
            draft.take_up(record)
            _set_state(scoring.generator, draft.note)
        else:
            draft.clear()
        # Now nobody removes any more what the others have there.
        sharing.tell(BEGUN)
        keep = sharing.n > 1
        filling = _all_blocks(scoring, sharing, blocks, record)
        with _told(scoring, sharing, draft, record):
            _fill(scoring, sharing, draft, record, filling)
            if not sharing.is_first:
                draft.save(record)
            yield draft
        keep = not sharing.is_first
    except (InterruptedRunError, _FullDiskError):
        keep = True
        raise
    finally:
        draft.close()
        if not keep:
            shutil.rmtree(draft.folder, ignore_errors=True)
        draft.unlock()


class _FullDiskError(OSError):
    """Answers could not be saved; those that were are kept."""


def _draft_of(scoring: Scoring, sharing: Sharing, number: int) -> tuple[Path, int]:
    """Folder and rows of the draft of a process: the first one's is of all rows in the end."""
    folder, n = folder_of(scoring.output), len(scoring.images)
    if number == 0:
        return folder, n
    return folder / str(number), len(sharing.rows(n, scoring.batch_length, number))


def _all_blocks(
    scoring: Scoring, sharing: Sharing, blocks: Blocks, record: Mapping[str, Any]
) -> Blocks:
    """What the draft of this process is filled with, from one of its rows on.

    That is the answers for its part, and in the first process those of the others after it.
    """

    def rest(first: int) -> "Iterator[Mapping[str, np.ndarray]]":
        n, length = len(scoring.images), scoring.batch_length
        own = sharing.rows(n, length, sharing.number)
        yield from _until(own.stop, blocks, own.start + first)
        others = range(1, sharing.n) if sharing.is_first else ()
        for number in others:
            sharing.wait(DONE.format(number))
            start = sharing.rows(n, length, number).start
            yield from _answered(scoring, sharing, number, record, max(0, first - start))

    return rest


def _until(end: int, blocks: Blocks, at: int) -> "Iterator[Mapping[str, np.ndarray]]":
    """The answers from one row to another."""
    if at >= end:
        return
    for block in blocks(at):
        yield block
        at += len(next(iter(block.values())))
        if at >= end:
            return


def _answered(
    scoring: Scoring, sharing: Sharing, number: int, record: Mapping[str, Any], first: int
) -> "Iterator[Mapping[str, np.ndarray]]":
    """What another process has answered, from a row of its part on.

    Raises:
        ArgumentError: it has written elsewhere.
    """
    folder, n = _draft_of(scoring, sharing, number)
    if first >= n:
        return
    if not (folder / SAVED).exists():
        raise ArgumentError(
            f"`--output` expected a folder that all processes of torchrun share; got "
            f"{scoring.output}, beside which process {number} has written nothing. Name one that "
            "all machines see."
        )
    draft = Draft(folder, n)
    try:
        draft.take_up(record)
        yield from parts({name: values[first:] for name, values in draft.columns().items()})
    finally:
        draft.close()
        draft.unlock()


def _fill(
    scoring: Scoring, sharing: Sharing, draft: Draft, record: Mapping[str, Any], blocks: Blocks
) -> None:
    """Add all rows that are missing."""
    show = rate_lines(SILENT)
    before, began = draft.rows, time.monotonic()
    saved = began
    for block in blocks(draft.rows):
        draft.add(block, _state(scoring.generator))
        now = time.monotonic()
        if now - saved > BETWEEN:
            draft.save(record)
            saved = now
        if show is not None:
            # The others, who have as much to do, have come as far.
            done = min(draft.rows * sharing.n, draft.n_rows)
            rate = (draft.rows - before) * sharing.n / max(now - began, 1e-9)
            show(done, draft.n_rows, rate)


@contextmanager
def _told(
    scoring: Scoring, sharing: Sharing, draft: Draft, record: Mapping[str, Any]
) -> Iterator[None]:
    """Of an interruption, or of a full disk, say what is kept and how to go on."""
    try:
        yield
    except (KeyboardInterrupt, EndedFromOutside):
        # Where the first of several has no row the others may have many.
        if not draft.rows and sharing.n == 1:
            raise
        draft.save(record)
        kept = f"the answers for {draft.rows:,} of {draft.n_rows:,} images are kept"
        kept = kept if sharing.n == 1 else "what each process has answered is kept"
        raise InterruptedRunError(
            f"interrupted; {kept}. Go on: the same command with --resume."
        ) from None
    except OSError as error:
        if error.errno in NAMELESS and draft.rows and (draft.folder / SAVED).exists():
            # HDF5 words it in several lines.
            why = os.strerror(error.errno)
            raise _FullDiskError(
                f"the answers for {scoring.output} could not be saved ({why}); what was saved "
                "before is kept. Go on: the same command with --resume."
            ) from error
        raise


def _state(generator: "Generator | None") -> str:
    """The state of a generator as text."""
    return "" if generator is None else generator.get_state().numpy().tobytes().hex()


def _set_state(generator: "Generator | None", state: str) -> None:
    import torch

    if generator is not None and state:
        generator.set_state(torch.frombuffer(bytearray.fromhex(state), dtype=torch.uint8))
