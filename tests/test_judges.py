"""Judges of clusterings: each against its formula, written here; and whom they nominate."""

import math

import numpy as np
import pytest

from gmvae.metrics import effective_number
from gmvae.training.communities import assortativity
from gmvae.training.judges import best, evenness, nominees
from gmvae.training.neighbours import mutual_graph, neighbour_graph


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
    (only,), _ = nominees(tried, data, 4, neighbour_graph(data))
    assert only is truth


def judged(seed=7):
    """Points without clusters, random clusterings of them, and three judges' merits."""
    rng = np.random.default_rng(seed)
    data, by_views = rng.normal(size=(150, 2)), mutual_graph(rng.integers(150, size=(150, 6)))
    tried = [rng.choice(3, size=150, p=p) for p in rng.dirichlet([9, 5, 4], 60)]
    graph = neighbour_graph(data, 5)
    apart = np.array([assortativity(graph, c) for c in tried])
    effective = np.array([effective_number(np.bincount(c, minlength=3) / 150) for c in tried])
    even = 0.005 * math.sqrt(4000 / 150) * effective
    of_views = np.array([assortativity(by_views, c) for c in tried])
    return data, by_views, tried, [apart + even, apart + 4 * even, apart + of_views]


def test_each_judge_has_its_favourite():
    """Assortativity, and the effective number once and four times, and the views' graph."""
    data, by_views, tried, merits = judged()
    favourites = [int(np.argmax(merit)) for merit in merits]
    assert len(set(favourites)) == 3
    chosen, values = nominees(tried, data, 3, by_views)
    assert [id(c) for c in chosen] == [id(tried[i]) for i in favourites]
    # What the first judge says of each, less what the largest of many is too large by.
    np.testing.assert_allclose(values, merits[0][favourites] - 0.045, rtol=1e-12)
    without_views, _ = nominees(tried, data, 3)
    assert [id(c) for c in without_views] == [id(tried[i]) for i in favourites[:2]]


def test_what_is_favoured_is_nominated_but_not_where_it_is_too_small():
    data, by_views, tried, merits = judged()
    last = int(np.argmin(merits[0]))
    chosen, values = nominees(tried, data, 3, by_views, [tried[last]])
    assert chosen[-1] is tried[last]
    assert values[-1] == pytest.approx(merits[0][last])
    lonely = (np.arange(150) < 1).astype(int)
    chosen, _ = nominees([*tried, lonely], data, 3, by_views, [lonely])
    assert all(c is not lonely for c in chosen)


def test_a_favourite_that_says_what_is_favoured_has_its_merit(rng):
    """Other numbers of the same clusters: one nominee, which is not the worse for its number."""
    data, truth = four_blobs(rng, 400)
    again = 3 - truth
    (only,), alone = nominees([truth], data, 4)
    (same,), both = nominees([truth, again], data, 4, favoured=[again])
    assert only is same is truth
    assert both == pytest.approx(alone + 0.045)


def test_two_that_say_the_same_are_one_nominee(rng):
    """Other numbers of the same clusters, and one image of four hundred elsewhere."""
    data, truth = four_blobs(rng, 400)
    moved = (truth + 1) % 4
    moved[0] = (moved[0] + 1) % 4
    assert len(nominees([truth, moved, 3 - truth], data, 4)[0]) == 1


def test_between_clusterings_nearly_as_good_the_more_even_one_comes_first(rng):
    """Three clouds in two clusters: assortativity is 1 for both."""
    truth = np.repeat([0, 1, 2], [100, 100, 10])
    data = np.array([[0.0, 0], [90, 0], [0, 90]])[truth] + rng.normal(size=(210, 2))
    by_sizes = [np.where(truth == 2, 0, truth), np.where(truth == 1, 0, truth // 2)]
    graph = neighbour_graph(data, 5)
    assert [assortativity(graph, c) for c in by_sizes] == pytest.approx([1, 1])
    assert nominees(by_sizes[::-1], data, 2)[0][0] is by_sizes[0]


@pytest.mark.parametrize(("n_small", "small_wins"), [(1, False), (2, False), (3, True)])
def test_a_clustering_with_a_cluster_below_one_in_a_hundred_comes_last(rng, n_small, small_wins):
    """Of 300 points, three; even where what it parts lies farther off than all else."""
    data = rng.normal(size=(300, 2))
    data[:n_small] += 1e3
    small, random = (np.arange(300) < n_small).astype(int), rng.integers(2, size=300)
    assert (nominees([random, small], data, 2)[0][0] is small) is small_wins


def test_one_with_too_small_a_cluster_where_there_is_no_other(rng):
    data = rng.normal(size=(300, 2))
    small = (np.arange(300) < 1).astype(int)
    assert nominees([small], data, 2)[0][0] is small


@pytest.mark.parametrize("n", [100, 4000])
def test_evenness_is_worth_more_among_fewer(n):
    components = np.arange(n) % 2
    assert evenness(components, 2) == pytest.approx(0.005 * math.sqrt(4000 / n) * 2)


@pytest.mark.parametrize("right_one", [0, 1, 2])
def test_the_best_is_the_first_judges_on_the_same_images(rng, right_one, monkeypatch):
    """By its formula, on 150 of 200 points; and of those clusterings the truth."""
    monkeypatch.setattr("gmvae.training.judges._N_LOOKED_AT", 150)
    data, truth = four_blobs(rng)
    tried = [rng.integers(0, 4, 200) for _ in range(3)]
    rows = np.random.default_rng(3).permutation(200)[:150]
    graph = neighbour_graph(data[rows], 5)
    merits = [assortativity(graph, c[rows]) + evenness(c[rows], 4) for c in tried]
    assert best(tried, data, 4, np.random.default_rng(3)) is tried[int(np.argmax(merits))]
    tried[right_one] = truth
    assert best(tried, data, 4, rng) is truth
