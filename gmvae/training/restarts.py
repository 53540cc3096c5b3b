"""Several runs from different seeds, and of these the one that trained best: no label is asked.

The runs hold out the same images, so that their objectives can be compared.
"""

import dataclasses
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.outliers import BY_COMPLEXITY, QUANTILES
from gmvae.settings import Settings, settings_or_defaults
from gmvae.support import checks
from gmvae.support.errors import ArgumentError, TrainingError
from gmvae.support.scratch import scratch_folder
from gmvae.training.arguments import check_callback
from gmvae.training.continuing import check_start, settings_of
from gmvae.training.fitting import Fit, fit
from gmvae.training.held_out import check_components, hold_out, told_of_all
from gmvae.training.jobs import Job, Outcome, jobs_at_a_time, run_jobs
from gmvae.training.loop import Callback
from gmvae.training.outcome import training_record

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# What the record of several runs has from the record of the one that is kept.
_OF_THE_BEST = (QUANTILES, BY_COMPLEXITY, "prominences", "stabilities")


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


def fit_restarts(
    images: Images,
    settings: Settings | None = None,
    n_restarts: int = 2,
    *,
    observed: np.ndarray | None = None,
    held_out: Images | None = None,
    start: GMVAE | None = None,
    callback: Callback | None = None,
    checkpoint: str | Path | None = None,
    stop: Callable[[], bool] | None = None,
    device: str | torch.device = "cpu",
    n_jobs: int | None = None,
    fabric: "Fabric | None" = None,
) -> tuple[Fit, tuple[Restart, ...]]:
    """Call :func:`~gmvae.fit` from several seeds; keep the best held-out objective.

    The first run has the seed of ``settings``, the others seeds that follow from it. On the CPU
    they run in parallel processes; a script should therefore call this under
    ``if __name__ == "__main__":``.

    Args:
        images: N images.
        settings: how; the defaults for None.
        n_restarts: how many runs, at least 1.
        observed: as for ``fit``.
        held_out: as for ``fit``; by default the same part of ``images`` for all runs.
        start: as for ``fit``; of several runs without modules of the user's own.
        callback: told of every epoch of every run, ``restart`` 1 to ``n_restarts`` (0 for one);
            where it returns :data:`gmvae.STOP` that run ends, as for ``fit``, and the others go on.
        checkpoint: a folder where the runs are saved while they train, as for ``fit``; what has
            ended is not run again.
        stop: as for ``fit``.
        device: where to train.
        n_jobs: how many runs at a time; by default as many as there are cores, and one on
            any other device than the CPU.
        fabric: as for ``fit``, of one run.

    Returns:
        The best run, and what became of each in order.

    Raises:
        ArgumentError: as ``fit``, no run asked for, or several where a Fabric is given.
        TrainingError: every run diverged, or the process of one was ended from outside.
    """
    if settings is None and isinstance(start, GMVAE):
        settings = settings_of(start)
    settings = settings_or_defaults(settings)
    check_callback(callback)
    checks.whole("n_restarts", n_restarts, least=1)
    device = checks.device(device)
    n_jobs = jobs_at_a_time(n_jobs, device)
    if n_restarts == 1:
        single = fit(
            images,
            settings,
            observed=observed,
            held_out=held_out,
            start=start,
            callback=callback,
            checkpoint=checkpoint,
            stop=stop,
            device=device,
            fabric=fabric,
        )
        return single, (_restart(settings.seed, single),)
    if fabric is not None:
        raise ArgumentError(
            f"`fabric` expected one run; got {n_restarts} restarts. Call gmvae.fit for each seed."
        )
    check_components([settings.n_components or 1], images, settings, observed, held_out)
    if start is not None:
        check_start(start, images, settings)
        _check_saved(start)
    record = training_record(images, settings, observed, start)
    if held_out is None:
        callback = told_of_all(callback, len(images), settings, observed)
        images, observed, held_out = hold_out(images, settings, observed)
        settings = dataclasses.replace(settings, held_out=0.0)
    kept = nullcontext(Path(checkpoint)) if checkpoint is not None else scratch_folder()
    with kept as folder:
        if start is not None:
            start.save(folder / "start")
        jobs = [
            Job(
                images,
                dataclasses.replace(settings, seed=seed),
                observed,
                held_out,
                str(device),
                folder / str(number),
                number,
                checkpoint is not None,
                None if start is None else folder / "start",
            )
            for number, seed in enumerate(seeds_from(settings.seed, n_restarts), start=1)
        ]
        outcomes = run_jobs(jobs, callback, n_jobs, stop)
        restarts = tuple(
            _restart(job.settings.seed, outcome)
            for job, outcome in zip(jobs, outcomes, strict=True)
        )
        finished = [(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True) if outcome]
        if not finished:
            raise TrainingError(
                f"all {n_restarts} restarts diverged: their objectives are not finite. "
                "Try a lower learning rate."
            )
        job, best = min(finished, key=lambda pair: pair[1].figures["loss"])
        # Read back, since a model stays in the process that trained it.
        gmvae = GMVAE.load(job.folder, device=device)
    if gmvae.training_record and "stopped" in gmvae.training_record:
        record["stopped"] = gmvae.training_record["stopped"]
    of_the_best = gmvae.training_record or {}
    record |= {name: of_the_best.get(name) for name in _OF_THE_BEST}
    record["restarts"] = [dataclasses.asdict(run) for run in restarts]
    gmvae.training_record = record
    of_the_start = np.array(best.prominences), np.array(best.stabilities)
    return Fit(gmvae, best.history, best.warnings, best.figures, *of_the_start), restarts


def _check_saved(start: GMVAE) -> None:
    """Refuse a model that the processes of the runs cannot read.

    Raises:
        ArgumentError: it has modules of the user's own.
    """
    if start.config.custom:
        raise ArgumentError(
            f"`start` expected modules of gmvae's own for several runs; got the user's "
            f"{', '.join(start.config.custom)}. Call gmvae.fit for each seed."
        )


def seeds_from(seed: int, n: int) -> list[int]:
    """``seed``, and others that no neighbour of ``seed`` shares."""
    return [seed, *np.random.SeedSequence(seed).generate_state(n - 1).tolist()]


def _restart(seed: int, run: Fit | Outcome | None) -> Restart:
    """What became of a run, None where it diverged."""
    if run is None:
        return Restart(seed, None, None)
    return Restart(seed, -run.figures["loss"], run.figures["elbo"])
