"""Judges of clusterings: each against its formula, written here; and whom they nominate."""

import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.covariance import ledoit_wolf

from gmvae.metrics import effective_number
from gmvae.training.communities import assortativity
from gmvae.training.judges import evenness, mixture_density, nominees
from gmvae.training.neighbours import neighbour_graph


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def four_blobs(rng, n=200):
    """Points (N, 8) around four corners, and where each belongs."""
    truth = np.arange(n) % 4
    corners = 10 * np.eye(8)[:4]
    return corners[truth] + rng.normal(size=(n, 8)), truth


@pytest.mark.parametrize("right_one", [0, 1, 2])
def test_clusterings_that_mislead_are_overruled(rng, right_one):
    """All others merge two clusters and cut another; the truth is every judge's favourite."""
    data, truth = four_blobs(rng)
    wrong = np.where(truth == 3, 2, np.where((truth == 0) & (data[:, 5] > 0), 3, truth))
    tried = [wrong] * 3
    tried[right_one] = truth
    (only,) = nominees(tried, data, data, 4)
    assert only is truth


def test_each_judge_has_its_favourite():
    """Assortativity, and the effective number once and four times, and the pixels' density."""
    rng = np.random.default_rng(0)
    data, pixels = rng.normal(size=(150, 2)), rng.normal(size=(150, 20))
    tried = [rng.choice(3, size=150, p=p) for p in rng.dirichlet([9, 5, 4], 60)]
    graph = neighbour_graph(data, 5)
    apart = np.array([assortativity(graph, c) for c in tried])
    effective = np.array([effective_number(np.bincount(c, minlength=3) / 150) for c in tried])
    even = 0.005 * math.sqrt(4000 / 150) * effective
    density = np.array([mixture_density(pixels[:, :15], c) for c in tried])
    favourites = [np.argmax(m) for m in (apart + even, apart + 4 * even, apart + 0.03 * density)]
    assert len(set(favourites)) == 3
    chosen = nominees(tried, data, pixels, 3)
    assert [id(c) for c in chosen] == [id(tried[i]) for i in favourites]
    without_pixels = nominees(tried, data, None, 3)
    assert [id(c) for c in without_pixels] == [id(tried[i]) for i in favourites[:2]]


def test_two_that_say_the_same_are_one_nominee(rng):
    """Other numbers of the same clusters, and one image of four hundred elsewhere."""
    data, truth = four_blobs(rng, 400)
    moved = (truth + 1) % 4
    moved[0] = (moved[0] + 1) % 4
    assert len(nominees([truth, moved, 3 - truth], data, data, 4)) == 1


def test_between_clusterings_nearly_as_good_the_more_even_one_comes_first(rng):
    """Three clouds in two clusters: assortativity is 1 for both."""
    truth = np.repeat([0, 1, 2], [100, 100, 10])
    data = np.array([[0.0, 0], [90, 0], [0, 90]])[truth] + rng.normal(size=(210, 2))
    by_sizes = [np.where(truth == 2, 0, truth), np.where(truth == 1, 0, truth // 2)]
    graph = neighbour_graph(data, 5)
    assert [assortativity(graph, c) for c in by_sizes] == pytest.approx([1, 1])
    assert nominees(by_sizes[::-1], data, None, 2)[0] is by_sizes[0]


@pytest.mark.parametrize(("n_small", "small_wins"), [(1, False), (2, False), (3, True)])
def test_a_clustering_with_a_cluster_below_one_in_a_hundred_comes_last(rng, n_small, small_wins):
    """Of 300 points, three; even where what it parts lies farther off than all else."""
    data = rng.normal(size=(300, 2))
    data[:n_small] += 1e3
    small, random = (np.arange(300) < n_small).astype(int), rng.integers(2, size=300)
    assert (nominees([random, small], data, None, 2)[0] is small) is small_wins


def test_one_with_too_small_a_cluster_where_there_is_no_other(rng):
    data = rng.normal(size=(300, 2))
    small = (np.arange(300) < 1).astype(int)
    assert nominees([small], data, data, 2)[0] is small


@pytest.mark.parametrize("n", [100, 4000])
def test_evenness_is_worth_more_among_fewer(n):
    components = np.arange(n) % 2
    assert evenness(components, 2) == pytest.approx(0.005 * math.sqrt(4000 / n) * 2)


def test_the_density_is_that_of_gaussians_of_the_other_half(rng):
    """SciPy's density, each half fitted and scored in turn."""
    components = rng.integers(2, size=80)
    points = rng.normal(size=(80, 3)) * [1, 2, 3] + 4 * components[:, None]
    floor = 1e-4 * points.var(0).mean() * np.eye(3)
    values = []
    for fitted, scored in (
        (slice(0, None, 2), slice(1, None, 2)),
        (slice(1, None, 2), slice(0, None, 2)),
    ):
        density = 0.0
        for k in range(2):
            members = points[fitted][components[fitted] == k]
            covariance = ledoit_wolf(members)[0] + floor
            normal = multivariate_normal(members.mean(0), covariance)
            density += len(members) / 40 * normal.pdf(points[scored])
        values.append(np.log(density).mean())
    assert mixture_density(points, components) == pytest.approx(np.mean(values), rel=1e-9)


def test_the_density_knows_clusters_laid_together_and_cut(rng):
    data, truth = four_blobs(rng)
    wrong = np.where(truth == 3, 2, np.where((truth == 0) & (data[:, 5] > 0), 3, truth))
    assert mixture_density(data, truth) > mixture_density(data, wrong) + 0.1


def test_a_component_of_one_image_has_no_density_of_its_own(rng):
    data = rng.normal(size=(20, 2))
    lonely = (np.arange(20) == 0).astype(int)
    assert np.isfinite(mixture_density(data, lonely))
    assert mixture_density(data[:2], np.arange(2)) == -np.inf
