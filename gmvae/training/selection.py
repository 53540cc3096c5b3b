"""How many components? A sweep over K, and the removal of components that nothing belongs to.

No label is asked. What speaks for a K is the held-out likelihood, and that runs from different
seeds find the same clusters.
"""

import dataclasses
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import adjusted_rand_score
from torch import Generator

from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.metrics import effective_number
from gmvae.settings import Settings, settings_or_defaults
from gmvae.support import checks
from gmvae.support.errors import ArgumentError, ContentError, TrainingError
from gmvae.support.scratch import scratch_folder
from gmvae.training.arguments import check_callback
from gmvae.training.candidates import Candidate, equally_stable, most_stable
from gmvae.training.density import n_clusters
from gmvae.training.held_out import check_components, hold_out, told_of_all
from gmvae.training.jobs import Job, Outcome, jobs_at_a_time, run_jobs
from gmvae.training.loop import Callback
from gmvae.training.outcome import spread_out
from gmvae.training.restarts import seeds_from

__all__ = ["Candidate", "compare_components", "equally_stable", "most_stable", "pruned"]


def compare_components(
    images: Images,
    numbers: Sequence[int],
    settings: Settings | None = None,
    n_restarts: int = 2,
    *,
    held_out: Images | None = None,
    # As an evaluation: enough to compare, since all numbers are measured with as many.
    n_samples: int = 50,
    callback: Callback | None = None,
    checkpoint: str | Path | None = None,
    stop: Callable[[], bool] | None = None,
    device: str | torch.device = "cpu",
    n_jobs: int | None = None,
) -> tuple[Candidate, ...]:
    """Train with each number of components from several seeds, and compare.

    All runs see the same images and are measured on the same held-out ones. On the CPU they run
    in parallel processes; a script should therefore call this under
    ``if __name__ == "__main__":``.

    Args:
        images: N images.
        numbers: the K to try, each at least 1.
        settings: of every run but for K and the seed; the defaults for None.
        n_restarts: runs for each K, at least 1; two or more for the stability.
        held_out: images to measure on; by default a part of ``images``.
        n_samples: draws of z an image, for log p(x).
        callback: told of every epoch of every run, ``restart`` counting all runs; where it returns
            :data:`gmvae.STOP` that run ends, as for ``fit``, and the others go on.
        checkpoint: a folder where the runs are saved while they train, as for ``fit``; what has
            ended is not run again.
        stop: as for ``fit``.
        device: where to train.
        n_jobs: how many runs at a time, as for :func:`~gmvae.fit_restarts`.

    Raises:
        ArgumentError: no number, a repeated one, or one above the number of images.
        ContentError: too few images to hold some out.
        TrainingError: every run of some K diverged, or the process of a run was ended from
            outside.
        InterruptedRunError: ``stop`` said so.

    References:
        Stability: Ben-Hur, Elisseeff and Guyon, *A stability based method for discovering
        structure in clustered data*, 2002. Adjusted Rand index: Hubert and Arabie, 1985.
    """
    settings = settings_or_defaults(settings)
    check_callback(callback)
    numbers = _distinct(numbers)
    checks.whole("n_restarts", n_restarts, least=1)
    checks.whole("n_samples", n_samples, least=1)
    device = checks.device(device)
    n_jobs = jobs_at_a_time(n_jobs, device)
    check_components(numbers, images, settings, held_out=held_out)
    if held_out is None:
        callback = told_of_all(callback, len(images), settings)
        images, held_out = _divided(images, settings)
    seeds = seeds_from(settings.seed, n_restarts)
    runs = [
        dataclasses.replace(settings, n_components=k, seed=seed, held_out=0.0)
        for k in numbers
        for seed in seeds
    ]
    finished: dict[int, list[tuple[GMVAE, Outcome]]] = {k: [] for k in numbers}
    kept = checkpoint is not None
    with scratch_folder() if checkpoint is None else nullcontext(Path(checkpoint)) as folder:
        jobs = [
            Job(images, run, None, held_out, str(device), folder / str(number), number, kept)
            for number, run in enumerate(runs, start=1)
        ]
        for job, outcome in zip(jobs, run_jobs(jobs, callback, n_jobs, stop), strict=True):
            if outcome is not None:
                # Read back, since a model stays in the process that trained it.
                model = GMVAE.load(job.folder, device=device)
                finished[model.config.n_components].append((model, outcome))
    return tuple(
        _candidate(k, finished[k], images, held_out, n_samples, settings.seed)
        for k in sorted(numbers)
    )


def _distinct(numbers: Sequence[int]) -> list[int]:
    """The numbers of components, of which there has to be one, and none twice."""
    checks.instance("numbers", numbers, Sequence, "a sequence of whole numbers")
    numbers = [checks.whole("numbers", k, least=1) for k in numbers]
    if not numbers or len(set(numbers)) < len(numbers):
        raise ArgumentError(
            f"`numbers` expected distinct numbers; got {list(numbers)}. Give each once, as (2, 5)."
        )
    return numbers


