"""What is known of numbers of components that were tried, and which of them it speaks for.

No label is asked. What speaks for a K is that runs from different seeds find the same clusters, and
the held-out likelihood; the density of the images, at the start of each run, says beside it how
many peaks it has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median_low

import numpy as np

from gmvae.support.errors import ArgumentError


@dataclass(frozen=True)
class Candidate:
    """What is known of one number of components, on the held-out images.

    Attributes:
        n_components: K.
        log_likelihoods: importance-weighted log p(x) of each restart, the mean over images, in
            nats.
        likelihood_normalised: False where p(x | z) is no normalised density, as a likelihood of
            one's own may say: then they compare between models of the same data only.
        standard_error: of such a mean, by the spread of the images, in nats.
        stability: mean adjusted Rand index of the clusters of each two restarts: 1 where all
            find the same, about 0 where they agree by chance; None for fewer than two.
        effective_components: exp of the entropy of the mean responsibilities, the mean over
            restarts, 1 to K.
        empty_components: how many are the most probable one of no image, held out or trained on (of
            up to 2,000), the mean over restarts.
        n_peaks: how many peaks of the density stand out of its noise, at the start of each restart;
            none where the images are too few for a density.
        splits: the prominence of the split of the density that makes K components of K - 1, in
            standard deviations, of each restart; 0 where there is no such split. None for K of 1,
            or where the images are too few.
    """

    n_components: int
    log_likelihoods: tuple[float, ...]
    likelihood_normalised: bool
    standard_error: float
    stability: float | None
    effective_components: float
    empty_components: float = 0.0
    n_peaks: tuple[int, ...] = ()
    splits: tuple[float, ...] = ()

    @property
    def log_likelihood(self) -> float:
        """The mean over restarts."""
        return float(np.mean(self.log_likelihoods))

    @property
    def split(self) -> float | None:
        """The mean prominence over restarts; None where none is known."""
        return float(np.mean(self.splits)) if self.splits else None


def most_stable(candidates: Sequence[Candidate]) -> Candidate:
    """The one whose restarts agree best, of those with more than one component.

    Between equals to two decimals, the one of most components whose likelihood is within a standard
    error of the best of theirs: it tells more apart, and as surely (as Ben-Hur, Elisseeff and Guyon
    choose, *A stability based method for discovering structure in clustered data*, 2002). One
    component is always stable, and says nothing.

    Raises:
        ArgumentError: no candidate with a stability and at least two components.
    """
    equals = equally_stable(candidates)
    likeliest = max(equals, key=lambda c: c.log_likelihood)
    least = likeliest.log_likelihood - likeliest.standard_error
    return max((c for c in equals if c.log_likelihood >= least), key=lambda c: c.n_components)


def equally_stable(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those of the largest stability, to two decimals, of more than one component.

    Raises:
        ArgumentError: no candidate with a stability and at least two components.
    """
    # Two decimals: from two restarts the third says nothing. By convention.
    stability = {
        c: round(c.stability, 2)
        for c in candidates
        if c.n_components > 1 and c.stability is not None
    }
    if not stability:
        raise ArgumentError(
            "`candidates` expected one of two or more components with a stability; got none. "
            "Compare larger numbers, from two restarts."
        )
    return [c for c in stability if stability[c] == max(stability.values())]


def n_peaks(candidates: Sequence[Candidate]) -> int | None:
    """How many peaks the density of the images has: the middle of all restarts, the lower of two.

    None where the images were too few for a density.
    """
    of_all = [n for candidate in candidates for n in candidate.n_peaks]
    return median_low(of_all) if of_all else None
