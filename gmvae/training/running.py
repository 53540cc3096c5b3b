"""The phases of a run, one after the other, in one process or in several."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.support.errors import ArgumentError
from gmvae.training.checkpoint import Checkpoints, fingerprint
from gmvae.training.continuing import fingerprint_of
from gmvae.training.phases import Phase
from gmvae.training.saved import shared
from gmvae.training.state import State
from gmvae.training.stopping import Listener, Stopped, check_kept, parameters_of


def checkpoints(
    state: State,
    images: Images,
    phases: Sequence[Phase],
    folder: Path,
    stop: Callable[[], bool] | None,
    start: GMVAE | None,
) -> Checkpoints:
    """What keeps this run in ``folder``."""
    run = _in_a_word(state, images, phases, start)
    if stop is None:
        return Checkpoints(folder, run)
    asked = partial(state.processes.once, stop)
    return Checkpoints(folder, run, asked)


def check_same(state: State, images: Images, phases: Sequence[Phase], start: GMVAE | None) -> None:
    """Refuse processes that were not called alike.

    Raises:
        ArgumentError: they have other images, labels or settings.
    """
    if state.processes.n > 1 and not state.processes.agree(
        _in_a_word(state, images, phases, start)
    ):
        raise ArgumentError(
            "`fabric` expected the same images, labels and settings in each process; got others. "
            "Read the images in one order, and leave nothing to chance or to the process."
        )


def _in_a_word(state: State, images: Images, phases: Sequence[Phase], start: GMVAE | None) -> str:
    """What this run is."""
    # One of a user's own may have no lasting words for itself but its name.
    words = [repr(p) if dataclasses.is_dataclass(p) else p.name for p in phases]
    if start is not None:
        words.append(fingerprint_of(start))
    return fingerprint(images, state.settings, state.observed, state.held_out, words)


def run_phases(
    state: State,
    images: Images,
    phases: Sequence[Phase],
    kept: Checkpoints | None,
    listener: Listener | None,
) -> tuple[State, Stopped | None, list[str]]:
    """Run the phases that are left.

    Returns:
        The last state; when the callback ended the run, None where it did not; and the names of
        the phases that did not run.
    """
    # To tell whether there is a model to keep; one to start from always is.
    heard = listener is not None or state.processes.n > 1
    untrained = parameters_of(state.gmvae) if heard and state.names is None else None
    if kept is not None:
        state = kept.resume(dataclasses.replace(state, checkpoints=kept))
    stopped = None if kept is None else kept.stopped
    number = 0 if kept is None else kept.number
    while number < len(phases) and stopped is None:
        if kept is not None:
            kept.begin_phase(state)
        state = _run(phases[number], state, images)
        number += 1
        stopped = state.processes.same(None if listener is None else listener.stopped)
        if stopped is not None and untrained is not None:
            check_kept(state.gmvae, untrained, stopped)
        if kept is not None:
            kept.end_phase(state, stopped)
    return state, stopped, [phase.name for phase in phases[number:]]


def _run(phase: Phase, state: State, images: Images) -> State:
    """The state after a phase, the same in all processes."""
    processes = state.processes
    if processes.n > 1 and getattr(phase, "once", False):
        return shared(phase.run(state, images) if processes.is_first else state)
    after = phase.run(state, images)
    # Where processors differ, an image between two components may be in another one.
    return dataclasses.replace(after, clusters=processes.same(after.clusters))
