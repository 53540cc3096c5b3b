"""Places that keep neighbours neighbours."""

import numpy as np
import pytest

from gmvae.training.places import centres, place


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def smallest_gap(means):
    distances = np.linalg.norm(means[:, None] - means[None], axis=-1)
    return distances[~np.eye(len(means), dtype=bool)].min()


def test_centres(rng):
    data = rng.normal(size=(10, 3))
    components = np.array([0] * 6 + [2] * 4)
    means = centres(data, components, 4)
    assert means.shape == (4, 3)
    np.testing.assert_allclose(means[[0, 2]], [data[:6].mean(0), data[6:].mean(0)])
    np.testing.assert_allclose(means[[1, 3]], [data.mean(0)] * 2)


@pytest.mark.parametrize(("k", "width", "d"), [(4, 6, 3), (4, 6, 5), (3, 2, 8), (10, 10, 10)])
def test_places_in_a_wide_latent_keep_all_proportions(rng, k, width, d):
    """Up to D >= min(K - 1, W) nothing is lost: distances are the centroids', in scale."""
    centroids = rng.normal(size=(k, width))
    means = place(centroids, d, gap=5.0)
    assert means.shape == (k, d)
    assert smallest_gap(means) == pytest.approx(5)
    scale = 5 / smallest_gap(centroids)
    before = np.linalg.norm(centroids[:, None] - centroids[None], axis=-1)
    after = np.linalg.norm(means[:, None] - means[None], axis=-1)
    np.testing.assert_allclose(after, scale * before, atol=1e-9)


@pytest.mark.parametrize("d", [1, 2, 3, 10])
@pytest.mark.parametrize("k", [1, 2, 3, 12])
def test_the_closest_two_lie_a_gap_apart(rng, k, d):
    means = place(rng.normal(size=(k, 10)), d, gap=5.0)
    assert means.shape == (k, d)
    np.testing.assert_allclose(means.mean(0), 0, atol=1e-9)
    if k > 1:
        assert smallest_gap(means) == pytest.approx(5)


def test_a_line_keeps_its_order():
    centroids = np.array([[0.0, 0], [3, 0], [3.01, 0], [9, 0]])
    line = place(centroids, 1, gap=2.0)[:, 0]
    np.testing.assert_allclose(np.sort(line), [-3, -1, 1, 3])
    assert np.argsort(line).tolist() in ([0, 1, 2, 3], [3, 2, 1, 0])


def test_a_ring_keeps_its_order():
    angles = np.array([0.0, 0.05, 2.0, 4.0])
    ring = place(np.c_[np.cos(angles), np.sin(angles)], 2, gap=2.0)
    np.testing.assert_allclose(np.linalg.norm(ring, axis=1), np.sqrt(2))
    steps = np.diff(np.unwrap(np.arctan2(ring[:, 1], ring[:, 0])))
    np.testing.assert_allclose(np.abs(steps), np.pi / 2)


@pytest.mark.parametrize("d", [1, 2, 3, 10])
def test_centroids_on_top_of_each_other_have_finite_places(d):
    """Two empty clusters both lie in the middle."""
    centroids = np.array([[4.0, 0, 0], [0, 4, 0], [0, 0, 0], [0, 0, 0], [1, 1, 4]])
    assert np.isfinite(place(centroids, d, gap=5.0)).all()
    assert np.isfinite(place(np.zeros((3, 3)), d, gap=5.0)).all()


@pytest.mark.parametrize(
    ("closest", "proportions"), [(2.1, True), (2.0, False)], ids=["kept", "evened out"]
)
@pytest.mark.parametrize("d", [1, 2])
def test_proportions_are_kept_from_a_fifth_on(d, closest, proportions):
    """Three on a line, the closest two at a fifth of the farthest, or a little more."""
    line = place(np.array([[0.0], [closest], [10.0]]), d, gap=1.0)
    gaps = [np.linalg.norm(line[b] - line[a]) for a, b in ((0, 1), (1, 2))]
    assert gaps == pytest.approx([1, (10 - closest) / closest if proportions else 1])


def test_in_three_dimensions_proportions_are_always_kept():
    means = place(np.array([[0.0], [1.0], [10.0]]), 3, gap=2.0)
    gaps = [np.linalg.norm(means[b] - means[a]) for a, b in ((0, 1), (1, 2))]
    assert gaps == pytest.approx([2, 18])


def test_copies_stay_copies_and_set_no_scale():
    """The first two are one; the third lies a gap from both."""
    means = place(np.array([[0.0, 0, 0], [0, 0, 0], [3, 0, 0]]), 3, gap=5.0)
    np.testing.assert_allclose(means[0], means[1], atol=1e-9)
    assert np.linalg.norm(means[2] - means[0]) == pytest.approx(5)
    assert np.array_equal(place(np.ones((3, 4)), 3, gap=5.0), np.zeros((3, 3)))


def test_the_leading_axes_are_kept():
    """Of a rectangle of sides 6 and 4 with little height, the plane."""
    centroids = np.array(
        [
            [x, y, h]
            for (x, y), h in zip([(0, 0), (6, 0), (0, 4), (6, 4)], (0, 0.1, 0.1, 0), strict=True)
        ]
    )
    means = place(centroids, 2, gap=4.0)
    assert np.linalg.norm(means[1] - means[0]) == pytest.approx(6, abs=0.01)
    assert np.linalg.norm(means[2] - means[0]) == pytest.approx(4, abs=0.01)


@pytest.mark.parametrize("latent_dim", [3, 12])
def test_clusters_that_all_lie_in_one_point_stay_there(latent_dim):
    """As where all images are in one cluster: only rounding tells the centroids apart."""
    centroids = np.full((3, 8), 0.1 + 0.2)
    centroids[1] *= 1 + 1e-16
    centroids[2, 0] += 1e-17
    means = place(np.concatenate([centroids, centroids + 1e-16]), latent_dim, 5.0)
    np.testing.assert_array_equal(means, np.zeros((6, latent_dim)))
