"""Confidence against the share of right predictions, from probabilities that are known."""

import numpy as np
import pytest
import torch
from torch import nn
from toys import LinearGaussian, exact_guide

from gmvae.diagnostics.calibration import labelled_reliability, reliability, simulated_reliability
from gmvae.diagnostics.report import _sureness
from gmvae.diagnostics.simulation import simulate
from gmvae.probability.guide import Guide



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
    assert _sureness(found).startswith("too sure by 0.")
    assert _sureness(reliability(probabilities, truth)).startswith("no surer than right")


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
