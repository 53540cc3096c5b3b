"""The rows of the verdict on the bare guide, which inform, and on NUTS, which is the reference.

Each function turns what was measured into rows and measures nothing itself.
"""

import numpy as np

from gmvae.diagnostics import nuts
from gmvae.diagnostics.draws import Array, Draws
from gmvae.diagnostics.nuts import Reference
from gmvae.diagnostics.simulation import Ranks
from gmvae.diagnostics.verdict import Check, khat_threshold

_OF_CHAINS = "Vehtari et al. 2021"


def importance_rows(draws: Draws) -> list[Check]:
    """From the importance weights of the bare guide: k-hat, both gaps and p(y | x).

    They inform: the posterior that is certified does not rest on the guide. A sure q(y | x) may
    cost any number of nats.
    """
    n_draws = len(draws.z)
    limit = khat_threshold(n_draws)
    median = float(np.median(draws.khat))
    return [
        Check(
            "posterior",
            f"bare guide: share of images with k-hat above {limit:.2f} (of {n_draws} draws)",
            float((draws.khat > limit).mean()),
            detail=f"median k-hat {median:.2f}",
        ),
        _mean_over_images("bare guide: gap from q(y | x), nats", draws.gap_y),
        _mean_over_images("bare guide: gap from q(z | x), nats", draws.gap_z),
        _mean_over_images(
            "bare guide: total variation of q(y | x) and p(y | x)", draws.total_variation
        ),
    ]


def _mean_over_images(name: str, values: Array) -> Check:
    return Check("posterior", name, float(values.mean()), detail=f"at most {values.max():.2f}")


def guide_ranks_row(ranks: Ranks) -> Check:
    """From simulation-based calibration of the bare guide."""
    return Check(
        "posterior",
        "bare guide: simulation-based calibration, p of uniform ranks",
        ranks.p_value,
        detail=f"{len(ranks.ranks):,} simulated images; small where q(z | x) is narrower than "
        "the posterior, or wider, as the last phase of training makes it",
    )


def chains_rows(reference: Reference, rows: Array) -> list[Check]:
    """How good a reference NUTS is; that says nothing of the posterior, and so they inform.

    Args:
        reference: for n images.
        rows: the numbers of these images, (n,).
    """
    n_chains = len(reference.z)
    several = reference.modes > 1
    left_out = f"; of several modes: images {_listed(rows[several])}" if several.any() else ""
    # R-hat and sample size hold for images of one mode; where there is none, all are shown.
    counted = np.ones_like(several) if several.all() else ~several
    limit = khat_threshold(nuts.CANDIDATES)
    return [
        Check(
            "posterior",
            "NUTS: largest R-hat, images of one mode",
            float(reference.rhat[counted].max()),
            detail=f"{len(rows)} images, good up to 1.01{left_out}; {_OF_CHAINS}",
        ),
        Check(
            "posterior",
            "NUTS: smallest effective sample size, images of one mode",
            float(reference.ess[counted].min()),
            detail=f"{n_chains} chains, good from {100 * n_chains}; {_OF_CHAINS}",
        ),
        Check(
            "posterior",
            "NUTS: largest k-hat of the weighted chains",
            float(reference.khat.max()),
            detail=f"up to {limit:.2f} mean and spread hold, whatever the modes",
        ),
    ]


def guide_against_nuts_rows(reference: Reference, log_evidence: Array) -> list[Check]:
    """The bare guide's mean, spread and log p(x) against those of NUTS.

    Args:
        reference: for n images.
        log_evidence: log p(x) of them by the guide's draws, (n,) nats.
    """
    missed = reference.log_evidence - log_evidence
    ratios = reference.narrowness
    return [
        Check(
            "posterior",
            "bare guide: shift of the mean, in sd of NUTS",
            float(np.median(reference.shift)),
            detail=f"median; at most {reference.shift.max():.2f}",
        ),
        Check(
            "posterior",
            "bare guide: ratio of sd to that of NUTS, |log|",
            float(np.median(np.abs(np.log(ratios)))),
            detail=f"median; ratios {ratios.min():.2f} to {ratios.max():.2f}",
        ),
        Check(
            "posterior",
            "bare guide: log p(x) that its draws miss, nats",
            float(np.median(missed)),
            detail=f"median of the images for NUTS; at most {missed.max():.2f}",
        ),
    ]


def _listed(numbers: Array) -> str:
    return ", ".join(str(number) for number in numbers)
