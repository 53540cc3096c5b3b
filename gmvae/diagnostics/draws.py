"""Draws of the guide with their importance weights: what every check of the guide reads.

N images, S draws, D latent dimensions, K components.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gmvae.data import Images
from gmvae.diagnostics import arviz_bridge
from gmvae.networks import in_eval_mode
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model
from gmvae.support import checks

Array = NDArray[Any]

# Latents decoded at once: some tens of MB of pixels, whatever the number of images.
DECODED_AT_ONCE = 8_192


@dataclass(frozen=True)
class Draws:
    """S draws of q(z | x) an image, weighted by p(x, z) / q(z | x) with y summed out.

    Attributes:
        z: the draws, (S, N, D).
        y: p(y | z) of the mixture at each, (S, N, K).
        q_y: q(y | x) of the guide, (N, K); p(y | z) at the encoded image where y is summed out.
        log_weights: log p(x, z) - log q(z | x), (S, N).
        smoothed: the Pareto-smoothed log-weights, (S, N), normalised over S.
        khat: their k-hat, (N,); -inf where the weights are constant.
        gap_y: E_q(z) KL(q(y | x) || p(y | z)), (N,) nats; 0 where y is summed out.
    """

    z: Array
    y: Array
    q_y: Array
    log_weights: Array
    smoothed: Array
    khat: Array
    gap_y: Array

    @property
    def log_evidence(self) -> Array:
        """Importance-weighted log p(x), (N,) nats."""
        highest = self.log_weights.max(0)
        mean: Array = np.exp(self.log_weights - highest).mean(0)
        return np.asarray(highest + np.log(mean))

    @property
    def gap_z(self) -> Array:
        """Log p(x) minus the ELBO with y summed out, (N,) nats."""
        return np.asarray(self.log_evidence - self.log_weights.mean(0))

    @property
    def elbo(self) -> Array:
        """The evidence lower bound of the guide's q(z | x) q(y | x), (N,) nats."""
        return np.asarray(self.log_weights.mean(0) - self.gap_y)

    @property
    def p_y(self) -> Array:
        """p(y | x) by importance sampling, (N, K)."""
        return np.asarray(np.einsum("sn,snk->nk", np.exp(self.smoothed), self.y))

    @property
    def total_variation(self) -> Array:
        """Half the sum of |q(y | x) - p(y | x)|, (N,), in [0, 1]."""
        return np.asarray(np.abs(self.q_y - self.p_y).sum(-1) / 2)


def draw(
    model: Model, guide: Guide, x: Tensor | Images, n_draws: int = 500, seed: int = 0
) -> Draws:
    """Draw from the guide and weigh the draws, some images at a time.

    Args:
        model: the generative model.
        guide: its guide.
        x: images (N, C, H, W).
        n_draws: S, at least 25.
        seed: of the draws; torch's own state is left as it is.

    Raises:
        ArgumentError: fewer draws, or weights that are not finite.
    """
    checks.whole("n_draws", n_draws, least=arviz_bridge.FEWEST_DRAWS)
    with settled(model, guide, seed):
        rows = max(1, DECODED_AT_ONCE // n_draws)
        parts = [_draw(model, guide, batch, n_draws) for batch in batches(model, x, rows)]
    z, y, log_weights = (np.concatenate([p[i] for p in parts], axis=1) for i in range(3))
    q_y, gap_y = (np.concatenate([p[i] for p in parts]) for i in (3, 4))
    smoothed, khat = arviz_bridge.psis(log_weights.T)
    return Draws(z, y, q_y, log_weights, smoothed.T, khat, gap_y)


@contextmanager
def settled(model: Model, guide: Guide, seed: int) -> Iterator[None]:
    """Draw by ``seed``, without gradients and with networks that do not learn; then as before."""
    device = device_of(model)
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        torch.no_grad(),
        in_eval_mode(model, guide),
    ):
        torch.manual_seed(seed)
        yield


def device_of(model: Model) -> torch.device:
    """Where the model's mixture is, and so the model."""
    return model.prior.means.device


def batches(model: Model, x: Tensor | Images, rows: int) -> Iterator[Tensor]:
    """The images, ``rows`` at a time, on the model's device and in its precision."""
    like = model.prior.means
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        batch = x.tensor(part) if isinstance(x, Images) else x[part]
        yield batch.to(like.device, like.dtype)


def _draw(model: Model, guide: Guide, x: Tensor, n_draws: int) -> tuple[Array, ...]:
    """z, y, log-weights, q(y | x) and the y part of the gap, of a batch."""
    q_z, prior = guide.z_dist(x), model.prior
    z = q_z.sample((n_draws,))
    log_joint = prior.log_joint(z)
    log_y = log_joint.log_softmax(-1)
    log_p_z = log_joint.logsumexp(-1)
    log_likelihood = model.likelihood(model.decoder(z)).log_prob(x)
    log_weights = log_likelihood + log_p_z - q_z.log_prob(z)
    q_y = guide.y_dist(x)
    gap_y = torch.zeros(len(x))
    if model.assignment == "amortised":
        gap_y = (q_y.probs * (q_y.logits - log_y)).sum(-1).mean(0)
    parts = z, log_y.exp(), log_weights.cpu().double(), q_y.probs, gap_y.cpu().double()
    return tuple(part.cpu().numpy() for part in parts)


def standard_error(values: Array) -> float:
    """The standard error of a mean."""
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.nan
