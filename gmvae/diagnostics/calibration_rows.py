"""The rows of the verdict that say whether the probabilities are honest."""

from collections.abc import Mapping

import numpy as np

from gmvae.diagnostics.calibration import Reliability
from gmvae.diagnostics.verdict import CONVENTION, Check, Threshold

_LIMITS = Threshold(0.05, 0.15, f"error: Guo et al. 2017; limits: {CONVENTION}")


def calibration_rows(curves: Mapping[str, Reliability], premise: str, named: bool) -> list[Check]:
    """From the reliability of q(y | x): against labels, where there are some, and by simulation.

    Args:
        curves: ``simulated``, and ``labels`` where there are some.
        premise: what is wrong with simulated images; their row is lenient where there is one.
        named: whether the components were named in training.
    """
    checks = [_simulated_row(curves["simulated"], premise)]
    if "labels" in curves:
        checks.insert(0, _labels_row(curves["labels"], named))
    return checks


def _labels_row(curve: Reliability, named: bool) -> Check:
    naming = "components as named in training" if named else "components matched to the labels"
    return Check(
        "probabilities",
        "calibration error against the labels",
        curve.ece,
        _LIMITS,
        f"{sureness(curve)}; {naming}",
    )


def _simulated_row(curve: Reliability, premise: str) -> Check:
    return Check(
        "probabilities",
        "calibration error on simulated images",
        curve.ece,
        _LIMITS,
        f"{sureness(curve)}{premise}",
        lenient=bool(premise),
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
