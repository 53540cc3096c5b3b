"""Data drawn from the model itself, whose latents are known.

N images, L draws an image, D latent dimensions, K components.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gmvae.diagnostics.draws import Array, batches, settled
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model
from gmvae.support import checks
from gmvae.support.errors import ArgumentError

_BATCH = 1_024


@dataclass(frozen=True)
class Simulation:
    """Draws of the generative model: y (N,), z (N, D) and x (N, C, H, W)."""

    y: Tensor
    z: Tensor
    x: Tensor


@dataclass(frozen=True)
class Ranks:
    """Simulation-based calibration of q(z | x), or of other draws.

    Attributes:
        ranks: of the z behind each image among L draws, by dimension, (N, D), in 0 to L.
        n_draws: L.
        p_value: of the uniformity of the ranks, over all dimensions (Bonferroni's correction of
            the least): a small one says that they are no draws of the posterior.
    """

    ranks: Array
    n_draws: int
    p_value: float


def simulate(model: Model, guide: Guide, n_images: int, seed: int = 0) -> Simulation:
    """Draw y, z and x from the model.

    Args:
        model: the generative model.
        guide: its guide, kept from learning meanwhile.
        n_images: N, at least 1.
        seed: of the draws; torch's own state is left as it is.
    """
    checks.whole("n_images", n_images, least=1)
    with settled(model, guide, seed):
        y = model.prior.y_dist().sample((n_images,))
        z = model.prior.z_dist(y).sample()
        x = torch.cat([_sampled_images(model, part) for part in z.split(_BATCH)])
    return Simulation(y, z, x)


def calibrate(
    model: Model, guide: Guide, simulation: Simulation, n_draws: int = 99, seed: int = 1
) -> Ranks:
    """Simulation-based calibration of the guide.

    Where q(z | x) is the posterior, the latent behind an image is one draw more among those of
    the guide, and its rank is uniform (Talts, Betancourt, Simpson, Vehtari and Gelman,
    *Validating Bayesian inference algorithms with simulation-based calibration*, 2018). The
    uniformity is tested by chi-square, in 20 bins or as many as give five images each.

    Args:
        model: the generative model.
        guide: its guide.
        simulation: draws of that model, at least 20.
        n_draws: L; 99 makes 100 possible ranks.
        seed: of the draws.

    Raises:
        ArgumentError: fewer than 20 images.
    """
    _check_enough(simulation)
    parts = []
    with settled(model, guide, seed):
        latents = simulation.z.split(_BATCH)
        for x, z in zip(batches(model, simulation.x, _BATCH), latents, strict=True):
            parts.append((guide.z_dist(x).sample((n_draws,)) < z).sum(0))
    ranks = torch.cat(parts).cpu().numpy()
    return Ranks(ranks, n_draws, _uniformity(ranks, n_draws + 1))


def ranks_among(z: Array, simulation: Simulation, n_draws: int = 99) -> Ranks:
    """Simulation-based calibration of any draws of the posterior.

    Args:
        z: draws of equal weight, (N, S, D), S at least ``n_draws``.
        simulation: draws of the model, at least 20.
        n_draws: L.

    Raises:
        ArgumentError: fewer than 20 images, or fewer draws.
    """
    _check_enough(simulation)
    checks.whole("n_draws", n_draws, least=1, most=z.shape[1])
    ranks = (z[:, :n_draws] < simulation.z.cpu().numpy()[:, None]).sum(1)
    return Ranks(ranks, n_draws, _uniformity(ranks, n_draws + 1))


def _check_enough(simulation: Simulation) -> None:
    if len(simulation.x) < 20:
        raise ArgumentError(
            f"`simulation` expected at least 20 images; got {len(simulation.x)}. Simulate more."
        )


def _uniformity(ranks: Array, n_values: int) -> float:
    """The p-value of uniform ranks (N, D) on 0 to ``n_values`` - 1."""
    from scipy.stats import chisquare

    n, d = ranks.shape
    n_bins = int(np.clip(n // 5, 2, min(20, n_values)))
    edges = np.linspace(0, n_values, n_bins + 1).round() - 0.5
    expected = n * np.diff(edges) / n_values
    counts = [np.histogram(ranks[:, i], edges)[0] for i in range(d)]
    least = min(chisquare(in_bins, expected).pvalue for in_bins in counts)
    return float(min(1.0, d * least))


def _sampled_images(model: Model, z: Tensor) -> Tensor:
    image: Tensor = model.likelihood(model.decoder(z)).sample()
    return image
