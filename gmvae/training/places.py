"""A place in the latent for each cluster.

Shapes: N images, W dimensions of the representation, K components, D latent dimensions.
"""

import numpy as np

from gmvae.training.arrays import Array, Indices, Points, blocks


def centres(representation: Points, components: Indices, n_components: int) -> Array:
    """Means (K, W) of the clusters; an empty one lies in the middle."""
    sums = np.zeros((n_components, representation[:1].shape[1]))
    for rows in blocks(len(components)):
        np.add.at(sums, components[rows], representation[rows])
    counts = np.bincount(components, minlength=n_components)[:, None]
    return np.where(counts > 0, sums / np.maximum(counts, 1), sums.sum(0) / len(components))


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
    n_axes = min(latent_dim, len(s))
    means = np.zeros((k, latent_dim))
    means[:, :n_axes] = u[:, :n_axes] * s[:n_axes]
    if k == 1:
        return means
    distances = np.linalg.norm(means[:, None] - means[None], axis=-1)
    closest, farthest = distances[~np.eye(k, dtype=bool)].min(), distances.max()
    # A fifth: scaled to the gap, the farthest two would lie beyond five of them. By convention.
    if latent_dim <= 2 and closest <= 0.2 * farthest:
        return _evenly(means, gap)
    # Centroids on top of each other (of empty clusters), but for rounding, stay so and set no
    # scale: neither beside others nor where all of them are.
    rounding = max(1e-6 * farthest, 1e-12 * np.abs(centroids).max())
    apart = distances[distances > rounding]
    return np.asarray(means * gap / apart.min()) if len(apart) else np.zeros_like(means)


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
