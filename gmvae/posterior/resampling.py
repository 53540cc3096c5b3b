"""Draws of equal weight from weighted ones, and fewer weighted ones from many.

N images, S draws.
"""

import numpy as np

from gmvae.posterior.pareto import Array


def systematic(weights: Array, n: int, rng: np.random.Generator) -> Array:
    """Numbers of draws, (N, n), each as often as its weight says, to one more or less.

    One uniform number an image (Kitagawa, *Monte Carlo filter and smoother for non-Gaussian
    nonlinear state space models*, JCGS, 1996); then in random order, as independent draws come.

    Args:
        weights: (N, S), each row of sum 1.
        n: how many to take.
        rng: the source of chance.
    """
    places = (np.arange(n) + rng.random((len(weights), 1))) / n
    ends = np.cumsum(weights, -1)
    # Rows side by side, a unit apart: one search for all of them.
    shift = np.arange(len(weights))[:, None]
    ends = np.minimum(ends / ends[:, -1:], 1) + shift
    rows = np.searchsorted(ends.ravel(), (places + shift).ravel(), side="right")
    rows = rows.reshape(places.shape) - shift * weights.shape[1]
    return np.asarray(rng.permuted(np.minimum(rows, weights.shape[1] - 1), axis=1))


def thinned(weights: Array, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    r"""So many different draws of S and their weights, by which every mean stays unbiased.

    A weight above c keeps its draw; of the others each is kept with probability w / c and has then
    the weight c, where :math:`\sum_s \min(w_s / c, 1) = n` (Fearnhead and Clifford, *On-line
    inference for hidden Markov models via particle filters*, JRSS B, 2003). No choice of n draws
    adds less variance.

    Args:
        weights: (N, S), each row of sum 1.
        n: how many to keep, at most S.
        rng: the source of chance.

    Returns:
        Numbers of the draws, (N, n), and their weights, (N, n).
    """
    n_images, n_draws = weights.shape
    if n >= n_draws:
        rows = np.broadcast_to(np.arange(n_draws), weights.shape)
        return rows, weights
    order = np.argsort(-weights, -1)
    ordered = np.take_along_axis(weights, order, -1)
    left = np.clip(1 - np.cumsum(ordered, -1) + ordered, 0, None)
    # With the k largest kept, c is what is left over, shared by the n - k others.
    levels = left[:, :n] / (n - np.arange(n))
    n_kept = (ordered[:, :n] >= levels).cumprod(-1).sum(-1)
    level = levels[np.arange(n_images), np.minimum(n_kept, n - 1)]
    rows = np.empty((n_images, n), dtype=np.int64)
    kept = np.empty((n_images, n))
    for i, (k, c) in enumerate(zip(n_kept.tolist(), level, strict=True)):
        small = ordered[i, k:]
        rows[i, :k], kept[i, :k] = order[i, :k], ordered[i, :k]
        if k < n:
            # No share is above 1: a place apart, none is taken twice.
            ends = np.cumsum(small) / small.sum() * (n - k)
            places = np.arange(n - k) + rng.random()
            taken = np.minimum(np.searchsorted(ends, places, side="right"), n_draws - k - 1)
            rows[i, k:], kept[i, k:] = order[i, k + taken], c
    return rows, kept
