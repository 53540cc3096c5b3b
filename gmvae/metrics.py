"""Scores of clusters, predictions and reconstructions: NumPy in, floats out.

Shapes: ``(N,)`` integer labels (classes), components and predictions; ``(N, C, H, W)`` images in
[0, 1]. Every function raises `ArgumentError` where its two arrays differ in shape or are empty.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmvae.support import checks
from gmvae.support.errors import ArgumentError

Array: TypeAlias = NDArray[Any]


def largest_class(labels: NDArray[np.int64]) -> tuple[int, float]:
    """The most frequent of labels (N,), N at least 1, and its share: the purity of a cluster."""
    values, counts = np.unique(labels, return_counts=True)
    return int(values[counts.argmax()]), float(counts.max() / len(labels))


def matching(labels: ArrayLike, components: ArrayLike) -> dict[int, int]:
    """Return the one-to-one matching of components to classes that agrees most often.

    The optimal assignment is found by the Hungarian method. Where there are more components than
    classes, those left without a class are absent.

    References:
        Kuhn (1955), The Hungarian method for the assignment problem.

    Example:
        >>> matching([4, 4, 8, 8, 1], [0, 0, 2, 2, 1])
        {0: 4, 1: 1, 2: 8}
    """
    from scipy.optimize import linear_sum_assignment

    classes, numbers, counts = _contingency(labels, components)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return {
        int(numbers[row]): int(classes[column]) for row, column in zip(rows, columns, strict=True)
    }


def clustering_accuracy(labels: ArrayLike, components: ArrayLike) -> float:
    """Return the share of rows whose component is matched to their class, in [0, 1].

    Example:
        >>> clustering_accuracy([4, 4, 8, 8], [1, 1, 0, 1])
        0.75
    """
    labels, components = _pair(labels, components, "components")
    pairs = matching(labels, components)
    hits = sum(np.sum((components == k) & (labels == value)) for k, value in pairs.items())
    return float(hits / len(labels))


def accuracy(labels: ArrayLike, predicted: ArrayLike) -> float:
    """Return the share of predictions that equal their label, in [0, 1]."""
    labels, predicted = _pair(labels, predicted, "predicted")
    return float(np.mean(labels == predicted))


def nmi(labels: ArrayLike, components: ArrayLike) -> float:
    """Return the mutual information over the arithmetic mean of the entropies, in [0, 1]."""
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(*_pair(labels, components, "components")))


def ari(labels: ArrayLike, components: ArrayLike) -> float:
    """Return the Rand index adjusted for chance, in [-0.5, 1]: 0 for random components."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(*_pair(labels, components, "components")))


def f1(labels: ArrayLike, predicted: ArrayLike) -> dict[str, float]:
    """Return F1 averaged over classes ("macro") and over rows ("micro"), and their "mean".

    The classes are those of the labels and of the predictions together; one that is never right
    counts as 0.

    Example:
        >>> f1([1, 1, 4, 8], [1, 1, 4, 4])["micro"]
        0.75
    """
    from sklearn.metrics import f1_score

    labels, predicted = _pair(labels, predicted, "predicted")
    macro, micro = (
        float(f1_score(labels, predicted, average=average, zero_division=0))
        for average in ("macro", "micro")
    )
    return {"macro": macro, "micro": micro, "mean": (macro + micro) / 2}


def ssim(images: ArrayLike, others: ArrayLike) -> float:
    """Return the mean structural similarity of images in [0, 1], in [-1, 1].

    The window is 7 x 7, or the largest odd one that fits a smaller image.

    Raises:
        ArgumentError: the images are smaller than 3 x 3.

    References:
        Wang, Bovik, Sheikh and Simoncelli (2004), Image quality assessment: from error visibility
        to structural similarity.
    """
    from skimage.metrics import structural_similarity

    images, others = _pair(images, others, "others")
    height, width = images.shape[-2:] if images.ndim == 4 else (0, 0)
    side = min(height, width)
    if side < 3:
        raise ArgumentError(
            f"`images` expected (N, C, H, W) of at least 3 x 3 pixels; got {images.shape}. "
            "Leave this score out."
        )
    # Every channel of every image is scored by itself, and the scores are averaged: one call.
    planes, other_planes = images.reshape(-1, height, width), others.reshape(-1, height, width)
    window = min(7, side - 1 + side % 2)
    return float(
        structural_similarity(planes, other_planes, win_size=window, data_range=1.0, channel_axis=0)
    )


