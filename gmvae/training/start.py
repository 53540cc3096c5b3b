"""Where the mixture starts: clusters in a wide representation, and a place for each of them.

Pure numpy and scikit-learn, in float64. N images, W dimensions of the representation, K
components, D latent dimensions.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn import neighbors
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.mixture import GaussianMixture
from sklearn.semi_supervised import LabelSpreading

from gmvae.support.errors import ArgumentError

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

N_NEIGHBORS = 15
FEWEST_NEIGHBORS = 5
N_CLUSTERED = 4_000
N_CLUSTERED_A_COMPONENT = 500
N_SAMPLES = 2
N_JUDGES = 12_000
N_REFINED = 12_000
N_PARTNERS = 10
N_SEARCHED = 60_000
CELLS = (5, 10, 20, 40)
PERPLEXITY = 30.0
N_PIXEL_AXES = 50
PIXEL_SHARE = 0.5


def find_clusters(
    representation: Array,
    n_components: int,
    rng: np.random.Generator,
    known: Indices | None = None,
) -> Indices:
    """Cluster a representation, or spread known components over it.

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
        known: components known beforehand, (N,), -1 where unknown. With any, they
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
    if known is not None and (known >= 0).any():
        # The known ones first: they are among the points that are looked at.
        order = order[np.argsort(known[order] < 0, kind="stable")]
        n_seen = max(N_CLUSTERED, int((known >= 0).sum()))
        found = _spread(representation[order[:n_seen]], known[order[:n_seen]])
        return _extended(found, representation, order)
    # From the other end: where images are enough, those of the samples do not judge.
    judges = order[-N_JUDGES:]
    graph = neighbour_graph(representation[judges], _few_neighbors(len(judges), n_components))
    n_seen = n if n <= N_CLUSTERED else min(N_CLUSTERED, N_CLUSTERED_A_COMPONENT * n_components)
    candidates: list[Indices] = []
    for sample in range(N_SAMPLES if n_seen < n else 1):
        first = np.roll(order, -sample * n_seen)
        clusterings = _clusterings(representation[first[:n_seen]], n_components, seed + sample)
        candidates += list(_extended(clusterings, representation, first).T)
    return max(candidates, key=lambda components: modularity(graph, components[judges]))


def _extended(found: Indices, representation: Array, order: Indices) -> Indices:
    """The components of the first M points in this order, and the nearest ones' for the rest.

    Args:
        found: components of the first M, (M,), or of several clusterings of them, (M, P).
        representation: (N, W).
        order: a permutation of the N.

    Returns:
        The components of every point, (N,) or (N, P).
    """
    seen, rest = np.split(order, [len(found)])
    components = np.empty((len(order), *found.shape[1:]), dtype=np.int64)
    components[seen] = found
    if len(rest):
        points = representation[seen]
        classifier = neighbors.KNeighborsClassifier(_n_neighbors(points)).fit(points, found)
        components[rest] = classifier.predict(representation[rest])
    return components


def principal_axes(pixels: Array) -> tuple[Array, Array]:
    """The mean (P,) of images' pixels (N, P), and up to 50 principal axes, (A, P)."""
    n_axes = min(N_PIXEL_AXES, *pixels.shape)
    found = PCA(n_axes, svd_solver="full").fit(pixels)
    return found.mean_, found.components_


def beside(representation: Array, pixels: Array, share: float = PIXEL_SHARE) -> Array:
    """A learned representation beside what the pixels say, (N, W) and (N, A) to (N, W + A).

    What is learned from views is blind to what they change, and so now and then to what tells two
    kinds of image apart: a crossed 7, sheared, may pass for a 2. The pixels are not. Their
    standard deviation is ``share`` of the learned part's: half of it is enough to part what that
    one lays together, and too little to part what it holds together.
    """
    return np.concatenate([_scaled(representation), share * _scaled(pixels)], axis=1)


def _scaled(points: Array) -> Array:
    """Divided by their standard deviation around their mean; as they are if all are the same."""
    deviation = np.sqrt(points.var(0).sum())
    return points / deviation if deviation > 0 else points


def _spread(representation: Array, known: Indices) -> Indices:
    """The known components, spread along the graph of neighbours of smoothed points.

    Zhou et al., *Learning with local and global consistency*, NeurIPS 2004.
    """
    smooth = smoothed(representation, neighbour_graph(representation), passes=10)
    spreading = LabelSpreading(
        kernel="knn", n_neighbors=_n_neighbors(representation), alpha=0.5, max_iter=1000
    )
    return np.asarray(spreading.fit(smooth, known).transduction_, dtype=np.int64)


