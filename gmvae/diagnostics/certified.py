"""The posterior that a user gets, for every image and for images whose truth is known.

N images, S draws, D latent dimensions, K components.
"""

import numpy as np
import torch
from torch import Tensor

from gmvae.data import Images
from gmvae.diagnostics.draws import Array, batches, settled
from gmvae.posterior import Effort, Posterior
from gmvae.posterior.routes import Plan
from gmvae.posterior.work import batch_size, blocks_of
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model


def certified_draws(
    model: Model, guide: Guide, x: Tensor | Images, n_draws: int, seed: int
) -> Posterior:
    """What :meth:`gmvae.GMVAE.posterior` gives.

    Args:
        model: the generative model.
        guide: its guide.
        x: images (N, C, H, W).
        n_draws: S.
        seed: of the draws; torch's own state is left as it is.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = x.shape if isinstance(x, Images) else tuple(x.shape[1:])
    plan = Plan(n_draws, Effort(), False)
    parts = batches(model, x, batch_size(shape, plan))
    return Posterior.joined(blocks_of(model, guide, parts, len(x), plan, generator))


def components_of(model: Model, guide: Guide, z: Array) -> Array:
    """p(y | z) at draws (N, S, D), (S, N, K)."""
    like = model.prior.means
    with settled(model, guide, 0):
        parts = [
            model.prior.responsibilities(torch.as_tensor(of_image).to(like)).cpu().numpy()
            for of_image in z
        ]
    return np.stack(parts, axis=1)


def coverage(z: Array, truth: Array, level: float) -> Array:
    """The share of true latents (N, D) inside the central interval of draws (N, S, D), (D,)."""
    below = (z < truth[:, None]).mean(1)
    return np.asarray((np.abs(below - 0.5) < level / 2).mean(0))
