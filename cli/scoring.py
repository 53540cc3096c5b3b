"""Scoring of images without end: a batch at a time, kept as it comes, and to be gone on with.

Until FILE is whole its answers lie in the hidden folder ``.FILE.partial`` beside it.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmvae.support.errors import ArgumentError, InterruptedRunError
from gmvae.support.files import CONFIG_FILE, LONGEST_PREFIX, NAMELESS, beside_its_folder

from .drafts import SAVED, Draft
from .entry import EndedFromOutside
from .progress import rate_lines

if TYPE_CHECKING:
    import numpy as np
    from torch import Generator

    from gmvae import Images

SUFFIX = ".partial"
# Seconds between two savings: as much is lost at most, and one takes some milliseconds.
BETWEEN = 1.0
# Seconds before anything is said: shorter work is over before one has read it.
SILENT = 2.0
# Images whose pixels say whether these are the same ones: a look at all would take a part of the
# time that the scoring takes.
LOOKED_AT = 1_024


@dataclass(frozen=True)
class Scoring:
    """What is scored, and where to.

    Attributes:
        output: the file to be written.
        run: the folder of the model.
        images: N images.
        asked: what else the answers depend on, by what it is called; ready for JSON.
        resume: whether a scoring that has not ended goes on.
        generator: of the draws that the answers take; None where they take none.
    """

    output: Path
    run: Path
    images: "Images"
    asked: Mapping[str, Any] = field(default_factory=dict)
    resume: bool = False
    generator: "Generator | None" = None

    @property
    def record(self) -> dict[str, Any]:
        """What has to be the same where a scoring goes on."""
        from gmvae.support.weights import digest

        # The configuration holds the sum of the weights, and the names of the components.
        model = digest((self.run / CONFIG_FILE).read_bytes())
        return {"model": model, "DATA": digest_of(self.images), **self.asked}


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
def scored(
    scoring: Scoring, blocks: "Callable[[int], Iterator[Mapping[str, np.ndarray]]]"
) -> Iterator[Draft]:
    """Yield a draft of all answers, from which the output is to be written.

    Where this block ends well the draft goes. Where the scoring, or this block, is interrupted, or
    the disk is full, what was saved is kept and it is said how to go on.

    Args:
        scoring: what is scored.
        blocks: from the row to begin with to the answers, in order.

    Raises:
        ArgumentError: a scoring of other images, or by another model, is to go on.
        FileExistsError: another process writes to the same file.
        InterruptedRunError: it was asked to end, and can go on.
        OSError: a full disk.
    """
    draft = Draft(folder_of(scoring.output), len(scoring.images))
    keep = scoring.resume
    try:
        record = scoring.record
        if scoring.resume:
            draft.take_up(record)
            _set_state(scoring.generator, draft.note)
        else:
            draft.clear()
        keep = False
        with _told(scoring, draft, record):
            _fill(scoring, draft, record, blocks)
            yield draft
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


def _fill(
    scoring: Scoring,
    draft: Draft,
    record: Mapping[str, Any],
    blocks: "Callable[[int], Iterator[Mapping[str, np.ndarray]]]",
) -> None:
    """Add all rows that are missing."""
    show = rate_lines(SILENT)
    before, began = draft.rows, time.monotonic()
    saved = began
    if draft.rows == draft.n_rows:
        return
    for block in blocks(draft.rows):
        draft.add(block, _state(scoring.generator))
        now = time.monotonic()
        if now - saved > BETWEEN:
            draft.save(record)
            saved = now
        if show is not None:
            show(draft.rows, draft.n_rows, (draft.rows - before) / max(now - began, 1e-9))


@contextmanager
def _told(scoring: Scoring, draft: Draft, record: Mapping[str, Any]) -> Iterator[None]:
    """Of an interruption, or of a full disk, say what is kept and how to go on."""
    try:
        yield
    except (KeyboardInterrupt, EndedFromOutside):
        if not draft.rows:
            raise
        draft.save(record)
        raise InterruptedRunError(
            f"interrupted; the answers for {draft.rows:,} of {draft.n_rows:,} images are kept. Go "
            "on: the same command with --resume."
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
