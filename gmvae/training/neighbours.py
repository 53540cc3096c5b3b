"""Nearest neighbours of points, and what they say of each other.

Shapes: N points, W dimensions, k neighbours of each.
"""

import numpy as np
from scipy import sparse
from sklearn import neighbors

from gmvae.training.arrays import Array, Indices, Points, blocks

# UMAP's default, taken over: of fewer, clusters fall to pieces; of more, they hold each other.
N_NEIGHBORS = 15


def n_neighbours(n_points: int, most: int = N_NEIGHBORS) -> int:
    """So many neighbours of each of ``n_points``, which has no more than all others."""
    return min(most, n_points - 1)


def neighbour_graph(points: Array, most: int = N_NEIGHBORS) -> sparse.csr_array:
    """Who is among whose nearest neighbours, either way: (N, N) of zeros and ones."""
    graph = sparse.csr_array(neighbors.kneighbors_graph(points, n_neighbours(len(points), most)))
    return graph.maximum(graph.T)


def mutual_graph(neighbours: Indices) -> sparse.csr_array:
    """How often each is among the neighbours (N, k) of the other, either way: (N, N)."""
    n, k = neighbours.shape
    ones = (np.ones(n * k), (np.repeat(np.arange(n), k), neighbours.ravel()))
    graph = sparse.csr_array(ones, shape=(n, n))
    return graph + graph.T


def smoothed(points: Array, graph: sparse.csr_array, passes: int) -> Array:
    """Each point replaced by the mean of itself and its neighbours, so many times, (N, W).

    A low-pass filter on the graph, which draws each cluster together (Zhang et al., *Attributed
    graph clustering via adaptive graph convolution*, IJCAI 2019).
    """
    with_itself = graph + sparse.eye_array(len(points))
    mean = sparse.diags_array(1 / with_itself.sum(axis=1)) @ with_itself
    for _ in range(passes):
        points = mean @ points
    return points


# The time grows with their product with all points: four seconds for MNIST's 60,000, where all
# would take twelve. Of pairs of neighbours on MNIST's axes .95 are of one kind among 6,000 images.
N_SEARCHED = 20_000


def nearest(
    points: Points, most: int, rng: np.random.Generator, views: Points | None = None
) -> Indices:
    """The nearest neighbours of each point among up to 20,000 of them, in no order, (N, k).

    Args:
        points: (N, W), at least two.
        most: k, fewer where there are fewer points.
        rng: chooses those points.
        views: where a view of each point lies, (N, W), of which the neighbours are; those of the
            points themselves by default. A point is nobody's neighbour of its own.
    """
    n = len(points)
    searched = rng.permutation(n)[:N_SEARCHED]
    k = n_neighbours(n, most)
    search = neighbors.NearestNeighbors(n_neighbors=k + 1, algorithm="brute")
    search.fit(points[searched])
    queries = points if views is None else views
    others = np.empty((n, k), dtype=np.int64)
    for block in blocks(n):
        rows = searched[search.kneighbors(queries[block], return_distance=False)]
        # A point is its own nearest neighbour, and not what is asked for; where others are the
        # same, or it was not searched, the farthest goes.
        dropped = rows == np.arange(block.start, block.stop)[:, None]
        dropped[~dropped.any(axis=1), -1] = True
        others[block] = rows[~dropped].reshape(-1, k)
    return others


def mutuality(points: Points, most: int) -> float:
    """The share of the nearest neighbours of points that have the point among theirs, 0 to 1.

    Of up to 4,000 of them, evenly spaced. Where few are, neighbours say little: some points, hubs,
    are near to many that have nothing in common (Radovanović, Nanopoulos and Ivanović, *Hubs in
    space*, Journal of Machine Learning Research 2010).

    Args:
        points: (N, W).
        most: neighbours of each.
    """
    some = points[:: max(1, len(points) // 2_000)]
    near = nearest(some, most, np.random.default_rng(0))
    # One way and the other.
    return float((mutual_graph(near).data == 2).sum() / near.size)


def extended(components: Indices, points: Points, order: Indices) -> Indices:
    """The components of the first M points in this order, and for the rest their neighbours'.

    Each point of the rest takes the majority of its 15 nearest among the first.

    Args:
        components: of the first M, (M,), or of several clusterings of them, (M, P).
        points: (N, W).
        order: a permutation of the N.

    Returns:
        The components of every point, (N,) or (N, P).
    """
    first, rest = np.split(order, [len(components)])
    of_all = np.empty((len(order), *components.shape[1:]), dtype=np.int64)
    of_all[first] = components
    if len(rest):
        classifier = neighbors.KNeighborsClassifier(n_neighbours(len(first)))
        # One clustering in a column is one.
        votes = components[:, 0] if components.shape[1:] == (1,) else components
        classifier.fit(points[first], votes)
        for rows in (rest[block] for block in blocks(len(rest))):
            majority = classifier.predict(points[rows])
            of_all[rows] = majority.reshape(len(rows), *components.shape[1:])
    return of_all