def one_minus_mse(images: ArrayLike, others: ArrayLike) -> float:
    """Return one minus the mean squared error of pixels in [0, 1], in [0, 1]."""
    images, others = _pair(images, others, "others")
    return float(1 - np.mean(np.square(images - others), dtype=np.float64))


def expected_calibration_error(confidence: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    r"""Return the mean gap between confidence and accuracy, over bins of confidence.

    .. math:: \sum_b \frac{n_b}{N} |\text{accuracy}_b - \text{confidence}_b|

    Arguments:
        confidence: ``(N,)``, the probability given to the prediction, in [0, 1].
        correct: ``(N,)``, whether the prediction is right.
        bins: the number of bins of equal width.

    Raises:
        ArgumentError: ``confidence`` is outside [0, 1], or ``bins`` is below 1.

    References:
        Guo, Pleiss, Sun and Weinberger (2017), On calibration of modern neural networks.

    Example:
        >>> round(expected_calibration_error([0.8, 0.8, 0.8, 0.8], [1, 1, 0, 0]), 6)
        0.3
    """
    confidence, correct = _pair(confidence, correct, "correct")
    checks.whole("bins", bins, least=1)
    if not np.all((confidence >= 0) & (confidence <= 1)):
        raise ArgumentError(
            f"`confidence` expected probabilities in [0, 1]; got {confidence.min():g} to "
            f"{confidence.max():g}. Give the probability of each prediction."
        )
    gaps = correct.astype(np.float64) - confidence
    places = confidence_bins(confidence, bins)
    return float(np.abs(np.bincount(places, gaps, bins)).sum() / len(gaps))


def confidence_bins(confidence: ArrayLike, bins: int) -> Array:
    """Return the bin of each confidence in [0, 1], in 0 to ``bins`` - 1, of equal width.

    They are closed above, as by Guo et al. (2017); confidence 0 joins the first.

    Example:
        >>> confidence_bins([0.0, 0.5, 0.51, 1.0], 2).tolist()
        [0, 0, 1, 1]
    """
    places: Array = np.ceil(np.asarray(confidence) * bins).astype(int) - 1
    return places.clip(0, bins - 1)


def _contingency(labels: ArrayLike, components: ArrayLike) -> tuple[Array, Array, Array]:
    """Return the classes, the components, and how often they meet (components x classes)."""
    labels, components = _pair(labels, components, "components")
    classes, columns = np.unique(labels, return_inverse=True)
    numbers, rows = np.unique(components, return_inverse=True)
    counts = np.zeros((len(numbers), len(classes)), dtype=np.int64)
    np.add.at(counts, (rows, columns), 1)
    return classes, numbers, counts


def _pair(first: ArrayLike, second: ArrayLike, argument: str) -> tuple[Array, Array]:
    """Return both as arrays, of one shape and not empty."""
    one, two = np.asarray(first), np.asarray(second)
    if one.shape != two.shape or one.size == 0:
        raise ArgumentError(
            f"`{argument}` expected the shape of what it is compared with, {one.shape}, and at "
            f"least one row; got {two.shape}. Give one entry for each."
        )
    return one, two


def effective_number(use: ArrayLike) -> float:
    """How many components are in use: exp of the entropy of their shares.

    Args:
        use: mean responsibilities (K,), summing to 1.

    Returns:
        From 1, one component takes all, to K, all alike.
    """
    from scipy.special import entr

    return float(np.exp(entr(np.asarray(use, dtype=np.float64)).sum()))
