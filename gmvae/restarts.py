"""Several runs from different seeds, and of these the one that trained best: no label is asked.

The runs hold out the same images, so that their objectives can be compared.
"""

import dataclasses
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import torch

from gmvae import checks
from gmvae.data import Images
from gmvae.errors import TrainingError
from gmvae.gmvae import GMVAE
from gmvae.held_out import check_components, hold_out
from gmvae.recipe import Fit, fit
from gmvae.settings import Settings, given_settings
from gmvae.training import Callback, Progress


@dataclass(frozen=True)
class Restart:
    """One of the runs.

    Attributes:
        seed: its own.
        objective: the bound and the mutual information with its weight, in nats an image, on
            the held-out images: the larger the better; None for a run that diverged.
        elbo: the bound alone, on the same images; None likewise.
    """

    seed: int
    objective: float | None
    elbo: float | None


@dataclass(frozen=True)
class Job:
    """What a process needs to know to do one run."""

    images: Images
    settings: Settings
    observed: np.ndarray | None
    held_out: Images | None
    device: str
    folder: Path
    number: int


def fit_restarts(
    images: Images,
    settings: Settings | None = None,
    n_restarts: int = 2,
    *,
    observed: np.ndarray | None = None,
    held_out: Images | None = None,
    callback: Callback | None = None,
    device: str | torch.device = "cpu",
    n_jobs: int | None = None,
) -> tuple[Fit, tuple[Restart, ...]]:
    """Call :func:`~gmvae.recipe.fit` from several seeds; keep the best held-out objective.

    The first run has the seed of ``settings``, the others seeds that follow from it. On the CPU
    they run in parallel processes; a script should therefore call this under
    ``if __name__ == "__main__":``.

    Args:
        images: N images.
        settings: how; the defaults for None.
        n_restarts: how many runs, at least 1.
        observed: as for ``fit``.
        held_out: as for ``fit``; by default the same part of ``images`` for all runs.
        callback: told of every epoch of every run, ``restart`` 1 to ``n_restarts`` (0 for one).
        device: where to train.
        n_jobs: how many runs at a time; by default as many as there are cores, and one on
            any other device than the CPU.

    Returns:
        The best run, and what became of each in order.

    Raises:
        ArgumentError: as ``fit``, or no run asked for.
        TrainingError: every run diverged.
    """
    settings = given_settings(settings)
    checks.whole("n_restarts", n_restarts, least=1)
    device = checks.device(device)
    n_jobs = jobs_at_a_time(n_jobs, device)
    if n_restarts == 1:
        one = fit(
            images, settings, observed=observed, held_out=held_out, callback=callback, device=device
        )
        return one, (Restart(settings.seed, -one.figures["loss"], one.figures["elbo"]),)
    check_components([settings.n_components], images, settings, observed, held_out)
    if held_out is None:
        images, observed, held_out = hold_out(images, settings, observed)
        settings = dataclasses.replace(settings, held_out=0.0)
    with tempfile.TemporaryDirectory(prefix="gmvae-restarts-") as scratch:
        jobs = [
            Job(
                images,
                dataclasses.replace(settings, seed=seed),
                observed,
                held_out,
                str(device),
                Path(scratch, str(number)),
                number,
            )
            for number, seed in enumerate(seeds_from(settings.seed, n_restarts), start=1)
        ]
        fits = run_jobs(jobs, callback, n_jobs)
        restarts = tuple(
            Restart(job.settings.seed, *_objectives(found)) if found else _diverged(job)
            for job, found in zip(jobs, fits, strict=True)
        )
        done = [(job, found) for job, found in zip(jobs, fits, strict=True) if found]
        if not done:
            raise TrainingError(
                f"all {n_restarts} restarts diverged: their objectives are not finite. "
                "Try a lower learning rate."
            )
        job, best = max(done, key=lambda pair: _objectives(pair[1])[0])
        # Read back, since a model stays in the process that trained it.
        gmvae = GMVAE.load(job.folder, device=device)
    return Fit(gmvae, best["history"], best["warnings"], best["figures"]), restarts


def seeds_from(seed: int, n: int) -> list[int]:
    """``seed``, and others that no neighbour of ``seed`` shares."""
    return [seed, *np.random.SeedSequence(seed).generate_state(n - 1).tolist()]


def _diverged(job: Job) -> Restart:
    return Restart(job.settings.seed, None, None)


def _objectives(found: dict[str, Any]) -> tuple[float, float]:
    return -found["figures"]["loss"], found["figures"]["elbo"]


def jobs_at_a_time(n_jobs: int | None, device: torch.device) -> int:
    """``n_jobs``; by default the cores that this process may use, and one on other devices.

    Raises:
        ArgumentError: fewer than one.
    """
    if n_jobs is not None:
        return checks.whole("n_jobs", n_jobs, least=1)
    if device.type != "cpu":
        return 1
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_jobs(
    jobs: list[Job], callback: Callback | None, n_jobs: int
) -> list[dict[str, Any] | None]:
    """The runs, ``n_jobs`` at a time: what each found, its model in its folder.

    Args:
        jobs: at least one.
        callback: told of every epoch, ``restart`` the number of the job.
        n_jobs: above one, they run in processes of their own.

    Returns:
        For each job ``history``, ``warnings`` and ``figures`` as in
        :class:`~gmvae.recipe.Fit`; None for one that diverged.
    """
    n_workers = min(len(jobs), n_jobs)
    if n_workers == 1:
        return [_run(job, callback) for job in jobs]
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # A process of ours that reads again a script which calls us unguarded. What to do about
        # it is said once, by the process that waits for this one.
        raise SystemExit(1)
    # A forked process inherits the locks of the threads that torch has started.
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    threads = max(1, torch.get_num_threads() // n_workers)
    with (
        _listening(queue, callback),
        ProcessPoolExecutor(n_workers, context, _begin, (queue, threads)) as pool,
    ):
        try:
            return list(pool.map(_work, jobs))
        except BrokenProcessPool as error:
            raise TrainingError(
                "the process of a restart was ended from outside, perhaps for want of memory. "
                "Try fewer at a time: --jobs 1 (`n_jobs`). A script has to make this call under "
                'if __name__ == "__main__":, since its processes read it again.'
            ) from error


def _run(job: Job, callback: Callback | None) -> dict[str, Any] | None:
    """One run; its model lies in the job's folder."""

    def tell(progress: Progress) -> None:
        if callback is not None:
            callback(dataclasses.replace(progress, restart=job.number))

    try:
        found = fit(
            job.images,
            job.settings,
            observed=job.observed,
            held_out=job.held_out,
            callback=tell,
            device=job.device,
        )
    except TrainingError:
        return None
    found.gmvae.save(job.folder)
    return {"history": found.history, "warnings": found.warnings, "figures": found.figures}


# What a worker process was given when it began.
_queue: Any = None


def _begin(queue: Any, threads: int) -> None:
    global _queue
    _queue = queue
    torch.set_num_threads(threads)
    Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    """End this process where the one that began it is ended from outside."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work(job: Job) -> dict[str, Any] | None:
    return _run(job, _queue.put)


@contextmanager
def _listening(queue: Any, callback: Callback | None) -> Iterator[None]:
    """Pass on what the worker processes put into the queue."""

    def listen() -> None:
        for progress in iter(queue.get, None):
            if callback is not None:
                callback(progress)

    listener = Thread(target=listen)
    listener.start()
    try:
        yield
    finally:
        queue.put(None)
        listener.join()
