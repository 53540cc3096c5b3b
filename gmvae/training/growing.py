"""The phases of a run that starts from a model and has more components: clusters and places.

N images, K components of the model, M of the run, D latent dimensions.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Generator, Tensor, nn

from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.probability.evidence import Bound
from gmvae.training.arrays import Array, Indices
from gmvae.training.clustering import find_clusters
from gmvae.training.loop import Progress
from gmvae.training.phases import Length, Placing, Start, train_phase
from gmvae.training.phases.finding import seen, without_search
from gmvae.training.phases.phase import answers, frozen_features
from gmvae.training.places import centres
from gmvae.training.state import State

Mask: TypeAlias = NDArray[np.bool_]

# Draws of z an image, by which the model's bound on it is known to some tenths of a nat.
_DRAWS = 10
# How much likelier an image has to be one of the old kind than one of a new kind before it is taken
# out of its cluster. On the digits 1, 4 and 8 and then all ten, three seeds: at 1 the new clusters
# lose five to eight points of accuracy to the old components, at 9 one at most.
_ODDS = 9.0
# Nats by which q(y | x) begins to prefer a new component for its images over others. On the digits
# as above, at a tenth of the length, two seeds: at 2 the accuracy was .57, at 6 .76 and .81.
_SURE = 6.0
# A normal distribution's standard deviation in median absolute deviations.
_DEVIATIONS = 1.4826


@dataclass(frozen=True)
class MoreClusters:
    r"""The clusters of the model's components, and new ones beside them.

    All images are clustered as ever. A cluster becomes that of the old component to which most of
    the images that this one explains best belong. An image of another cluster goes to its old
    component where its bound under the old model says so:

    .. math:: N(ELBO; m_1, s_1^2) > 9\, N(ELBO; m_0, s_0^2)

    with medians m and deviations s of the bounds of the images that the old q(y | x) gives to this
    component, inside of its cluster (1) and outside (0).

    In the last layer of q(y | x) each new component gets a row that tells its cluster's mean
    features from the mean of all: what follows learns from there, and need not unlearn first how
    sure the old components are of all images.

    Attributes:
        before: the model to start from.
        clustering: the phase that clusters.
    """

    before: GMVAE = field(repr=False)
    clustering: Start = field(default_factory=Start)
    name: str = "start"
    once: ClassVar[bool] = True

    def run(self, state: State, images: Images) -> State:
        """Fills ``state.clusters``; the last layer of ``state.assigner`` knows the new ones."""
        before, m = self.before, state.n_components
        generator = Generator(before.device).manual_seed(state.settings.seed)
        bounds = before.elbo(images, _DRAWS, generator=generator).elbo.double().numpy()
        components = np.asarray(before.classify(images).argmax(-1))
        if state.observed_components is not None:
            clusters = self._spread(state, bounds, components)
            state.report(Progress(self.name, 1, 1, labels=clusters))
        else:
            state = self.clustering.run(state, images)
            assert state.clusters is not None
            clusters = matched(state.clusters, components, bounds, before.config.n_components, m)
            for k in range(before.config.n_components):
                clusters[explained(clusters == k, components == k, bounds)] = k
        assigner = state.assigner
        features = answers(assigner.features, images, state.device, assigner, dtype=np.float32)
        begin_rows(assigner.logits, torch.as_tensor(features), clusters, before.config.n_components)
        # Other nominees would have to be matched, too: of a model's own clusters there is no trial.
        return replace(state, clusters=clusters, nominees=None, merits=None)

    def _spread(self, state: State, bounds: Array, components: Indices) -> Indices:
        """The observed labels spread over the images, beside them the old components' best."""
        observed = state.observed_components
        assert observed is not None
        labels = observed.cpu().numpy().copy()
        for k in range(self.before.config.n_components):
            rows = np.flatnonzero((components == k) & (labels < 0))
            best = rows[np.argsort(-bounds[rows], kind="stable")]
            labels[best[: len(labels) // (2 * state.n_components)]] = k
        return find_clusters(seen(state), state.n_components, state.rng, labels).components


@torch.no_grad()
def begin_rows(layer: nn.Linear, features: Tensor, clusters: Indices, n_before: int) -> None:
    """Rows of a last layer for the new components, in place.

    A row's logit is 6 larger for the mean features of its cluster than for those of all images, and
    within its cluster on average as large as the largest of an old component. That of an empty
    cluster stays.

    Args:
        layer: from features, (N, W), to logits, (N, M).
        features: of the images, (N, W).
        clusters: of the images, 0 to M - 1, (N,).
        n_before: K, the rows that stay.
    """
    features = features.to(layer.weight)
    middle, old = features.mean(0), layer(features)[:, :n_before].amax(-1)
    for k in range(n_before, layer.out_features):
        rows = torch.as_tensor(clusters == k, device=features.device)
        direction = features[rows].mean(0) - middle
        if not rows.any() or not direction.any():
            continue
        row = direction * _SURE / direction.square().sum()
        layer.weight[k] = row
        layer.bias[k] = old[rows].mean() - (features[rows] @ row).mean()


def matched(
    clusters: Indices, components: Indices, bounds: Array, n_before: int, n_components: int
) -> Indices:
    """The clusters (N,) renumbered, those of the old components first.

    Args:
        clusters: numbered from 0 to M - 1.
        components: the old one that each image would belong to, (N,).
        bounds: how well it is explained, (N,); the best of each component count most.
        n_before: K.
        n_components: M.

    Example:
        >>> import numpy as np
        >>> clusters, components = np.array([0, 0, 1, 1]), np.array([0, 0, 0, 0])
        >>> matched(clusters, components, np.array([-9.0, -8.0, -1.0, -2.0]), 1, 2)
        array([1, 1, 0, 0])
    """
    # Half of an equal share: there may be as many of a kind, and of these some are sure.
    scale = len(clusters) / (2 * n_components)
    weights = np.zeros((n_before, n_components))
    for k in range(n_before):
        rows = np.flatnonzero(components == k)
        best = rows[np.argsort(-bounds[rows], kind="stable")]
        np.add.at(weights[k], clusters[best], np.exp(-np.arange(len(best)) / scale))
    numbers = np.full(n_components, -1)
    old, of_old = linear_sum_assignment(-weights)
    numbers[of_old] = old
    numbers[numbers < 0] = np.arange(n_before, n_components)
    return np.asarray(numbers[clusters])


def explained(in_cluster: Mask, in_component: Mask, bounds: Array) -> Mask:
    """Which images of a component lie outside of its cluster, and are explained as those within.

    Args:
        in_cluster: (N,).
        in_component: (N,).
        bounds: (N,), in nats.
    """
    inside, outside = in_component & in_cluster, in_component & ~in_cluster
    if not inside.any() or not outside.any():
        return np.zeros(len(bounds), dtype=np.bool_)
    high, low = _normal(bounds[inside]), _normal(bounds[outside])
    likelier = _log_density(bounds, *high) - _log_density(bounds, *low) > np.log(_ODDS)
    # Beyond the two middles the tails of the distributions say nothing.
    return np.asarray(outside & (bounds > low[0]) & (likelier | (bounds >= high[0])))


def _normal(values: Array) -> tuple[float, float]:
    """The median, and by the median deviation the standard deviation, of values (n,)."""
    middle = float(np.median(values))
    return middle, _DEVIATIONS * float(np.median(np.abs(values - middle))) + 1e-6


def _log_density(values: Array, mean: float, scale: float) -> Array:
    """Of a normal distribution, but for a constant."""
    return np.asarray(-0.5 * ((values - mean) / scale) ** 2 - np.log(scale))


@dataclass(frozen=True)
class MorePlaces:
    """Each new component gets a mean beside the old ones, which stay; as :class:`Placing` else.

    Attributes:
        n_before: K, the components that stay where they are.
        length: as of :class:`~gmvae.training.phases.Placing`.
        gap: likewise, between a new mean and any other.
    """

    n_before: int
    length: Length = Placing.length
    gap: float = Placing.gap
    kl_weight: float = Placing.kl_weight
    name: str = "placing"

    def run(self, state: State, images: Images) -> State:
        """Extends the mixture; trains encoder and decoder."""
        gmvae = state.gmvae
        assert state.clusters is not None, "the phase `start` comes before"
        prior, k = gmvae.model.prior, self.n_before
        z = gmvae.encode(images).double().numpy()
        centroids = centres(z, state.clusters, prior.n_components)
        covariances = prior.full_covariances.detach().double().cpu()
        covariances[k:] = torch.eye(prior.latent_dim)
        scales = torch.linalg.eigvalsh(covariances[:k]).amax(-1).sqrt().clamp(min=1.0)
        means = prior.means.detach().double().cpu().numpy()
        means[k:] = beside(means[:k], self.gap * scales.numpy(), centroids[k:], self.gap)
        prior.set(
            *(torch.as_tensor(value).to(prior.means) for value in (state.sizes, means, covariances))
        )
        networks = nn.ModuleList([gmvae.guide.encoder, gmvae.model.decoder])
        clusters = torch.as_tensor(state.clusters, device=state.device)
        bound = Bound(gmvae.model, gmvae.guide, self.kl_weight)
        with frozen_features(state.assigner):
            train_phase(self, self.length, bound, networks.parameters(), state, images, y=clusters)
        return without_search(state)


def beside(means: Array, distances: Array, wanted: Array, gap: float) -> Array:
    """Places for more means, (M - K, D): from the old ones' middle out, as far as it takes.

    Args:
        means: the old ones, (K, D).
        distances: that a new one keeps from each, (K,).
        wanted: where the images of each new one lie now, (M - K, D): they tell the directions.
        gap: that new ones keep from each other.
    """
    middle, places = means.mean(0), list(means)
    apart = list(distances)
    for number, point in enumerate(wanted):
        direction = point - middle
        length = float(np.linalg.norm(direction))
        if length < 1e-6:
            # In the middle all are alike: along the axes in turn.
            direction, length = np.eye(means.shape[1])[number % means.shape[1]], 1.0
        radius = 0.0
        while True:
            place = middle + radius * direction / length
            if all(np.linalg.norm(place - p) >= d for p, d in zip(places, apart, strict=True)):
                break
            # Fine steps beside a gap of five deviations.
            radius += gap / 20
        places.append(place)
        apart.append(gap)
    return np.asarray(places[len(means) :])
