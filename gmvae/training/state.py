"""What a run is between two phases."""

from dataclasses import dataclass, field, replace
from typing import Protocol, TypeAlias, cast

import numpy as np
import torch
from torch import Generator, Tensor

from gmvae.config import Config
from gmvae.data import Images
from gmvae.data.views import AUGMENTATIONS, View, kind_of_views
from gmvae.gmvae import GMVAE, build_assigner
from gmvae.networks import Assigner
from gmvae.settings import Settings
from gmvae.support.choices import Augmentation
from gmvae.training.arrays import Array, Floats, Indices
from gmvae.training.loop import Callback, LoopState, Progress
from gmvae.training.processes import ALONE, Processes

Row: TypeAlias = dict[str, float | str]


class Saver(Protocol):
    """What keeps a run while it trains, as :class:`~gmvae.training.checkpoint.Checkpoints`."""

    def begin_loop(self, state: "State", loop: LoopState) -> bool:
        """Bring a loop to where it was saved; False where it had ended already."""
        ...

    def after_step(self, state: "State", loop: LoopState) -> None:
        """Save the run where it is time."""
        ...

    def check_stop(self) -> None:
        """Raise where the run is to stop, which was saved when its phase began."""
        ...


@dataclass(frozen=True)
class Unsaved:
    """What a part of a phase has for a saver that keeps nothing: it stops with the run.

    Nothing of the part is saved, so that a run which goes on begins the phase again.

    Attributes:
        saver: of the run.
    """

    saver: Saver

    def begin_loop(self, state: "State", loop: LoopState) -> bool:
        """Every loop begins at its first step."""
        return True

    def after_step(self, state: "State", loop: LoopState) -> None:
        """Ask whether the run is to stop."""
        self.saver.check_stop()

    def check_stop(self) -> None:
        """Ask whether the run is to stop."""
        self.saver.check_stop()


@dataclass(frozen=True)
class State:
    """What a run is between two phases: all that the next one depends on but the images.

    A phase takes a state and returns the next one. Networks are trained in place, generators go
    on where they are and the history grows; every other value is replaced, never changed.

    N images, W dimensions of the representation, A principal axes.

    Attributes:
        settings: of the run.
        gmvae: model and guide.
        assigner: the network of q(y | x): the guide's, or one that only finds the clusters where
            the guide has none (``assignment="exact"``).
        observed: class values of the images whose label may be used, -1 elsewhere, (N,).
        held_out: images for early stopping; None for none.
        rng: the source of the choices of the start.
        generator: the source of the order of the images and of the draws of views, on the CPU.
            Networks and latents are drawn from torch's own, which ``fit`` seeds and restores.
        callback: told of every epoch.
        checkpoints: what keeps the run while it trains; None for nothing.
        processes: those that train together.
        names: the class that names each component of the model that the run starts from, (K,) or
            fewer; None for a run from the beginning.
        history: one row of figures an epoch.
        pixels: where the images lie along the principal axes of their pixels, (N, A). This, the
            representation, cells and their links, nominees and merits go once the clusters have
            their places, and the view neighbours of more than 2,000 images.
        view_neighbours: the images that views of each lie nearest to by their pixels, (N, k); None
            where they were not looked for.
        representation: where they lie in what a network has learned, (N, W).
        sample: images, whose clusters are looked at again at the end of the run, (M,); None before
            the placing.
        places: where the clusters of these were looked for, (M, W).
        cells: the cell that each belongs to, of many, (N,); None where none were learned.
        cell_links: how many images of one cell have views and neighbours in another, (M, M); None
            without views.
        clusters: the component that each is held to belong to, (N,).
        nominees: the clusterings that are worth a trial, (J, N); None where there is no choice.
        merits: of the nominees, by who is whose neighbour, (J,).
        prominences: of the splits between clusters, the largest first, (S,), in standard
            deviations; None before the clusters are found.
    """

    settings: Settings
    gmvae: GMVAE
    assigner: Assigner
    observed: Indices
    held_out: Images | None
    rng: np.random.Generator
    generator: Generator
    callback: Callback | None = None
    checkpoints: Saver | None = None
    processes: Processes = ALONE
    names: tuple[int | None, ...] | None = None
    history: list[Row] = field(default_factory=list)
    pixels: Floats | None = None
    view_neighbours: Indices | None = None
    representation: Floats | None = None
    sample: Indices | None = None
    places: Array | None = None
    cells: Indices | None = None
    cell_links: Array | None = None
    clusters: Indices | None = None
    nominees: Indices | None = None
    merits: Array | None = None
    prominences: Array | None = None

    @property
    def n_components(self) -> int:
        """K; 1 until it is found."""
        return self.gmvae.config.n_components

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.gmvae.device

    @property
    def augment(self) -> Augmentation:
        """The kind of views: that of the settings, where such images have any."""
        kind = kind_of_views(self.settings.augment, self.gmvae.config.image_shape)
        return cast(Augmentation, kind)

    @property
    def view(self) -> View:
        """From images to transformed views of them."""
        return AUGMENTATIONS[self.augment]

    @property
    def learns_from_views(self) -> bool:
        """Whether views differ from their images."""
        return self.augment != "none"

    @property
    def classes(self) -> Indices:
        """The classes that were observed, sorted."""
        return cast(Indices, np.unique(self.observed[self.observed >= 0]))

    @property
    def leading_classes(self) -> Indices | None:
        """The class that each component is from the start, (K,): there are as many classes.

        In order; but after those that name components already. None where labels do not lead.
        """
        classes = self.classes
        if len(classes) != self.n_components:
            return None
        if self.names is None:
            return classes
        names = np.array([name for name in self.names if name is not None], dtype=np.int64)
        distinct = len(np.unique(names)) == len(self.names)
        if not distinct or not np.isin(names, classes).all():
            return None
        return np.concatenate([names, np.setdiff1d(classes, names)])

    @property
    def labels_lead(self) -> bool:
        """Whether each component is one class from the start."""
        return self.leading_classes is not None

    @property
    def observed_components(self) -> Tensor | None:
        """Component indices, (N,), -1 where unknown; None where labels do not lead."""
        classes = self.leading_classes
        if classes is None:
            return None
        order = np.argsort(classes)
        places = np.searchsorted(classes, self.observed, sorter=order)
        components = np.where(self.observed >= 0, order[places % len(order)], -1)
        return torch.as_tensor(components, device=self.device)

    @property
    def sizes(self) -> Array:
        """The shares of the clusters, (K,), above 0: of one image more in each than there are."""
        assert self.clusters is not None, "the phase `start` comes before"
        counts = np.bincount(self.clusters, minlength=self.n_components) + 1.0
        return cast(Array, counts / counts.sum())

    def report(self, progress: Progress) -> object:
        """Add a row to the history, and tell the callback; what it answers, STOP to end."""
        self.history.append({"phase": progress.phase, "epoch": progress.epoch, **progress.metrics})
        if self.callback is None:
            return None
        return self.callback(replace(progress, model=self.gmvae))


