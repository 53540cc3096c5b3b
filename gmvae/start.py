"""Where the mixture starts: clusters in a wide representation, and a place for each of them.

Pure numpy and scikit-learn, in float64. N images, W dimensions of the representation, K
components, D latent dimensions.
"""

import numpy as np
from numpy.typing import NDArray

from gmvae.errors import ArgumentError

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

N_NEIGHBORS = 15
N_LINKED = 5_000


def find_clusters(
    representation: Array,
    n_components: int,
    rng: np.random.Generator,
    known: Indices | None = None,
) -> Indices:
    """Cluster a representation by Ward linkage, or spread known components over it.

    A mixture's own likelihood chooses wrong starts here, which linkage does not (on MNIST, ten
    classes: accuracy .82 for the most likely of 18 mixtures, .93 for Ward's). Linkage takes
    time and memory of the square of N, so it sees up to 5,000 images; each other image
    takes the majority of its 15 nearest neighbours among them.

    Args:
        representation: (N, W).
        n_components: K, at most N.
        rng: chooses the images that are linked.
        known: components known beforehand, (N,), -1 where unknown. With any, they
            spread along the graph of neighbours in place of the linkage (Zhou et al., *Learning
            with local and global consistency*, NeurIPS 2004).

    Returns:
        The component of every image, (N,).

    Raises:
        ArgumentError: more components than images.
    """
    from sklearn.cluster import AgglomerativeClustering
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.semi_supervised import LabelSpreading

    n = len(representation)
    if n_components > n:
        raise ArgumentError(
            f"`n_components` expected at most the number of images, {n}; got {n_components}."
        )
    linked = rng.permutation(n)[:N_LINKED]
    n_neighbors = min(N_NEIGHBORS, n - 1)
    if known is not None and (known >= 0).any():
        linked = np.union1d(linked, np.flatnonzero(known >= 0))
        spreading = LabelSpreading(
            kernel="knn", n_neighbors=n_neighbors, alpha=0.5, max_iter=1000
        ).fit(representation[linked], known[linked])
        found = spreading.transduction_
    elif n_components == 1:
        return np.zeros(n, dtype=np.int64)
    else:
        ward = AgglomerativeClustering(n_components, linkage="ward")
        found = ward.fit_predict(representation[linked])
    if len(linked) == n:
        components = np.empty(n, dtype=np.int64)
        components[linked] = found
        return components
    nearest = KNeighborsClassifier(n_neighbors).fit(representation[linked], found)
    return np.asarray(nearest.predict(representation), dtype=np.int64)


def moments(
    representation: Array, components: Indices, n_components: int
) -> tuple[Array, Array, Array]:
    """Weights (K,), means (K, W) and covariances (K, W, W) of the clusters.

    Every weight is above 0 and every covariance positive definite, also for a cluster of one
    image or none: each is shrunk a little towards the covariance of the whole.
    """
    k, width = n_components, representation.shape[1]
    whole = np.atleast_2d(np.cov(representation, rowvar=False)) + 1e-6 * np.eye(width)
    weights, means, covariances = np.empty(k), np.empty((k, width)), np.empty((k, width, width))
    for component in range(k):
        members = representation[components == component]
        n = len(members)
        weights[component] = n + 1
        means[component] = members.mean(0) if n else representation.mean(0)
        spread = (members - means[component]).T @ (members - means[component])
        covariances[component] = (spread + width * 0.1 * whole) / (n + width)
    return weights / weights.sum(), means, covariances


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
    closest = distances[~np.eye(k, dtype=bool)].min()
    if latent_dim <= 2 and closest < 0.2 * distances.max():
        return _evenly(means, gap)
    return np.asarray(means * gap / closest)


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
