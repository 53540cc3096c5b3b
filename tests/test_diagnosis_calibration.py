"""Confidence against the share of right predictions, from probabilities that are known."""

import numpy as np
import pytest
import torch
from torch import nn
from toys import SHAPE, LinearGaussian, exact_guide

from gmvae.diagnostics.calibration import (
    class_probabilities,
    labelled_reliability,
    reliability,
    simulated_reliability,
)
from gmvae.diagnostics.calibration_rows import sureness
from gmvae.diagnostics.simulation import Simulation, simulate
from gmvae.probability.guide import Guide
from gmvae.support.errors import ArgumentError


def three_classes(n=20_000, seed=0):
    """Probabilities and labels drawn from them."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(3), n)
    truth = (probabilities.cumsum(-1) < rng.random((n, 1))).sum(-1)
    return probabilities, truth


def test_a_calibrated_classifier_has_no_error():
    found = reliability(*three_classes())
    assert found.ece < 0.015
    assert np.abs(found.accuracy - found.confidence)[found.count > 500].max() < 0.05
    assert found.count.sum() == 20_000


def test_a_sharpened_classifier_has_the_known_error():
    probabilities, truth = three_classes()
    sharp = probabilities**3 / (probabilities**3).sum(-1, keepdims=True)
    # It is right as often as the unsharpened top probability says.
    known = (sharp.max(-1) - probabilities.max(-1)).mean()
    assert known > 0.1
    found = reliability(sharp, truth)
    assert found.ece == pytest.approx(known, abs=0.01)
    assert found.excess == pytest.approx(known, abs=0.01)
    assert sureness(found).startswith("too sure by 0.")
    assert sureness(reliability(probabilities, truth)).startswith("no surer than right")


def test_components_are_named_or_matched_for_labels():
    probabilities, truth = three_classes(2_000)
    labels = np.array([8, 1, 4])[truth]
    plain = reliability(probabilities, truth).ece
    assert labelled_reliability(probabilities, labels, (8, 1, 4)).ece == pytest.approx(plain)
    assert labelled_reliability(probabilities, labels, None).ece == pytest.approx(plain)


def test_an_error_sure_of_a_class_that_no_image_has_counts_as_sure():
    probabilities = np.tile([0.01, 0.0, 0.99], (4, 1))
    found = labelled_reliability(probabilities, np.array([1, 1, 4, 4]), (1, 4, 8))
    assert found.confidence.tolist() == pytest.approx([0.99])
    assert found.accuracy.tolist() == [0.0]
    assert found.ece == pytest.approx(0.99)


def test_components_of_one_class_are_added():
    probabilities = np.array([[0.4, 0.5, 0.1], [0.3, 0.3, 0.4]])
    found = labelled_reliability(probabilities, np.array([4, 4]), (4, 4, 8))
    assert found.confidence.tolist() == pytest.approx([0.6, 0.9])
    assert found.accuracy.tolist() == [1.0, 1.0]


def test_calibration_on_simulated_images_knows_the_components():
    truth = LinearGaussian(n_components=3)
    truth.prior.set(
        torch.tensor([0.2, 0.3, 0.5]).double(),
        3 * torch.randn(3, 2).double(),
        torch.eye(2).expand(3, 2, 2).double(),
    )

    class Bayes(nn.Module):
        def forward(self, x):
            truth.x = x
            return truth.log_joint()

    guide = Guide(exact_guide(truth).encoder, Bayes())
    found = simulated_reliability(truth.model, guide, simulate(truth.model, guide, 4_000))
    assert found.ece < 0.03


def of_confidence(top):
    """Probabilities of three classes whose highest, of class 0, are these."""
    top = np.asarray(top)
    return np.stack([top, 0.6 * (1 - top), 0.4 * (1 - top)], axis=1)


def test_bins_are_closed_above():
    """Of four bins each edge belongs to the one below it: 0.5 beside 0.4375, 0.75 beside 0.5625."""
    top = [0.4375, 0.5, 0.5625, 0.75, 0.75, 0.8125, 1.0]
    truth = np.array([0, 1, 0, 0, 2, 1, 0])
    found = reliability(of_confidence(top), truth, bins=4)
    assert found.confidence == pytest.approx([0.9375 / 2, 2.0625 / 3, 1.8125 / 2])
    assert found.accuracy == pytest.approx([1 / 2, 2 / 3, 1 / 2])
    assert found.count.tolist() == [2, 3, 2]
    gaps = [2 * (1 / 2 - 0.9375 / 2), 3 * (2.0625 / 3 - 2 / 3), 2 * (1.8125 / 2 - 1 / 2)]
    assert found.ece == pytest.approx(sum(gaps) / 7)
    # Too sure where it is above 0: the mean confidence less the share of right predictions.
    assert found.excess == pytest.approx(np.mean(top) - 4 / 7)


def test_there_are_fifteen_bins_by_default():
    # Just above and just below the edges of nine bins.
    ends = np.concatenate([np.arange(6, 15) + 0.05, np.arange(6, 15) + 0.95]) / 15
    found = reliability(of_confidence(ends), np.zeros(18))
    assert found.count.tolist() == [2] * 9
    assert found.confidence == pytest.approx((np.arange(6, 15) + 0.5) / 15)


def test_confidence_above_one_for_rounding_counts_as_one():
    found = reliability(np.array([[1 + 1e-7, 0.0], [1.0, 0.0]]), np.array([0, 0]))
    assert (found.confidence.tolist(), found.ece) == ([1.0], 0.0)


def test_a_truth_that_is_no_class_is_never_right():
    found = reliability(of_confidence([0.9, 0.9]), np.array([0, -1]))
    assert found.accuracy.tolist() == [0.5]


@pytest.mark.parametrize(
    ("probabilities", "truth"),
    [((3,), (3,)), ((3, 2), (4,)), ((0, 2), (0,))],
)
def test_probabilities_that_do_not_fit_the_truth_are_refused(probabilities, truth):
    words = (
        f"`probabilities` expected (N, K) and `truth` (N,); got {probabilities} and {truth}. Give "
        "both for the same images, at least one."
    )
    with pytest.raises(ArgumentError) as error:
        reliability(np.ones(probabilities), np.ones(truth))
    assert str(error.value) == words


def test_probabilities_of_classes_are_sums_over_their_components():
    probabilities = np.array([[0.1, 0.2, 0.3, 0.4]])
    found = class_probabilities(probabilities, (7, None, 3, 7), (3, 5, 7))
    assert found == pytest.approx(np.array([[0.3, 0.0, 0.5]]))


def test_components_without_a_class_of_their_own_lose_what_they_get():
    """Three components, two classes: the third, matched to none, is a wrong prediction at best."""
    probabilities = np.array([[0.9, 0.1, 0.0], [0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.2, 0.1, 0.7]])
    found = labelled_reliability(probabilities, np.array([4, 4, 6, 6]), None)
    # The last has 0.2 for class 4 and 0.1 for class 6, and so predicts 4.
    assert found.confidence.tolist() == pytest.approx([0.2, 0.9])
    assert found.accuracy.tolist() == [0.0, 1.0]
    assert found.count.tolist() == [1, 3]


def test_simulated_images_are_classified_in_batches_against_their_components():
    truth = LinearGaussian(n_components=2)

    class ByInk(nn.Module):
        """Sure by 0.8 of component 1 where the first pixel is above 0, else by 0.6 of 0."""

        def forward(self, x):
            above = (x.flatten(1)[:, :1] > 0).double()
            logit = above * np.log(0.8 / 0.2) - (1 - above) * np.log(0.6 / 0.4)
            return torch.cat([torch.zeros_like(logit), logit], dim=1)

    guide = Guide(exact_guide(truth).encoder, ByInk())
    y = torch.arange(2_500) % 2
    signs = torch.where(torch.arange(2_500) % 10 < 3, -1.0, 1.0)
    x = signs[:, None, None, None] * torch.ones(2_500, *SHAPE)
    found = simulated_reliability(truth.model, guide, Simulation(y, torch.zeros(2_500, 2), x))
    # Of every ten images three are taken for component 0, of which 0 and 2 are, and seven for
    # component 1, of which 3, 5, 7 and 9 are.
    assert found.confidence.tolist() == pytest.approx([0.6, 0.8])
    assert found.accuracy.tolist() == pytest.approx([2 / 3, 4 / 7])
    assert found.count.tolist() == [750, 1_750]
