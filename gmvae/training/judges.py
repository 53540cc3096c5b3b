"""Which of several clusterings of the same points is worth a trial.

In NumPy and SciPy, in float64. Shapes: N points, W dimensions of the representation, K components,
J nominees.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import sparse
from sklearn.metrics import normalized_mutual_info_score

from gmvae.metrics import effective_number
from gmvae.training.arrays import Array, Indices, Points
from gmvae.training.communities import assortativity
from gmvae.training.density import LEAST_SHARE
from gmvae.training.neighbours import neighbour_graph

# What one more effective cluster counts beside assortativity among 4,000 images, more among fewer,
# as the noise of what neighbours say: and the neighbours that the graph is of. On 35 uneven and
# even subsets of digits and MNIST these picked a clustering .05 below the best at hand, on average.
# Without, ten even classes lose up to .1; four times as much, ten of sizes 1 : 10 lose .2.
# Modularity, which prefers even sizes outright, loses .1 to .4 on every uneven one.
EVENNESS = 0.005
N_JUDGED = 5
_NOISE_OF = 4_000
# Each judge prefers the right clustering where another one fails (42 subsets of digits and MNIST
# of 180 to 1,700 images, most of them uneven), so each has a say.
_MORE_EVEN = 4.0
# How much too high the merit of a favourite is, being the largest of some fourteen by a measure
# that the methods themselves aim at. Of 33 sets one that was favoured beforehand fell behind by
# .034 to .042 in five where it was the right one, and by .039 to .07 in five where it was not.
_OPTIMISM = 0.045
# Images by which clusterings of different ones are compared: each was found on 4,000 of them.
_N_LOOKED_AT = 12_000
# Two clusterings that know so much of each other differ by single images.
_SAME = 0.985


def nominees(
    clusterings: Sequence[Indices],
    points: Array,
    n_components: int,
    by_views: sparse.csr_array | None = None,
    favoured: Sequence[Indices] = (),
) -> tuple[list[Indices], Array]:
    """The favourites of three judges, without those that say the same.

    1. :func:`assortativity`, which prefers no sizes; among nearly equal ones the larger effective
       number of clusters, since two kinds in one cluster and one kind in two cost little of it.
    2. The same with four times as much for the effective number.
    3. Assortativity, by who is whose neighbour and by whose views are near whom, where these are
       known.

    A clustering whose smallest cluster is too small is nobody's, where there is another.

    Args:
        clusterings: in at most K components each, (N,).
        points: (N, W).
        n_components: K.
        by_views: how often one of two is near a view of the other, (N, N).
        favoured: those of the clusterings that are nominated, whatever the judges say.

    Returns:
        One to J of them, (N,) each, the first judge's favourite first; and the merit of each, (J,):
        what the first judge says, less what a judge's favourite is the better for being one.
    """
    graph = neighbour_graph(points, N_JUDGED)
    least = max(1, LEAST_SHARE * len(points))
    smallest = [np.bincount(c, minlength=n_components).min() for c in clusterings]
    whole = [c for c, n in zip(clusterings, smallest, strict=True) if n >= least] or clusterings
    apart = np.array([assortativity(graph, c) for c in whole])
    even = np.array([evenness(c, n_components) for c in whole])
    merits = [apart + even, apart + _MORE_EVEN * even]
    if by_views is not None:
        merits.append(apart + np.array([assortativity(by_views, c) for c in whole]))
    favourites = [int(np.argmax(merit)) for merit in merits]
    beforehand = [i for i, c in enumerate(whole) if any(c is other for other in favoured)]
    merit = merits[0] - _OPTIMISM
    merit[beforehand] = merits[0][beforehand]
    chosen: list[int] = []
    for i in favourites + beforehand:
        same = [j for j in chosen if normalized_mutual_info_score(whole[i], whole[j]) >= _SAME]
        if not same:
            chosen.append(i)
        # A favourite that says what was favoured beforehand has its merit, too.
        merit[same] = np.maximum(merit[same], merit[i])
    return [whole[i] for i in chosen], merit[chosen]


def best(
    clusterings: Sequence[Indices], points: Points, n_components: int, rng: np.random.Generator
) -> Indices:
    """The favourite of the first of those judges, on up to 12,000 images for all of them, (N,).

    Args:
        clusterings: in at most K components each, (N,), each found on images of its own.
        points: (N, W).
        n_components: K.
        rng: chooses the images.
    """
    rows = rng.permutation(len(points))[:_N_LOOKED_AT]
    graph = neighbour_graph(points[rows], N_JUDGED)
    merits = [assortativity(graph, c[rows]) + evenness(c[rows], n_components) for c in clusterings]
    return clusterings[int(np.argmax(merits))]


def evenness(components: Indices, n_components: int) -> float:
    """What the effective number of the clusters counts beside their assortativity."""
    shares = np.bincount(components, minlength=n_components) / len(components)
    return EVENNESS * math.sqrt(_NOISE_OF / len(components)) * effective_number(shares)
