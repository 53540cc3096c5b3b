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

# The share of the draws, those around the likeliest, that a mode is looked for in, and of its own
# draws those that belong to it.
_NEAREST, _ITS_OWN = 0.3, 0.99
_STEPS = 5
# What g has of a mode's covariance: it is narrower than the posterior, to bound the ratio.
_NARROWER = 0.7
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
            draws = torch.as_tensor(z[start : start + len(x)]).double()
            start += len(x)
            log_joint = Target(model, x).log_joint(draws.transpose(0, 1)).T
            parts.append((log_joint - _log_near_halves(draws, log_joint)).T.numpy())
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
    """Log-density at ``at`` of the Gaussian of the likeliest draw's mode, of draws (n, S, D)."""
    from scipy.stats import chi2

    n, n_draws, d = z.shape
    best = z[torch.arange(n), log_joint.argmax(-1)].unsqueeze(1)
    everywhere = torch.ones_like(log_joint)
    _, covariance = _moments(z, everywhere)
    distance = _distance(z - best, covariance)
    inside = chi2.ppf(_NEAREST, d)
    # The covariance of a Gaussian's middle is smaller than its own by this.
    shrunk = chi2.cdf(inside, d + 2) / _NEAREST
    n_near = max(d + 2, round(_NEAREST * n_draws))
    near = (distance <= distance.kthvalue(n_near).values.unsqueeze(-1)).to(z)
    centre, covariance = _moments(z, near)
    covariance = covariance / shrunk
    for _ in range(_STEPS):
        near = (_distance(z - centre, covariance) < chi2.ppf(_ITS_OWN, d)).to(z)
        # Too few for a covariance: all of them.
        near = torch.where(near.sum(-1, keepdim=True) > d + 1, near, everywhere)
        centre, covariance = _moments(z, near)
    covariance = _NARROWER * covariance
    normaliser = d * np.log(2 * np.pi) + torch.logdet(covariance)
    log_g: Tensor = -(_distance(at - centre, covariance) + normaliser.unsqueeze(-1)) / 2
    return log_g


def _moments(z: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Means (n, 1, D) and covariances (n, D, D), never quite flat, of weighted draws (n, S, D)."""
    share = (weights / weights.sum(-1, keepdim=True)).unsqueeze(-1)
    mean = (share * z).sum(1, keepdim=True)
    centred = z - mean
    covariance = centred.mT @ (share * centred)
    least = 1e-6 * covariance.diagonal(dim1=-2, dim2=-1).mean(-1, keepdim=True) + 1e-12
    return mean, covariance + least.expand(-1, z.shape[-1]).diag_embed()


def _distance(delta: Tensor, covariance: Tensor) -> Tensor:
    """Squared Mahalanobis distances, (n, S)."""
    solved = torch.linalg.solve(covariance, delta.mT)
    distance: Tensor = (delta.mT * solved).sum(-2)
    return distance
