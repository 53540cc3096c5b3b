"""Clusters of a representation: many small cells, then as many as there are, or labels spread.

In NumPy and scikit-learn, in float64. Shapes: N images, W dimensions of the representation, K
components, M images of a sample, A principal axes of the pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.mixture import GaussianMixture
from sklearn.semi_supervised import LabelSpreading

from gmvae.support.errors import ArgumentError
from gmvae.training.arrays import Array, Indices, Points
from gmvae.training.communities import spectral_clusters
from gmvae.training.density import (
    LEAST_POINTS,
    LEAST_SHARE,
    PROMINENT,
    DensityTree,
    embedded,
)
from gmvae.training.judges import nominees
from gmvae.training.neighbours import extended, n_neighbours, neighbour_graph, smoothed

# The time of linkage and of the embedding grows with the square: of 4,000 they were a sixth of a
# run on three digits of MNIST.
N_CLUSTERED = 4_000
# Cells that the images are cut into before it is known how many clusters there are: three for each
# of ten, by convention; twice as many as components where these are more; and more of many images,
# which tell smaller ones apart: of 57,000 of MNIST 32 held no cell of 7s with a bar, which went to
# the 2s (.972 right after the sharpening), and 72 do (.984); among 20,000 and fewer as many are no
# better. Up to one for 40 of the images that take part. Not where the number of clusters is to be
# found: such small kinds become peaks of the density, too (the split that makes 11 of MNIST's ten
# classes has a prominence of 3.6 and 5.2 with 72 cells, 3.1 and 4.2 with 32; two seeds).
N_CELLS = 30
_CELLS_OF_MANY, _LEAST_OF_MANY = 0.3, 40
# Splits of this prominence part cells: far below what parts clusters, since a cell too many costs
# little.
_OF_CELLS = 0.7
# Axes that a Gaussian mixture is fitted to: of more, a full covariance has more parameters than a
# small cluster has images.
_AXES_OF_MIXTURE = 10


@dataclass(frozen=True)
class Clusters:
    """A clustering, and what spoke for the number of its clusters.

    Attributes:
        components: the component of every image, (N,).
        prominences: of the splits of the density tree, the largest first, in standard deviations;
            none where labels were spread or the images are too few.
        nominees: the clusterings that are worth a trial, that of the components first, (J, N);
            None where there is nothing to choose.
        merits: of the nominees, as their judge has it, (J,).
    """

    components: Indices
    prominences: Array
    nominees: Indices | None = None
    merits: Array | None = None


def find_cells(
    representation: Points, n_components: int | None, rng: np.random.Generator
) -> Indices:
    """Cut a representation into many cells, none of which should hold two kinds of image, (N,).

    The cells of Ward's linkage on an embedding, cut again where the density has a valley. Up to
    4,000 images take part, since the time grows with their square; each other one takes the
    majority of its 15 nearest among them.

    Args:
        representation: (N, W).
        n_components: K, where it is known: there are twice as many cells at least.
        rng: chooses those images, and seeds the embedding.
    """
    order, seed = rng.permutation(len(representation)), int(rng.integers(2**31))
    sample = representation[order[:N_CLUSTERED]]
    if len(sample) < LEAST_POINTS:
        return np.arange(len(representation))
    points = embedded(sample, seed)
    n_cells = N_CELLS
    if n_components is not None:
        of_many = min(_CELLS_OF_MANY * math.sqrt(len(order)), len(points) / _LEAST_OF_MANY)
        n_cells = max(N_CELLS, 2 * n_components, round(of_many))
    # Eight images a cell, by convention: of fewer nothing is learned.
    n_cells = min(n_cells, len(points) // 8)
    ward = AgglomerativeClustering(max(n_cells, 2), linkage="ward").fit_predict(points)
    tree = DensityTree.of(points)
    peaks = tree.cut(tree.n_clusters(_OF_CELLS))
    _, cells = np.unique(np.stack([ward, peaks]), axis=1, return_inverse=True)
    # A shred that the two cut off by chance is no cell.
    large = np.bincount(cells) >= max(_SHRED, LEAST_SHARE / 2 * len(points))
    first = np.flatnonzero(large[cells])
    inner = np.concatenate([first, np.flatnonzero(~large[cells])])
    _, numbers = np.unique(cells[first], return_inverse=True)
    return extended(extended(numbers, points, inner), representation, order)


# Images.
_SHRED = 5


def find_clusters(
    representation: Points,
    n_components: int | None,
    rng: np.random.Generator,
    observed: Indices | None = None,
    pixels: Points | None = None,
    by_views: sparse.csr_array | None = None,
    others: Sequence[Points] = (),
) -> Clusters:
    """Cluster a representation, or spread observed components over it.

    No size of a cluster is assumed, but that it holds at least one image in a hundred, and that
    the density between two clusters is lower than in either. Any one method now and then merges
    two and cuts another; so there are several, and judges nominate the best of their clusterings
    (:mod:`gmvae.training.judges`).

    Up to 4,000 images take part; each other one takes the majority of its 15 nearest among them.

    Args:
        representation: (N, W).
        n_components: K, at most N; None to find it: as many as prominent peaks of the density, of
            the representation and of the others in the middle.
        rng: chooses those images, and seeds the methods.
        observed: components observed beforehand, (N,), -1 where unknown. With any, they
            spread along the graph of neighbours of 4,000 images.
        pixels: where the images lie on the axes of their pixels, (N, A): clusterings of these are
            tried too.
        by_views: how often one of two is near a view of the other by its pixels, (N, N).
        others: representations that might as well have been chosen, (N, W) each; an even number.

    Raises:
        ArgumentError: more components than images.
    """
    n = len(representation)
    if n_components is not None and n_components > n:
        raise ArgumentError(
            f"`n_components` expected at most the number of images, {n}; got {n_components}. "
            "Choose fewer."
        )
    nothing = np.zeros(0)
    if n_components == 1:
        return Clusters(np.zeros(n, dtype=np.int64), nothing)
    order, seed = rng.permutation(n), int(rng.integers(2**31))
    if observed is not None and (observed >= 0).any():
        return Clusters(_spread(representation, observed, order), nothing)
    rows = order[:N_CLUSTERED]
    sample = representation[rows]
    tree = None
    if len(sample) >= LEAST_POINTS:
        tree = DensityTree.of(embedded(sample, seed))
    if n_components is None:
        n_components = 1
        if tree is not None:
            trees = [tree, *(DensityTree.of(embedded(other[rows], seed)) for other in others)]
            trees.sort(key=lambda tree: tree.n_clusters(PROMINENT))
            tree = trees[len(trees) // 2]
            n_components = tree.n_clusters(PROMINENT)
    prominences = nothing if tree is None else tree.prominences
    if n_components == 1:
        return Clusters(np.zeros(n, dtype=np.int64), prominences)
    tried = _clusterings(sample, None if pixels is None else pixels[rows], tree, n_components, seed)
    if by_views is None or tree is None:
        chosen, merits = nominees(tried, sample, n_components)
    else:
        by_views = by_views[rows][:, rows]
        of_both = _by_both_graphs(sample, by_views, n_components, seed)
        chosen, merits = nominees([*tried, *of_both], sample, n_components, by_views, of_both)
    of_all = extended(np.stack(chosen, axis=1), representation, order).T
    return Clusters(of_all[0], prominences, of_all, merits)


def _clusterings(
    points: Array, pixels: Array | None, tree: DensityTree | None, n_components: int, seed: int
) -> list[Indices]:
    """Clusterings of points (M, W) in K components each, (M,).

    The peaks of the density, linkage, k-means and Gaussian mixtures on the embedding (McConville
    et al., *N2D: (not too) deep clustering via clustering the local manifold of an autoencoded
    embedding*, ICPR 2020), and k-means and a Gaussian mixture on the representation itself and on
    the pixels' axes: no worse than these for want of trying.
    """
    ward = AgglomerativeClustering(n_components, linkage="ward")
    # Ten starts, by convention: k-means depends on its.
    k_means = KMeans(n_components, n_init=10, random_state=seed)
    # Smoothing draws clusters together, up to where those that touch begin to merge.
    graph = neighbour_graph(points)
    clusterings = [ward.fit_predict(smoothed(points, graph, n)) for n in (0, 10, 20)]
    if tree is not None:
        clusterings += [tree.cut(n_components)]
        clusterings += [
            method.fit_predict(tree.points)
            for method in (
                ward,
                AgglomerativeClustering(n_components, linkage="average"),
                k_means,
                *(GaussianMixture(n_components, random_state=seed + i) for i in range(3)),
            )
        ]
    for space in (points, pixels):
        if space is not None:
            clusterings.append(k_means.fit_predict(space))
            clusterings.append(_mixture(space, n_components, seed))
    return clusterings


def _by_both_graphs(
    points: Array, by_views: sparse.csr_array, n_components: int, seed: int
) -> list[Indices]:
    """Spectral clusters of who is whose neighbour by features and by views, in equal parts.

    Features know what a network can tell apart, and views' pixels what is one thing moved: on
    their own the first cut two kinds of 1 (.71 of 1, 4, 8 among the digits), both together have
    .98; ten digits .93 to .95, where the other methods have .87 to .94 by luck (seven seeds).
    """
    if 2 * n_components > len(points):
        # It needs as many eigenvectors, of more images than that.
        return []
    return [spectral_clusters([by_views, neighbour_graph(points)], n_components, seed)]


def _mixture(points: Array, n_components: int, seed: int) -> Indices:
    """The components of a Gaussian mixture on the leading axes, (M,)."""
    centred = points - points.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    leading = centred @ axes[:_AXES_OF_MIXTURE].T
    # scikit-learn's floor is for data of scale 1.
    scale = leading.std()
    mixture = GaussianMixture(n_components, random_state=seed)
    components: Indices = mixture.fit_predict(leading / scale if scale > 0 else leading)
    return components


def _spread(representation: Points, observed: Indices, order: Indices) -> Indices:
    """The observed components, spread along the graph of neighbours of smoothed points, (N,).

    Zhou et al., *Learning with local and global consistency*, NeurIPS 2004.
    """
    # The observed ones first: they are among the points that are looked at.
    order = order[np.argsort(observed[order] < 0, kind="stable")]
    seen = order[: max(N_CLUSTERED, int((observed >= 0).sum()))]
    points = representation[seen]
    # Ten passes, by convention. alpha: half of what a point is told comes from its neighbours, and
    # half is its own label; by convention. max_iter: until nothing changes.
    smooth = smoothed(points, neighbour_graph(points), passes=10)
    spreading = LabelSpreading(
        kernel="knn", n_neighbors=n_neighbours(len(points)), alpha=0.5, max_iter=1000
    )
    spreading.fit(smooth, observed[seen])
    components = np.asarray(spreading.transduction_, dtype=np.int64)
    return extended(components, representation, order)
