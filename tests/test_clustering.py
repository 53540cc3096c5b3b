"""Clusters that anyone would find, by a choice that is checked step by step."""

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering, KMeans, SpectralClustering
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.semi_supervised import LabelSpreading
from toys import blobs

from gmvae.support.errors import ArgumentError
from gmvae.training import clustering
from gmvae.training.clustering import find_cells, find_clusters
from gmvae.training.density import DensityTree
from gmvae.training.neighbours import mutual_graph, neighbour_graph, smoothed


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def uneven(rng, sizes, width=6):
    """Clusters of these sizes, ten standard deviations apart, in a mixed order; whose is whose."""
    truth = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    return 10 * np.eye(len(sizes), width)[truth] + rng.normal(size=(len(truth), width)), truth


@pytest.mark.parametrize("clustered", [5_000, 120])
@pytest.mark.parametrize("n_components", [4, None])
def test_clusters_that_lie_apart_are_found(rng, monkeypatch, clustered, n_components):
    """Also when only a part of the images is clustered and the rest follows its neighbours."""
    monkeypatch.setattr(clustering, "N_CLUSTERED", clustered)
    data, truth = blobs(rng)
    clusters = find_clusters(data, n_components, rng)
    assert adjusted_rand_score(truth, clusters.components) == 1
    # Three splits part four, and stand out.
    assert clusters.prominences[2] > 3


