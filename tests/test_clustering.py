"""Clusters that anyone would find, by a choice that is checked step by step."""

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering, KMeans
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.semi_supervised import LabelSpreading
from toys import blobs

from gmvae.support.errors import ArgumentError
from gmvae.training import clustering
from gmvae.training.clustering import find_clusters
from gmvae.training.communities import modularity
from gmvae.training.neighbours import neighbour_graph


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize("clustered", [5_000, 120])
def test_clusters_that_lie_apart_are_found(rng, monkeypatch, clustered):
    """Also when only a part of the images is clustered and the rest follows its neighbours."""
    monkeypatch.setattr(clustering, "N_CLUSTERED", clustered)
    data, truth = blobs(rng)
    assert adjusted_rand_score(truth, find_clusters(data, 4, rng)) == 1


@pytest.mark.parametrize(
    ("n", "k", "clustered"), [(240, 3, [240]), (241, 3, [150, 150]), (241, 8, [240, 240])]
)
def test_of_many_images_so_many_a_component_are_clustered(rng, monkeypatch, n, k, clustered):
    monkeypatch.setattr(clustering, "N_CLUSTERED", 240)
    monkeypatch.setattr(clustering, "N_CLUSTERED_A_COMPONENT", 50)
    sizes, seeds = [], []

    def stub(points, n_components, seed):
        sizes.append(len(points))
        seeds.append(seed)
        return np.repeat(np.arange(len(points))[:, None] % n_components, 2, axis=1)

    monkeypatch.setattr(clustering, "_clusterings_of_sample", stub)
    assert find_clusters(rng.normal(size=(n, 2)), k, np.random.default_rng(3)).shape == (n,)
    assert sizes == clustered
    again = np.random.default_rng(3)
    again.permutation(n)
    first = again.integers(2**31)
    assert seeds == [first + number for number in range(len(clustered))]


@pytest.mark.parametrize(
    ("n", "k", "clustered", "judging"),
    [
        (4_000, 3, [4_000], 4_000),
        (4_001, 3, [1_500, 1_500], 4_001),
        (4_001, 9, [4_000, 4_000], 4_001),
        (12_001, 2, [1_000, 1_000], 12_000),
    ],
)
def test_how_many_are_clustered_and_how_many_judge(rng, monkeypatch, n, k, clustered, judging):
    sizes, graphs = [], []

    def stub(points, n_components, seed):
        sizes.append(len(points))
        return np.zeros((len(points), 2), dtype=int)

    monkeypatch.setattr(clustering, "_clusterings_of_sample", stub)
    monkeypatch.setattr(
        clustering, "neighbour_graph", lambda points, most: graphs.append((len(points), most))
    )
    monkeypatch.setattr(clustering, "modularity", lambda graph, components: 0.0)
    find_clusters(rng.normal(size=(n, 1)), k, rng)
    assert sizes == clustered
    assert graphs == [(judging, 15)]


@pytest.mark.parametrize("good", [0, 1])
def test_a_sample_that_misleads_is_overruled(rng, monkeypatch, good):
    """One sample's clusterings all merge two clusters and cut another; the other's one is right."""
    monkeypatch.setattr(clustering, "N_CLUSTERED", 80)
    data, truth = blobs(rng)
    sampled = []

    def stub(points, n_components, seed):
        right = points[:, :4].argmax(axis=1)
        wrong = np.where(right == 3, 2, np.where((right == 0) & (points[:, 5] > 0), 3, right))
        sampled.append(points)
        return np.stack([wrong, right if len(sampled) - 1 == good else wrong], axis=1)

    monkeypatch.setattr(clustering, "_clusterings_of_sample", stub)
    assert np.array_equal(find_clusters(data, 4, rng), truth)
    assert len(np.unique(np.concatenate(sampled), axis=0)) == 160


def test_the_judges_are_the_last_in_the_order_and_see_few_neighbours(monkeypatch):
    """Of 300 images 100 judge, by the graph of max(5, 100 // (25 * 2)) = 5 neighbours each."""
    monkeypatch.setattr(clustering, "N_CLUSTERED", 90)
    monkeypatch.setattr(clustering, "N_JUDGES", 100)
    data = np.random.default_rng(1).normal(size=(300, 2))
    clusterings = np.random.default_rng(2).integers(2, size=(300, 6))

    def rows_of(points):
        return [int(np.flatnonzero((data == point).all(axis=1))[0]) for point in points]

    monkeypatch.setattr(
        clustering,
        "_clusterings_of_sample",
        lambda points, n_components, seed: clusterings[rows_of(points)],
    )
    carried = []
    extend = clustering.extended

    def recorded(components, points, order):
        carried.extend(extend(components, points, order).T)
        return np.stack(carried[-components.shape[1] :], axis=1)

    monkeypatch.setattr(clustering, "extended", recorded)
    chosen = find_clusters(data, 2, np.random.default_rng(3))
    judges = np.random.default_rng(3).permutation(300)[200:]
    graph = neighbour_graph(data[judges], 5)
    scores = [modularity(graph, components[judges]) for components in carried]
    assert len(carried) == 12
    assert np.array_equal(chosen, carried[int(np.argmax(scores))])
    # By another choice of judges, or of neighbours, another clustering would win.
    wider = [
        modularity(neighbour_graph(data[judges]), components[judges]) for components in carried
    ]
    others = np.setdiff1d(np.arange(300), judges)
    elsewhere = [modularity(neighbour_graph(data[others], 5), c[others]) for c in carried]
    assert np.argmax(wider) != np.argmax(scores) or np.argmax(elsewhere) != np.argmax(scores)


