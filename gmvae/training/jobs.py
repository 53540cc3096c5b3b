"""Runs in processes of their own, several at a time.

Each process has a pipe of its own to the one that began it, which alone reads them all, in the
thread that called: what is killed can leave no lock held and no thread waiting.
"""

import dataclasses
import json
import multiprocessing
import os
import shutil
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import torch

from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.settings import Settings
from gmvae.support import checks
from gmvae.support.errors import InterruptedRunError, StoppedTooEarlyError, TrainingError
from gmvae.support.files import replacing
from gmvae.training.checkpoint import fingerprint, other_run
from gmvae.training.continuing import fingerprint_of
from gmvae.training.fitting import fit
from gmvae.training.loop import STOP, Callback, Metrics, Progress

_OUTCOME = "outcome.json"
# Seconds between two looks at whether the runs are to stop.
_LISTENS = 0.5


@dataclass(frozen=True)
class Job:
    """What a process needs to know to do one run.

    Attributes:
        images: N images; the others as for :func:`~gmvae.fit`.
        folder: where the model is left, and the outcome beside it.
        number: its own, from 1.
        kept: whether the folder outlives this process: the run goes on where it was stopped, and
            one that has ended is not run again.
        start: the folder of the model that the run starts from; None for a run from the beginning.
    """

    images: Images
    settings: Settings
    observed: np.ndarray | None
    held_out: Images | None
    device: str
    folder: Path
    number: int
    kept: bool = False
    start: Path | None = None


@dataclass(frozen=True)
class Outcome:
    """What a run leaves beside the model in its folder: attributes as of :class:`~gmvae.Fit`."""

    history: list[dict[str, float | str]]
    warnings: tuple[str, ...]
    figures: Metrics
    prominences: tuple[float, ...] = ()
    stabilities: tuple[float, ...] = ()


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
    jobs: list[Job],
    callback: Callback | None,
    n_jobs: int,
    stop: Callable[[], bool] | None = None,
) -> list[Outcome | None]:
    """The runs, ``n_jobs`` at a time, each one's model in its folder.

    An exception, of the callback or an interruption, ends all runs at once.

    Args:
        jobs: at least one, each with a number of its own.
        callback: told of every epoch, ``restart`` the number of the job; where it returns STOP,
            that job ends.
        n_jobs: above one, they run in processes of their own.
        stop: asked twice a second or more often; where it says True all runs end.

    Returns:
        The outcome of each job, in the order of the jobs; None for one that diverged.

    Raises:
        TrainingError: a process was ended from outside, or a job was ended before there was a model
            to keep.
        InterruptedRunError: ``stop`` said so.
    """

    def tell(progress: Progress) -> object:
        return None if callback is None else callback(progress)

    n_workers = min(len(jobs), n_jobs)
    if n_workers == 1:
        return [_run(job, tell, stop) for job in jobs]
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        # A process of ours that reads again a script which calls us unguarded. What to do about
        # it is said once, by the process that waits for this one.
        raise SystemExit(1)
    outcomes: dict[int, Outcome | None] = {}
    waiting = iter(jobs)
    with _workers(n_workers) as connections:
        while len(outcomes) < len(jobs):
            ready: list[Any] = wait(connections, timeout=_LISTENS if stop else None)
            if stop is not None and stop():
                raise InterruptedRunError("interrupted; what was saved of the runs is kept.")
            for connection in ready:
                with _living():
                    message = connection.recv()
                if isinstance(message, Progress):
                    answer = tell(message)
                    with _living():
                        connection.send(answer if answer is STOP else None)
                    continue
                if isinstance(message, Exception):
                    raise message
                if isinstance(message, Done):
                    outcomes[message.number] = message.outcome
                if (job := next(waiting, None)) is not None:
                    with _living():
                        connection.send(job)
    return [outcomes[job.number] for job in jobs]


