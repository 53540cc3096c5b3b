"""Which clusters are found again in a part of the points, which are peaks, which hold two.

In NumPy and scikit-learn, in float64. Shapes: N points, W dimensions of the representation, K
clusters, P peaks.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score

from gmvae.training.arrays import Array, Indices
from gmvae.training.communities import spectral_clusters
from gmvae.training.density import PROMINENT, DensityTree, embedded
from gmvae.training.neighbours import neighbour_graph, smoothed

# Hennig's: a cluster whose mean is below is no stable one.
STABLE = 0.75
# Of the points of a cluster: with so many in a second peak of its own it holds two kinds. Of 86
# clusters of one kind two had as many, being two peaks all the same, and so had five of five that
# held two (digits, MNIST and blobs, 160 to 1,100 images).
_SECOND = 0.2
# Parts, and how much of the points each is: of halves a right cluster of 20 points in 190 is lost
# (Jaccard index .2 to .3), of four fifths it is not. Six, by convention.
_PARTS, _SHARE = 6, 0.8
# Passes of the smoothing before linkage, as where the clusters are looked for.
_PASSES = 10

# From rows to the clusters of these points, (M,).
_Method = Callable[[Indices], Indices]


@dataclass(frozen=True)
class Evidence:
    """What the points say of each cluster.

    Attributes:
        shares: of the points, (K,).
        stabilities: how far it is found again in a part of them, (K,), 0 to 1: :func:`stability`.
        peaks: whether it is a peak of their density, (K,): :func:`are_peaks`.
        modes: the shares of its points in the two largest peaks that are its own, (K, 2):
            :func:`modes`.
    """

    shares: Array
    stabilities: Array
    peaks: NDArray[np.bool_]
    modes: Array

    @property
    def hold_two(self) -> NDArray[np.bool_]:
        """Which clusters hold two peaks, (K,)."""
        return self.modes[:, 1] >= _SECOND

    @property
    def fall_apart(self) -> NDArray[np.bool_]:
        """Which are not stable, and neither a peak nor two, (K,)."""
        unstable = (self.shares > 0) & (self.stabilities < STABLE)
        return unstable & ~self.peaks & ~self.hold_two

    @classmethod
    def of(
        cls,
        points: Array,
        clusters: Indices,
        n_clusters: int,
        seed: int,
        by_views: sparse.csr_array | None = None,
    ) -> "Evidence":
        """Of points, (N, W), at least 16 and three times as many as clusters: see the functions."""
        tree = DensityTree.of(embedded(points, seed))
        with warnings.catch_warnings():
            # What has not converged, or found fewer clusters, is compared as it is.
            warnings.simplefilter("ignore", ConvergenceWarning)
            stabilities = stability(points, clusters, n_clusters, seed, by_views)
        return cls(
            np.bincount(clusters, minlength=n_clusters) / len(clusters),
            stabilities,
            are_peaks(tree, clusters, n_clusters),
            modes(tree, clusters, n_clusters),
        )


def jaccard(clusters: Indices, others: Indices, n_clusters: int) -> Array:
    r"""The Jaccard index of each cluster with its best match, (K,); 0 for one without points.

    .. math:: \max_j \frac{|C \cap C'_j|}{|C \cup C'_j|}

    Args:
        clusters: of the points, (N,).
        others: another clustering of them, (N,).
        n_clusters: K, of the first.

    Example:
        >>> import numpy as np
        >>> jaccard(np.array([0, 0, 1, 1]), np.array([7, 7, 7, 2]), 3)
        array([0.66666667, 0.5       , 0.        ])
    """
    both = np.zeros((n_clusters, int(others.max()) + 1))
    np.add.at(both, (clusters, others), 1)
    either = both.sum(1)[:, None] + both.sum(0) - both
    share: Array = (both / np.maximum(either, 1)).max(1)
    return share


def stability(
    points: Array,
    clusters: Indices,
    n_clusters: int,
    seed: int,
    by_views: sparse.csr_array | None = None,
) -> Array:
    """How far each cluster is found again in a part of the points, (K,), 0 to 1.

    The mean over six parts, four fifths of the points each, of the Jaccard index of the cluster
    with its best match there (Hennig, *Cluster-wise assessment of cluster stability*, Computational
    Statistics and Data Analysis 2007: below .75 it is not stable, below .5 dissolved). What finds
    the parts' clusters is the one of three methods, as they are tried at the start, that comes
    nearest to the given ones in all points: k-means, Ward's linkage of smoothed points, and
    spectral clusters of who is whose neighbour.

    Args:
        points: (N, W).
        clusters: of the points, (N,).
        n_clusters: K, at most half of N.
        seed: of the parts and of the methods.
        by_views: how often one of two is near a view of the other, (N, N); None where not known.
    """
    rng = np.random.default_rng(seed)
    methods = list(_methods(points, n_clusters, seed, by_views))
    every = np.arange(len(points))
    nearest = max(methods, key=lambda method: adjusted_rand_score(clusters, method(every)))
    total = np.zeros(n_clusters)
    for _ in range(_PARTS):
        rows = rng.permutation(len(points))[: round(_SHARE * len(points))]
        total += jaccard(clusters[rows], nearest(rows), n_clusters)
    return total / _PARTS


def _methods(
    points: Array, n_clusters: int, seed: int, by_views: sparse.csr_array | None
) -> Iterator[_Method]:
    """What clusters some of the points (N, W), given by their rows."""
    k_means = KMeans(n_clusters, n_init=3, random_state=seed)
    ward = AgglomerativeClustering(n_clusters, linkage="ward")

    def by_linkage(rows: Indices) -> Indices:
        some = points[rows]
        clusters: Indices = ward.fit_predict(smoothed(some, neighbour_graph(some), _PASSES))
        return clusters

    def by_neighbours(rows: Indices) -> Indices:
        graphs = [neighbour_graph(points[rows])]
        if by_views is not None:
            graphs.append(by_views[rows][:, rows])
        return spectral_clusters(graphs, n_clusters, seed)

    yield lambda rows: k_means.fit_predict(points[rows])
    yield by_linkage
    yield by_neighbours


def are_peaks(tree: DensityTree, clusters: Indices, n_clusters: int) -> NDArray[np.bool_]:
    """Which clusters are a peak of the density that stands out of its noise, (K,).

    One is where prominent splits alone, the largest or several, part what it shares three quarters
    of its points with.

    Args:
        tree: of the points.
        clusters: of the points, (N,).
        n_clusters: K.
    """
    best = np.zeros(n_clusters)
    for n in range(2, tree.n_clusters(PROMINENT) + 1):
        best = np.maximum(best, jaccard(clusters, tree.cut(n), n_clusters))
    return best >= STABLE


def modes(tree: DensityTree, clusters: Indices, n_clusters: int) -> Array:
    """The shares of each cluster's points in the two largest peaks that are its own, (K, 2).

    A peak is a cluster's where most of its points are; 0 where there is no such peak.

    Args:
        tree: of the points.
        clusters: of the points, (N,).
        n_clusters: K.
    """
    peaks = tree.cut(tree.n_clusters(PROMINENT))
    counts = np.zeros((n_clusters, int(peaks.max()) + 2))
    np.add.at(counts, (clusters, peaks), 1)
    own = np.where(counts > counts.sum(0) / 2, counts, 0)
    shares: Array = np.sort(own, axis=1)[:, :-3:-1] / np.maximum(counts.sum(1), 1)[:, None]
    return shares