def config_for(images: Images, settings: Settings) -> Config:
    """What the model of a run is built from."""
    return Config(
        image_shape=images.shape,
        # One, until they are found.
        n_components=settings.n_components or 1,
        latent_dim=settings.latent_dim,
        covariance=settings.covariance,
        network=settings.network,
        likelihood=settings.likelihood,
        grey=not images.binary,
        guide=settings.guide,
        assignment=settings.assignment,
    )


def begin(
    gmvae: GMVAE,
    settings: Settings,
    observed: Indices,
    held_out: Images | None,
    callback: Callback | None = None,
    names: tuple[int | None, ...] | None = None,
) -> State:
    """The state before the first phase.

    Args:
        gmvae: an untrained model and guide, on the device where they are to be trained.
        settings: of the run.
        observed: class values of the images whose label may be used, -1 elsewhere, (N,).
        held_out: images for early stopping; None for none.
        callback: told of every epoch.
        names: the class that names each component already; None where none has been trained.
    """
    assigner = gmvae.guide.assigner or build_assigner(gmvae.config).to(gmvae.device)
    return State(
        settings,
        gmvae,
        # Channels last: convolutions on a CPU are half as fast again. Not in the model that is
        # returned: of such parameters Pyro's store hands its optimisers a copy.
        cast(Assigner, assigner).to(memory_format=torch.channels_last),
        observed,
        held_out,
        np.random.default_rng(settings.seed),
        Generator().manual_seed(settings.seed),
        callback,
        names=names,
    )


def with_components(state: State, n_components: int) -> State:
    """The state with so many components, all that depends on their number made anew.

    What has been learned, the features of q(y | x), stays.
    """
    old = state.gmvae
    config = replace(old.config, n_components=n_components, custom=())
    gmvae = GMVAE(config, **old.own_modules).to(old.device)
    assigner = gmvae.guide.assigner or build_assigner(gmvae.config).to(gmvae.device)
    assigner.features = state.assigner.features
    return replace(
        state,
        gmvae=gmvae,
        settings=replace(state.settings, n_components=n_components),
        assigner=cast(Assigner, assigner).to(memory_format=torch.channels_last),
    )
