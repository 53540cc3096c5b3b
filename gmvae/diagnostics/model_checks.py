"""Is the model any good? Checks of p(x, z, y) itself.

N images, R replicates, S draws, D latent dimensions, K components.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gmvae.data import Images
from gmvae.diagnostics.draws import Array, Draws, batches, settled
from gmvae.probability.guide import Guide
from gmvae.probability.likelihood import Bernoulli
from gmvae.probability.model import Model

# A latent dimension is in use where the variance of its posterior means is above this.
ACTIVE = 1e-2
# Enough for the classifier two-sample test, whose cost grows with the square.
MOST_COMPARED = 2_000


@dataclass(frozen=True)
class Predictive:
    """Statistics of the images and of their replicates, by name.

    Attributes:
        observed: (N,) each.
        replicated: (R, N) each.
    """

    observed: dict[str, Array]
    replicated: dict[str, Array]

    def distance(self, name: str) -> float:
        """The Kolmogorov-Smirnov distance of the two distributions, in [0, 1]."""
        from scipy.stats import ks_2samp

        observed, replicated = self.observed[name], self.replicated[name].ravel()
        return float(ks_2samp(observed, replicated, method="asymp").statistic)

    def p_value(self, name: str) -> float:
        """The share of replicated sets whose mean statistic is above that observed, in [0, 1]."""
        means = self.replicated[name].mean(1)
        return float((means >= self.observed[name].mean()).mean())


def statistics(x: Tensor) -> dict[str, Array]:
    """What can be said of images (N, C, H, W) in one number each, (N,).

    - ``ink``: the mean pixel.
    - ``row``, ``column``: the centre of mass, in pixels; the middle of an empty image.
    - ``distance``: from the next image of the batch, the last one's from the first.
    """
    _, _, height, width = x.shape
    mass = x.clamp(min=0).sum(1)
    total = mass.sum((-1, -2))
    rows = torch.arange(height, device=x.device, dtype=x.dtype)
    columns = torch.arange(width, device=x.device, dtype=x.dtype)
    row = (mass.sum(-1) * rows).sum(-1) / total
    column = (mass.sum(-2) * columns).sum(-1) / total
    by_name = {
        "ink": x.mean((1, 2, 3)),
        "row": torch.where(total > 0, row, (height - 1) / 2),
        "column": torch.where(total > 0, column, (width - 1) / 2),
        "distance": (x - x.roll(1, 0)).square().sum((1, 2, 3)).sqrt(),
    }
    return {name: value.cpu().numpy() for name, value in by_name.items()}


def predictive_check(
    model: Model,
    guide: Guide,
    x: Tensor | Images,
    draws: Draws,
    n_replicates: int = 20,
    seed: int = 2,
) -> Predictive:
    """Compare the images with replicates from p(x | z), z of their posterior.

    A Bernoulli model is one of black-and-white images: so are its replicates, and grey images are
    made so, at random, with each pixel's value as its probability.

    Args:
        model: the generative model.
        guide: its guide, kept from learning meanwhile.
        x: the images.
        draws: of the posterior for them.
        n_replicates: R, at most the number of draws.
        seed: of the pixels.

    References:
        Gelman, Meng and Stern, *Posterior predictive assessment of model fitness via realized
        discrepancies*, Statistica Sinica, 1996.
    """
    observed, replicated = [], []
    start = 0
    n_replicates = min(n_replicates, len(draws.z))
    with settled(model, guide, seed):
        # The distance is one between neighbours: an image must not be left alone.
        for batch in batches(model, x, 257 if len(x) % 256 == 1 else 256):
            observed.append(statistics(binarised(model, batch)))
            z = torch.as_tensor(draws.z[:n_replicates, start : start + len(batch)])
            start += len(batch)
            sets = [statistics(_images(model, one.to(batch.device))) for one in z]
            replicated.append({name: np.stack([s[name] for s in sets]) for name in sets[0]})
    names = observed[0]
    return Predictive(
        {name: np.concatenate([part[name] for part in observed]) for name in names},
        {name: np.concatenate([part[name] for part in replicated], axis=1) for name in names},
    )


def replicate(model: Model, guide: Guide, z: Array, seed: int = 3) -> Array:
    """Images drawn from p(x | z), (..., D) to (..., C, H, W)."""
    like = model.prior.means
    with settled(model, guide, seed):
        images = [
            _images(model, torch.as_tensor(part).to(like.device, like.dtype)).cpu().numpy()
            for part in z
        ]
    return np.stack(images)


def binarised(model: Model, x: Tensor) -> Tensor:
    """Black-and-white images where the likelihood is Bernoulli on grey pixels, else ``x``."""
    likelihood = model.likelihood
    grey = isinstance(likelihood, Bernoulli) and likelihood.grey
    return torch.bernoulli(x.clamp(0, 1)) if grey else x


def active_units(draws: Draws) -> int:
    """Latent dimensions whose posterior means vary by more than 0.01 over the images.

    References:
        Burda, Grosse and Salakhutdinov, *Importance weighted autoencoders*, ICLR 2016.
    """
    return int((draws.z.mean(0, dtype=np.float64).var(0) > ACTIVE).sum())


def prior_mismatch(model: Model, guide: Guide, draws: Draws, seed: int = 4) -> float:
    """How well a classifier tells latents of the images from latents of the mixture.

    The classifier two-sample test, with the five nearest neighbours and half of the latents
    held out.

    Returns:
        Its accuracy: 0.5 where the aggregate posterior and the mixture are the same, 1 where
        they lie apart.

    References:
        Lopez-Paz and Oquab, *Revisiting classifier two-sample tests*, ICLR 2017.
    """
    from sklearn.neighbors import KNeighborsClassifier

    rng = np.random.default_rng(seed)
    n = min(MOST_COMPARED, draws.z.shape[1])
    rows = rng.permutation(draws.z.shape[1])[:n]
    posterior = draws.z[rng.integers(0, len(draws.z), n), rows]
    with settled(model, guide, seed):
        y = model.prior.y_dist().sample((n,))
        prior = model.prior.z_dist(y).sample().cpu().numpy()
    z = np.concatenate([posterior, prior])
    z = (z - z.mean(0)) / np.maximum(z.std(0), 1e-12)
    whose = np.repeat([0, 1], n)
    order = rng.permutation(2 * n)
    train, test = order[:n], order[n:]
    # Of very few images there are no five neighbours.
    classifier = KNeighborsClassifier(min(5, n)).fit(z[train], whose[train])
    return float(classifier.score(z[test], whose[test]))


def weight_mismatch(model: Model, draws: Draws) -> float:
    """Total variation between the mean of q(y | x) and the mixture's weights, in [0, 1]."""
    weights = model.prior.weights.detach().cpu().numpy()
    return float(np.abs(draws.q_y.mean(0) - weights).sum() / 2)


def _images(model: Model, z: Tensor) -> Tensor:
    image: Tensor = model.likelihood(model.decoder(z)).sample()
    return image
