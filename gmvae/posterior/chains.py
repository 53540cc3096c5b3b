"""Whether chains agree, and what their draws are worth: of many quantities at once.

C chains, S draws, ... quantities.
"""

import numpy as np

from gmvae.posterior.pareto import Array


def rhat(chains: Array) -> Array:
    """Rank-normalised split R-hat, the worse of bulk and tails: (C, S, ...) to (...).

    References:
        Vehtari, Gelman, Simpson, Carpenter and Bürkner, *Rank-normalization, folding, and
        localization: an improved R-hat*, Bayesian Analysis, 2021.
    """
    halves = _split(chains)
    median = np.median(halves, axis=(0, 1), keepdims=True)
    return np.maximum(_rhat(_normal_scores(halves)), _rhat(_normal_scores(np.abs(halves - median))))


def effective_size(chains: Array) -> Array:
    """Bulk effective sample size of draws (C, S, ...), (...), by Geyer's initial sequence.

    At most C S log10(C S): draws that avoid each other are not counted for more.

    References:
        As :func:`rhat`; Geyer, *Practical Markov chain Monte Carlo*, Statistical Science, 1992.
    """
    scores = _normal_scores(_split(chains))
    n_chains, n_draws = scores.shape[:2]
    correlations = _autocorrelations(scores)
    # Sums of neighbours, positive and falling in theory: cut at the first that is not.
    even = n_draws // 2 * 2
    pairs = correlations[:even].reshape(even // 2, 2, *correlations.shape[1:]).sum(1)
    pairs = np.minimum.accumulate(np.where(np.cumprod(pairs > 0, axis=0), pairs, 0), axis=0)
    total = n_chains * n_draws
    time = np.maximum(2 * pairs.sum(0) - 1, 1 / np.log10(total))
    return np.asarray(total / time)


def _split(chains: Array) -> Array:
    """Each chain in two, its middle draw left out where their number is odd."""
    half = chains.shape[1] // 2
    return np.concatenate([chains[:, :half], chains[:, -half:]])


def _normal_scores(chains: Array) -> Array:
    """Ranks among all chains, as quantiles of a standard normal."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    flat = chains.reshape(-1, *chains.shape[2:])
    scores = ndtri((rankdata(flat, axis=0) - 0.375) / (len(flat) + 0.25))
    return np.asarray(scores.reshape(chains.shape))


def _rhat(chains: Array) -> Array:
    within, pooled = _variances(chains)
    # A quantity that never changes agrees with itself.
    ratio = np.divide(pooled, within, out=np.ones_like(pooled), where=within > 0)
    return np.asarray(np.sqrt(ratio))


def _variances(chains: Array) -> tuple[Array, Array]:
    """The variance within chains, and that of all by within and between, (...) each."""
    n_draws = chains.shape[1]
    within = chains.var(1, ddof=1).mean(0)
    between = chains.mean(1).var(0, ddof=1)
    return within, within * (n_draws - 1) / n_draws + between


def _autocorrelations(chains: Array) -> Array:
    """Of the chains together, by lag, (S, ...)."""
    n_draws = chains.shape[1]
    centred = chains - chains.mean(1, keepdims=True)
    spectrum = np.fft.rfft(centred, 2 * n_draws, axis=1)
    covariance = np.fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, :n_draws].mean(0) / n_draws
    _, pooled = _variances(chains)
    within = covariance[0] * n_draws / (n_draws - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlations = 1 - (within - covariance) / pooled
    correlations = np.where(pooled > 0, correlations, 0)
    correlations[0] = 1
    return np.asarray(correlations)
