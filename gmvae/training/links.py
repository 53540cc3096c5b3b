"""Which cells of a representation belong together, by views and neighbours of their images.

In NumPy, in float64. Shapes: N images, M cells, K components, W dimensions of the representation.
"""

import numpy as np

from gmvae.training.arrays import Array, Indices, Points
from gmvae.training.neighbours import extended, neighbour_graph, smoothed

# Share of its links that a part of one kind has in the rest of it: where K are wanted and what is
# joined last has less, K kinds are not what the links are about. On fourteen parts of MNIST, of two
# to ten classes even or of sizes up to 25 : 1, what is joined last has .094 and more, and the start
# has .96 of the images right on average, for .93 without. On six of Fashion-MNIST, whose classes
# are no clusters of it, it has .10 in two, which gain .01 to .02, and .047 to .068 in four, of
# which two gain and two lose.
LEAST_LINKED = 0.08
# Images on whose graph of neighbours the borders of cells are smoothed, and how often: as where
# labels are spread.
_N_SMOOTHED = 4_000
_PASSES = 10


def clusters_by_links(
    cells: Indices,
    links: Array,
    n_components: int,
    representation: Points,
    rng: np.random.Generator,
) -> Indices | None:
    """The clusters that views and neighbours make of the cells, (N,).

    Cells are joined (:func:`joined_cells`). Their borders are those of a network that has learned
    the cells, and an image at one goes where its neighbours are.

    Args:
        cells: of the images, (N,).
        links: between cells, symmetric, (M, M).
        n_components: K.
        representation: where the images lie, (N, W).
        rng: chooses the images that are looked at.

    Returns:
        None where the links do not end in K components, or one has no image among those that are
        looked at.
    """
    joined = joined_cells(links, n_components)
    if joined is None:
        return None
    rows = rng.permutation(len(cells))
    some = rows[:_N_SMOOTHED]
    of_some = joined[cells[some]]
    if len(np.unique(of_some)) < n_components:
        return None
    graph = neighbour_graph(representation[some])
    smooth = smoothed(np.eye(n_components)[of_some], graph, _PASSES).argmax(1)
    # Not where a small one would be lost to its neighbours.
    kept = smooth if len(np.unique(smooth)) == n_components else of_some
    return extended(kept, representation, rows)


def joined_cells(links: Array, n_components: int, least: float = LEAST_LINKED) -> Indices | None:
    r"""The component of each of M cells, (M,): two are joined at a time, until K are left.

    Those with the largest

    .. math:: \frac{l_{ab}}{\min(l_a, l_b)}

    where :math:`l_{ab}` are the links between them and :math:`l_a` all that end in a: the share
    that the smaller one has in the larger. A part of one kind has much of its own in the rest of
    it, however small the part, while two kinds have little in each other, however large they are.
    No size is preferred: of sizes 1 : 10 of MNIST's ten classes the density merges two kinds and
    cuts another one in three of five draws; this does so in one.

    Args:
        links: how much of one cell has views and neighbours in another, symmetric, (M, M).
        n_components: K.
        least: the smallest share of what is joined.

    Returns:
        None where there are fewer than K cells, or where some share would be smaller.
    """
    links = links.astype(np.float64)
    ends = links.sum(1)
    np.fill_diagonal(links, 0)
    component = np.arange(len(links))
    left = np.flatnonzero(ends)
    if len(left) < n_components:
        return None
    while len(left) > n_components:
        among = np.ix_(left, left)
        shares = links[among] / np.minimum.outer(ends[left], ends[left])
        a, b = left[list(divmod(int(shares.argmax()), len(left)))]
        if shares.max() < least:
            return None
        links[a] += links[b]
        links[:, a] += links[:, b]
        links[a, a] = 0
        ends[a] += ends[b]
        component[component == b] = a
        left = left[left != b]
    # A cell that nothing links to holds no image that was looked at.
    return np.searchsorted(left, np.where(np.isin(component, left), component, left[0]))