def _run(job: Job, callback: Callback, stop: Callable[[], bool] | None = None) -> Outcome | None:
    """One run, its model left in the job's folder; None where it diverged."""
    record, run = job.folder / _OUTCOME, ""
    start = None if job.start is None else GMVAE.load(job.start, device=job.device)
    if job.kept:
        words = [] if start is None else [fingerprint_of(start)]
        run = fingerprint(job.images, job.settings, job.observed, job.held_out, words)
        if record.exists():
            return _outcome(record, run)

    def tell(progress: Progress) -> object:
        return callback(dataclasses.replace(progress, restart=job.number, model=None))

    try:
        result = fit(
            job.images,
            job.settings,
            observed=job.observed,
            held_out=job.held_out,
            start=start,
            callback=tell,
            checkpoint=job.folder / "checkpoints" if job.kept else None,
            stop=stop,
            device=job.device,
        )
    except StoppedTooEarlyError:
        raise
    except TrainingError:
        outcome = None
    else:
        result.gmvae.save(job.folder)
        outcome = Outcome(
            result.history,
            result.warnings,
            result.figures,
            tuple(result.prominences.tolist()),
            tuple(result.stabilities.tolist()),
        )
    if job.kept:
        # Last: where it is there, so is the model.
        job.folder.mkdir(parents=True, exist_ok=True)
        with replacing(record) as draft:
            ended = {"run": run, "outcome": outcome and dataclasses.asdict(outcome)}
            draft.write_text(json.dumps(ended), "utf-8")
        shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
    return outcome


def _outcome(record: Path, run: str) -> Outcome | None:
    """How a run that has ended did, from its folder.

    Raises:
        ArgumentError: it was another one.
    """
    ended = json.loads(record.read_text("utf-8"))
    if ended["run"] != run:
        raise other_run(record.parent)
    values = ended["outcome"]
    return values and Outcome(
        values["history"],
        tuple(values["warnings"]),
        values["figures"],
        tuple(values["prominences"]),
        tuple(values.get("stabilities", ())),
    )


@dataclass(frozen=True)
class Ready:
    """Says that a process has begun, and asks for its first job."""


@dataclass(frozen=True)
class Done:
    """How the job of this number ended; asks for the next."""

    number: int
    outcome: Outcome | None


def _work(connection: Connection, threads: int) -> None:
    """The life of a process: jobs in, every epoch and how each job ended out."""
    torch.set_num_threads(threads)
    Thread(target=_end_with_the_parent, daemon=True).start()

    def tell(progress: Progress) -> object:
        # The answer is waited for: a run ends at the epoch after which it was asked to.
        return _asked(connection, progress)

    job = _asked(connection, Ready())
    while True:
        try:
            outcome = _run(job, tell)
        except Exception as error:
            error.add_note(f"In the process of the run:\n{traceback.format_exc()}")
            job = _asked(connection, error)
        else:
            job = _asked(connection, Done(job.number, outcome))


def _asked(connection: Connection, message: object) -> Any:
    """The answer to a message. Where nobody is left to give one, this process has nothing to say.

    Raises:
        SystemExit: the one that began this process has ended, or has closed the pipe.
    """
    try:
        connection.send(message)
        return connection.recv()
    except (EOFError, OSError):
        raise SystemExit(1) from None


def _end_with_the_parent() -> None:
    """End this process where the one that began it is ended from outside."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _workers(n: int) -> Iterator[list[Connection]]:
    """The pipes of ``n`` processes that wait for jobs; all end with the block."""
    # A forked process inherits the locks of the threads that torch has started.
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // n)
    connections: list[Connection] = []
    processes: list[SpawnProcess] = []
    try:
        for _ in range(n):
            ours, theirs = context.Pipe()
            connections.append(ours)
            process = context.Process(target=_work, args=(theirs, threads), daemon=True)
            processes.append(process)
            with _deaf():
                process.start()
            # A pipe tells of the end of a process once nobody else holds the other end.
            theirs.close()
        yield connections
    finally:
        begun = [process for process in processes if process.pid is not None]
        for process in begun:
            process.kill()
        for process in begun:
            process.join()
        for connection in connections:
            connection.close()


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes begun in this block do not hear Ctrl-C, which the one that began them answers."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # which Process.start would do, and lift the mask with it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _living() -> Iterator[None]:
    """Say what it means that the other end of a pipe is gone."""
    try:
        yield
    except (EOFError, OSError) as error:
        raise TrainingError(
            "the process of a restart was ended from outside, perhaps for want of memory. "
            "Try fewer at a time: --jobs 1 (`n_jobs`). A script has to make this call under "
            'if __name__ == "__main__":, since its processes read it again.'
        ) from error
