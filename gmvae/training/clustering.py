"""Clusters of a representation: several clusterings, judged by modularity, or labels spread.

In NumPy and scikit-learn, in float64. Shapes: N images, W dimensions of the representation, K
components, M images of a sample, P clusterings of it.
"""

import numpy as np
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.manifold import TSNE
from sklearn.mixture import GaussianMixture
from sklearn.semi_supervised import LabelSpreading

from gmvae.support.errors import ArgumentError
from gmvae.training.arrays import Array, Indices
from gmvae.training.communities import modularity
from gmvae.training.neighbours import (
    N_NEIGHBORS,
    extended,
    few_neighbours,
    n_neighbours,
    neighbour_graph,
    smoothed,
)

# The time of linkage and of the embedding grows with the square: of 4,000 they were a sixth of a
# run on three digits of MNIST.
N_CLUSTERED = 4_000
# Of 24 starts on the digits 1, 4 and 8, those of 1,500 images all refined to .986 to .991, as those
# of 4,000 did (.987 to .988).
N_CLUSTERED_A_COMPONENT = 500
# One sample may mislead the linkages (MNIST's 4 and 9 as one cluster, .83), and another not. Two by
# convention: a third would cost as much again.
N_SAMPLES = 2
# Among the few images of a sample wrong clusterings of it won (.889 on MNIST, one seed of five).
# As many as are refined, by convention: the time of the graph grows with their square.
N_JUDGES = 12_000


def find_clusters(
    representation: Array,
    n_components: int,
    rng: np.random.Generator,
    observed: Indices | None = None,
) -> Indices:
    """Cluster a representation, or spread observed components over it.

    Up to 4,000 images are all clustered. Of more, two samples of 500 a component are, but no more
    than 4,000, since the time grows with their square; each other image takes the majority of its
    15 nearest neighbours in the sample.

    In the wide representation clusters are long and curved, and any one method now and then
    merges two and cuts another. So there are several, and of all their clusterings the one is
    taken whose clusters are the best communities: the modularity of the graph of neighbours needs
    no labels. That graph is of up to 12,000 images, where there are enough none of the samples':
    among a sample's own a wrong clustering, fitted to them, may well have the larger one.

    Args:
        representation: (N, W).
        n_components: K, at most N.
        rng: chooses those images, and seeds the methods.
        observed: components observed beforehand, (N,), -1 where unknown. With any, they
            spread along the graph of neighbours of 4,000 images.

    Returns:
        The component of every image, (N,).

    Raises:
        ArgumentError: more components than images.
    """
    n = len(representation)
    if n_components > n:
        raise ArgumentError(
            f"`n_components` expected at most the number of images, {n}; got {n_components}. "
            "Choose fewer."
        )
    if n_components == 1:
        return np.zeros(n, dtype=np.int64)
    order, seed = rng.permutation(n), int(rng.integers(2**31))
    if observed is not None and (observed >= 0).any():
        return _spread(representation, observed, order)
    clusterings = _clusterings(representation, n_components, order, seed)
    # From the other end: where images are enough, those of the samples do not judge.
    judges = order[-N_JUDGES:]
    graph = neighbour_graph(representation[judges], few_neighbours(len(judges), n_components))
    return max(clusterings, key=lambda components: modularity(graph, components[judges]))


def _spread(representation: Array, observed: Indices, order: Indices) -> Indices:
    """The observed components, spread along the graph of neighbours of smoothed points, (N,).

    Zhou et al., *Learning with local and global consistency*, NeurIPS 2004.
    """
    # The observed ones first: they are among the points that are looked at.
    order = order[np.argsort(observed[order] < 0, kind="stable")]
    seen = order[: max(N_CLUSTERED, int((observed >= 0).sum()))]
    points = representation[seen]
    # Ten passes: the middle of the smoothings that are clustered below. alpha: half of what a point
    # is told comes from its neighbours, and half is its own label; by convention. max_iter: until
    # nothing changes.
    smooth = smoothed(points, neighbour_graph(points), passes=10)
    spreading = LabelSpreading(
        kernel="knn", n_neighbors=n_neighbours(len(points)), alpha=0.5, max_iter=1000
    )
    spreading.fit(smooth, observed[seen])
    components = np.asarray(spreading.transduction_, dtype=np.int64)
    return extended(components, representation, order)


def _clusterings(
    representation: Array, n_components: int, order: Indices, seed: int
) -> list[Indices]:
    """Clusterings of samples of the images in this order, each extended to all of them, (N,)."""
    n = len(representation)
    size = n if n <= N_CLUSTERED else min(N_CLUSTERED, N_CLUSTERED_A_COMPONENT * n_components)
    clusterings: list[Indices] = []
    for number in range(N_SAMPLES if size < n else 1):
        sample_first = np.roll(order, -number * size)
        sample = representation[sample_first[:size]]
        of_sample = _clusterings_of_sample(sample, n_components, seed + number)
        clusterings += list(extended(of_sample, representation, sample_first).T)
    return clusterings


def _clusterings_of_sample(points: Array, n_components: int, seed: int) -> Indices:
    """Several clusterings of points (M, W) in K components each, (M, P).

    Ward's linkage of smoothed points, and linkage, k-means and Gaussian mixtures on a
    two-dimensional embedding of the neighbourhoods, which opens gaps between clusters (McConville
    et al., *N2D: (not too) deep clustering via clustering the local manifold of an autoencoded
    embedding*, ICPR 2020).
    """
    graph = neighbour_graph(points)
    ward = AgglomerativeClustering(n_components, linkage="ward")
    # From not smoothed to where clusters that touch begin to merge: by doubling, by convention.
    clusterings = [ward.fit_predict(smoothed(points, graph, passes)) for passes in (0, 5, 10, 20)]
    # Of so few points the neighbourhoods that t-SNE looks at would be most of them.
    if len(points) > 3 * N_NEIGHBORS:
        embedding = _embedded(points, seed)
        clusterings += [
            method.fit_predict(embedding)
            for method in (
                ward,
                AgglomerativeClustering(n_components, linkage="average"),
                # Ten and six starts: these methods depend on theirs, and in two dimensions one
                # costs little beside the embedding.
                KMeans(n_components, n_init=10, random_state=seed),
                *(GaussianMixture(n_components, random_state=seed + i) for i in range(6)),
            )
        ]
    return np.stack(clusterings, axis=1)


# The neighbours that a point looks at: scikit-learn's default, amid the 5 to 50 of its authors.
PERPLEXITY = 30.0


def _embedded(points: Array, seed: int) -> Array:
    """The neighbourhoods in two dimensions, (M, 2)."""
    embedding = TSNE(
        # A third of the points at most, which is as many neighbours as t-SNE then asks for.
        perplexity=min(PERPLEXITY, (len(points) - 1) / 3),
        init="pca",
        # Half of scikit-learn's: gaps open early, and single points need not come to rest.
        max_iter=500,
        random_state=seed,
    )
    return np.asarray(embedding.fit_transform(points.astype(np.float32)), dtype=np.float64)
