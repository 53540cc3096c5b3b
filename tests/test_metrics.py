"""Scores against values known by hand, and against scikit-learn and scikit-image."""

import numpy as np
import pytest
from skimage.metrics import structural_similarity
from sklearn import metrics as reference

from gmvae import metrics
from gmvae.support.errors import ArgumentError

LABELS = np.array([1, 1, 4, 4, 8, 8, 8, 1])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("seed", range(5))
def test_renaming_the_classes_is_a_perfect_clustering(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, 200)
    names = rng.permutation(6) + 10
    components = names[labels]
    assert metrics.clustering_accuracy(labels, components) == 1
    assert metrics.matching(labels, components) == {int(names[k]): k for k in range(6)}
    assert metrics.nmi(labels, components) == pytest.approx(1)
    assert metrics.ari(labels, components) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(5))
def test_clustering_accuracy_is_the_best_over_all_one_to_one_matchings(seed):
    from itertools import permutations

    rng = np.random.default_rng(seed)
    labels, components = rng.integers(0, 4, 50), rng.integers(0, 4, 50)
    best = max(np.mean(np.array(p)[components] == labels) for p in permutations(range(4)))
    assert metrics.clustering_accuracy(labels, components) == pytest.approx(best)


def test_a_class_is_given_to_one_component_only():
    components = [0, 0, 1, 1, 2, 2, 3, 0]  # class 8 lies in components 2 and 3
    assert metrics.matching(LABELS, components) == {0: 1, 1: 4, 2: 8}
    assert metrics.clustering_accuracy(LABELS, components) == 7 / 8


def test_one_component_scores_the_largest_class():
    assert metrics.clustering_accuracy(LABELS, np.zeros(8, int)) == 3 / 8
    assert metrics.nmi(LABELS, np.zeros(8, int)) == metrics.ari(LABELS, np.zeros(8, int)) == 0


def test_agrees_with_scikit_learn(rng):
    labels, other = rng.integers(0, 4, 100), rng.integers(0, 5, 100)
    assert metrics.accuracy(labels, other) == reference.accuracy_score(labels, other)
    assert metrics.nmi(labels, other) == reference.normalized_mutual_info_score(labels, other)
    assert metrics.ari(labels, other) == reference.adjusted_rand_score(labels, other)


def test_f1_by_hand():
    # Class 1: precision 1, recall 1. Class 4: 1/2, 1. Class 8: never predicted.
    assert metrics.f1([1, 1, 4, 8], [1, 1, 4, 4]) == pytest.approx(
        {"macro": (1 + 2 / 3 + 0) / 3, "micro": 3 / 4, "mean": ((1 + 2 / 3) / 3 + 3 / 4) / 2}
    )


@pytest.mark.parametrize(("side", "window"), [(28, 7), (8, 7), (6, 5), (3, 3)])
def test_ssim_is_the_mean_over_images(rng, side, window):
    images, others = rng.random((2, 4, 1, side, side))
    each = [
        structural_similarity(a[0], b[0], win_size=window, data_range=1.0)
        for a, b in zip(images, others, strict=True)
    ]
    assert metrics.ssim(images, others) == pytest.approx(np.mean(each))
    assert metrics.ssim(images, images) == pytest.approx(1)


def test_ssim_averages_channels(rng):
    images, others = rng.random((2, 4, 3, 8, 8))
    channels = [metrics.ssim(images[:, c : c + 1], others[:, c : c + 1]) for c in range(3)]
    assert metrics.ssim(images, others) == pytest.approx(np.mean(channels))


def test_one_minus_mse():
    images = np.zeros((2, 1, 2, 2), dtype=np.float32)
    others = images.copy()
    others[0, 0, 0, 0] = 1
    assert metrics.one_minus_mse(images, images) == 1
    assert metrics.one_minus_mse(images, others) == pytest.approx(7 / 8)


def test_calibration_error_by_hand():
    # Bin (0.8, 0.9]: confidence 0.85, accuracy 1/2. Bin (0.4, 0.5]: 0.5 and 1.
    confidence, correct = [0.85, 0.85, 0.5, 0.5], [True, False, True, True]
    expected = (2 * 0.35 + 2 * 0.5) / 4
    assert metrics.expected_calibration_error(confidence, correct, bins=10) == pytest.approx(
        expected
    )


