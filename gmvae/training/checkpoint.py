"""A run that is stopped goes on where it stopped, to the same bytes.

A checkpoint is a file of safetensors, whose header holds JSON: nothing is ever unpickled. It is
written beside its place, flushed to the disk and renamed; the last two are kept, so that one of
them is whole whatever happens. What only changes from phase to phase (of MNIST up to 24 of 36 MB)
is written after each phase, and named by the checkpoints within the next one.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from gmvae.data import Images
from gmvae.data.images import chunks
from gmvae.settings import Settings
from gmvae.support.errors import ArgumentError, ContentError, InterruptedRunError
from gmvae.support.files import replacing
from gmvae.training.loop import LoopState
from gmvae.training.saved import (
    ARRAYS,
    Record,
    Tensors,
    array_tensors,
    fill,
    fill_loop,
    generators,
    loop_record,
    loop_tensors,
    set_generators,
    state_tensors,
    with_arrays,
    write_tensors,
)
from gmvae.training.state import State

# Of what a checkpoint holds; one of another format is refused.
FORMAT = 2
# Seconds of work that a kill may cost.
EVERY = 30.0
KEPT = 2


def never() -> bool:
    """False."""
    return False


@dataclass
class Checkpoints:
    """Where a run is saved while it trains, and from where it goes on.

    Within a phase the networks, the optimiser and the generators are saved as they are, and beside
    them the generators as they were when the phase began: a phase that goes on is begun again with
    those, which costs nothing before it trains, and then finds the others.

    Attributes:
        folder: where; made where it does not exist.
        run: what the run is, in one word: a checkpoint of another one is refused.
        stop: asked after every step; where it says True the run is saved and ends.
        every: seconds between two files within a phase; after each phase there is one anyway.
        number: of the phase that is running, from 0.
        stopped: when the callback ended the run; None where it did not.
    """

    folder: Path
    run: str
    stop: Callable[[], bool] = never
    every: float = EVERY
    number: int = 0
    stopped: dict[str, str | int] | None = None
    _began: Record = field(default_factory=dict)
    _loops: int = 0
    # The file with the arrays of the state, which change from phase to phase.
    _arrays_in: str | None = None
    _saved_at: float = field(default_factory=time.monotonic)
    _pending: tuple[Record, Tensors] | None = None

    def resume(self, state: State) -> State:
        """The state that was saved last, networks filled in; ``state`` where none was.

        Raises:
            ArgumentError: what was saved is of another run.
            ContentError: every file is damaged.
        """
        newest = state.processes.once(self._newest)
        if newest is None:
            return state
        record, tensors = newest
        if record["run"] != self.run:
            raise other_run(self.folder)
        self.number, self.stopped = record["phase"], record["stopped"]
        self._arrays_in = record["arrays_in"]
        state.history[:] = record["history"]
        state = with_arrays(state, tensors)
        if record["loop"] is None:
            fill(state, tensors)
            set_generators(state, record["generators"], tensors, "now")
        else:
            # The phase begins again, with the generators that it began with.
            self._pending = newest
            set_generators(state, record["began"], tensors, "began")
        return state

    def begin_phase(self, state: State) -> None:
        """Remember the generators, with which the phase would begin again."""
        self._began, self._loops = generators(state), 0

    def end_phase(self, state: State, stopped: dict[str, str | int] | None = None) -> None:
        """The next phase is to come, or the callback has ended the run: the state is saved."""
        self.number += 1
        self.stopped = stopped
        self._save(state, None)

    def begin_loop(self, state: State, loop: LoopState) -> bool:
        """Bring a loop to where it was saved; False where it had ended already."""
        self._loops += 1
        if self._pending is None:
            return True
        record, tensors = self._pending
        if record["loop"]["number"] > self._loops:
            return False
        self._pending = None
        fill(state, tensors)
        fill_loop(loop, record["loop"], tensors)
        set_generators(state, record["generators"], tensors, "now")
        return True

    def after_step(self, state: State, loop: LoopState) -> None:
        """Save the run where it is time.

        Raises:
            InterruptedRunError: the run is to stop; it has been saved.
        """
        stopping = self.stop()
        if stopping or time.monotonic() - self._saved_at >= self.every:
            self._save(state, loop)
        if stopping:
            raise self._interrupted()

    def check_stop(self) -> None:
        """End the run where it is to stop, as it was saved last: its phase begins again.

        Raises:
            InterruptedRunError: the run is to stop.
        """
        if self.stop():
            raise self._interrupted()

    def _interrupted(self) -> InterruptedRunError:
        return InterruptedRunError(f"interrupted; saved in {self.folder}.")

    def _save(self, state: State, loop: LoopState | None) -> None:
        if not state.processes.is_first:
            return
        now = generators(state)
        tensors = state_tensors(state, now)
        arrays_in = self._arrays_in
        if loop is None or arrays_in is None or not (self.folder / arrays_in).exists():
            arrays_in = None
        if arrays_in is None:
            tensors |= array_tensors(state)
        record: Record = {
            "format": FORMAT,
            "run": self.run,
            "phase": self.number,
            "stopped": self.stopped,
            "history": state.history,
            "arrays_in": arrays_in,
            "generators": {"rng": now["rng"]},
            "loop": None,
        }
        if loop is not None:
            began = self._began
            tensors |= {f"began.{n}": v for n, v in began.items() if torch.is_tensor(v)}
            record["began"] = {"rng": began["rng"]}
            record["loop"] = {"number": self._loops, **loop_record(loop)}
            tensors |= loop_tensors(loop)
        self._write(record, tensors)
        self._saved_at = time.monotonic()

    def _write(self, record: Record, tensors: Tensors) -> None:
        files = self._files()
        number = 1 + (int(files[-1].stem.partition("-")[2]) if files else 0)
        path = self.folder / f"checkpoint-{number:06d}.safetensors"
        with replacing(path) as draft:
            write_tensors(draft, tensors, record)
        kept = [*files[1 - KEPT :], path]
        named = {_record(file).get("arrays_in") for file in kept}
        for old in files:
            if old not in kept and old.name not in named:
                old.unlink(missing_ok=True)
        self._arrays_in = record["arrays_in"] or path.name

    def _files(self) -> list[Path]:
        """The checkpoints, the newest last."""
        return sorted(self.folder.glob("checkpoint-*.safetensors"))

    def _newest(self) -> tuple[Record, Tensors] | None:
        files = self._files()
        for path in reversed(files):
            try:
                return _read(path)
            except (OSError, ValueError, KeyError, TypeError, SafetensorError):
                continue
        if files:
            raise ContentError(
                f"{self.folder} expected whole checkpoints; got {len(files)} damaged ones. Begin "
                "the run anew."
            )
        return None


def other_run(folder: Path) -> ArgumentError:
    """The error where a folder holds another run than the one that is to go on there."""
    return ArgumentError(
        f"`checkpoint` expected a folder of this very run; got {folder}, which holds one of other "
        "images, labels or settings. Name another folder, or remove it."
    )


def fingerprint(
    images: Images,
    settings: Settings,
    observed: np.ndarray | None,
    held_out: Images | None,
    phases: Sequence[str],
) -> str:
    """What a run is, in one word: a hash of its images, labels, settings and phases."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps([FORMAT, asdict(settings), list(phases)]).encode())
    for part in (images, held_out):
        if part is not None:
            digest.update(str((part.pixels.shape, str(part.pixels.dtype))).encode())
            for _, block in chunks(part.pixels):
                digest.update(np.ascontiguousarray(block).data)
    if observed is not None:
        digest.update(np.ascontiguousarray(observed).data)
    return digest.hexdigest()


def _read(path: Path) -> tuple[Record, Tensors]:
    with safe_open(path, framework="pt") as file:
        record: Record = json.loads((file.metadata() or {})["record"])
        if record["format"] != FORMAT:
            raise ValueError("another format")
        tensors: Tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    if record["arrays_in"] is None:
        record["arrays_in"] = path.name
    else:
        _, others = _read(path.with_name(record["arrays_in"]))
        tensors |= {name: others[name] for name in ARRAYS if name in others}
    return record, tensors


def _record(path: Path) -> Record:
    """What the header of a checkpoint holds; nothing of a spoilt one."""
    try:
        with safe_open(path, framework="pt") as file:
            record: Record = json.loads((file.metadata() or {})["record"])
            return record if record["format"] == FORMAT else {}
    except (OSError, ValueError, KeyError, TypeError, SafetensorError):
        return {}
