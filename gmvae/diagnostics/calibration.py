"""Are the probabilities honest? Reliability of the classification.

N images, K components.
"""

from dataclasses import dataclass

import numpy as np

from gmvae import metrics
from gmvae.diagnostics.draws import Array, batches, settled
from gmvae.diagnostics.simulation import Simulation
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model
from gmvae.support.errors import ArgumentError

BINS = 15


@dataclass(frozen=True)
class Reliability:
    """How often a prediction of given confidence is right.

    Attributes:
        confidence: mean confidence in each bin that is not empty, (B,).
        accuracy: share of right predictions there, (B,).
        count: predictions there, (B,).
        ece: the expected calibration error, in [0, 1].
    """

    confidence: Array
    accuracy: Array
    count: Array
    ece: float

    @property
    def excess(self) -> float:
        """Mean confidence minus the share of right predictions: above 0 where it is too sure."""
        return float(np.average(self.confidence - self.accuracy, weights=self.count))


def reliability(probabilities: Array, truth: Array, bins: int = BINS) -> Reliability:
    """Compare the confidence of predictions with how often they are right.

    Args:
        probabilities: of each class, (N, K).
        truth: the right class, (N,), in 0 to K - 1; another number where none is right.
        bins: of equal width.

    Raises:
        ArgumentError: shapes that do not fit.
    """
    if probabilities.ndim != 2 or len(probabilities) != len(truth) or not len(truth):
        raise ArgumentError(
            f"`probabilities` expected (N, K) and `truth` (N,); got {probabilities.shape} and "
            f"{truth.shape}. Give both for the same images, at least one."
        )
    top = np.clip(probabilities.max(-1), 0, 1).astype(np.float64)
    correct = probabilities.argmax(-1) == truth
    places = metrics.confidence_bins(top, bins)
    count = np.bincount(places, minlength=bins)
    filled = count > 0
    confidence, accuracy = (
        np.bincount(places, values, bins)[filled] / count[filled] for values in (top, correct)
    )
    ece = metrics.expected_calibration_error(top, correct, bins)
    return Reliability(confidence, accuracy, count[filled], ece)


def class_probabilities(
    probabilities: Array, names: tuple[int | None, ...], classes: tuple[int, ...]
) -> Array:
    """From probabilities of components (N, K) to those of classes, (N, len(classes)).

    Components of one class are added; what goes to components without a name is lost.
    """
    names_of = np.array([np.nan if name is None else name for name in names], dtype=np.float64)
    return np.asarray(probabilities @ (names_of[:, None] == np.array(classes)).astype(np.float64))


def labelled_reliability(
    probabilities: Array, labels: Array, names: tuple[int | None, ...] | None
) -> Reliability:
    """Reliability against labels.

    Args:
        probabilities: q(y | x), (N, K).
        labels: class values, (N,).
        names: the class of each component; None to match them to the labels, one to one.
    """
    if names is None:
        matched = metrics.matching(labels, probabilities.argmax(-1))
        names = tuple(matched.get(k) for k in range(probabilities.shape[1]))
    # Also those that no image here has: an error is often sure of one of them.
    named = {name for name in names if name is not None}
    classes = tuple(sorted({*np.unique(labels).tolist(), *named}))
    of_classes = class_probabilities(probabilities, names, classes)
    return reliability(of_classes, np.searchsorted(classes, labels))


def simulated_reliability(model: Model, guide: Guide, simulation: Simulation) -> Reliability:
    """Reliability of q(y | x) on draws of the model, whose components are known."""
    with settled(model, guide, 0):
        parts = [guide.y_dist(x).probs.cpu().numpy() for x in batches(model, simulation.x, 1_024)]
    return reliability(np.concatenate(parts), simulation.y.cpu().numpy())
