"""Modularity by hand, and moves whose right end is known."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score
from toys import blobs

from gmvae.training import communities
from gmvae.training.communities import modularity, moved, refined
from gmvae.training.neighbours import neighbour_graph

# Two triangles, 0 1 2 and 3 4 5, joined by the edge 2 - 3.
EDGES = [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5), (2, 3)]
TRIANGLES = np.array([0, 0, 0, 1, 1, 1])


def graph_of(edges, n, weights=None):
    matrix = np.zeros((n, n))
    for (a, b), weight in zip(edges, weights or [1.0] * len(edges), strict=True):
        matrix[a, b] = matrix[b, a] = weight
    return sparse.csr_array(matrix)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def triangles():
    return graph_of(EDGES, 6)


@pytest.mark.parametrize(
    ("components", "value"),
    [
        # 3 + 3 of 7 edges within; degrees 7 and 7 of 14.
        (TRIANGLES, 6 / 7 - 2 / 4),
        # All in one: every edge within, and all expected there.
        ([0] * 6, 0),
        # 1 and 4 edges within {0, 1} and {2, 3, 4, 5}; degrees 4 and 10.
        ([0, 0, 1, 1, 1, 1], 5 / 7 - (4 / 14) ** 2 - (10 / 14) ** 2),
        # Each node alone: no edge within; degrees 2, 2, 3, 3, 2, 2.
        (range(6), -(4 * (2 / 14) ** 2 + 2 * (3 / 14) ** 2)),
        # A name that no node has changes nothing.
        (3 * TRIANGLES, 6 / 7 - 2 / 4),
    ],
)
def test_modularity_by_hand(triangles, components, value):
    assert modularity(triangles, np.array(components)) == pytest.approx(value, abs=1e-12)


def test_modularity_weighs_the_edges():
    """A path 0 - 1 - 2 of weights 3 and 1, cut at the weaker: degrees 3 + 4 and 1 of 8."""
    graph = graph_of([(0, 1), (1, 2)], 3, [3.0, 1.0])
    value = 6 / 8 - (7 / 8) ** 2 - (1 / 8) ** 2
    assert modularity(graph, np.array([0, 0, 1])) == pytest.approx(value, abs=1e-12)


def test_a_node_on_the_wrong_side_moves_and_no_other(triangles):
    wrong = np.array([0, 0, 1, 1, 1, 1])
    assert np.array_equal(moved(triangles, wrong, 2), TRIANGLES)
    assert wrong.tolist() == [0, 0, 1, 1, 1, 1]
    assert np.array_equal(moved(triangles, TRIANGLES, 2), TRIANGLES)
    assert np.array_equal(moved(triangles, 1 - wrong, 2), 1 - TRIANGLES)


def test_no_component_loses_more_than_half_of_its_edges():
    """Three that would all gain by joining a clique of nine: one may go, the second may not."""
    clique = [(a, b) for a in range(3, 12) for b in range(3, a)]
    tied = [(node, 3 + 3 * node + i) for node in range(3) for i in range(3)]
    graph = graph_of([*clique, *tied], 12, [3.0] * len(clique) + [1.0] * len(tied))
    one, two, all_three = [0, 1, 1, *[0] * 9], [0, 0, 1, *[0] * 9], [0] * 12
    values = [modularity(graph, np.array(components)) for components in (one, two, all_three)]
    assert values == sorted(values)
    assert moved(graph, np.array([1, 1, 1, *[0] * 9]), 2).tolist() == one


def test_the_unit_of_the_weights_matters_not(triangles):
    wrong = np.array([0, 0, 1, 1, 1, 1])
    assert np.array_equal(moved(sparse.csr_array(1e-4 * triangles), wrong, 2), TRIANGLES)
    assert np.array_equal(moved(sparse.csr_array(1e4 * triangles), wrong, 2), TRIANGLES)


@pytest.mark.parametrize("middle", [0, 1])
def test_between_equals_a_node_stays(middle):
    """The middle of a path of five belongs as well to either end."""
    path = graph_of([(0, 1), (1, 2), (2, 3), (3, 4)], 5)
    components = np.array([0, 0, middle, 1, 1])
    assert np.array_equal(moved(path, components, 2), components)


def test_what_lies_within_a_cell_counts_for_no_component_more_than_for_another():
    """The same graph, coarse and fine: a cell with edges within it moves by those without."""
    member = np.repeat(np.eye(6), 2, axis=0)
    fine = np.kron(graph_of(EDGES, 6).toarray(), np.ones((2, 2))) + np.kron(
        np.eye(6), [[0, 1], [1, 0]]
    )
    coarse = sparse.csr_array(member.T @ fine @ member)
    assert coarse.diagonal().min() == 2
    after = moved(coarse, np.array([0, 0, 1, 1, 1, 1]), 2)
    assert np.array_equal(after, TRIANGLES)
    # A cell of heavy edges within, more tied to the other side, is not held back by its weight.
    heavy = graph_of([(0, 1), (1, 2), (2, 3), (0, 4), (3, 5)], 6, [4.0, 1.0, 4.0, 4.0, 4.0])
    heavy = sparse.csr_array(heavy + sparse.csr_array(np.diag([0, 9.0, 0, 0, 0, 0])))
    expected = [0, 0, 1, 1, 0, 1]
    assert moved(heavy, np.array([0, 1, 1, 1, 0, 1]), 2).tolist() == expected


def test_each_move_is_a_gain(rng):
    """Where no single move raises the modularity, nothing moves; what has moved is such a place."""
    points, _ = blobs(rng, n=90, k=3)
    points += 2 * rng.normal(size=points.shape)
    graph = neighbour_graph(points)
    before = rng.integers(3, size=90)
    after = moved(graph, before, 3)
    best = modularity(graph, after)
    assert best > modularity(graph, before)
    assert np.array_equal(moved(graph, after, 3), after)
    for node in range(90):
        for component in range(3):
            other = after.copy()
            other[node] = component
            assert modularity(graph, other) < best + 1e-9


def test_no_component_is_emptied(rng):
    """One blob that is cut in two would gain by being one."""
    points = rng.normal(size=(200, 3))
    cut = (np.arange(200) < 20).astype(np.int64)
    after = moved(neighbour_graph(points), cut, 2)
    assert np.bincount(after, minlength=2).min() >= 8


@pytest.fixture
def island(rng):
    """Two blobs, and 24 points near the first that are given to the second: points, wrong, right.

    The island's points hold together, so that none leaves alone.
    """
    centre = np.array([[0.0, 0.0], [9.0, 0.0], [2.4, 0.0]])
    home = np.repeat([0, 1, 2], [300, 300, 24])
    spread = np.where(home == 2, 0.25, 0.6)[:, None]
    points = centre[home] + spread * rng.normal(size=(624, 2))
    return points, np.where(home == 0, 0, 1), np.where(home == 1, 1, 0)


def test_an_island_on_the_wrong_side_comes_home(rng, island):
    """Only moved as a whole is it right."""
    points, wrong, right = island
    assert adjusted_rand_score(right, moved(neighbour_graph(points), wrong, 2)) < 0.9
    assert np.array_equal(refined(points, wrong, rng), right)


def test_of_all_sizes_of_cells_the_largest_modularity_is_kept(island, monkeypatch):
    """Also where only the middle size helps; and the clusters as they were where none does."""
    points, wrong, right = island
    order = np.random.default_rng(7).permutation(624)
    cells = []
    results = {10: wrong[order], 20: right[order], 40: wrong[order]}

    def moves(graph, components, n_components):
        if graph.shape[0] < 624:
            cells.append(graph.shape[0])
            return components
        return results[cells[-1]]

    monkeypatch.setattr(communities, "moved", moves)
    assert np.array_equal(refined(points, wrong, np.random.default_rng(7)), right)
    # 5, 10 and 20 cells a component; 40 would have fewer than 15 points each.
    assert cells == [10, 20, 40]
    results[20] = wrong[order]
    assert np.array_equal(refined(points, right, np.random.default_rng(7)), right)


def test_cells_go_with_the_majority_of_their_points(rng, island, monkeypatch):
    points, wrong, _ = island
    starts = []

    def moves(graph, components, n_components):
        if graph.shape[0] < 624:
            starts.append((graph, components))
        return components

    monkeypatch.setattr(communities, "moved", moves)
    after = refined(points, wrong, rng)
    assert np.array_equal(after, wrong)
    fine = neighbour_graph(points)
    for graph, components in starts:
        # Every edge of the points is one between cells, or within one.
        assert graph.sum() == fine.sum()
        assert set(components) == {0, 1}


def test_refined_clusters_reach_the_images_that_take_no_part(rng, monkeypatch):
    monkeypatch.setattr(communities, "N_REFINED", 120)
    points, truth = blobs(rng)
    wrong = truth.copy()
    order = np.random.default_rng(7).permutation(240)
    # Wrong where nobody looks: the neighbours that take part put it right.
    wrong[order[120:]] = 0
    assert np.array_equal(refined(points, wrong, np.random.default_rng(7)), truth)


def test_how_many_take_part_and_in_what_cells(rng, monkeypatch):
    """12,000 of more; 5, 10, 20 and 40 cells a component, seeded by the generator."""
    cells, graphs = [], []

    class Cells:
        def __init__(self, n_clusters, **options):
            cells.append((n_clusters, options))

        def fit_predict(self, points):
            return np.zeros(len(points), dtype=int)

    def graph_of_points(points):
        graphs.append(len(points))
        return sparse.eye_array(len(points), format="csr")

    monkeypatch.setattr(communities, "KMeans", Cells)
    monkeypatch.setattr(communities, "neighbour_graph", graph_of_points)
    monkeypatch.setattr(communities, "moved", lambda graph, components, k: components)
    components = np.arange(12_001) % 2
    after = refined(np.arange(12_001.0)[:, None], components, np.random.default_rng(3))
    again = np.random.default_rng(3)
    again.permutation(12_001)
    options = {"max_iter": 20, "random_state": again.integers(2**31)}
    assert graphs == [12_000]
    assert cells == [(n, options) for n in (10, 20, 40, 80)]
    assert len(after) == 12_001
