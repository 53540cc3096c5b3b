"""Pareto-smoothed importance sampling, of all rows of weights at once.

N rows, S draws, M of them in the tail.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmvae.support.errors import ArgumentError

Array = NDArray[Any]

# Below this spread of log-weights, in nats, the weights are constant but for rounding.
CONSTANT = 1e-6
# A tail of five weights, the fewest that a generalised Pareto distribution is fitted to.
FEWEST_DRAWS = 25
# Tails that are fitted together: some 10 MB of them.
_ROWS = 512


def psis(log_weights: ArrayLike) -> tuple[Array, Array]:
    """Smooth the largest weights by the quantiles of a generalised Pareto distribution.

    Where the weights are constant, the best there is, k-hat is minus infinity.

    Args:
        log_weights: log p - log q of the draws, (..., S) with at least 25 draws S; minus
            infinity is a weight of zero. Mind the sign: ArviZ 1.x takes minus these.

    Returns:
        The smoothed log-weights, (..., S), normalised to sum to 1, and k-hat, (...). Above
        about 0.7 the weights cannot be relied on.

    Raises:
        ArgumentError: fewer than 25 draws, or weights that are NaN, infinite or all zero.

    References:
        Vehtari, Simpson, Gelman, Yao and Gabry, *Pareto smoothed importance sampling*, Journal
        of Machine Learning Research, 2024.
    """
    log_w = np.asarray(log_weights, dtype=np.float64)
    n_draws = log_w.shape[-1] if log_w.ndim else 0
    if n_draws < FEWEST_DRAWS:
        raise ArgumentError(
            f"`log_weights` expected at least {FEWEST_DRAWS} draws; got {n_draws}. Draw more."
        )
    rows = log_w.reshape(-1, n_draws)
    highest = rows.max(-1, keepdims=True)
    if not np.isfinite(highest).all():
        raise ArgumentError(
            "`log_weights` expected finite numbers or -inf, not all -inf; got NaN, inf or none. "
            "Leave such rows out."
        )
    rows = rows - highest
    khat = np.full(len(rows), -np.inf)
    for start in range(0, len(rows), _ROWS):
        part = slice(start, start + _ROWS)
        rows[part], khat[part] = _smoothed(rows[part])
    rows -= np.log(np.exp(rows).sum(-1, keepdims=True))
    return rows.reshape(log_w.shape), khat.reshape(log_w.shape[:-1])


def effective_size(log_weights: Array) -> Array:
    """1 / sum of w^2, (...), of log-weights (..., S) that are normalised: from 1 to S."""
    return np.asarray(1 / np.exp(2 * log_weights).sum(-1))


def khat_threshold(n_draws: int) -> float:
    """Above this k-hat, ``n_draws`` draws do not make a reliable estimate; at most 0.7.

    References:
        Vehtari, Simpson, Gelman, Yao and Gabry, *Pareto smoothed importance sampling*, 2024.
    """
    return min(1 - 1 / float(np.log10(n_draws)), 0.7)


def _smoothed(rows: Array) -> tuple[Array, Array]:
    """Smoothed log-weights and k-hat of rows whose largest is 0."""
    n, n_draws = rows.shape
    n_tail = int(np.ceil(min(n_draws / 5, 3 * np.sqrt(n_draws))))
    order = np.argsort(rows, -1)
    ordered = np.take_along_axis(rows, order, -1)
    # Of weights that are mostly zero the tail ends where single precision does.
    cutoff = np.maximum(ordered[:, -n_tail - 1], np.log(np.finfo(float).tiny))
    lengths = (rows > cutoff[:, None]).sum(-1)
    # The largest weights are all the same: no tail.
    lengths[ordered[:, -1] - ordered[:, -FEWEST_DRAWS // 5] < CONSTANT] = 0
    khat = np.full(n, -np.inf)
    for length in np.unique(lengths[lengths > 0]):
        these = np.flatnonzero(lengths == length)
        if length < FEWEST_DRAWS // 5:
            # All of the mass in a few weights.
            khat[these] = np.inf
            continue
        above = np.exp(ordered[these, -length:]) - np.exp(cutoff[these, None])
        khat[these], scale = _fit(above)
        shares = (np.arange(length) + 0.5) / length
        quantiles = _quantiles(shares, khat[these], scale) + np.exp(cutoff[these, None])
        smooth = np.minimum(np.log(quantiles), 0)
        rows[these[:, None], order[these, -length:]] = smooth
    return rows, khat


def _fit(above: Array) -> tuple[Array, Array]:
    """Shape k-hat and scale of generalised Pareto distributions, (n,), of sorted tails (n, M).

    The posterior mean of Zhang and Stephens (*A new and efficient estimation method for the
    generalized Pareto distribution*, Technometrics, 2009), its shape drawn to 1/2 by ten
    observations' worth, as Vehtari et al. do.
    """
    length = above.shape[1]
    n_grid = 30 + int(np.sqrt(length))
    grid = 1 - np.sqrt(n_grid / (np.arange(1, n_grid + 1) - 0.5))
    quartile, most = above[:, int(length / 4 + 0.5) - 1], above[:, -1]
    theta = grid / (3 * quartile[:, None]) + 1 / most[:, None]
    shape = np.stack([np.log1p(-t[:, None] * above).mean(-1) for t in theta.T], -1)
    profile = length * (np.log(-theta / shape) - shape - 1)
    weights = np.exp(profile - profile.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    weights[weights < 10 * np.finfo(float).eps] = 0
    mean = (weights * theta).sum(-1) / weights.sum(-1)
    shape_mean = np.log1p(-mean[:, None] * above).mean(-1)
    return (length * shape_mean + 5) / (length + 10), -shape_mean / mean


def _quantiles(shares: Array, shape: Array, scale: Array) -> Array:
    """Quantiles (n, M) at these shares (M,) of generalised Pareto distributions."""
    shape, scale = shape[:, None], scale[:, None]
    small = np.abs(shape) < np.finfo(float).eps
    divisor = np.where(small, 1.0, shape)
    curved = scale * np.expm1(-divisor * np.log1p(-shares)) / divisor
    return np.where(small, -scale * np.log1p(-shares), curved)
