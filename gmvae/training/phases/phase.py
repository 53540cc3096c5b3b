"""What a phase is, and what most of them need."""

import dataclasses
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

from gmvae.data import Images
from gmvae.data.images import let_go, rows_at_once
from gmvae.networks import Assigner, Frozen
from gmvae.probability.guide import Guide
from gmvae.training.arrays import Floats
from gmvae.training.loop import Loop, Objective, Schedule
from gmvae.training.processes import Network
from gmvae.training.regularisers import Classification, Regulariser
from gmvae.training.state import State

# Images that a network answers for at once: enough to keep it busy, some MB of them.
_ROWS = 1024
# Images a step, however large they are: among fewer there is nothing to tell apart.
_LEAST_BATCH = 8
# Images an epoch at most, as many as MNIST has: figures are taken, and progress is told, after
# each, and of more images a phase needs no more steps.
LARGEST_EPOCH = 60_000
# Images whose places are kept in double precision: as many as MNIST has. Of a million they would be
# a gigabyte, and single precision is what the embedding rounds them to.
_IN_DOUBLE = 60_000
# Bytes of features that are computed beforehand.
_AT_HAND = 2**28


class Phase(Protocol):
    """One step of a run: a function of the state and the images to the next state.

    One whose time networks do not take may have a class attribute ``once = True``: of several
    processes that train together the first runs it, and the others get the state.

    Attributes:
        name: what the progress calls it.
    """

    @property
    def name(self) -> str:
        """What the progress calls it."""
        ...

    def run(self, state: State, images: Images) -> State:
        """The next state.

        Args:
            state: of the run; see :class:`~gmvae.training.state.State` for what changes in place.
            images: the N images that are trained on.
        """
        ...


@dataclass(frozen=True)
class Length:
    """How long a phase lasts: so many epochs; more, up to ``most_epochs``, for too few steps.

    Large sets need few epochs and small ones many, but neither fewer than ``steps``. An epoch is of
    60,000 images at most, others each time, unless their number is the user's: of more images a
    phase takes no longer.

    Attributes:
        epochs: passes over the images, or over ``images`` of them, at least.
        steps: of the optimiser, at least.
        batch_size: images a step.
        lr: Adam's learning rate at the start.
        patience: epochs without a better held-out loss before the end; None to run to the end.
        enough: the objective at which to end, after ``steps``.
        most_epochs: however small the set: of 128 images an epoch is one step.
        exactly: epochs that a user asked for, in place of all that.
        images: an epoch, at most.
        bounded: whether large images come in smaller batches, of some 8 million pixel values;
            not where the batch is the user's choice.
    """

    epochs: int
    steps: int
    batch_size: int
    lr: float
    patience: int | None = None
    enough: float = -math.inf
    most_epochs: int = 200
    exactly: int | None = None
    images: int = LARGEST_EPOCH
    bounded: bool = True

    def scaled(self, factor: float) -> "Length":
        """The same phase, so many times as long; below one epoch, one of fewer images."""
        lengths = {
            name: max(1, round(factor * getattr(self, name)))
            for name in ("epochs", "steps", "most_epochs")
        }
        images = max(1, round(min(1.0, factor * self.epochs) * self.images))
        return dataclasses.replace(self, **lengths, images=images)

    def schedule(self, n_images: int, image_shape: tuple[int, ...] = (1, 1, 1)) -> Schedule:
        """The schedule for so many images (C, H, W)."""
        batch_size = self.batch_size
        if self.bounded:
            batch_size = max(rows_at_once(image_shape, batch_size), min(batch_size, _LEAST_BATCH))
        if self.exactly is None:
            n_images = min(n_images, self.images)
        n_batches = math.ceil(n_images / batch_size)
        least = min(math.ceil(self.steps / n_batches), self.most_epochs)
        return Schedule(
            self.exactly or max(self.epochs, least),
            batch_size,
            self.lr,
            images_an_epoch=n_images,
            patience=self.patience,
            enough=self.enough,
            least_epochs=least,
        )


