"""The posteriors of many images, a batch at a time."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pyro
import torch
from torch import Generator, Tensor, nn

from gmvae.data.images import rows_at_once
from gmvae.networks import default_modes, in_eval_mode
from gmvae.posterior.block import Block
from gmvae.posterior.effort import LEAST_DRAWS
from gmvae.posterior.result import Pace, Tally
from gmvae.posterior.routes import Batch, Plan
from gmvae.posterior.target import Points, points
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model

# Images of 500 draws at a time: these are some 100 MB while they are worked on.
_IMAGES = 128


def batch_size(image_shape: tuple[int, ...], plan: Plan) -> int:
    """How many images (C, H, W) are worked on at a time: fewer where each has more draws."""
    return rows_at_once(image_shape, max(1, _IMAGES * LEAST_DRAWS // plan.n_proposed))


def shared_points(
    model: Model, image_shape: tuple[int, ...], generator: Generator | None = None
) -> Points:
    """Draws of the mixture that all images share: what `blocks_of` draws first of all.

    Args:
        model: the generative model.
        image_shape: (C, H, W).
        generator: the source of chance, on the CPU; torch's own by default.
    """
    with _answering(model):
        return points(model, image_shape, generator)


def blocks_of(
    model: Model,
    guide: Guide,
    batches: Iterable[Tensor],
    n_images: int,
    plan: Plan,
    generator: Generator | None = None,
    callback: Callable[[Pace], None] | None = None,
    shared: Points | None = None,
) -> Iterator[Block]:
    """The posteriors of batches of images, in turn: memory is that of one batch.

    Args:
        model: the generative model.
        guide: its guide.
        batches: images (n, C, H, W), on the model's device and in its precision.
        n_images: of all batches.
        plan: what to work out.
        generator: the source of chance, on the CPU; torch's own by default.
        callback: told after each batch how far the work has come.
        shared: draws of the mixture that all images share; the generator's first by default.
    """
    began, tally = time.monotonic(), Tally()
    for x in batches:
        if shared is None:
            shared = shared_points(model, tuple(x.shape[1:]), generator)
        with _answering(model, guide):
            block = Batch(model, guide, x, shared, plan, generator).answer()
        tally.add(block)
        if callback is not None:
            seconds = time.monotonic() - began
            callback(Pace(tally.n_images, n_images, seconds, dict(tally.routes)))
        yield block


@contextmanager
def _answering(*networks: nn.Module) -> Iterator[None]:
    """Networks that do not learn, in torch's own modes and without gradients."""
    with (
        default_modes(),
        torch.no_grad(),
        in_eval_mode(*networks),
        # Of the chains' many small steps it would take a third of the time.
        pyro.validation_enabled(False),
    ):
        yield
