"""The rows of the verdict that say whether the probabilities are honest."""

from collections.abc import Mapping

import numpy as np

from gmvae.diagnostics.calibration import Reliability
from gmvae.diagnostics.verdict import CONVENTION, Check, Threshold

_LIMITS = Threshold(0.05, 0.15, f"error: Guo et al. 2017; limits: {CONVENTION}")


def calibration_rows(
    curves: Mapping[str, Reliability], of_guide: Reliability, named: bool
) -> list[Check]:
    """From reliability: of q(y | x) against labels, if there are some; of p(y | x) by simulation.

    Args:
        curves: ``simulated``, and ``labels`` where there are some.
        of_guide: of q(y | x), by simulation.
        named: whether the components were named in training.
    """
    checks = [_simulated_row(curves["simulated"]), _guide_row(of_guide)]
    if "labels" in curves:
        checks.insert(0, _labels_row(curves["labels"], named))
    return checks


def _labels_row(curve: Reliability, named: bool) -> Check:
    naming = "components as named in training" if named else "components matched to the labels"
    return Check(
        "probabilities",
        "calibration error of q(y | x) against the labels",
        curve.ece,
        _LIMITS,
        f"{sureness(curve)}; {naming}",
    )


def _simulated_row(curve: Reliability) -> Check:
    return Check(
        "probabilities",
        "calibration error of p(y | x) on simulated images",
        curve.ece,
        _LIMITS,
        sureness(curve),
    )


def _guide_row(curve: Reliability) -> Check:
    return Check(
        "probabilities",
        "bare guide: calibration error of q(y | x) on simulated images",
        curve.ece,
        detail=sureness(curve),
    )


def sureness(curve: Reliability) -> str:
    """Which way the confidence errs, where by more than chance: two standard errors.

    Training by mutual information sharpens q(y | x), so it is rather too sure than too unsure.
    """
    accuracy = float(np.average(curve.accuracy, weights=curve.count))
    noise = 2 * np.sqrt(max(accuracy * (1 - accuracy), 1e-9) / curve.count.sum())
    if abs(curve.excess) <= noise:
        return f"no surer than right, but for chance ({curve.excess:+.3f})"
    return f"too {'sure' if curve.excess > 0 else 'unsure'} by {abs(curve.excess):.3f}"
