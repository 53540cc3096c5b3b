"""One run, from images to a trained model."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyro
import torch
from torch import nn

from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.networks import default_modes
from gmvae.outliers import how_explained
from gmvae.probability.likelihood import Likelihood
from gmvae.settings import Settings, settings_or_defaults
from gmvae.support import checks
from gmvae.support.html import html_table
from gmvae.support.names import counted
from gmvae.training.arguments import check_alone, check_callback, check_modules
from gmvae.training.arrays import Array
from gmvae.training.cluster_warnings import cluster_evidence, cluster_warnings
from gmvae.training.continuing import check_start, continued, grown, settings_of
from gmvae.training.held_out import check_components, hold_out, told_of_all
from gmvae.training.loop import Callback, Metrics
from gmvae.training.ordering import order_components
from gmvae.training.outcome import (
    bound_warnings,
    component_classes,
    figures,
    run_warnings,
    spread_out,
    training_record,
)
from gmvae.training.phases import Phase
from gmvae.training.processes import processes_of
from gmvae.training.recipe import recipe
from gmvae.training.running import check_same, checkpoints, run_phases
from gmvae.training.state import Row, State, begin, config_for
from gmvae.training.stopping import Listener, stopped_warning

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Fit:
    """A trained model and how its training went.

    Attributes:
        gmvae: the model.
        history: one row of figures an epoch.
        warnings: what should worry its user.
        figures: of the model on the held-out images (where none are held out, on the training
            images, or 2,000 of them), in nats an image: ``loss``, what is minimised; ``elbo`` and
            its parts ``reconstruction``, ``kl_z`` and ``kl_y``; and ``effective_components``.
        prominences: by how many standard deviations the splits between clusters stand out of the
            noise, the largest first, (S,): K - 1 of them make K components. None where labels led.
        stabilities: how far each component is found again where a fifth of the images is left out,
            0 to 1, (K,), below .75 for one that is not stable
            (:func:`gmvae.training.stability.stability`). None of one component, in a quick run,
            and where labels led.
    """

    gmvae: GMVAE
    history: list[Row] = field(repr=False)
    warnings: tuple[str, ...] = ()
    figures: Metrics = field(default_factory=dict)
    prominences: Array = field(default_factory=lambda: np.zeros(0), repr=False)
    stabilities: Array = field(default_factory=lambda: np.zeros(0), repr=False)

    def __repr__(self) -> str:
        """The bound, the components in use, the epochs and how many warnings, in a line."""
        n_epochs = len(self.history)
        in_use, k = self.figures.get("effective_components"), self.gmvae.config.n_components
        parts = [
            *([f"ELBO {self.figures['elbo']:.1f} nats an image"] if "elbo" in self.figures else []),
            f"{k} components" if in_use is None else f"{in_use:.1f} of {k} components in use",
            counted(n_epochs, "epoch"),
            counted(len(self.warnings), "warning") if self.warnings else "no warnings",
        ]
        return f"Fit({', '.join(parts)})"

    def _repr_html_(self) -> str:
        """Figures and warnings as a table, for notebooks."""
        rows = [(name, f"{value:.2f}") for name, value in self.figures.items()]
        return html_table(repr(self), rows + [("warning", line) for line in self.warnings])


# Of the splits between clusters: as many as a record keeps.
_PROMINENCES = 100


@default_modes()
def fit(
    images: Images,
    settings: Settings | None = None,
    *,
    observed: np.ndarray | None = None,
    held_out: Images | None = None,
    start: GMVAE | None = None,
    encoder: nn.Module | None = None,
    decoder: nn.Module | None = None,
    likelihood: Likelihood | None = None,
    phases: Sequence[Phase] | None = None,
    callback: Callback | None = None,
    checkpoint: str | Path | None = None,
    stop: Callable[[], bool] | None = None,
    device: str | torch.device = "cpu",
    fabric: "Fabric | None" = None,
) -> Fit:
    """Train a :class:`~gmvae.GMVAE` on images, phase after phase.

    The labels that ``images`` may carry are not looked at: only ``observed`` is.

    At the end the components are numbered by their weight in the mixture, the largest first; with
    as many observed classes as components by the classes instead. Those of a model to start from
    keep their numbers and names, and new ones come after them.

    The same images, settings and seed give the same model, to the last bit, on the same machine
    with the same versions and number of threads. Elsewhere sums are rounded in another order: the
    clusters are mostly the same, and components of nearly the same weight may change numbers.

    Args:
        images: N images.
        settings: how; for None the defaults, with ``start`` those of its networks and components.
        observed: class values of the images whose label may be used, -1 elsewhere, (N,). With
            as many classes as components each component is one class from the start; else they
            only name components, by majority; ``warnings`` of the fit says which class named none.
        held_out: images for early stopping; by default a part of ``images``.
        start: a trained model to go on from, which stays as it is. The settings name its networks,
            and as many components or more. Without new ones there is only the joint phase; new
            ones are found among the images that the model explains worst. The images should be of
            the kinds that it knows as well as of new ones: what is not shown is forgotten.
        encoder: a network of your own in place of the one that the settings name, as
            :class:`~gmvae.GMVAE` takes it; it is trained as it comes, and stays yours.
        decoder: likewise.
        likelihood: likewise.
        phases: what is done, in order; by default what :func:`~gmvae.training.recipe.recipe`
            makes of the settings.
        callback: told of every epoch of every phase, and of the clusters as soon as there are some
            (``labels`` of :class:`~gmvae.training.loop.Progress`). It may return
            :data:`gmvae.STOP`: that was the last epoch, no other phase runs, and the best model so
            far is kept; ``warnings`` and the model's ``training_record`` say so. From the phase
            placing on there is one to keep (with ``start`` from the beginning). An exception that
            it raises ends all but leaves the checkpoint.
        checkpoint: a folder where the run is saved while it trains, after each phase and every 30
            seconds; one that was stopped goes on from there, to the same bytes. Remove it once the
            model is saved.
        stop: asked after every step; where it says True the run is saved and ends.
        device: where to train, and where the model is left.
        fabric: processes that train together, launched by Lightning Fabric, each of which makes
            this call with the same arguments; its device takes the place of ``device``. They get
            what one process gets, but for how sums are rounded. The first one alone calls
            ``callback``, asks ``stop`` and writes the checkpoint.

    Raises:
        ArgumentError: settings that do not fit the images, ``observed`` that are no classes, a
            checkpoint of another run, a model to start from that does not fit, or modules whose
            parameters are not float32.
        InterruptedRunError: ``stop`` said so.
        ContentError: fewer than two images, all the same, or pixels that are not between 0 and 1.
        TrainingError: an objective that is not finite.
        StoppedTooEarlyError: a callback ended the run before there was a model to keep.
    """
    if settings is None and isinstance(start, GMVAE):
        settings = settings_of(start)
    settings = settings_or_defaults(settings)
    processes = processes_of(fabric)
    device = checks.device(device if fabric is None else fabric.device)
    check_callback(callback)
    check_modules(encoder=encoder, decoder=decoder, likelihood=likelihood)
    check_components([settings.n_components or 1], images, settings, observed, held_out)
    if start is not None:
        check_start(start, images, settings)
        check_alone(encoder=encoder, decoder=decoder, likelihood=likelihood)
    record = training_record(images, settings, observed, start)
    settings = _with_components_known(settings, observed, start)
    # A set of the user's takes the place of a part.
    dividing = settings if held_out is None else dataclasses.replace(settings, held_out=0.0)
    callback = told_of_all(callback, len(images), dividing, observed)
    images, classes, part = hold_out(images, dividing, observed)
    # Pyro's store would keep every parameter of every model for as long as the process lives.
    with _seeded(settings.seed, device), pyro.get_param_store().scope():
        if start is None:
            config = config_for(images, settings)
            gmvae = GMVAE(config, encoder=encoder, decoder=decoder, likelihood=likelihood)
        else:
            gmvae = grown(start, settings.n_components or start.config.n_components)
        names = None if start is None else start.component_classes or (None,)
        held_out = part if held_out is None else held_out
        listener = Listener(callback) if callback and processes.is_first else None
        state = begin(gmvae.to(device), settings, classes, held_out, listener, names)
        state = dataclasses.replace(state, processes=processes)
        if phases is None:
            phases = recipe(settings, len(images), labels_lead=state.labels_lead)
            if start is not None:
                phases = continued(phases, start, settings)
        check_same(state, images, phases, start)
        kept = None
        if checkpoint is not None:
            kept = checkpoints(state, images, phases, Path(checkpoint), stop, start)
        state, stopped, left_out = run_phases(state, images, phases, kept, listener)
        result = _finish(state, images)
    if stopped is not None:
        record["stopped"] = stopped
        warnings = *result.warnings, stopped_warning(stopped, left_out)
        result = dataclasses.replace(result, warnings=warnings)
    record["prominences"] = result.prominences[:_PROMINENCES].round(2).tolist()
    record["stabilities"] = result.stabilities.round(3).tolist()
    record |= how_explained(result.gmvae, spread_out(images))
    result.gmvae.training_record = record
    return result


def _with_components_known(
    settings: Settings, observed: np.ndarray | None, start: GMVAE | None
) -> Settings:
    """As many components as the model to start from has, or as classes are observed.

    Where neither says it, the settings as they are: the number is found.
    """
    if settings.n_components is not None:
        return settings
    if start is not None:
        return dataclasses.replace(settings, n_components=start.config.n_components)
    classes = set() if observed is None else {*np.unique(observed).tolist()} - {-1}
    return dataclasses.replace(settings, n_components=len(classes) or None)


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """The generators of torch begin from ``seed``; afterwards they go on from where they were."""
    if device.type == "cpu":
        with torch.random.fork_rng([]):
            # Not torch.manual_seed, which seeds those of all accelerators as well.
            torch.default_generator.manual_seed(seed)
            yield
        return
    with torch.random.fork_rng([device], device_type=device.type):
        torch.manual_seed(seed)
        yield


def _finish(state: State, images: Images) -> Fit:
    """The model as its user gets it: named, ready to answer, and like one that is built anew."""
    gmvae = state.gmvae
    # The way that parameters lie in memory is theirs who train.
    state.assigner.to(memory_format=torch.contiguous_format)
    # Where labels lead, the classes are the order; components that had numbers keep them.
    if not state.labels_lead and state.names is None:
        order_components(gmvae)
    gmvae.component_classes = component_classes(state, images)
    gmvae.class_names = {**gmvae.class_names, **images.class_names}
    gmvae.zero_grad()
    gmvae.eval()
    last = figures(state, images)
    evidence = cluster_evidence(state, images)
    warnings = (
        *run_warnings(state, images),
        *cluster_warnings(state, images, evidence),
        *bound_warnings(state, images, last),
    )
    prominences = np.zeros(0) if state.prominences is None else state.prominences
    stabilities = np.zeros(0) if evidence is None else evidence.stabilities
    return Fit(gmvae, state.history, warnings, last, prominences, stabilities)
