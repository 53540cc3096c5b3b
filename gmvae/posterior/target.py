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

    Latents and log-densities are float64 on the CPU, since not every device has doubles; what is
    decoded is on the model's device, in its precision.

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
        parts = [self._log_joint(part.to(self.x)) for part in z.split(self.at_once)]
        return torch.cat([part.cpu().double() for part in parts])

    def log_joint_and_slope(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Log p(x, z) at latents (S, n, D), (S, n), and its gradient, (S, n, D)."""
        values, slopes = [], []
        for part in z.split(self.at_once):
            with torch.enable_grad():
                leaf = part.detach().to(self.x, copy=True).requires_grad_()
                value = self._log_joint(leaf)
                (slope,) = torch.autograd.grad(value.sum(), leaf)
            values.append(value.detach().cpu().double())
            slopes.append(slope.cpu().double())
        return torch.cat(values), torch.cat(slopes)

    def log_joint_at(self, points: "Points") -> Tensor:
        """Log p(x, z) at points of the mixture that all images share, (P, n)."""
        likelihood = self.model.likelihood
        parts = [
            likelihood(output.unsqueeze(1)).log_prob(self.x).cpu().double()
            for output in points.output.split(self.at_once)
        ]
        return torch.cat(parts) + points.log_prior.unsqueeze(1)

    def _log_joint(self, z: Tensor) -> Tensor:
        log_likelihood: Tensor = self.model.likelihood(self.model.decoder(z)).log_prob(self.x)
        return log_likelihood + self.model.prior.log_joint(z).logsumexp(-1)


class Points(NamedTuple):
    """Draws of the mixture, decoded.

    Attributes:
        z: (P, D) float64, on the CPU.
        log_prior: log p(z), (P,) likewise.
        output: of the decoder, (P, C, H, W), on the model's device.
    """

    z: Tensor
    log_prior: Tensor
    output: Tensor


def log_prior(prior: MixturePrior, z: Tensor) -> Tensor:
    """Log p(z), y summed out, at latents (..., D), (...) float64 on the CPU."""
    return prior.log_joint(z.to(prior.means)).logsumexp(-1).cpu().double()


def points(model: Model, image_shape: tuple[int, ...], generator: Generator | None) -> Points:
    """Draws of the mixture for all images, fewer where images are large.

    Args:
        model: the generative model, its networks in eval mode.
        image_shape: (C, H, W).
        generator: the source of the draws, on the CPU.
    """
    prior = model.prior
    n = rows_at_once(image_shape, N_POINTS)
    means, tril = prior.means.cpu(), prior.scale_tril.cpu()
    y = torch.multinomial(prior.weights.cpu(), n, replacement=True, generator=generator)
    noise = normal((n, prior.latent_dim, 1), means, generator)
    z = means[y] + (tril[y] @ noise).squeeze(-1)
    return Points(z.double(), log_prior(prior, z), model.decoder(z.to(prior.means)))


def normaliser(dimension: int) -> float:
    """Log of the integral of exp(-|z|^2 / 2) over R^D."""
    return dimension / 2 * math.log(2 * math.pi)
