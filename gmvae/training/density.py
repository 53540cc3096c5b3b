"""Clusters as peaks of density that valleys part: how far each stands out, whatever its size.

In NumPy and SciPy, in float64. Shapes: N points, two dimensions of their embedding, K clusters,
S splits.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import linkage
from scipy.spatial.distance import pdist, squareform
from sklearn.manifold import TSNE

from gmvae.training.arrays import Array, Indices
from gmvae.training.neighbours import extended

# Fewer points have no density worth the name.
LEAST_POINTS = 16
# Neighbours that the density of a point is measured by: a quarter of the root of their number, but
# not fewer than five, by convention: sixteen of 4,000 points.
_LEAST_NEIGHBORS = 5
# A cluster holds one image in a hundred, and no fewer than its density is measured by: outliers
# are no clusters.
LEAST_SHARE = 0.01
# Splits of this prominence part clusters, in standard deviations of the noise of a density. In
# fourteen sets of one digit alone the largest split had 1.7 to 3.8, being the largest of some ten;
# those between MNIST's classes have 6.2 and more, 4.7 where they have sizes of 1 : 10, and those
# between modes of one class of it 4.3 and less in seven of eight runs. Of scikit-learn's ten digits
# 9, 10, 10, 9 and 10 are found by 4.4, and 10, 11, 11, 11 and 11 by 3.7. Chosen on such sets,
# digits that are reported among them.
PROMINENT = 4.4


def embedded(points: Array, seed: int) -> Array:
    """The neighbourhoods in two dimensions, (N, 2), by t-SNE: it opens gaps between clusters.

    Each point looks at as many neighbours as the root of their number, so that those of a small
    set are no larger a part of a cluster than those of a large one: in 190 digits, of which 20 are
    of one kind, 30 neighbours laid these among the others, and 14 apart.
    """
    embedding = TSNE(
        perplexity=min(math.sqrt(len(points)), (len(points) - 1) / 3),
        init="pca",
        # Half of scikit-learn's: gaps open early, and single points need not come to rest.
        max_iter=500,
        random_state=seed,
    )
    return np.asarray(embedding.fit_transform(points.astype(np.float32)), dtype=np.float64)


@dataclass(frozen=True)
class DensityTree:
    r"""How the peaks of the density merge as its level falls.

    The density at a point is measured by the distance to its k-th neighbour, and two points meet
    at the level of the lowest one on the best way between them: single linkage of the mutual
    reachability distance (Campello, Moulavi and Sander, *Density-based clustering based on
    hierarchical density estimates*, PAKDD 2013). Where two sides that are both large enough to be
    a cluster meet, the weaker one's prominence is how far its peak stands out of the valley,

    .. math:: \sqrt{2 k}\, \ln \frac{d_{valley}}{d_{peak}}

    in standard deviations: in two dimensions the logarithm of the distance to the k-th neighbour
    has one of :math:`1 / (2 \sqrt k)`, and the difference of two :math:`1 / \sqrt{2 k}`. The K - 1
    most prominent splits part K clusters (persistence: Chazal, Guibas, Oudot and Skraba,
    *Persistence-based clustering in Riemannian manifolds*, Journal of the ACM 2013). No size is
    preferred, above the smallest one.

    Attributes:
        points: the embedding, (N, 2).
        merges: SciPy's linkage matrix, (N - 1, 4).
        of_node: prominence of the split at every node, (2 N - 1,), 0 where there is none.
    """

    points: Array
    merges: Array
    of_node: Array

    @classmethod
    def of(cls, points: Array) -> "DensityTree":
        """The tree of points, (N, 2)."""
        n = len(points)
        k = max(_LEAST_NEIGHBORS, round(math.sqrt(n) / 4))
        distances = squareform(pdist(points))
        core = np.partition(distances, k, axis=1)[:, k].copy()
        # In place: of 4,000 points each copy would be another 128 MB.
        reach = np.maximum(distances, core[:, None], out=distances)
        np.maximum(reach, core[None], out=reach)
        np.fill_diagonal(reach, 0)
        merges = linkage(squareform(reach, checks=False), "single")
        return cls(points, merges, _prominences(merges, max(k, int(LEAST_SHARE * n)), k))

    @property
    def prominences(self) -> Array:
        """Of all splits, the largest first, (S,)."""
        return np.sort(self.of_node[self.of_node > 0])[::-1].copy()

    def n_clusters(self, least: float) -> int:
        """How many clusters the splits of at least this prominence part."""
        return n_clusters(self.prominences, least)

    def cut(self, n_clusters: int) -> Indices:
        """The clusters (N,) that the most prominent splits part; fewer where there are fewer.

        What lies outside of all of them, in the valleys, goes to its nearest.
        """
        n = len(self.points)
        kept = np.zeros(2 * n - 1, dtype=bool)
        kept[np.argsort(-self.of_node, kind="stable")[: n_clusters - 1]] = True
        kept &= self.of_node > 0
        above = kept.copy()
        sides = self.merges[:, :2].astype(np.int64)
        for merge, (a, b) in enumerate(sides):
            above[n + merge] |= above[a] | above[b]
        clusters = np.full(n, -1)
        number, nodes = 0, [2 * n - 2]
        while nodes:
            node = nodes.pop()
            if not above[node]:
                clusters[_leaves(sides, node)] = number
                number += 1
            elif kept[node]:
                nodes += sides[node - n].tolist()
            else:
                nodes += [side for side in sides[node - n].tolist() if above[side]]
        first = np.flatnonzero(clusters >= 0)
        order = np.concatenate([first, np.flatnonzero(clusters < 0)])
        return extended(clusters[first], self.points, order)


def n_clusters(prominences: Array, least: float = PROMINENT) -> int:
    """How many clusters the splits (S,) of at least this prominence part."""
    return 1 + int((prominences >= least).sum())


def _prominences(merges: Array, least_size: int, n_neighbors: int) -> Array:
    """Of every node, (2 N - 1,): 0 where not both sides are large enough to be a cluster."""
    n = len(merges) + 1
    size = np.ones(2 * n - 1)
    # The distance at the peak of each node that is large enough.
    peak = np.full(2 * n - 1, np.inf)
    prominence = np.zeros(2 * n - 1)
    for merge, (a, b, height, n_points) in enumerate(merges):
        node = n + merge
        size[node] = n_points
        peaks = [peak[side] for side in (int(a), int(b)) if size[side] >= least_size]
        # Points on top of each other have no distance.
        if len(peaks) == 2 and height > 0:
            weaker = max(*peaks, 1e-12 * height)
            prominence[node] = math.sqrt(2 * n_neighbors) * math.log(height / weaker)
        if n_points >= least_size:
            peak[node] = min(peaks, default=height)
    return prominence


def _leaves(sides: Indices, node: int) -> list[int]:
    """The points below a node."""
    n = len(sides) + 1
    points, nodes = [], [node]
    while nodes:
        top = nodes.pop()
        if top < n:
            points.append(top)
        else:
            nodes += sides[top - n].tolist()
    return points
