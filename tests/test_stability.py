"""Clusters that are found again, peaks and modes: of clouds where the answer is known."""

import numpy as np
import pytest

from gmvae.training.density import DensityTree
from gmvae.training.neighbours import mutual_graph
from gmvae.training.stability import Evidence, are_peaks, jaccard, modes, stability


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def clouds(rng, sizes, apart=20.0, n_dimensions=5):
    """Normal clouds so many standard deviations apart along an axis each, and which is whose."""
    kinds = np.repeat(np.arange(len(sizes)), sizes)
    middles = apart / np.sqrt(2) * np.eye(len(sizes), n_dimensions)
    return middles[kinds] + rng.normal(size=(len(kinds), n_dimensions)), kinds


class TestJaccard:
    def test_by_its_formula(self):
        """Of 0: 3 of 4 with the one, 1 of 5 with the other; of 1: 2 of 3, 0."""
        clusters = np.array([0, 0, 0, 0, 1, 1])
        others = np.array([4, 4, 4, 2, 2, 2])
        assert jaccard(clusters, others, 2) == pytest.approx([3 / 4, 2 / 3])

    def test_the_same_under_other_numbers_is_1_and_an_empty_one_0(self):
        clusters = np.array([0, 0, 2, 2, 2])
        assert jaccard(clusters, 5 - clusters, 4).tolist() == [1, 0, 1, 0]


class TestStability:
    @pytest.mark.parametrize("sizes", [(60, 60, 60), (120, 40, 15)])
    def test_clouds_are_found_again_whatever_their_sizes(self, rng, sizes):
        points, kinds = clouds(rng, sizes)
        assert stability(points, kinds, 3, seed=0) == pytest.approx([1, 1, 1])

    def test_cuts_through_a_cloud_are_not_and_the_other_cloud_is(self, rng):
        points, kinds = clouds(rng, (90, 60))
        # The first cloud in three, along an axis of no meaning.
        thirds = np.digitize(points[:, 4], [-0.5, 0.5])
        clusters = np.where(kinds == 1, 3, thirds)
        of_each = stability(points, clusters, 4, seed=0)
        assert of_each[3] > 0.75
        assert (of_each[:3] < 0.75).all()

    def test_the_same_seed_gives_the_same(self, rng):
        points = rng.normal(size=(80, 4))
        clusters = (points[:, 0] > 0).astype(int)
        one, other, another = (stability(points, clusters, 2, seed) for seed in (0, 0, 1))
        assert np.array_equal(one, other)
        assert not np.array_equal(one, another)

    def test_what_views_alone_tell_apart_is_found_by_them(self, rng):
        """Of noise no method finds the halves that have nothing to do with it; views do."""
        points = rng.normal(size=(80, 4))
        halves = np.arange(80) % 2
        neighbours = np.stack([rng.choice(np.flatnonzero(halves == h), 12) for h in halves])
        by_views = mutual_graph(neighbours)
        assert stability(points, halves, 2, seed=0).max() < 0.6
        assert stability(points, halves, 2, seed=0, by_views=by_views) == pytest.approx(
            [1, 1], abs=0.1
        )


class TestPeaksAndModes:
    """Four clouds in the plane, each a peak that stands out by far."""

    @pytest.fixture
    def plane(self, rng):
        kinds = np.repeat(np.arange(4), 50)
        corners = np.array([[0, 0], [30, 0], [0, 40], [45, 45]])
        return DensityTree.of(corners[kinds] + rng.normal(size=(200, 2))), kinds

    def test_a_cloud_is_a_peak_and_a_cut_is_none(self, plane):
        tree, kinds = plane
        assert are_peaks(tree, kinds, 4).all()
        half = np.arange(200) % 2
        clusters = np.where(kinds == 3, 3 + half, kinds)
        assert are_peaks(tree, clusters, 6).tolist() == [True, True, True, False, False, False]

    def test_two_clouds_that_one_split_parts_from_the_rest_are_a_peak_too(self, plane):
        """The nearest two, 0 and 1, are parted last."""
        tree, kinds = plane
        assert are_peaks(tree, np.maximum(kinds - 1, 0), 3).all()
        # The two farthest, that no split leaves together.
        assert are_peaks(tree, np.array([0, 1, 2, 0])[kinds], 3).tolist() == [False, True, True]

    def test_of_one_cloud_nothing_is_a_peak(self, rng):
        tree = DensityTree.of(rng.normal(size=(100, 2)))
        assert not are_peaks(tree, np.arange(100) % 2, 2).any()
        assert modes(tree, np.zeros(100, dtype=int), 1).tolist() == [[1, 0]]

    def test_the_two_largest_peaks_of_each(self, plane):
        tree, kinds = plane
        clusters = np.array([0, 0, 0, 2])[kinds]
        clusters[kinds == 2] = np.where(np.arange(50) < 30, 0, 1)
        # Of 130: two peaks of 50 and one of 30. Of the 20: no peak is theirs.
        expected = [[50 / 130, 50 / 130], [0, 0], [1, 0], [0, 0]]
        np.testing.assert_allclose(modes(tree, clusters, 4), expected)


def test_all_of_it_together(rng):
    points, kinds = clouds(rng, (60, 30, 60))
    together = np.array([0, 1, 0])[kinds]
    found = Evidence.of(points, together, 2, seed=0)
    assert found.shares == pytest.approx([0.8, 0.2])
    assert found.peaks.tolist() == [False, True] or found.peaks.all()
    assert found.modes[0] == pytest.approx([0.5, 0.5])
    assert found.modes[1] == pytest.approx([1, 0])
    assert np.array_equal(found.stabilities, stability(points, together, 2, 0))
