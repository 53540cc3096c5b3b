"""Cells that belong together by their links."""

import numpy as np
import pytest

from gmvae.training.links import clusters_by_links, joined_cells


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def symmetric(n, own, **links):
    """Links of n cells: so many within each, and between pairs named ``c01`` and so on."""
    matrix = np.diag(np.asarray(own, dtype=float))
    for name, count in links.items():
        a, b = int(name[1]), int(name[2])
        matrix[a, b] = matrix[b, a] = count
    assert matrix.shape == (n, n)
    return matrix


def groups(component):
    """The cells of each component, in order of their first cells."""
    return sorted(np.flatnonzero(component == k).tolist() for k in np.unique(component))


def test_the_smaller_ones_share_decides_not_the_number_of_links():
    """Cell 2 has 30 of its 60 links in cell 1; cells 0 and 1 have 200 of some 2,000 in common."""
    links = symmetric(3, [1_800, 1_800, 30], c01=200, c12=30)
    assert groups(joined_cells(links, 2)) == [[0], [1, 2]]


def test_links_add_up_where_cells_are_joined():
    """Neither half of a kind has most of its share in cell 2; both together have.

    Cells 0 and 1 go together first; then 0, 1 and 2 share 60 of 2's 200, and 3 has 50 of 200 in 2.
    """
    links = symmetric(4, [500, 500, 90, 150], c01=400, c02=30, c12=30, c23=50)
    assert groups(joined_cells(links, 3)) == [[0, 1], [2], [3]]
    assert groups(joined_cells(links, 2)) == [[0, 1, 2], [3]]


@pytest.mark.parametrize(("share", "joined"), [(0.079, False), (0.081, True)])
def test_what_has_little_in_common_is_not_joined(share, joined):
    links = symmetric(2, [1_000 * (1 - share), 2_000], c01=1_000 * share)
    component = joined_cells(links, 1)
    assert (component is not None) is joined
    # As many cells as components: nothing to join.
    assert groups(joined_cells(links, 2)) == [[0], [1]]
    assert groups(joined_cells(links, 1, least=0.01)) == [[0, 1]]


def test_fewer_cells_than_components_are_not_cut():
    assert joined_cells(symmetric(2, [10, 10], c01=1), 3) is None
    # One that nothing links to is none.
    assert joined_cells(symmetric(3, [10, 10, 0], c01=1), 3) is None


def test_a_cell_without_links_is_in_some_component():
    component = joined_cells(symmetric(3, [0, 10, 10], c12=1), 2)
    assert component[1] != component[2]
    assert set(component.tolist()) == {0, 1}


def test_the_links_stay_as_they_are():
    links = symmetric(3, [50, 50, 50], c01=20, c12=5)
    before = links.copy()
    joined_cells(links, 2)
    np.testing.assert_array_equal(links, before)


def test_borders_go_where_neighbours_are(rng):
    """Two kinds far apart, one in two cells; a tenth of each is in a cell of the other."""
    kind = np.repeat([0, 1], [900, 300])
    points = rng.normal(size=(1_200, 3)) + 20 * kind[:, None]
    cells = np.where(kind == 0, rng.integers(0, 2, 1_200), 2)
    wrong = rng.random(1_200) < 0.1
    cells[wrong] = np.where(kind[wrong] == 0, 2, 0)
    links = symmetric(3, [500, 500, 300], c01=400, c02=10)
    clusters = clusters_by_links(cells, links, 2, points, rng)
    assert (clusters[kind == 0] == clusters[0]).all()
    assert (clusters[kind == 1] != clusters[0]).all()


def test_images_that_take_no_part_go_where_their_neighbours_are(rng, monkeypatch):
    monkeypatch.setattr("gmvae.training.links._N_SMOOTHED", 100)
    kind = np.repeat([0, 1], 300)
    points = rng.normal(size=(600, 2)) + 20 * kind[:, None]
    clusters = clusters_by_links(kind, symmetric(2, [9, 9]), 2, points, rng)
    np.testing.assert_array_equal(clusters, kind)


def test_a_small_component_is_not_lost_to_its_neighbours(rng):
    """Three images amid 300, in a cell of their own."""
    points = rng.normal(size=(303, 2))
    cells = np.repeat([0, 1], [300, 3])
    clusters = clusters_by_links(cells, symmetric(2, [100, 1]), 2, points, rng)
    np.testing.assert_array_equal(clusters, cells)


def test_a_component_that_is_not_looked_at_is_none(rng, monkeypatch):
    monkeypatch.setattr("gmvae.training.links._N_SMOOTHED", 100)
    cells = np.zeros(600, dtype=int)
    cells[np.random.default_rng(0).permutation(600)[-1]] = 1
    links, points = symmetric(2, [100, 1]), rng.normal(size=(600, 2))
    assert clusters_by_links(cells, links, 2, points, np.random.default_rng(0)) is None


def test_where_links_do_not_say_it_there_are_none(rng):
    """Of three cells two are wanted, and none has a twelfth of its links in another."""
    links = symmetric(3, [20, 10, 30], c01=0.5)
    cells = np.array([0, 0, 1, 2, 2, 2])
    assert clusters_by_links(cells, links, 2, rng.normal(size=(6, 2)), rng) is None