def _clusterings(representation: Array, n_components: int, seed: int) -> Indices:
    """Several clusterings of points (M, W) in K components each, (M, P).

    Ward's linkage of smoothed points, and linkage, k-means and Gaussian mixtures on a
    two-dimensional embedding of the neighbourhoods, which opens gaps between clusters (McConville
    et al., *N2D: (not too) deep clustering via clustering the local manifold of an autoencoded
    embedding*, ICPR 2020).
    """
    graph = neighbour_graph(representation)
    linked = AgglomerativeClustering(n_components, linkage="ward")
    found = [
        linked.fit_predict(smoothed(representation, graph, passes)) for passes in (0, 5, 10, 20)
    ]
    if len(representation) > 3 * N_NEIGHBORS:
        embedding = _embedded(representation, seed)
        found += [
            method.fit_predict(embedding)
            for method in (
                linked,
                AgglomerativeClustering(n_components, linkage="average"),
                KMeans(n_components, n_init=10, random_state=seed),
                *(GaussianMixture(n_components, random_state=seed + i) for i in range(6)),
            )
        ]
    return np.stack(found, axis=1)


def refined(representation: Array, components: Indices, rng: np.random.Generator) -> Indices:
    """Clusters (N,), their borders moved to where the modularity is larger.

    A clustering of a few thousand images may give a small island, say the crossed 7s, to the
    wrong side of a gap: it holds together, so no image of it leaves alone. So whole cells of
    k-means are moved first, then single images. Cells of several sizes are tried, and of what
    comes of them the clusters of the largest modularity are kept.

    Local moves on a coarse and then a fine graph are the method of Louvain (Blondel et al., *Fast
    unfolding of communities in large networks*, 2008), with the number of clusters held. Only up
    to 12,000 images take part; each other one follows its 15 nearest neighbours among them.

    Args:
        representation: (N, W).
        components: the clusters, (N,).
        rng: chooses those images.
    """
    order, seed = rng.permutation(len(representation)), int(rng.integers(2**31))
    points, found = representation[order[:N_REFINED]], components[order[:N_REFINED]]
    n, k = len(points), components.max() + 1
    graph = neighbour_graph(points)
    tried = [found]
    for n_cells in (cells * k for cells in CELLS if cells * k <= n / N_NEIGHBORS):
        cell = KMeans(n_cells, max_iter=20, random_state=seed).fit_predict(points)
        member = sparse.csr_array((np.ones(n), (np.arange(n), cell)), shape=(n, n_cells))
        majority = (member.T @ np.eye(k)[found]).argmax(axis=1)
        of_cells = moved(sparse.csr_array(member.T @ graph @ member), majority, k)
        tried.append(moved(graph, of_cells[cell], k))
    best = max(tried, key=lambda components: modularity(graph, components))
    return _extended(best, representation, order)


def moved(graph: sparse.csr_array, components: Indices, n_components: int) -> Indices:
    """Move one node after the other to the component where the modularity is largest.

    Until none gains by it. No component loses more than half of its edges, so none is emptied.

    Args:
        graph: weights of edges between nodes, symmetric, (N, N).
        components: where each node starts, (N,).
        n_components: K.
    """
    components = components.copy()
    degree = np.asarray(graph.sum(axis=1))
    itself = graph.diagonal()
    total = degree.sum()
    in_component = np.bincount(components, degree, n_components)
    at_least = in_component / 2
    changing = True
    while changing:
        changing = False
        for node, own in enumerate(components):
            if in_component[own] - degree[node] < at_least[own]:
                continue
            edges = slice(graph.indptr[node], graph.indptr[node + 1])
            gain = np.bincount(components[graph.indices[edges]], graph.data[edges], n_components)
            gain -= degree[node] * in_component / total
            # What the node itself adds to its own component, it adds to any.
            gain[own] += degree[node] ** 2 / total - itself[node]
            best = int(gain.argmax())
            if gain[best] > gain[own] + 1e-9:
                components[node] = best
                in_component[own] -= degree[node]
                in_component[best] += degree[node]
                changing = True
    return components


def nearest(points: Array, n_neighbors: int, rng: np.random.Generator) -> Indices:
    """The nearest neighbours of each point among up to 60,000 of them, in no order, (N, k).

    Args:
        points: (N, W), at least two.
        n_neighbors: k, fewer where there are fewer points.
        rng: chooses those points.
    """
    among = rng.permutation(len(points))[:N_SEARCHED]
    search = neighbors.NearestNeighbors(
        n_neighbors=_n_neighbors(points, n_neighbors) + 1, algorithm="brute"
    )
    found = among[search.fit(points[among]).kneighbors(points, return_distance=False)]
    # A point is its own nearest neighbour, and not what is asked for; where others are the same,
    # or it was not searched, the farthest goes.
    itself = found == np.arange(len(points))[:, None]
    itself[~itself.any(axis=1), -1] = True
    others: Indices = found[~itself].reshape(len(points), -1)
    return others


