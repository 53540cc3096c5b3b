"""Peaks of density whose number, sizes and heights are known."""

import math

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from gmvae.training import density
from gmvae.training.density import DensityTree, embedded


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def clouds(rng, sizes, gap=10.0):
    """Gaussian clouds of these sizes on a line, so many standard deviations apart; whose is whose.

    The order is mixed.
    """
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return np.c_[gap * truth, np.zeros(len(truth))] + rng.normal(size=(len(truth), 2)), truth


@pytest.mark.parametrize("sizes", [(200, 20), (100, 100), (20, 180, 60), (300, 30, 30, 30, 30)])
def test_clouds_of_any_size_are_parted(rng, sizes):
    points, truth = clouds(rng, sizes)
    tree = DensityTree.of(points)
    n_clusters = len(sizes)
    splits = tree.prominences
    # Far above three standard deviations between clouds, and less within them.
    assert splits[n_clusters - 2] > 6
    assert (splits[n_clusters - 1 :] < 3).all()
    assert tree.n_clusters(3.0) == n_clusters
    assert adjusted_rand_score(truth, tree.cut(n_clusters)) == 1


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n", [60, 400])
def test_one_cloud_is_one_cluster(seed, n):
    points = np.random.default_rng(seed).normal(size=(n, 2))
    tree = DensityTree.of(points)
    assert tree.n_clusters(3.0) == 1
    assert not tree.cut(1).any()


def line(gap):
    """Eight points a unit apart, a gap, and eight that are two units apart: no noise."""
    left, right = np.arange(8.0), 7 + gap + 2 * np.arange(8.0)
    return np.c_[np.r_[left, right], np.zeros(16)]


def test_a_prominence_by_hand():
    """Five neighbours tell the density, and five points are the least of a cluster.

    Of eight on a line the fifth neighbour is three steps away for the four in the middle, and four
    steps for the two beside them. So five points on the right are together from 4 x 2 on, and on
    the left from 4 on: the right is the weaker. They meet across the gap.
    """
    tree = DensityTree.of(line(gap=11))
    np.testing.assert_allclose(tree.prominences, [math.sqrt(10) * math.log(11 / 8)])
    assert tree.of_node.shape == (31,)
    assert tree.of_node.argmax() == 30
    assert tree.merges[14, 2] == pytest.approx(11)
    assert set(tree.cut(2)[:8]) != set(tree.cut(2)[8:])


def test_the_valley_is_at_the_lowest_point_on_the_way():
    """One point in the middle of a gap of 20 bridges it.

    Its neighbours are at 10, 10, 11, 12 and 12: the valley is at 12, and neither at 10 nor at 20.
    """
    points = np.concatenate([line(gap=20), [[17.0, 0.0]]])
    tree = DensityTree.of(points)
    np.testing.assert_allclose(tree.prominences, [math.sqrt(10) * math.log(12 / 8)])
    clusters = tree.cut(2)
    # Itself goes to one of its nearest.
    assert (len(set(clusters[:8])), len(set(clusters[8:16])), len(set(clusters))) == (1, 1, 2)


def test_it_does_not_depend_on_the_unit(rng):
    points, _ = clouds(rng, (60, 30))
    one, other = DensityTree.of(points), DensityTree.of(1e6 * points)
    np.testing.assert_allclose(one.prominences, other.prominences)


def test_prominences_are_the_splits_the_largest_first(rng):
    tree = DensityTree.of(rng.normal(size=(300, 2)))
    splits = tree.of_node[tree.of_node > 0]
    assert len(splits) > 1
    assert tree.prominences.tolist() == sorted(splits, reverse=True)
    for least in (0.0, splits.max(), splits.max() + 1e-9):
        assert tree.n_clusters(least) == 1 + (splits >= least).sum()
    # A copy: the tree stays as it is.
    tree.prominences[:] = 7
    assert tree.prominences[0] == splits.max()


@pytest.mark.parametrize("n_clusters", [1, 2, 3, 9])
def test_points_on_top_of_each_other(n_clusters):
    """Three places of 20 points each: no distance within, so the prominence is at its bound."""
    places = np.array([[0.0, 0], [4, 0], [0, 9]])
    truth = np.arange(60) % 3
    tree = DensityTree.of(places[truth])
    most = math.sqrt(10) * math.log(1e12)
    np.testing.assert_allclose(tree.prominences, [most, most])
    clusters = tree.cut(n_clusters)
    # No more than there are.
    assert len(set(clusters)) == min(n_clusters, 3)
    if n_clusters >= 3:
        assert adjusted_rand_score(truth, clusters) == 1


def test_all_points_in_one_place_are_one_cluster():
    tree = DensityTree.of(np.ones((20, 2)))
    assert len(tree.prominences) == 0
    assert tree.n_clusters(3.0) == 1
    assert not tree.cut(4).any()


@pytest.mark.parametrize(("n_far", "n_clusters"), [(5, 1), (6, 2)])
def test_few_far_points_are_outliers(rng, n_far, n_clusters):
    """Of 100 points five neighbours tell the density: of five, the fifth lies across the gap."""
    points, _ = clouds(rng, (100 - n_far, n_far), gap=90.0)
    tree = DensityTree.of(points)
    assert tree.n_clusters(6.0) == n_clusters


@pytest.mark.parametrize(("n_far", "parted"), [(19, False), (20, True)])
def test_a_cluster_holds_one_image_in_a_hundred(rng, n_far, parted):
    """Of 2,000 points twenty; the density is measured by eleven neighbours."""
    points, _ = clouds(rng, (2_000 - n_far, n_far), gap=60.0)
    assert (DensityTree.of(points).n_clusters(6.0) == 2) is parted


@pytest.mark.parametrize(("n", "perplexity"), [(16, 4.0), (100, 10.0), (400, 20.0), (10, 3.0)])
def test_the_embedding_looks_at_the_root_of_their_number(rng, monkeypatch, n, perplexity):
    """But no more than a third of the others."""
    asked = []

    class Embedding:
        def __init__(self, **options):
            asked.append(options)

        def fit_transform(self, points):
            asked.append(points.dtype)
            return points[:, :2]

    monkeypatch.setattr(density, "TSNE", Embedding)
    points = rng.normal(size=(n, 4))
    embedding = embedded(points, seed=5)
    options = {"perplexity": perplexity, "init": "pca", "max_iter": 500, "random_state": 5}
    assert asked == [options, np.float32]
    assert embedding.dtype == np.float64
    assert np.allclose(embedding, points[:, :2])
