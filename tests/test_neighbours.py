"""Neighbours by brute force, smoothing by hand."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.neighbors import NearestNeighbors
from toys import blobs

from gmvae.training import neighbours
from gmvae.training.neighbours import (
    extended,
    mutual_graph,
    mutuality,
    n_neighbours,
    nearest,
    neighbour_graph,
    smoothed,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def by_distance(points):
    """Rows of all other points, the nearest first, (N, N - 1)."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    return np.argsort(distance, axis=1)[:, :-1]


@pytest.mark.parametrize(("n", "most", "k"), [(100, 15, 15), (16, 15, 15), (15, 15, 14), (9, 3, 3)])
def test_no_more_neighbours_than_others(n, most, k):
    assert n_neighbours(n, most) == k


def test_fifteen_neighbours_by_default():
    assert n_neighbours(100) == 15


@pytest.mark.parametrize("most", [1, 4])
def test_an_edge_joins_a_point_and_its_neighbour_whichever_is_whose(rng, most):
    points = rng.normal(size=(40, 3))
    expected = np.zeros((40, 40))
    for row, others in enumerate(by_distance(points)[:, :most]):
        expected[row, others] = expected[others, row] = 1
    # Not all neighbours are so of each other: the graph is wider than its half.
    assert expected.sum() > 40 * most
    assert np.array_equal(neighbour_graph(points, most).toarray(), expected)


def test_the_graph_of_few_points_joins_all_of_them():
    graph = neighbour_graph(np.arange(4.0)[:, None]).toarray()
    assert np.array_equal(graph, 1 - np.eye(4))


def test_smoothing_by_hand():
    """Four points along a path 0 - 1 - 2 - 3: each becomes the mean of itself and those beside."""
    path = sparse.csr_array(np.diag([1.0, 1, 1], 1) + np.diag([1.0, 1, 1], -1))
    points = np.array([[0.0, 12], [6, 0], [0, 0], [12, 0]])
    once = np.array([[3.0, 6], [2, 4], [6, 0], [6, 0]])
    twice = np.array([[2.5, 5], [11 / 3, 10 / 3], [14 / 3, 4 / 3], [6, 0]])
    np.testing.assert_allclose(smoothed(points, path, 0), points)
    np.testing.assert_allclose(smoothed(points, path, 1), once)
    np.testing.assert_allclose(smoothed(points, path, 2), twice)


def test_nearest_neighbours_by_brute_force(rng):
    points = rng.normal(size=(40, 3))
    expected = np.sort(by_distance(points)[:, :4], axis=1)
    assert np.array_equal(np.sort(nearest(points, 4, rng), axis=1), expected)


def test_no_image_is_its_own_neighbour_among_copies(rng):
    rows = nearest(np.zeros((30, 2)), 5, rng)
    assert rows.shape == (30, 5)
    assert not (rows == np.arange(30)[:, None]).any()
    assert np.sort(nearest(np.zeros((3, 2)), 5, rng), axis=1).tolist() == [[1, 2], [0, 2], [0, 1]]


def test_neighbours_are_looked_for_among_a_part_of_many(rng, monkeypatch):
    """Those that the generator puts first; a point outside loses the farthest of one too many."""
    monkeypatch.setattr(neighbours, "N_SEARCHED", 60)
    points, truth = blobs(rng)
    searched = np.random.default_rng(5).permutation(240)[:60]
    rows = nearest(points, 3, np.random.default_rng(5))
    order = by_distance(points)
    expected = [[other for other in others if other in set(searched)][:3] for others in order]
    assert np.array_equal(np.sort(rows, axis=1), np.sort(expected, axis=1))
    assert (truth[rows] == truth[:, None]).all()


def test_neighbours_of_views_are_those_of_where_the_views_lie(rng):
    """By sorting all distances; a point is not its own view's neighbour, however near."""
    points = rng.normal(size=(40, 3))
    views = points + 0.5 * rng.normal(size=(40, 3))
    distances = np.linalg.norm(views[:, None] - points[None], axis=-1)
    np.fill_diagonal(distances, np.inf)
    expected = np.sort(np.argsort(distances, axis=1)[:, :4], axis=1)
    assert np.array_equal(np.sort(nearest(points, 4, rng, views), axis=1), expected)


def test_the_mutual_graph_counts_how_often():
    graph = mutual_graph(np.array([[1, 1], [0, 2], [0, 1]]))
    assert graph.toarray().tolist() == [[0, 3, 1], [3, 0, 2], [1, 2, 0]]


def test_the_rest_takes_the_majority_of_its_nearest(rng):
    """The first 60 in the order keep their components; others take those of their 15 nearest."""
    points = rng.normal(size=(200, 2))
    order = rng.permutation(200)
    first, rest = order[:60], order[60:]
    of_first = rng.integers(3, size=60)
    expected = np.empty(200, dtype=int)
    expected[first] = of_first
    for row in rest:
        by_near = np.argsort(np.linalg.norm(points[first] - points[row], axis=1))[:15]
        expected[row] = np.bincount(of_first[by_near]).argmax()
    assert np.array_equal(extended(of_first, points, order), expected)


def test_where_all_are_first_there_is_nothing_to_extend(rng):
    order = rng.permutation(9)
    components = extended(np.arange(9), rng.normal(size=(9, 2)), order)
    assert np.array_equal(components[order], np.arange(9))


def test_several_clusterings_are_extended_as_each_alone(rng):
    points, _ = blobs(rng)
    order = rng.permutation(240)
    clusterings = rng.integers(4, size=(80, 3))
    together = extended(clusterings, points, order)
    assert together.shape == (240, 3)
    for column in range(3):
        alone = extended(clusterings[:, column], points, order)
        assert np.array_equal(together[:, column], alone)


def test_mutuality_by_hand():
    """Ten are looked at: in groups of eleven all are each other's."""
    rng = np.random.default_rng(0)
    groups = np.concatenate([rng.normal(size=(11, 3)), 100 + rng.normal(size=(11, 3))])
    assert mutuality(groups, 10) == 1
    # In many dimensions the middle of a cloud is near to all of it.
    cloud = rng.normal(size=(300, 100))
    near = NearestNeighbors(n_neighbors=11).fit(cloud).kneighbors(cloud, return_distance=False)
    own = [set(row) - {i} for i, row in enumerate(near)]
    by_hand = np.mean([i in own[j] for i in range(300) for j in own[i]])
    assert mutuality(cloud, 10) == pytest.approx(by_hand)
    assert mutuality(cloud, 10) < 0.5