def neighbour_graph(representation: Array, n_neighbors: int = N_NEIGHBORS) -> sparse.csr_array:
    """Who is among whose nearest neighbours, either way: (N, N) of zeros and ones."""
    n_neighbors = _n_neighbors(representation, n_neighbors)
    graph = sparse.csr_array(neighbors.kneighbors_graph(representation, n_neighbors))
    return graph.maximum(graph.T)


def smoothed(representation: Array, graph: sparse.csr_array, passes: int) -> Array:
    """Each point replaced by the mean of itself and its neighbours, so many times, (N, W).

    A low-pass filter on the graph, which draws each cluster together (Zhang et al., *Attributed
    graph clustering via adaptive graph convolution*, IJCAI 2019).
    """
    with_itself = graph + sparse.eye_array(len(representation))
    mean = sparse.diags_array(1 / with_itself.sum(axis=1)) @ with_itself
    for _ in range(passes):
        representation = mean @ representation
    return representation


def modularity(graph: sparse.csr_array, components: Indices) -> float:
    r"""The share of edges within components, beyond what their degrees alone would give.

    .. math:: \sum_y \Big[\frac{m_y}{m} - \Big(\frac{d_y}{2m}\Big)^2\Big]

    with :math:`m` the edges, :math:`m_y` those within a component and :math:`d_y` the sum of its
    degrees (Newman and Girvan, *Finding and evaluating community structure in networks*, 2004).
    """
    member = np.eye(components.max() + 1)[components]
    within = np.einsum("nk,nk->k", member, graph @ member)
    degrees = member.T @ graph.sum(axis=1)
    total = degrees.sum()
    return float((within / total - (degrees / total) ** 2).sum())


def _embedded(representation: Array, seed: int) -> Array:
    """The neighbourhoods in two dimensions, (N, 2)."""
    embedding = TSNE(
        perplexity=min(PERPLEXITY, (len(representation) - 1) / 3),
        init="pca",
        max_iter=500,
        random_state=seed,
    )
    return np.asarray(embedding.fit_transform(representation.astype(np.float32)), dtype=np.float64)


def _few_neighbors(n: int, n_components: int) -> int:
    """So few neighbours of each of n points that most are of its own cluster.

    15, or fewer, down to 5, where they would be more than 4 % of a cluster.
    """
    return min(max(n // (25 * n_components), FEWEST_NEIGHBORS), N_NEIGHBORS)


def _n_neighbors(representation: Array, most: int = N_NEIGHBORS) -> int:
    return min(most, len(representation) - 1)


def centres(representation: Array, components: Indices, n_components: int) -> tuple[Array, Array]:
    """Weights (K,) above 0, and means (K, W), of the clusters; an empty one lies in the middle."""
    weights = np.bincount(components, minlength=n_components) + 1.0
    means = np.tile(representation.mean(0), (n_components, 1))
    for component in np.unique(components):
        means[component] = representation[components == component].mean(0)
    return weights / weights.sum(), means


def place(centroids: Array, latent_dim: int, gap: float) -> Array:
    """Means (K, D) for clusters with these centroids (K, W): neighbours stay neighbours.

    The centroids' leading principal axes (classical scaling: the linear map that keeps most of
    their squared distances), scaled so that the closest two lie ``gap`` apart. Where D is 1 or
    2 and the projection would lay two clusters nearly over each other, they are spaced evenly
    in its order instead: along the line, or around a circle.
    """
    k = len(centroids)
    centred = centroids - centroids.mean(0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    axes = min(latent_dim, len(s))
    means = np.zeros((k, latent_dim))
    means[:, :axes] = u[:, :axes] * s[:axes]
    if k == 1:
        return means
    distances = np.linalg.norm(means[:, None] - means[None], axis=-1)
    closest, farthest = distances[~np.eye(k, dtype=bool)].min(), distances.max()
    if latent_dim <= 2 and closest <= 0.2 * farthest:
        return _evenly(means, gap)
    # Centroids on top of each other (of empty clusters) stay so, and set no scale.
    apart = distances[distances > 1e-6 * farthest]
    return np.asarray(means * gap / apart.min()) if len(apart) else means


def _evenly(means: Array, gap: float) -> Array:
    """The same order along the line (D = 1) or around the centre (D = 2), evenly spaced."""
    k, d = means.shape
    spaced = np.empty_like(means)
    if d == 1:
        order = np.argsort(means[:, 0])
        spaced[order, 0] = gap * (np.arange(k) - (k - 1) / 2)
        return spaced
    order = np.argsort(np.arctan2(means[:, 1], means[:, 0]))
    angles = 2 * np.pi * np.arange(k) / k
    radius = gap / (2 * np.sin(np.pi / k))
    spaced[order] = radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    return spaced