@pytest.mark.parametrize(("n", "n_clusterings"), [(45, 4), (46, 13)])
def test_a_sample_of_more_than_45_is_embedded_too(rng, n, n_clusterings):
    """Four linkages; then linkages, k-means and six mixtures, nine more."""
    points, truth = blobs(rng, n, 3)
    clusterings = clustering._clusterings_of_sample(points, 3, seed=0)
    assert clusterings.shape == (n, n_clusterings)
    # Points that lie so far apart no linkage mixes, smoothed or not.
    for column in (0, *range(4, n_clusterings)):
        assert adjusted_rand_score(truth, clusterings[:, column]) > 0.9


def test_the_methods_on_the_embedding(rng, monkeypatch):
    """Each as scikit-learn has it of the same points, seeded one after the other."""
    embedding = rng.normal(size=(60, 2)) * [3, 1]
    monkeypatch.setattr(clustering, "_embedded", lambda points, seed: embedding)
    columns = clustering._clusterings_of_sample(rng.normal(size=(60, 4)), 3, seed=11).T[4:]
    methods = [
        AgglomerativeClustering(3, linkage="ward"),
        AgglomerativeClustering(3, linkage="average"),
        KMeans(3, n_init=10, random_state=11),
        *(GaussianMixture(3, random_state=seed) for seed in range(11, 17)),
    ]
    for column, method in zip(columns, methods, strict=True):
        assert np.array_equal(column, method.fit_predict(embedding))
    assert not np.array_equal(columns[0], columns[1])


@pytest.mark.parametrize(("n", "perplexity"), [(46, 15.0), (91, 30.0), (300, 30.0)])
def test_the_embedding_looks_at_thirty_neighbours_or_a_third_of_few_points(
    rng, monkeypatch, n, perplexity
):
    asked = []

    class Embedding:
        def __init__(self, **options):
            asked.append(options)

        def fit_transform(self, points):
            asked.append(points.dtype)
            return points[:, :2]

    monkeypatch.setattr(clustering, "TSNE", Embedding)
    points = rng.normal(size=(n, 4))
    embedding = clustering._embedded(points, seed=5)
    options = {"perplexity": perplexity, "init": "pca", "max_iter": 500, "random_state": 5}
    assert asked == [options, np.float32]
    assert embedding.dtype == np.float64
    assert np.allclose(embedding, points[:, :2])


def test_linkages_are_of_points_smoothed_more_and_more(monkeypatch, rng):
    passes, smooth = [], clustering.smoothed
    monkeypatch.setattr(
        clustering,
        "smoothed",
        lambda points, graph, n: (passes.append(n), smooth(points, graph, n))[1],
    )
    clustering._clusterings_of_sample(rng.normal(size=(40, 2)), 2, seed=0)
    assert passes == [0, 5, 10, 20]


def test_the_same_generator_gives_the_same_clusters(rng):
    data, _ = blobs(rng, 100)
    data += 3 * rng.normal(size=data.shape)
    one, other = (find_clusters(data, 4, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(one, other)


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
    assert np.array_equal(find_clusters(data, 4, rng, observed), truth)


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

    components = find_clusters(data, 4, np.random.default_rng(3), observed)
    assert np.array_equal(components, spread(10, 0.5))
    for passes, alpha in ((0, 0.5), (5, 0.5), (10, 0.9), (10, 0.2)):
        assert not np.array_equal(components, spread(passes, alpha))


def test_a_single_observed_component_spreads_to_all(rng):
    data, _ = blobs(rng)
    observed = np.full(240, -1)
    observed[7] = 0
    assert not find_clusters(data, 4, rng, observed).any()


def test_none_observed_is_no_knowledge(rng):
    data, truth = blobs(rng)
    components = find_clusters(data, 4, rng, np.full(len(data), -1))
    assert adjusted_rand_score(truth, components) == 1


@pytest.mark.parametrize(("n", "k"), [(1, 1), (50, 1), (4, 4), (10, 3), (46, 2)])
def test_few_images(rng, n, k):
    data, _ = blobs(rng, n, k)
    components = find_clusters(data, k, rng)
    assert components.shape == (n,)
    assert set(components) == set(range(k))


def test_more_components_than_images(rng):
    with pytest.raises(ArgumentError, match=r"`n_components` expected at most .*, 3; got 4"):
        find_clusters(rng.normal(size=(3, 2)), 4, rng)
