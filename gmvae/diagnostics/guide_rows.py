"""The rows of the verdict that say whether the guide is the posterior.

Each function turns what was measured into rows and measures nothing itself.
"""

import numpy as np

from gmvae.diagnostics import nuts
from gmvae.diagnostics.draws import Array, Draws
from gmvae.diagnostics.nuts import Reference
from gmvae.diagnostics.simulation import Ranks
from gmvae.diagnostics.verdict import BAD_KHATS, CONVENTION, Check, Threshold, khat_threshold

_OF_CHAINS = "Vehtari et al. 2021"


def importance_rows(draws: Draws) -> list[Check]:
    """From the importance weights of the guide's draws: k-hat, both gaps and p(y | x)."""
    limit = khat_threshold(len(draws.z))
    median = float(np.median(draws.khat))
    return [
        Check(
            "guide",
            f"share of images with k-hat above {limit:.2f}",
            float((draws.khat > limit).mean()),
            BAD_KHATS,
            f"median k-hat {median:.2f}",
        ),
        Check(
            "guide",
            "gap from q(y | x), nats",
            float(draws.gap_y.mean()),
            # A sure q(y | x) may cost any number of nats; what it is worth says the next but one.
            detail=f"at most {draws.gap_y.max():.2f}; of q(z | x) alone",
        ),
        _mean_over_images("gap from q(z | x), nats", draws.gap_z, 1.0, 3.0),
        _mean_over_images(
            "total variation of q(y | x) and p(y | x)", draws.total_variation, 0.05, 0.15
        ),
    ]


def _mean_over_images(name: str, values: Array, good: float, bad: float) -> Check:
    threshold = Threshold(good, bad, CONVENTION)
    return Check("guide", name, float(values.mean()), threshold, f"at most {values.max():.2f}")


def simulation_rows(ranks: Ranks, of_guide: Ranks, premise: str) -> list[Check]:
    """From simulation-based calibration; lenient where simulated images have a ``premise``.

    Args:
        ranks: by the guide's draws with their importance weights.
        of_guide: by its draws alone.
        premise: what is wrong with simulated images.
    """
    n_images = f"{len(ranks.ranks):,} simulated images{premise}"
    return [
        Check(
            "guide",
            "simulation-based calibration, p of uniform ranks",
            ranks.p_value,
            Threshold(0.05, 0.001, f"Talts et al. 2018; limits: {CONVENTION}"),
            f"of weighted draws; {n_images}",
            lenient=bool(premise),
        ),
        Check(
            "guide",
            "the same of q(z | x) alone",
            of_guide.p_value,
            detail="small where it is wider than the posterior, as the last phase of training "
            "makes it",
        ),
    ]


def nuts_rows(reference: Reference, rows: Array, log_evidence: Array) -> list[Check]:
    """From NUTS: how good a reference it is, and how far the guide is from it.

    Args:
        reference: for n images.
        rows: the numbers of these images, (n,).
        log_evidence: log p(x) of them by the guide's draws, (n,) nats.
    """
    return [*_chains_rows(reference, rows), *_against_nuts_rows(reference, log_evidence)]


def _chains_rows(reference: Reference, rows: Array) -> list[Check]:
    """About the reference itself, and so lenient: they never fail the guide."""
    n_chains = len(reference.z)
    several = reference.modes > 1
    left_out = f"; of several modes: images {_listed(rows[several])}" if several.any() else ""
    # R-hat and sample size hold for images of one mode; where there is none, all are shown.
    counted = np.ones_like(several) if several.all() else ~several
    return [
        Check(
            "guide",
            "NUTS: largest R-hat, images of one mode",
            float(reference.rhat[counted].max()),
            Threshold(1.01, 1.05, _OF_CHAINS),
            f"{len(rows)} images{left_out}",
            lenient=True,
        ),
        Check(
            "guide",
            "NUTS: smallest effective sample size, images of one mode",
            float(reference.ess[counted].min()),
            Threshold(100.0 * n_chains, 25.0 * n_chains, _OF_CHAINS),
            f"{n_chains} chains",
            lenient=True,
        ),
        Check(
            "guide",
            "NUTS: largest k-hat of the weighted chains",
            float(reference.khat.max()),
            Threshold(khat_threshold(nuts.CANDIDATES), 1.0, "Vehtari et al. 2024"),
            "below it mean and spread hold, whatever the modes",
            lenient=True,
        ),
    ]


def _against_nuts_rows(reference: Reference, log_evidence: Array) -> list[Check]:
    """The guide's mean, spread and log p(x) against those of the reference."""
    missed = reference.log_evidence - log_evidence
    ratios = reference.narrowness
    return [
        Check(
            "guide",
            "shift of the guide's mean, in sd of NUTS",
            float(np.median(reference.shift)),
            Threshold(0.25, 1.0, CONVENTION),
            f"median; at most {reference.shift.max():.2f}",
        ),
        Check(
            "guide",
            "ratio of sd, guide to NUTS, |log|",
            float(np.median(np.abs(np.log(ratios)))),
            Threshold(float(np.log(1.25)), float(np.log(2)), CONVENTION),
            f"median; ratios {ratios.min():.2f} to {ratios.max():.2f}",
        ),
        Check(
            "guide",
            "log p(x) that draws of the guide miss, nats",
            float(np.median(missed)),
            detail=f"median of the images for NUTS; at most {missed.max():.2f}",
        ),
    ]


def _listed(numbers: Array) -> str:
    return ", ".join(str(number) for number in numbers)
