"""Clusters that anyone would find, and places that keep neighbours neighbours."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from gmvae.support.errors import ArgumentError
from gmvae.training import start
from gmvae.training.start import centres, find_clusters, place


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def blobs(rng, n=240, k=4, width=6):
    truth = np.arange(n) % k
    centre = 10 * np.eye(k, width)
    return centre[truth] + rng.normal(size=(n, width)), truth


def smallest_gap(means):
    distances = np.linalg.norm(means[:, None] - means[None], axis=-1)
    return distances[~np.eye(len(means), dtype=bool)].min()


@pytest.mark.parametrize("sees", [5_000, 120])
def test_clusters_that_lie_apart_are_found(rng, monkeypatch, sees):
    """Also when only a part of the images is clustered and the rest follows its neighbours."""
    monkeypatch.setattr(start, "N_CLUSTERED", sees)
    data, truth = blobs(rng)
    assert adjusted_rand_score(truth, find_clusters(data, 4, rng)) == 1


@pytest.mark.parametrize(
    ("n", "k", "clustered"), [(240, 3, [240]), (241, 3, [150, 150]), (241, 8, [240, 240])]
)
def test_of_many_images_so_many_a_component_are_clustered(rng, monkeypatch, n, k, clustered):
    monkeypatch.setattr(start, "N_CLUSTERED", 240)
    monkeypatch.setattr(start, "N_CLUSTERED_A_COMPONENT", 50)
    seen = []

    def clusterings(representation, n_components, seed):
        seen.append(len(representation))
        return np.repeat(np.arange(len(representation))[:, None] % n_components, 2, axis=1)

    monkeypatch.setattr(start, "_clusterings", clusterings)
    assert find_clusters(rng.normal(size=(n, 2)), k, rng).shape == (n,)
    assert seen == clustered


@pytest.mark.parametrize("good", [0, 1])
def test_a_sample_that_misleads_is_overruled(rng, monkeypatch, good):
    """One sample's clusterings all merge two clusters and cut another; the other's one is right."""
    monkeypatch.setattr(start, "N_CLUSTERED", 80)
    data, truth = blobs(rng)
    sampled = []

    def clusterings(representation, n_components, seed):
        right = representation[:, :4].argmax(axis=1)
        wrong = np.where(
            right == 3, 2, np.where((right == 0) & (representation[:, 5] > 0), 3, right)
        )
        sampled.append(representation)
        return np.stack([wrong, right if len(sampled) - 1 == good else wrong], axis=1)

    monkeypatch.setattr(start, "_clusterings", clusterings)
    assert np.array_equal(find_clusters(data, 4, rng), truth)
    assert len(np.unique(np.concatenate(sampled), axis=0)) == 160


def test_several_clusterings_are_carried_as_each_alone(rng):
    data, _ = blobs(rng)
    order = rng.permutation(240)
    found = rng.integers(4, size=(80, 3))
    together = start._extended(found, data, order)
    for i in range(3):
        assert np.array_equal(together[:, i], start._extended(found[:, i], data, order))


@pytest.mark.parametrize(("n", "k", "neighbours"), [(4_000, 10, 15), (1_300, 10, 5), (270, 1, 10)])
def test_few_neighbours(n, k, neighbours):
    """At most 4 % of a cluster, 5 to 15."""
    assert start._few_neighbors(n, k) == neighbours


def test_the_same_generator_gives_the_same_clusters(rng):
    data, _ = blobs(rng, 100)
    data += 3 * rng.normal(size=data.shape)
    one, other = (find_clusters(data, 4, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one, other)


@pytest.mark.parametrize("sees", [5_000, 60])
@pytest.mark.parametrize("per_component", [1, 5])
def test_known_components_spread_to_their_own_clusters(rng, monkeypatch, sees, per_component):
    monkeypatch.setattr(start, "N_CLUSTERED", sees)
    data, truth = blobs(rng)
    known = np.full(len(data), -1)
    for component in range(4):
        known[np.flatnonzero(truth == component)[:per_component]] = component
    assert np.array_equal(find_clusters(data, 4, rng, known), truth)


def test_none_known_is_no_knowledge(rng):
    data, truth = blobs(rng)
    found = find_clusters(data, 4, rng, np.full(len(data), -1))
    assert adjusted_rand_score(truth, found) == 1


@pytest.mark.parametrize(("n", "k"), [(1, 1), (50, 1), (4, 4), (10, 3), (46, 2)])
def test_few_images(rng, n, k):
    data, _ = blobs(rng, n, k)
    found = find_clusters(data, k, rng)
    assert found.shape == (n,)
    assert set(found) == set(range(k))


def test_more_components_than_images(rng):
    with pytest.raises(ArgumentError, match=r"`n_components` expected at most .*, 3; got 4"):
        find_clusters(rng.normal(size=(3, 2)), 4, rng)


def test_centres(rng):
    data = rng.normal(size=(10, 3))
    components = np.array([0] * 6 + [2] * 4)
    weights, means = centres(data, components, 4)
    np.testing.assert_allclose(weights, np.array([7, 1, 5, 1]) / 14)
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


def test_principal_axes_are_those_of_the_singular_values(rng):
    pixels = rng.normal(size=(30, 8)) * np.arange(1, 9)
    mean, axes = start.principal_axes(pixels)
    _, _, expected = np.linalg.svd(pixels - pixels.mean(0), full_matrices=False)
    assert np.allclose(mean, pixels.mean(0))
    assert np.allclose(np.abs(axes @ expected.T), np.eye(8), atol=1e-9)
    assert start.principal_axes(rng.normal(size=(200, 90)))[1].shape == (50, 90)


def test_pixels_part_what_the_representation_lays_together(rng):
    """Two kinds of image that the representation cannot tell apart, four that it can."""
    learned, seen = blobs(rng, n=240, k=4)
    pixels = np.where((seen == 0) & (np.arange(240) % 8 < 4), 30.0, 0.0)[:, None]
    pixels = pixels + rng.normal(size=(240, 3))
    truth = np.where(pixels[:, 0] > 15, 4, seen)
    joined = start.beside(learned, pixels)
    assert adjusted_rand_score(truth, find_clusters(joined, 5, rng)) == 1
    assert adjusted_rand_score(truth, find_clusters(learned, 5, rng)) < 0.99


def test_parts_are_weighed_whatever_their_units(rng):
    learned, pixels = rng.normal(size=(50, 3)), rng.normal(size=(50, 4))
    one, other = start.beside(learned, pixels), start.beside(1e3 * learned, 1e-3 * pixels)
    assert np.allclose(one, other)
    assert one[:, :3].var(0).sum() == pytest.approx(1)
    assert one[:, 3:].var(0).sum() == pytest.approx(start.PIXEL_SHARE**2)
    same = start.beside(learned, np.ones((50, 4)))
    assert np.allclose(same[:, 3:], start.PIXEL_SHARE)


def test_an_island_on_the_wrong_side_comes_home(rng):
    """Its points hold together, so that none leaves alone: only moved as a whole it is right."""
    centre = np.array([[0.0, 0.0], [9.0, 0.0], [2.4, 0.0]])
    place_of = np.repeat([0, 1, 2], [300, 300, 24])
    spread = np.where(place_of == 2, 0.25, 0.6)[:, None]
    points = centre[place_of] + spread * rng.normal(size=(624, 2))
    truth = np.where(place_of == 1, 1, 0)
    wrong = np.where(place_of == 0, 0, 1)
    graph = start.neighbour_graph(points)
    assert adjusted_rand_score(truth, start.moved(graph, wrong, 2)) < 0.9
    assert adjusted_rand_score(truth, start.refined(points, wrong, rng)) == 1


def test_nearest_neighbours_by_hand(rng):
    points = rng.normal(size=(40, 3))
    distance = np.linalg.norm(points[:, None] - points[None], axis=-1)
    np.fill_diagonal(distance, np.inf)
    expected = np.sort(np.argsort(distance, axis=1)[:, :4], axis=1)
    assert np.array_equal(np.sort(start.nearest(points, 4, rng), axis=1), expected)


def test_no_image_is_its_own_neighbour_among_copies(rng):
    found = start.nearest(np.zeros((30, 2)), 5, rng)
    assert found.shape == (30, 5)
    assert not (found == np.arange(30)[:, None]).any()
    assert start.nearest(np.zeros((3, 2)), 5, rng).shape == (3, 2)


def test_neighbours_are_looked_for_among_a_part_of_many(rng, monkeypatch):
    monkeypatch.setattr(start, "N_SEARCHED", 60)
    points, truth = blobs(rng)
    found = start.nearest(points, 3, rng)
    assert len(np.unique(found)) <= 60
    assert (truth[found] == truth[:, None]).all()


def test_each_move_is_a_gain(rng):
    """Where no single move raises the modularity, nothing moves; what has moved is such a place."""
    points, _ = blobs(rng, n=90, k=3)
    points += 2 * rng.normal(size=points.shape)
    graph = start.neighbour_graph(points)
    before = rng.integers(3, size=90)
    after = start.moved(graph, before, 3)
    best = start.modularity(graph, after)
    assert best > start.modularity(graph, before)
    assert np.array_equal(start.moved(graph, after, 3), after)
    for node in range(90):
        for component in range(3):
            other = after.copy()
            other[node] = component
            assert start.modularity(graph, other) < best + 1e-9


def test_no_component_is_emptied(rng):
    """One blob that is cut in two would gain by being one."""
    points = rng.normal(size=(200, 3))
    cut = (np.arange(200) < 20).astype(np.int64)
    found = start.moved(start.neighbour_graph(points), cut, 2)
    assert np.bincount(found, minlength=2).min() >= 8


def test_refined_clusters_reach_the_images_that_take_no_part(rng, monkeypatch):
    monkeypatch.setattr(start, "N_REFINED", 120)
    points, truth = blobs(rng)
    assert np.array_equal(start.refined(points, truth, rng), truth)