def _divided(images: Images, settings: Settings) -> tuple[Images, Images]:
    """The images to train on, and those to measure on, of which there has to be one."""
    if settings.held_out == 0:
        raise ArgumentError(
            "`settings` expected a held-out part to compare on; got held_out=0. Raise it, or give "
            "`held_out` images."
        )
    train, _, held_out = hold_out(images, settings)
    if held_out is None:
        raise ContentError(
            f"`{images.name}` expected images enough to hold {settings.held_out:.0%} of them out, "
            f"to measure on; got {len(images)}. Add images."
        )
    return train, held_out


def _candidate(
    k: int,
    finished: Sequence[tuple[GMVAE, Outcome]],
    images: Images,
    held_out: Images,
    n_samples: int,
    seed: int,
) -> Candidate:
    """The figures of the models of K components on the held-out images."""
    if not finished:
        raise TrainingError(f"every run with {k} components diverged. Try a lower learning rate.")
    # A small component may be that of no held-out image, of which there are few.
    others = spread_out(images)
    log_probs, clusterings, effective, empty = [], [], [], []
    for gmvae, _ in finished:
        generator = Generator(gmvae.device).manual_seed(seed)
        log_probs.append(gmvae.log_prob(held_out, n_samples, generator=generator).numpy())
        responsibilities = gmvae.classify(held_out).numpy()
        clusterings.append(responsibilities.argmax(-1))
        effective.append(effective_number(responsibilities.mean(0)))
        empty.append(k - len(np.union1d(clusterings[-1], gmvae.classify(others).argmax(-1))))
    n = len(held_out)
    agreements = [adjusted_rand_score(one, other) for one, other in combinations(clusterings, 2)]
    # The largest first; none of too few images.
    prominences = [np.array(run.prominences) for _, run in finished if run.prominences]
    return Candidate(
        k,
        tuple(float(of_model.mean()) for of_model in log_probs),
        finished[0][0].model.likelihood.normalised,
        # That of the first: it is the images' spread, and alike for all of them.
        float(np.std(log_probs[0], ddof=1) / np.sqrt(n)) if n > 1 else 0.0,
        float(np.mean(agreements)) if agreements else None,
        float(np.mean(effective)),
        float(np.mean(empty)),
        tuple(n_clusters(of_run) for of_run in prominences),
        tuple(float(of_run[k - 2]) if k - 2 < len(of_run) else 0.0 for of_run in prominences)
        if k > 1
        else (),
    )


@torch.no_grad()
def pruned(gmvae: GMVAE, images: Images, least_share: float = 0.01) -> GMVAE:
    """The same model without the components that hold next to none of the images.

    Args:
        gmvae: with modules of its own making; left as it is.
        images: that should belong to components.
        least_share: mean responsibility below which a component goes, 0 to below 1. The largest
            component always stays.

    Returns:
        A new model. The weights of the mixture, and q(y | x), are those that are left, scaled to
        sum to one.

    Raises:
        ArgumentError: ``least_share`` out of its range, no model, or one with a module of the
            user's.
    """
    checks.number("least_share", least_share, "0 to below 1", lambda share: 0 <= share < 1)
    checks.instance("gmvae", gmvae, GMVAE, "a gmvae.GMVAE")
    if gmvae.config.custom:
        raise ArgumentError(
            f"`gmvae` expected modules of its own making; got the user's "
            f"{', '.join(gmvae.config.custom)}. Prune those by hand."
        )
    shares = gmvae.classify(images).mean(0)
    kept = torch.nonzero((shares >= least_share) | (shares == shares.max())).squeeze(-1)
    config = dataclasses.replace(gmvae.config, n_components=len(kept))
    with torch.random.fork_rng(devices=[]):
        smaller = GMVAE(config).to(gmvae.model.prior.means)
    shapes = {name: value.shape for name, value in smaller.state_dict().items()}
    # What has a row a component is what has fewer rows there.
    state = {
        name: value[kept.to(value.device)] if value.shape != shapes[name] else value
        for name, value in gmvae.state_dict().items()
    }
    smaller.load_state_dict(state)
    smaller.class_names = dict(gmvae.class_names)
    smaller.names_by_hand = {
        i: gmvae.names_by_hand[k] for i, k in enumerate(kept.tolist()) if k in gmvae.names_by_hand
    }
    if gmvae.component_classes is not None:
        classes = tuple(gmvae.component_classes[k] for k in kept.tolist())
        named = any(of_component is not None for of_component in classes)
        smaller.component_classes = classes if named else None
    return smaller.eval()
