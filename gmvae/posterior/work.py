"""The posteriors of many images, a batch at a time."""

import time
from collections.abc import Callable, Iterable, Iterator

import pyro
import torch
from torch import Generator, Tensor

from gmvae.data.images import rows_at_once
from gmvae.networks import default_modes, in_eval_mode
from gmvae.posterior.block import Block
from gmvae.posterior.effort import LEAST_DRAWS
from gmvae.posterior.result import Pace, Tally
from gmvae.posterior.routes import Batch, Plan
from gmvae.posterior.target import points
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model

# Images of 500 draws at a time: these are some 100 MB while they are worked on.
_IMAGES = 128


def batch_size(image_shape: tuple[int, ...], plan: Plan) -> int:
    """How many images (C, H, W) are worked on at a time: fewer where each has more draws."""
    return rows_at_once(image_shape, max(1, _IMAGES * LEAST_DRAWS // plan.n_proposed))


def blocks_of(
    model: Model,
    guide: Guide,
    batches: Iterable[Tensor],
    n_images: int,
    plan: Plan,
    generator: Generator | None = None,
    callback: Callable[[Pace], None] | None = None,
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
    """
    began, tally, shared = time.monotonic(), Tally(), None
    for x in batches:
        with (
            default_modes(),
            torch.no_grad(),
            in_eval_mode(model, guide),
            # Of the chains' many small steps it would take a third of the time.
            pyro.validation_enabled(False),
        ):
            if shared is None:
                shared = points(model, tuple(x.shape[1:]), generator)
            block = Batch(model, guide, x, shared, plan, generator).answer()
        tally.add(block)
        if callback is not None:
            seconds = time.monotonic() - began
            callback(Pace(tally.n_images, n_images, seconds, dict(tally.routes)))
        yield block