def train_phase(
    phase: Phase,
    length: Length,
    objective: Objective,
    parameters: ParamsT,
    state: State,
    images: Images,
    *,
    guide: Guide | None = None,
    **more: Any,
) -> None:
    """Train ``parameters`` for that length, the state told of every epoch.

    Args:
        phase: whose name the progress shows.
        length: how long.
        objective: what is minimised, as for :class:`~gmvae.training.loop.Loop`.
        parameters: those to train.
        state: of the run.
        images: N images.
        guide: what the regularisers are functions of; by default that of the run.
        more: ``y``, ``regularisers``, ``validate``, ``before_step`` and ``labels`` of the loop.
    """
    checkpoints = state.checkpoints
    loop = Loop(
        objective,
        guide or state.gmvae.guide,
        images,
        length.schedule(len(images), images.shape),
        phase=phase.name,
        generator=state.generator,
        after_step=None if checkpoints is None else partial(checkpoints.after_step, state),
        processes=state.processes,
        networks=networks_of(state),
        **more,
    )
    with warnings.catch_warnings():
        # Pyro's; the loop ends there with an error that says what to do.
        warnings.filterwarnings("ignore", "Encountered (NaN|inf|-inf)")
        # Layers that a user has frozen are not to be trained.
        warnings.filterwarnings("ignore", ".* was not registered in the param store")
        loop_state = loop.begin(parameters)
        if checkpoints is None or checkpoints.begin_loop(state, loop_state):
            loop.run(loop_state, state.report)


def networks_of(state: State) -> list[Network]:
    """The networks that take the time of a step."""
    features: nn.Module = state.assigner.features
    if isinstance(features, Frozen):
        # Not those that remember their last batch: they know it by the tensor.
        features = features.features
    guide, model = state.gmvae.guide, state.gmvae.model
    return [Network(features, 3), Network(guide.encoder, 3), Network(model.decoder, 1)]


def answers(
    query: Callable[[Tensor], Tensor],
    images: Images,
    device: torch.device,
    *modules: nn.Module,
    dtype: DTypeLike = np.float64,
) -> NDArray[Any]:
    """What ``query``, made of these modules, says of every image, (N, ...), in that type."""
    for module in modules:
        module.eval()
    # Filled in place: parts and their sum would be twice the memory.
    values: NDArray[Any] = np.empty(0)
    for rows, part in _in_blocks(query, images, device):
        if rows.start == 0:
            values = np.empty((len(images), *part.shape[1:]), dtype)
        values[rows] = part.cpu().numpy()
    for module in modules:
        module.train()
    return values


def places(
    query: Callable[[Tensor], Tensor], images: Images, device: torch.device, *modules: nn.Module
) -> Floats:
    """Where ``query`` lays every image, (N, W): of more than 60,000 images in single precision."""
    dtype = np.float64 if len(images) <= _IN_DOUBLE else np.float32
    return answers(query, images, device, *modules, dtype=dtype)


def classification(state: State, images: Images, weight: float) -> list[Regulariser]:
    """The term on labelled images, where labels lead and there are any."""
    components = state.observed_components
    if components is None or weight == 0:
        return []
    rows = torch.nonzero(components >= 0).squeeze(-1)
    x = images.tensor(rows.cpu().numpy()).to(state.device)
    return [Classification(weight, x, components[rows], state.view, state.generator)]


@contextmanager
def frozen_features(assigner: Assigner) -> Iterator[Frozen]:
    """Within this block the features of q(y | x) learn no more, and are computed once a batch.

    They have learned what they can by then, and to train them too would double the time of a
    step. The rest of q(y | x) goes on.
    """
    features = assigner.features.requires_grad_(False)
    assigner.eval()
    assigner.features = frozen = Frozen(features, features.n_features)
    try:
        yield frozen
    finally:
        assigner.features = features
        features.requires_grad_(True)


def with_features_at_hand(
    frozen: Frozen, images: Images, device: torch.device
) -> Callable[[Tensor, Tensor], None] | None:
    """What a loop does before a step so that frozen features are computed once an image.

    None where those of all images would take too much memory: then they are, once a batch.
    """
    if len(images) * frozen.n_features * 4 > _AT_HAND:
        return None

    @cache  # First asked for when a resumed run is filled.
    def of_all() -> Tensor:
        # Filled in place, too.
        features = torch.empty(len(images), frozen.n_features, device=device)
        for rows, part in _in_blocks(frozen.features, images, device):
            features[rows] = part
        return features

    def before_step(x: Tensor, rows: Tensor) -> None:
        frozen.know(x, of_all()[rows.to(device)])

    return before_step


@torch.no_grad()
def _in_blocks(
    query: Callable[[Tensor], Tensor], images: Images, device: torch.device
) -> Iterator[tuple[slice, Tensor]]:
    """What is said of the images in turn, block by block, and of which rows."""
    n_at_once = rows_at_once(images.shape, _ROWS)
    for start in range(0, len(images), n_at_once):
        rows = slice(start, start + n_at_once)
        yield rows, query(images.tensor(rows).to(device))
        let_go(images.pixels)