def test_bins_of_confidence_are_closed_above():
    confidence = [0.0, 0.1, 0.25, 0.26, 0.5, 0.75, 0.76, 1.0]
    assert metrics.confidence_bins(confidence, 4).tolist() == [0, 0, 0, 1, 1, 2, 3, 3]


def test_the_calibration_error_of_confidences_on_an_edge():
    # With 0.25 in the bin of 0.2, where one of two is right, and 0.5 in the next.
    found = metrics.expected_calibration_error([0.2, 0.25, 0.5], [0, 1, 0], bins=4)
    assert found == pytest.approx((abs(1 - 0.45) + 0.5) / 3)


def test_the_calibration_error_has_fifteen_bins_by_default(rng):
    confidence, correct = rng.random(200), rng.random(200) < 0.5
    assert metrics.expected_calibration_error(confidence, correct) == (
        metrics.expected_calibration_error(confidence, correct, bins=15)
    )


def test_matched_components_are_plain_numbers():
    assert metrics.matching(np.array([4, 8]), np.array([1, 0])) == {1: 4, 0: 8}
    assert {type(n) for pair in metrics.matching([4], [1]).items() for n in pair} == {int}


def test_f1_of_a_class_that_is_only_predicted_counts():
    # Class 4: precision 1, recall 1/2; class 8, of no label: 0.
    assert metrics.f1([4, 4], [4, 8])["macro"] == pytest.approx((2 / 3 + 0) / 2)


def test_the_mean_of_squares_is_taken_in_double_precision():
    """In single precision the sum of so many small squares would be another."""
    images = np.zeros((400, 1, 50, 50), np.float32)
    others = np.full_like(images, 1e-3)
    expected = 1 - float(np.square(np.float32(1e-3)))
    assert metrics.one_minus_mse(images, others) == pytest.approx(expected, abs=1e-12)


def test_the_effective_number_counts_components():
    assert metrics.effective_number(np.array([0.25, 0.25, 0.25, 0.25, 0])) == pytest.approx(4)
    assert metrics.effective_number(np.array([1.0, 0])) == 1
    assert metrics.effective_number([0.5, 0.25, 0.25]) == pytest.approx(2**1.5)


def test_calibration_error_holds_the_ends_of_the_range():
    assert metrics.expected_calibration_error([0.0, 1.0], [0, 1]) == 0
    assert metrics.expected_calibration_error([0.0, 1.0], [1, 0]) == 1


def test_a_calibrated_forecast_has_a_small_error(rng):
    confidence = rng.random(50_000)
    assert metrics.expected_calibration_error(confidence, rng.random(50_000) < confidence) < 0.01


@pytest.mark.parametrize(
    "score", [metrics.accuracy, metrics.clustering_accuracy, metrics.ari, metrics.one_minus_mse]
)
def test_scores_are_python_floats(score):
    assert type(score(LABELS, LABELS)) is float


@pytest.mark.parametrize(
    ("score", "arguments", "message"),
    [
        (metrics.accuracy, ([1, 2], [1]), r"`predicted` expected .*\(2,\).* got \(1,\)"),
        (metrics.clustering_accuracy, ([1, 2], [1, 2, 3]), r"`components` expected .*\(2,\)"),
        (metrics.nmi, ([], []), "at least one row"),
        (metrics.ssim, (np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 2, 2))), "at least 3 x 3"),
        (metrics.ssim, (np.zeros((1, 8, 8)), np.zeros((1, 8, 8))), r"\(N, C, H, W\)"),
        (metrics.one_minus_mse, (np.zeros((1, 8, 8)), np.zeros((1, 1, 8, 8))), "`others`"),
        (metrics.expected_calibration_error, ([1.5], [1]), r"probabilities in \[0, 1\]; got 1.5"),
        (metrics.expected_calibration_error, ([np.nan], [1]), r"probabilities in \[0, 1\]"),
        (metrics.expected_calibration_error, ([0.5], [1], 0), "`bins` expected at least 1; got 0"),
    ],
)
def test_bad_arguments(score, arguments, message):
    with pytest.raises(ArgumentError, match=message):
        score(*arguments)
