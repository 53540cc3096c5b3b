"""Which of several clusterings of the same points is worth a trial.

In NumPy and scikit-learn, in float64. Shapes: N points, W dimensions of the representation, A
principal axes of the pixels, K components.
"""

import math

import numpy as np
from scipy.special import logsumexp
from sklearn.covariance import ledoit_wolf
from sklearn.metrics import normalized_mutual_info_score

from gmvae.metrics import effective_number
from gmvae.training.arrays import Array, Indices
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
# Each of these three prefers the right clustering where another one fails (42 subsets of digits
# and MNIST of 180 to 1,700 images, most of them uneven).
_MORE_EVEN = 4.0
# A nat an image of the pixels' density. Of .01 to .2 this one came closest to the best at hand.
_DENSITY = 0.03
# More axes make a covariance of a small cluster noise: of 8, 15 and 25 the judge was best with 15.
_N_AXES = 15
# Two clusterings that know so much of each other differ by single images.
_SAME = 0.985


def nominees(
    clusterings: list[Indices], points: Array, pixels: Array | None, n_components: int
) -> list[Indices]:
    """The favourites of three judges, without those that say the same, (N,) each: one to three.

    1. :func:`assortativity`, which prefers no sizes; among nearly equal ones the larger effective
       number of clusters, since two kinds in one cluster and one kind in two cost little of it.
    2. The same with four times as much for the effective number.
    3. Assortativity, and how well Gaussians of these clusters tell the density of pixels that
       they were not fitted to.

    One whose smallest cluster is too small is nobody's, where there is another.

    Args:
        clusterings: in at most K components each, (N,).
        points: (N, W).
        pixels: where the points lie on the axes of their pixels, (N, A); None for no third judge.
        n_components: K.
    """
    graph = neighbour_graph(points, N_JUDGED)
    least = max(1, LEAST_SHARE * len(points))
    shares = [np.bincount(c, minlength=n_components) / len(c) for c in clusterings]
    whole = [c for c, s in zip(clusterings, shares, strict=True) if s.min() * len(c) >= least]
    clusterings = whole or clusterings
    told_apart = np.array([assortativity(graph, c) for c in clusterings])
    even = np.array([evenness(c, n_components) for c in clusterings])
    merits = [told_apart + even, told_apart + _MORE_EVEN * even]
    if pixels is not None:
        density = np.array([mixture_density(pixels[:, :_N_AXES], c) for c in clusterings])
        merits.append(told_apart + _DENSITY * density)
    chosen: list[Indices] = []
    for merit in merits:
        favourite = clusterings[int(np.argmax(merit))]
        if all(normalized_mutual_info_score(favourite, other) < _SAME for other in chosen):
            chosen.append(favourite)
    return chosen


def evenness(components: Indices, n_components: int) -> float:
    """What the effective number of the clusters counts beside their assortativity."""
    shares = np.bincount(components, minlength=n_components) / len(components)
    return EVENNESS * math.sqrt(_NOISE_OF / len(components)) * effective_number(shares)


def mixture_density(points: Array, components: Indices) -> float:
    r"""Mean log-density, in nats, of each half of the points under the other half's clusters.

    .. math:: \ln \sum_y \pi_y\, N(x \mid \mu_y, \Sigma_y)

    with share, mean and covariance of the cluster in the other half (shrunk: Ledoit and Wolf, *A
    well-conditioned estimator for large-dimensional covariance matrices*, 2004). It is of what
    was seen, not of what was learned, so that it knows when two kinds have been laid together.

    Args:
        points: (N, A).
        components: (N,).
    """
    # Any two halves: the order of the points says nothing.
    first = np.arange(len(points)) % 2 == 0
    return float(
        np.mean([_log_density(points, components, half).mean() for half in (first, ~first)])
    )


def _log_density(points: Array, components: Indices, fitted: Indices) -> Array:
    """Of the points that the Gaussians are not fitted to."""
    scored = points[~fitted]
    # So that an axis on which a cluster does not differ has a density: a ten thousandth of the
    # variance of all points.
    floor = 1e-4 * points.var(0).mean() * np.eye(points.shape[1])
    terms = []
    for component in np.unique(components):
        members = points[fitted & (components == component)]
        # Of one point there is no covariance.
        if len(members) > 1:
            covariance = ledoit_wolf(members)[0] + floor
            difference = scored - members.mean(0)
            squares = (difference * np.linalg.solve(covariance, difference.T).T).sum(1)
            _, log_volume = np.linalg.slogdet(2 * math.pi * covariance)
            terms.append(math.log(len(members) / fitted.sum()) - (log_volume + squares) / 2)
    return np.asarray(logsumexp(terms, axis=0)) if terms else np.full(len(scored), -np.inf)
