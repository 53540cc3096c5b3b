"""Assortativity by hand, and beside modularity."""

import numpy as np
import pytest
from scipy import sparse

from gmvae.training.communities import assortativity

# Two triangles, 0 1 2 and 3 4 5, joined by the edge 2 - 3.
EDGES = [(0, 1), (0, 2), (1, 2), (3, 4), (3, 5), (4, 5), (2, 3)]
TRIANGLES = np.array([0, 0, 0, 1, 1, 1])


def graph_of(edges, n, weights=None):
    matrix = np.zeros((n, n))
    for (a, b), weight in zip(edges, weights or [1.0] * len(edges), strict=True):
        matrix[a, b] = matrix[b, a] = weight
    return sparse.csr_array(matrix)


@pytest.fixture
def triangles():
    return graph_of(EDGES, 6)


@pytest.mark.parametrize(
    ("components", "within", "shares"),
    [
        # 3 + 3 of 7 edges within; degrees 7 and 7 of 14: (6/7 - 1/2) / (1/2).
        (TRIANGLES, 6 / 7, [7 / 14, 7 / 14]),
        # 1 and 4 edges within {0, 1} and {2, 3, 4, 5}; degrees 4 and 10.
        ([0, 0, 1, 1, 1, 1], 5 / 7, [4 / 14, 10 / 14]),
        # Each node alone: no edge within; degrees 2, 2, 3, 3, 2, 2.
        (range(6), 0, [2 / 14, 2 / 14, 3 / 14, 3 / 14, 2 / 14, 2 / 14]),
        # A name that no node has changes nothing.
        (3 * TRIANGLES, 6 / 7, [7 / 14, 7 / 14]),
    ],
)
def test_assortativity_by_hand(triangles, components, within, shares):
    """The modularity, of what it could be by components of these shares of the degrees."""
    by_chance = sum(share**2 for share in shares)
    modularity = within - by_chance
    value = assortativity(triangles, np.array(components))
    assert value == pytest.approx(modularity / (1 - by_chance), abs=1e-12)


def test_the_two_triangles_in_a_number(triangles):
    assert assortativity(triangles, TRIANGLES) == pytest.approx(5 / 7, abs=1e-12)


def test_one_component_alone_tells_nothing_apart(triangles):
    assert assortativity(triangles, np.zeros(6, dtype=int)) == 0


def test_edges_all_within_are_1_whatever_the_sizes():
    """A triangle and a clique of 12 without an edge between, whose modularity is .083."""
    clique = [(a, b) for a in range(3, 15) for b in range(3, a)]
    graph = graph_of([(0, 1), (0, 2), (1, 2), *clique], 15)
    components = np.array([0] * 3 + [1] * 12)
    share = 6 / (6 + 2 * len(clique))
    assert 1 - share**2 - (1 - share) ** 2 == pytest.approx(0.083, abs=1e-3)
    assert assortativity(graph, components) == pytest.approx(1, abs=1e-12)


def test_the_weights_of_edges_count():
    """A path 0 - 1 - 2 of weights 3 and 1, cut at the weaker: degrees 3 + 4 and 1 of 8."""
    graph = graph_of([(0, 1), (1, 2)], 3, [3.0, 1.0])
    by_chance = (7 / 8) ** 2 + (1 / 8) ** 2
    expected = (6 / 8 - by_chance) / (1 - by_chance)
    for unit in (1.0, 1e-4):
        value = assortativity(sparse.csr_array(unit * graph), np.array([0, 0, 1]))
        assert value == pytest.approx(expected, abs=1e-12)


def test_where_modularity_prefers_an_even_cut_it_prefers_the_gap():
    """A ring of 40, and a pair that hangs on it by one edge: sizes of 20 : 1."""
    ring = [(node, (node + step) % 40) for node in range(40) for step in (1, 2, 3)]
    graph = graph_of([*ring, (40, 41), (0, 40)], 42, [1.0] * len(ring) + [3.0, 1.0])
    gap = np.array([0] * 40 + [1] * 2)
    even = np.array([0] * 20 + [1] * 20 + [0] * 2)

    def modularity(components):
        member = np.eye(2)[components]
        shares = (member.T @ graph.toarray() @ member) / graph.sum()
        return np.trace(shares) - (shares.sum(0) ** 2).sum()

    assert modularity(even) > modularity(gap)
    assert assortativity(graph, gap) > assortativity(graph, even)
    # 2 of 248 edge ends part them; the pair has 4 + 3 of all.
    by_chance = 1 - 2 * (7 / 248) * (241 / 248)
    expected = (246 / 248 - by_chance) / (1 - by_chance)
    assert assortativity(graph, gap) == pytest.approx(expected, abs=1e-12)
