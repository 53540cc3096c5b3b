"""What is drawn from: p(x, z) of a batch of images, y summed out.

n images, S draws, D latent dimensions, K components.
"""

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from gmvae.data.images import rows_at_once
from gmvae.posterior.chance import normal
from gmvae.probability.model import Model
from gmvae.probability.prior import MixturePrior

# Latents that are decoded at a time; more take longer, out of the cache.
_DECODED_AT_ONCE = 2_500
# Draws of the mixture that all images share: of each image they cost the likelihood alone, a fifth
# of what as many draws of its own do (MNIST, 500-250).
N_POINTS = 256


class Target:
    """Log p(x, z) = log p(x | z) + log p(z) of a batch.

    Latents come in any precision and are decoded in the model's; log-densities are float64.

    Args:
        model: the generative model, its networks in eval mode.
        x: images (n, C, H, W), on its device and in its precision.
    """

    def __init__(self, model: Model, x: Tensor) -> None:
        self.model, self.x = model, x
        self.at_once = max(1, rows_at_once(tuple(x.shape[1:]), _DECODED_AT_ONCE) // max(1, len(x)))

    def __len__(self) -> int:
        return len(self.x)

    def at(self, rows: Tensor) -> "Target":
        """The same of some of the images, by their numbers (m,)."""
        return Target(self.model, self.x[rows])

    def log_joint(self, z: Tensor) -> Tensor:
        """Log p(x, z) at latents (S, n, D), (S, n)."""
        return torch.cat([self._log_joint(part) for part in z.split(self.at_once)])

    def log_joint_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Log p(x, z) at latents (S, n, D), (S, n), and its gradient, (S, n, D)."""
        values, slopes = [], []
        for part in z.split(self.at_once):
            with torch.enable_grad():
                leaf = part.detach().requires_grad_()
                value = self._log_joint(leaf)
                (slope,) = torch.autograd.grad(value.sum(), leaf)
            values.append(value.detach())
            slopes.append(slope)
        return torch.cat(values), torch.cat(slopes)

    def log_joint_at(self, points: "Points") -> Tensor:
        """Log p(x, z) at points of the mixture that all images share, (P, n)."""
        likelihood = self.model.likelihood
        parts = [
            likelihood(output.unsqueeze(1)).log_prob(self.x).double()
            for output in points.output.split(self.at_once)
        ]
        return torch.cat(parts) + points.log_prior.unsqueeze(1)

    def _log_joint(self, z: Tensor) -> Tensor:
        z = z.to(self.x.dtype)
        log_likelihood: Tensor = self.model.likelihood(self.model.decoder(z)).log_prob(self.x)
        return log_likelihood.double() + log_prior(self.model.prior, z)


class Points(NamedTuple):
    """Draws of the mixture, decoded.

    Attributes:
        z: (P, D) float64.
        log_prior: log p(z), (P,) float64.
        output: of the decoder, (P, C, H, W).
    """

    z: Tensor
    log_prior: Tensor
    output: Tensor


def log_prior(prior: MixturePrior, z: Tensor) -> Tensor:
    """Log p(z), y summed out, at latents (..., D), (...) float64."""
    return prior.log_joint(z.to(prior.means.dtype)).double().logsumexp(-1)


def points(model: Model, image_shape: tuple[int, ...], generator: Generator | None) -> Points:
    """Draws of the mixture for all images, fewer where images are large.

    Args:
        model: the generative model, its networks in eval mode.
        image_shape: (C, H, W).
        generator: the source of the draws, on the model's device.
    """
    prior = model.prior
    n = rows_at_once(image_shape, N_POINTS)
    like = prior.means
    y = torch.multinomial(prior.weights, n, replacement=True, generator=generator)
    noise = normal((n, prior.latent_dim, 1), like, generator)
    z = like[y] + (prior.scale_tril[y] @ noise).squeeze(-1)
    return Points(z.double(), log_prior(prior, z), model.decoder(z))


def normaliser(dimension: int) -> float:
    """Log of the integral of exp(-|z|^2 / 2) over R^D."""
    return dimension / 2 * math.log(2 * math.pi)
