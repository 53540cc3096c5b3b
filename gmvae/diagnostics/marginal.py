"""log p(x) as ArviZ's leave-one-out takes it: a value a draw.

N images, S draws, D latent dimensions.
"""

import numpy as np
import torch
from torch import Tensor

from gmvae.data import Images
from gmvae.diagnostics.draws import Array, batches, settled
from gmvae.posterior.target import Target
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model

# The share of the draws, those around the likeliest, that the density in the numerator is fitted
# to, and what it has of their covariance: it is narrower than the posterior, to bound the ratio.
# Of five pairs tried on 2-D and 10-D models the one of the smallest k-hats.
_NEAREST, _NARROWER = 0.7, 0.7
_IMAGES = 128


def log_marginals(model: Model, guide: Guide, images: Images, z: Array) -> Array:
    r"""Values l whose leave-one-out density is log p(x), (S, N) nats.

    Given encoder and decoder no image bears on another, and the leave-one-out density of x is p(x).
    With draws z of p(z | x) and any density g

    .. math:: E\, \frac{g(z)}{p(x, z)} = \frac1{p(x)}

    (Gelfand and Dey, *Bayesian model choice: asymptotics and exact calculations*, JRSS B, 1994), so
    that the harmonic mean which ``loo`` takes of :math:`l = \log p(x, z) - \log g(z)` is p(x). With
    the likeliest draws' Gaussian for g the ratio has no heavy tail; with the prior for g, it would
    be that of log p(x | z), which is known for it.

    Args:
        model: the generative model.
        guide: its guide, kept from learning meanwhile.
        images: N images.
        z: draws of equal weight from p(z | x), (N, S, D).
    """
    parts, start = [], 0
    with settled(model, guide, 0):
        for x in batches(model, images, _IMAGES):
            draws = torch.as_tensor(z[start : start + len(x)], device=x.device).double()
            start += len(x)
            log_joint = Target(model, x).log_joint(draws.transpose(0, 1)).T
            parts.append((log_joint - _log_near_halves(draws, log_joint)).T.cpu().numpy())
    return np.concatenate(parts, axis=1)


def _log_near_halves(z: Tensor, log_joint: Tensor) -> Tensor:
    """Log g at draws (n, S, D), (n, S): of each half by the density fitted to the other.

    Fitted to the same draws, it would be too large at them.
    """
    log_g = torch.empty_like(log_joint)
    even, odd = slice(0, None, 2), slice(1, None, 2)
    for half, other in ((even, odd), (odd, even)):
        log_g[:, half] = _log_near(z[:, other], log_joint[:, other], z[:, half])
    return log_g


def _log_near(z: Tensor, log_joint: Tensor, at: Tensor) -> Tensor:
    """Log-density at ``at`` of the Gaussian around the likeliest of draws (n, S, D)."""
    n, n_draws, d = z.shape
    best = z[torch.arange(n), log_joint.argmax(-1)].unsqueeze(1)
    covariance = _covariance(z - z.mean(1, keepdim=True))
    distance = _distance(z - best, covariance)
    n_near = max(d + 2, round(_NEAREST * n_draws))
    rows = distance.topk(n_near, largest=False).indices
    near = z.gather(1, rows.unsqueeze(-1).expand(-1, -1, d))
    centre = near.mean(1, keepdim=True)
    covariance = _NARROWER * _covariance(near - centre)
    normaliser = d * np.log(2 * np.pi) + torch.logdet(covariance)
    log_g: Tensor = -(_distance(at - centre, covariance) + normaliser.unsqueeze(-1)) / 2
    return log_g


def _covariance(centred: Tensor) -> Tensor:
    """Of centred draws (n, S, D), (n, D, D), never quite flat."""
    covariance = centred.mT @ centred / centred.shape[1]
    least = 1e-6 * covariance.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True) + 1e-12
    flat: Tensor = covariance + least.expand(-1, covariance.shape[-1]).diag_embed()
    return flat


def _distance(delta: Tensor, covariance: Tensor) -> Tensor:
    """Squared Mahalanobis distances, (n, S)."""
    solved = torch.linalg.solve(covariance, delta.mT)
    distance: Tensor = (delta.mT * solved).sum(-2)
    return distance
