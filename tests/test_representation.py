"""A learned representation and the pixels beside it, by value."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score
from toys import blobs

from gmvae.training.clustering import find_clusters
from gmvae.training.representation import PIXEL_SHARE, beside, principal_axes


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_principal_axes_are_those_of_the_singular_values(rng):
    pixels = rng.normal(size=(30, 8)) * np.arange(1, 9)
    mean, axes = principal_axes(pixels)
    _, _, expected = np.linalg.svd(pixels - pixels.mean(0), full_matrices=False)
    assert np.allclose(mean, pixels.mean(0))
    assert np.allclose(np.abs(axes @ expected.T), np.eye(8), atol=1e-9)


@pytest.mark.parametrize(("shape", "n"), [((200, 90), 50), ((20, 90), 20), ((200, 9), 9)])
def test_up_to_fifty_axes(rng, shape, n):
    assert principal_axes(rng.normal(size=shape))[1].shape == (n, shape[1])


@pytest.mark.parametrize(("share", "deviation"), [({}, 0.5), ({"share": 2.0}, 2.0)])
def test_parts_side_by_side_by_hand(share, deviation):
    """Standard deviations around the mean: 5 of the learned (3 and 4), 2 of the pixels."""
    learned = np.array([[1.0, 4], [7, 4], [1, 12], [7, 12]])
    pixels = np.array([[10.0], [14], [10], [14]])
    expected = np.c_[learned / 5, deviation * pixels / 2]
    np.testing.assert_allclose(beside(learned, pixels, **share)[:], expected)


def test_pixels_part_what_the_representation_lays_together(rng):
    """Two kinds of image that the representation cannot tell apart, four that it can."""
    learned, kinds = blobs(rng, n=240, k=4)
    pixels = np.where((kinds == 0) & (np.arange(240) % 8 < 4), 30.0, 0.0)[:, None]
    pixels = pixels + rng.normal(size=(240, 3))
    truth = np.where(pixels[:, 0] > 15, 4, kinds)
    joined = beside(learned, pixels)
    assert adjusted_rand_score(truth, find_clusters(joined, 5, rng).components) == 1
    assert adjusted_rand_score(truth, find_clusters(learned, 5, rng).components) < 0.99


def test_parts_are_weighed_whatever_their_units(rng):
    learned, pixels = rng.normal(size=(50, 3)), rng.normal(size=(50, 4))
    one, other = beside(learned, pixels)[:], beside(1e3 * learned, 1e-3 * pixels)[:]
    assert np.allclose(one, other)
    assert one[:, :3].var(0).sum() == pytest.approx(1)
    assert one[:, 3:].var(0).sum() == pytest.approx(PIXEL_SHARE**2)
    same = beside(learned, np.ones((50, 4)))[:]
    assert np.allclose(same[:, 3:], PIXEL_SHARE)