@pytest.mark.parametrize(
    "sizes", [(200,), (250, 50), (250, 150, 100, 70, 50)], ids=["one", "two", "five"]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_number_of_clusters_is_found_whatever_their_sizes(sizes, seed):
    """Of sizes of 1 to 5."""
    data, truth = uneven(np.random.default_rng(seed), sizes)
    clusters = find_clusters(data, None, np.random.default_rng(seed))
    assert adjusted_rand_score(truth, clusters.components) == 1
    assert clusters.components.max() + 1 == len(sizes)
    assert (clusters.prominences >= 3).sum() == len(sizes) - 1


@pytest.mark.parametrize("order", [(2, 3, 5), (3, 5, 2), (5, 2, 3)])
def test_of_several_representations_the_one_in_the_middle_says_how_many(rng, order):
    """Two, three and five clusters: three, and the splits are those of that representation."""
    data = [uneven(rng, [60 // k] * k)[0] for k in order]
    clusters = find_clusters(data[0], None, rng, others=data[1:])
    assert clusters.components.max() + 1 == 3
    assert (clusters.prominences >= 3.7).sum() == 2
    # Where it is known they have no say.
    assert find_clusters(data[0], order[0], rng, others=data[1:]).components.max() + 1 == order[0]


@pytest.mark.parametrize("seed", [0, 1])
def test_sizes_that_are_uneven_are_no_hindrance_where_the_number_is_known(seed):
    data, truth = uneven(np.random.default_rng(seed), (250, 150, 100, 70, 50))
    clusters = find_clusters(data, 5, np.random.default_rng(seed))
    assert adjusted_rand_score(truth, clusters.components) == 1


@pytest.mark.parametrize(("n", "clustered"), [(240, 240), (241, 240), (700, 240)])
def test_of_many_images_so_many_take_part(rng, monkeypatch, n, clustered):
    """The first in the generator's order, then the seed; the others follow their neighbours."""
    monkeypatch.setattr(clustering, "N_CLUSTERED", 240)
    calls, data = [], rng.normal(size=(n, 2))
    pixels = rng.normal(size=(n, 5))

    def stub(points, of_pixels, tree, n_components, seed):
        calls.append((points, of_pixels, seed))
        return [np.arange(len(points)) % n_components]

    monkeypatch.setattr(clustering, "_clusterings", stub)
    monkeypatch.setattr(clustering, "embedded", lambda points, seed: points)
    assert find_clusters(data, 3, np.random.default_rng(3), None, pixels).components.shape == (n,)
    again = np.random.default_rng(3)
    rows, seed = again.permutation(n)[:clustered], again.integers(2**31)
    ((points, of_pixels, asked),) = calls
    np.testing.assert_array_equal(points, data[rows])
    np.testing.assert_array_equal(of_pixels, pixels[rows])
    assert asked == seed


def test_four_thousand_take_part_by_default():
    assert clustering.N_CLUSTERED == 4_000


@pytest.mark.parametrize(("n", "n_clusterings"), [(15, 5), (16, 12)])
def test_sixteen_points_or_more_are_embedded_too(rng, monkeypatch, n, n_clusterings):
    """Three linkages, k-means and a mixture of the points; peaks and six on the embedding."""
    counted = []
    nominees = clustering.nominees

    def recorded(clusterings, *more):
        counted.append(clusterings)
        return nominees(clusterings, *more)

    monkeypatch.setattr(clustering, "nominees", recorded)
    data, truth = blobs(rng, n, 3)
    clusters = find_clusters(data, 3, rng)
    assert len(counted[0]) == n_clusterings
    assert adjusted_rand_score(truth, clusters.components) == 1


def test_the_methods_on_the_embedding_the_representation_and_the_pixels(rng):
    """Each as scikit-learn has it of the same points, seeded one after the other."""
    embedding = rng.normal(size=(60, 2)) * [3, 1]
    points, pixels = rng.normal(size=(60, 4)), 5 + 3 * rng.normal(size=(60, 12))
    tree = DensityTree.of(embedding)
    tried = clustering._clusterings(points, pixels, tree, 3, seed=11)
    on_embedding = [
        AgglomerativeClustering(3, linkage="ward"),
        AgglomerativeClustering(3, linkage="average"),
        KMeans(3, n_init=10, random_state=11),
        *(GaussianMixture(3, random_state=seed) for seed in range(11, 14)),
    ]
    k_means, mixture = on_embedding[2], GaussianMixture(3, random_state=11)

    def leading(data):
        centred = data - data.mean(0)
        axes = np.linalg.svd(centred, full_matrices=False)[2][:10]
        on_axes = centred @ axes.T
        return on_axes / on_axes.std()

    ward, graph = AgglomerativeClustering(3, linkage="ward"), neighbour_graph(points)
    expected = [
        *(ward.fit_predict(smoothed(points, graph, passes)) for passes in (0, 10, 20)),
        tree.cut(3),
        *(method.fit_predict(embedding) for method in on_embedding),
        k_means.fit_predict(points),
        mixture.fit_predict(leading(points)),
        k_means.fit_predict(pixels),
        mixture.fit_predict(leading(pixels)),
    ]
    assert leading(pixels).shape == (60, 10)
    assert len(tried) == len(expected)
    for number, (one, other) in enumerate(zip(tried, expected, strict=True)):
        assert adjusted_rand_score(one, other) == 1, number


def test_the_same_generator_gives_the_same_clusters(rng):
    data, _ = blobs(rng, 100)
    data += 3 * rng.normal(size=data.shape)
    one, other = (find_clusters(data, 4, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one.components, other.components)
    assert np.array_equal(one.prominences, other.prominences)


@pytest.mark.parametrize(("n", "n_cells"), [(240, 30), (120, 15)])
def test_no_cell_holds_two_kinds(rng, n, n_cells):
    """Eight points a cell, 30 at most; the shreds go to their neighbours."""
    data, truth = blobs(rng, n)
    cells = find_cells(data, 4, np.random.default_rng(1))
    numbers = np.unique(cells)
    assert np.array_equal(numbers, np.arange(len(numbers)))
    assert n_cells // 2 <= len(numbers) <= 2 * n_cells
    assert np.bincount(cells).min() >= 5
    assert all(len(set(truth[cells == cell])) == 1 for cell in numbers)
    assert np.array_equal(cells, find_cells(data, 4, np.random.default_rng(1)))


@pytest.mark.parametrize(
    ("n", "n_components", "n_cells"),
    [
        (400, None, 30),
        (400, 4, 30),
        (400, 15, 30),
        (400, 16, 32),
        (400, 90, 50),
        (40_000, None, 30),
        (40_000, 4, 60),
        (40_000, 31, 62),
    ],
)
def test_how_many_cells(rng, monkeypatch, n, n_components, n_cells):
    """30, or two a component, but not fewer than eight points each.

    Of many points .3 of their root where the number of components is known.
    """
    monkeypatch.setattr(clustering, "embedded", lambda points, seed: points[:, :2])
    asked = []

    class Ward:
        def __init__(self, n_clusters, linkage):
            asked.append((n_clusters, linkage))

        def fit_predict(self, points):
            return np.zeros(len(points), dtype=int)

    monkeypatch.setattr(clustering, "AgglomerativeClustering", Ward)
    find_cells(rng.normal(size=(n, 3)), n_components, rng)
    assert asked == [(n_cells, "ward")]


def test_many_cells_have_forty_of_the_points_that_take_part_each(rng, monkeypatch):
    monkeypatch.setattr(clustering, "N_CLUSTERED", 1_400)
    monkeypatch.setattr(clustering, "embedded", lambda points, seed: points[:, :2])
    asked = []
    ward = clustering.AgglomerativeClustering
    monkeypatch.setattr(
        clustering,
        "AgglomerativeClustering",
        lambda n_clusters, linkage: asked.append(n_clusters) or ward(n_clusters, linkage=linkage),
    )
    find_cells(rng.normal(size=(20_000, 3)), 4, rng)
    assert asked == [35]


def test_cells_reach_the_images_that_take_no_part(rng, monkeypatch):
    monkeypatch.setattr(clustering, "N_CLUSTERED", 120)
    data, truth = blobs(rng)
    cells = find_cells(data, 4, rng)
    assert all(len(set(truth[cells == cell])) == 1 for cell in np.unique(cells))


def test_few_images_are_a_cell_each(rng):
    assert find_cells(rng.normal(size=(15, 2)), 3, rng).tolist() == list(range(15))


@pytest.mark.parametrize("clustered", [5_000, 60])
@pytest.mark.parametrize("per_component", [1, 5])
def test_observed_components_spread_to_their_own_clusters(
    rng, monkeypatch, clustered, per_component
):
    monkeypatch.setattr(clustering, "N_CLUSTERED", clustered)
    data, truth = blobs(rng)
    observed = np.full(len(data), -1)
    for component in range(4):
        observed[np.flatnonzero(truth == component)[:per_component]] = component
    clusters = find_clusters(data, 4, rng, observed)
    assert np.array_equal(clusters.components, truth)
    # Nothing was looked for.
    assert len(clusters.prominences) == 0


@pytest.mark.parametrize(("n_observed", "n_seen"), [(12, 60), (100, 100)])
def test_the_observed_are_among_the_points_that_are_looked_at(rng, monkeypatch, n_observed, n_seen):
    """All of them, and others up to so many."""
    monkeypatch.setattr(clustering, "N_CLUSTERED", 60)
    data, truth = blobs(rng)
    rows = rng.permutation(240)[:n_observed]
    observed = np.full(240, -1)
    observed[rows] = truth[rows]
    firsts = []
    extend = clustering.extended

    def recorded(components, points, order):
        firsts.append(order[: len(components)])
        return extend(components, points, order)

    monkeypatch.setattr(clustering, "extended", recorded)
    find_clusters(data, 4, rng, observed)
    assert len(firsts[0]) == n_seen
    assert set(rows) <= set(firsts[0])


def test_they_spread_over_points_smoothed_ten_times_and_half_from_their_neighbours(rng):
    """As scikit-learn's label spreading over these; unlike over others."""
    data, truth = blobs(rng, n=200)
    data = 0.25 * data + rng.normal(size=data.shape)
    observed = np.where(np.arange(200) < 12, (truth + (np.arange(200) % 3 == 0)) % 4, -1)
    within = neighbour_graph(data).toarray() + np.eye(200)

    def spread(passes, alpha):
        mean = within / within.sum(axis=1, keepdims=True)
        points = np.linalg.matrix_power(mean, passes) @ data
        order = np.random.default_rng(3).permutation(200)
        order = np.r_[order[observed[order] >= 0], order[observed[order] < 0]]
        method = LabelSpreading(kernel="knn", n_neighbors=15, alpha=alpha, max_iter=1000)
        components = np.empty(200, dtype=int)
        components[order] = method.fit(points[order], observed[order]).transduction_
        return components

    components = find_clusters(data, 4, np.random.default_rng(3), observed).components
    assert np.array_equal(components, spread(10, 0.5))
    for passes, alpha in ((0, 0.5), (5, 0.5), (10, 0.9), (10, 0.2)):
        assert not np.array_equal(components, spread(passes, alpha))


def test_a_single_observed_component_spreads_to_all(rng):
    data, _ = blobs(rng)
    observed = np.full(240, -1)
    observed[7] = 0
    assert not find_clusters(data, 4, rng, observed).components.any()


def test_none_observed_is_no_knowledge(rng):
    data, truth = blobs(rng)
    components = find_clusters(data, 4, rng, np.full(len(data), -1)).components
    assert adjusted_rand_score(truth, components) == 1


@pytest.mark.parametrize(("n", "k"), [(1, 1), (50, 1), (4, 4), (10, 3), (46, 2)])
def test_few_images(rng, n, k):
    data, _ = blobs(rng, n, k)
    components = find_clusters(data, k, rng).components
    assert components.shape == (n,)
    assert set(components) == set(range(k))


@pytest.mark.parametrize("n", [1, 2, 15])
def test_too_few_images_to_have_a_density_are_one_cluster(rng, n):
    clusters = find_clusters(rng.normal(size=(n, 2)), None, rng)
    assert clusters.components.tolist() == [0] * n
    assert len(clusters.prominences) == 0


def test_more_components_than_images(rng):
    with pytest.raises(ArgumentError, match=r"`n_components` expected at most .*, 3; got 4"):
        find_clusters(rng.normal(size=(3, 2)), 4, rng)


def test_spectral_clusters_of_both_graphs_are_nominated(rng):
    """As scikit-learn has them of the two graphs in equal parts."""
    data = rng.normal(size=(80, 3))
    by_views = mutual_graph(rng.integers(80, size=(80, 4)))
    (spectral,) = clustering._by_both_graphs(data, by_views, 3, seed=5)
    features = neighbour_graph(data)
    affinity = 80 * (by_views / by_views.sum() + features / features.sum()).toarray()
    expected = SpectralClustering(3, affinity="precomputed", random_state=5).fit_predict(affinity)
    assert adjusted_rand_score(expected, spectral) == 1
    assert clustering._by_both_graphs(data, by_views, 41, seed=5) == []


def test_views_join_what_features_part(rng):
    """Four clouds; the views know two of them as one kind: with K = 3 these are one cluster."""
    data, truth = blobs(rng, 160, 4)
    kinds = np.where(truth == 3, 2, truth)
    of_kind = [np.flatnonzero(kinds == kind) for kind in kinds]
    near = np.stack([rng.choice(members, size=9, replace=False) for members in of_kind])
    clusters = find_clusters(data, 3, rng, by_views=mutual_graph(near))
    scores = [adjusted_rand_score(kinds, nominee) for nominee in clusters.nominees]
    assert max(scores) == 1
    assert clusters.merits.shape == (len(scores),)
    np.testing.assert_array_equal(clusters.components, clusters.nominees[0])
