"""The rows of the verdict that say whether the certified posterior is right.

Each function turns what was measured into rows and measures nothing itself.
"""

import math

import numpy as np

from gmvae.diagnostics.draws import Array
from gmvae.diagnostics.nuts import Reference
from gmvae.diagnostics.simulation import Ranks
from gmvae.diagnostics.verdict import CONVENTION, Check, Threshold, khat_threshold
from gmvae.posterior import Posterior
from gmvae.posterior.effort import proposed
from gmvae.posterior.result import words_of
from gmvae.posterior.routes import MOST_RHAT

# Of these an interval of 90 % may miss one part in a hundred more or fewer than it should, beyond
# what so few images say: 2.6 standard errors, which one set in a hundred exceeds.
_CHANCE = 2.6
LEVEL = 0.9


def certified_rows(posterior: Posterior) -> list[Check]:
    """From the ways by which the images got their draws."""
    n_draws = proposed(posterior.tree["posterior"].sizes["draw"])
    return [
        Check(
            "posterior",
            "share of images whose posterior is certified",
            float(posterior.certified.mean()),
            Threshold(0.995, 0.95, CONVENTION),
            f"{words_of(posterior.routes)}; k-hat at most {khat_threshold(n_draws):.2f} "
            f"(of {n_draws} draws) to 0.70 (of 2,155 and more), or R-hat at most {MOST_RHAT}",
        )
    ]


def simulated_rows(ranks: Ranks, covered: Array) -> list[Check]:
    """From images that the model drew: ranks of their latents, and intervals that hold them.

    Args:
        ranks: of the latents among draws of their certified posterior.
        covered: the share of latents inside their central 90 % interval, (D,).
    """
    n = len(ranks.ranks)
    off = abs(float(covered.mean()) - LEVEL)
    chance = _CHANCE * math.sqrt(LEVEL * (1 - LEVEL) / n)
    return [
        Check(
            "posterior",
            "simulation-based calibration, p of uniform ranks",
            ranks.p_value,
            Threshold(0.05, 0.001, f"Talts et al. 2018; limits: {CONVENTION}"),
            f"{n:,} simulated images",
        ),
        Check(
            "posterior",
            "central 90 % intervals: how far from 90 % of latents they hold",
            off,
            Threshold(chance, 2 * chance, f"{_CHANCE} standard errors; {CONVENTION}"),
            f"they hold {100 * covered.mean():.1f} %; limits of {n:,} simulated images",
        ),
    ]


def against_nuts_rows(reference: Reference, posterior: Posterior, rows: Array) -> list[Check]:
    """The certified mean, spread and log p(x) against those of NUTS.

    NUTS and the weights around its chains are themselves in doubt where an image has several modes,
    and so these rows never fail.

    Args:
        reference: for n images.
        posterior: of all images.
        rows: the numbers of the n among them, (n,).
    """
    stats = posterior.tree["sample_stats"]
    mean, sd, log_evidence = (
        stats[name].to_numpy()[rows] for name in ("mean", "sd", "log_evidence")
    )
    shift = np.abs(mean - reference.mean) / reference.sd
    ratios = sd / reference.sd
    missed = reference.log_evidence - log_evidence
    return [
        Check(
            "posterior",
            "shift of the mean, in sd of NUTS",
            float(np.median(shift)),
            Threshold(0.25, 1.0, CONVENTION),
            f"median; at most {shift.max():.2f}",
            lenient=True,
        ),
        Check(
            "posterior",
            "ratio of sd to that of NUTS, |log|",
            float(np.median(np.abs(np.log(ratios)))),
            Threshold(math.log(1.25), math.log(2), CONVENTION),
            f"median; ratios {ratios.min():.2f} to {ratios.max():.2f}",
            lenient=True,
        ),
        Check(
            "posterior",
            "log p(x) of NUTS less that of the posterior, nats",
            float(np.median(missed)),
            detail=f"median of {len(rows)} images; {missed.min():.2f} to {missed.max():.2f}",
        ),
    ]
