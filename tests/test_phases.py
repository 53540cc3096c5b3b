"""Each phase by itself, on three patterns whose clusters are beyond doubt."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.networks import Frozen
from gmvae.settings import Settings
from gmvae.training import phases
from gmvae.training.clustering import Clusters
from gmvae.training.contrast import contrastive_loss, pairs_of
from gmvae.training.loop import Schedule
from gmvae.training.neighbours import nearest
from gmvae.training.phases import (
    Assignment,
    Cells,
    Joint,
    Length,
    PixelAxes,
    Placing,
    Sharpening,
    Start,
    WarmUp,
)
from gmvae.training.phases.phase import (
    answers,
    classification,
    frozen_features,
    with_features_at_hand,
)
from gmvae.training.regularisers import (
    Agreement,
    Classification,
    MutualInformation,
    mutual_information,
)
from gmvae.training.representation import alone, beside
from gmvae.training.state import begin, config_for

N, K = 60, 3
KINDS = np.arange(N) % K
SETTINGS = Settings(n_components=K, augment="none", held_out=0.0)
BRIEF = Length(epochs=1, steps=1, batch_size=32, lr=1e-3)
LONG = Length(epochs=25, steps=1, batch_size=32, lr=5e-3)


@pytest.fixture(scope="module")
def images():
    """Three black-and-white patterns of 6 x 6, a little grey noise on each."""
    rng = np.random.default_rng(0)
    patterns = rng.random((K, 1, 6, 6)) > 0.5
    pixels = np.abs(patterns[KINDS] - 0.15 * rng.random((N, 1, 6, 6)))
    return Images(pixels.astype(np.float32), KINDS.astype(np.int64))


@pytest.fixture
def make(images):
    """From settings and observed labels to the state before the first phase."""

    def state_of(observed=None, held_out=None, **changes):
        settings = dataclasses.replace(SETTINGS, **changes)
        labels = np.full(N, -1) if observed is None else observed
        return begin(GMVAE(config_for(images, settings)), settings, labels, held_out)

    return state_of


@pytest.fixture
def training(monkeypatch):
    """What phases hand to the loop, in place of any training."""
    calls = []

    def record(phase, length, objective, parameters, state, images, **more):
        calls.append(
            {"length": length, "objective": objective, "parameters": list(parameters), **more}
        )

    for name in ("assignment", "cells", "sharpening", "placing", "joint", "warm_up"):
        monkeypatch.setattr(f"gmvae.training.phases.{name}.train_phase", record)
    return calls


def with_clusters(state, clusters=KINDS):
    return dataclasses.replace(
        state,
        pixels=np.eye(K)[clusters] + 0.0,
        representation=np.eye(K)[clusters] + 0.0,
        clusters=np.asarray(clusters),
    )


class TestLength:
    def test_epochs_are_enough_for_the_steps(self):
        length = Length(epochs=2, steps=100, batch_size=50, lr=0.1, most_epochs=40)
        assert length.schedule(5_000).epochs == 2
        assert length.schedule(500).epochs == 10
        assert length.schedule(501).epochs == 10
        assert length.schedule(550).epochs == 10
        assert length.schedule(551).epochs == 9
        assert length.schedule(50).epochs == 40

    def test_what_it_hands_on(self):
        length = Length(3, 1, 64, 0.2, patience=5, enough=-2.0)
        assert length.schedule(64) == Schedule(
            3, 64, 0.2, images_an_epoch=64, patience=5, enough=-2.0, least_epochs=1
        )

    def test_an_epoch_is_of_sixty_thousand_images_at_most(self):
        length = Length(epochs=2, steps=500, batch_size=1_000, lr=0.1)
        assert length.schedule(60_000) == length.schedule(10_000_000)
        assert length.schedule(60_000).images_an_epoch == 60_000
        assert length.schedule(60_000).epochs == 9
        asked = dataclasses.replace(length, exactly=3).schedule(10_000_000)
        assert (asked.epochs, asked.images_an_epoch) == (3, 10_000_000)

    def test_less_than_an_epoch_is_one_of_fewer_images(self):
        length = Length(epochs=2, steps=100, batch_size=1_000, lr=0.1)
        short = length.scaled(0.1)
        assert (short.epochs, short.steps, short.images) == (1, 10, 12_000)
        assert short.schedule(60_000).images_an_epoch == 12_000
        assert short.schedule(5_000).images_an_epoch == 5_000
        assert length.scaled(0.5).images == length.scaled(3).images == 60_000

    def test_what_a_user_asks_for_wins_but_not_over_the_least_before_an_early_end(self):
        length = Length(epochs=2, steps=100, batch_size=50, lr=0.1, exactly=3)
        assert length.schedule(500).epochs == 3
        assert length.schedule(500).least_epochs == 10

    def test_scaled(self):
        length = Length(epochs=10, steps=100, batch_size=50, lr=0.1, exactly=3, most_epochs=40)
        half = length.scaled(0.5)
        assert (half.epochs, half.steps, half.most_epochs) == (5, 50, 20)
        assert dataclasses.replace(half, epochs=10, steps=100, most_epochs=40) == length
        assert length.scaled(1.0) == length
        least = length.scaled(1e-6)
        assert (least.epochs, least.steps, least.most_epochs) == (1, 1, 1)


def test_pixels_are_laid_along_their_principal_axes(images, make):
    placed = PixelAxes().run(make(), images).pixels
    flat = images.pixels.reshape(N, -1).astype(np.float64)
    centred = flat - flat.mean(0)
    assert placed.shape == (N, 36)
    np.testing.assert_allclose(placed @ placed.T, centred @ centred.T, atol=1e-5)
    variances = placed.var(0)
    assert (np.diff(variances) <= 1e-9).all()


def test_the_axes_are_of_a_part_of_the_images_and_of_coarse_pixels(images, make):
    placed = PixelAxes(side=2, n_images=10).run(make(), images).pixels
    quarters = images.pixels.reshape(N, 2, 3, 2, 3).mean((2, 4)).reshape(N, 4)
    rows = np.sort(np.random.default_rng(0).permutation(N)[:10])
    centred = quarters - quarters[rows].mean(0)
    assert placed.shape == (N, 4)
    np.testing.assert_allclose(placed @ placed.T, centred @ centred.T, atol=1e-5)


class TestWarmUp:
    def test_images_of_one_kind_come_to_lie_together(self, images, make):
        state = PixelAxes().run(make(), images)
        learned = WarmUp(dataclasses.replace(LONG, batch_size=60)).run(state, images)
        points = learned.representation
        assert points.shape == (N, 32)
        np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-5)
        cosine = points @ points.T
        alike = KINDS[:, None] == KINDS
        assert cosine[alike].mean() > 0.5 > cosine[~alike].mean() + 0.2
        assert [row["phase"] for row in learned.history] == ["warm-up"] * 25

    @pytest.mark.parametrize("augment", ["none", "affine"])
    def test_it_tells_pairs_apart(self, images, make, training, monkeypatch, augment):
        """Where there are views half the pairs are of one image; without all are of two."""
        made = []

        def record(*arguments):
            made.append(arguments)
            return pairs_of(*arguments)

        monkeypatch.setattr(phases.warm_up, "pairs_of", record)
        state = PixelAxes().run(make(augment=augment), images)
        WarmUp(embedding_dim=5).run(state, images)
        ((_, neighbours, share, view, generator),) = made
        assert share == (1.0 if augment == "none" else 0.5)
        assert view is state.view
        assert generator is state.generator
        assert neighbours.shape == (N, 10)
        # Twenty of a kind: all ten neighbours are of it.
        assert (KINDS[neighbours] == KINDS[:, None]).all()
        (call,) = training
        assert torch.equal(call["y"], torch.arange(N))
        features = list(state.assigner.features.parameters())
        assert [id(p) for p in call["parameters"][:-2]] == [id(p) for p in features]
        assert call["parameters"][-2].shape == (5, state.assigner.features.n_features)
        state.assigner.eval()
        state.generator.manual_seed(5)
        loss = call["objective"](images.tensor(), torch.arange(N), 7)
        again = torch.Generator().manual_seed(5)
        pairs = pairs_of(images, neighbours, share, state.view, again)
        both = torch.cat(pairs(images.tensor(), torch.arange(N)))
        embedded = F.linear(state.assigner.features(both), *call["parameters"][-2:])
        torch.testing.assert_close(loss, 7 * contrastive_loss(*embedded.chunk(2)))

    @pytest.mark.parametrize(("mutual", "share"), [(0.4, 0.0), (0.6, 0.5)])
    def test_neighbours_are_believed_where_they_are_mutual(
        self, images, make, training, monkeypatch, mutual, share
    ):
        shares = []

        def record(images, near, share, *rest):
            shares.append(share)
            return pairs_of(images, near, share, *rest)

        monkeypatch.setattr(phases.warm_up, "pairs_of", record)
        monkeypatch.setattr(phases.warm_up, "mutuality", lambda points, most: mutual)
        WarmUp().run(PixelAxes().run(make(augment="affine"), images), images)
        assert shares == [share]


class TestStart:
    def test_the_clusters_are_found(self, images, make):
        state = dataclasses.replace(make(), pixels=images.pixels.reshape(N, -1).astype(float))
        clusters = Start().run(state, images).clusters
        assert len({*zip(clusters.tolist(), KINDS.tolist(), strict=True)}) == K

    def test_what_it_looks_at(self, make):
        pixels, learned = np.random.default_rng(1).random((2, N, 4))
        seen = phases.finding.seen
        views = dataclasses.replace(make(augment="affine"), pixels=pixels, representation=learned)
        np.testing.assert_array_equal(seen(views)[:], beside(learned, pixels, 0.5)[:])
        np.testing.assert_array_equal(seen(views, 2.0)[:], beside(learned, pixels, 2.0)[:])
        of_one = seen(dataclasses.replace(views, pixels=None))
        np.testing.assert_array_equal(of_one[:], learned)
        of_pixels = seen(dataclasses.replace(views, representation=None))
        np.testing.assert_array_equal(of_pixels[:], pixels)
        plain = dataclasses.replace(make(), pixels=pixels, representation=learned)
        np.testing.assert_array_equal(seen(plain)[:], learned)

    def test_what_is_left_of_the_search(self, images, make, monkeypatch):
        """Where up to so many images lie, at random, and of more not whose views are near whom."""
        monkeypatch.setattr(phases.finding, "N_SAMPLE", 20)
        pixels, learned = np.random.default_rng(1).random((2, N, 4))
        state = dataclasses.replace(
            with_clusters(make(augment="affine")), pixels=pixels, representation=learned
        )
        after = phases.finding.without_search(
            dataclasses.replace(state, view_neighbours=np.zeros((N, 3), np.int64))
        )
        assert (after.pixels, after.representation, after.view_neighbours) == (None, None, None)
        rows = after.sample
        assert len(set(rows.tolist())) == 20
        assert rows.max() > 20
        np.testing.assert_array_equal(after.places, beside(learned, pixels, 0.5)[rows])
        # Where cells were learned, they know the pixels.
        of_cells = phases.finding.without_search(
            dataclasses.replace(state, cells=np.zeros(N, np.int64))
        )
        np.testing.assert_array_equal(of_cells.places, learned[rows])

    def test_of_few_images_all_is_left_that_they_are_looked_at_by(self, images, make):
        near = np.zeros((N, 3), np.int64)
        points = np.random.default_rng(1).random((N, 4))
        state = dataclasses.replace(
            with_clusters(make()), representation=points, view_neighbours=near
        )
        after = phases.finding.without_search(state)
        np.testing.assert_array_equal(after.sample, np.arange(N))
        np.testing.assert_array_equal(after.places, points)
        assert after.view_neighbours is near

    def test_what_it_hands_on(self, images, make, monkeypatch):
        asked = {}
        prominences = np.array([8.0, 5.0, 1.0])

        def find_clusters(points, n_components, rng, labels, of_pixels, by_views, others):
            asked.update(points=points, n_components=n_components, rng=rng, labels=labels)
            asked.update(pixels=of_pixels, by_views=by_views, others=others)
            return Clusters(KINDS, prominences, np.stack([KINDS, 2 - KINDS]), np.ones(2))

        monkeypatch.setattr(phases.finding, "find_clusters", find_clusters)
        pixels, learned = np.random.default_rng(1).random((2, N, 4))
        observed = np.where(np.arange(N) < K, 5 + KINDS, -1)
        state = dataclasses.replace(
            make(observed, augment="affine"),
            pixels=pixels,
            representation=learned,
            view_neighbours=np.roll(np.arange(N), 1)[:, None],
        )
        after = Start(0.25).run(state, images)
        assert after.clusters is KINDS
        np.testing.assert_array_equal(after.nominees, [KINDS, 2 - KINDS])
        np.testing.assert_array_equal(after.merits, [1, 1])
        circle = asked["by_views"].toarray()
        assert circle.sum() == 2 * N
        assert circle[0, N - 1] == circle[N - 1, 0] == circle[5, 6] == 1
        assert after.prominences is prominences
        assert after.gmvae is state.gmvae
        np.testing.assert_array_equal(asked["points"][:], beside(learned, pixels, 0.25)[:])
        np.testing.assert_array_equal(asked["pixels"][:], pixels)
        assert asked["n_components"] == K
        assert asked["rng"] is state.rng
        np.testing.assert_array_equal(asked["labels"], np.where(np.arange(N) < K, KINDS, -1))
        assert after.history == [{"phase": "start", "epoch": 1}]
        assert asked["others"] == []
        Start(0).run(state, images)
        np.testing.assert_array_equal(asked["points"][:], learned)

    @pytest.mark.parametrize(
        ("share", "augment", "n_components", "shares"),
        [
            (0.5, "affine", None, [0.25, 1.0]),
            (0.5, "affine", K, []),
            (0.5, "none", None, []),
            (0, "affine", None, []),
        ],
    )
    def test_their_number_is_looked_for_with_fewer_and_with_more_pixels(
        self, images, make, monkeypatch, share, augment, n_components, shares
    ):
        asked = []

        def find_clusters(points, *more):
            asked.extend(more[-1])
            return Clusters(KINDS, np.zeros(0))

        monkeypatch.setattr(phases.finding, "find_clusters", find_clusters)
        pixels, learned = np.random.default_rng(1).random((2, N, 4))
        state = make(augment=augment, n_components=n_components)
        state = dataclasses.replace(state, pixels=pixels, representation=learned)
        Start(share).run(state, images)
        assert len(asked) == len(shares)
        for points, less_or_more in zip(asked, shares, strict=True):
            np.testing.assert_array_equal(points[:], beside(learned, pixels, less_or_more)[:])

    def with_cells(self, state, links):
        """A state whose four cells are halves of the first kind, and the two others."""
        halves = np.where(KINDS == 0, 3 * (np.arange(N) % 2), KINDS)
        points = np.eye(K)[KINDS] + 0.01 * np.random.default_rng(1).random((N, K))
        return dataclasses.replace(
            state, representation=points, cells=halves, cell_links=links, pixels=points
        )

    def test_cells_that_belong_together_are_joined(self, images, make, monkeypatch):
        asked = []

        def find_clusters(points, *more, **named):
            asked.append(points)
            return Clusters(np.arange(N) % K, np.zeros(0))

        monkeypatch.setattr(phases.finding, "find_clusters", find_clusters)
        links = np.diag([50.0, 100.0, 100.0, 50.0])
        links[0, 3] = links[3, 0] = 20
        after = Start(0).run(self.with_cells(make(augment="affine"), links), images)
        assert len({*zip(after.clusters.tolist(), KINDS.tolist(), strict=True)}) == K
        assert len(asked) == 1

    def test_where_none_do_the_best_of_three_draws_is_taken(self, images, make, monkeypatch):
        """Of five clusterings, two of them nominees of one draw, that of the kinds."""
        rng = np.random.default_rng(2)
        chance = [rng.integers(0, K, N) for _ in range(4)]
        draws = [
            Clusters(chance[0], np.zeros(0)),
            Clusters(chance[1], np.zeros(0), np.stack([chance[1], KINDS]), np.zeros(2)),
            Clusters(chance[2], np.zeros(0), np.stack([chance[2], chance[3]]), np.zeros(2)),
        ]
        left = iter(draws)
        monkeypatch.setattr(phases.finding, "find_clusters", lambda *_, **__: next(left))
        state = self.with_cells(make(augment="affine"), np.diag([50.0, 100.0, 100.0, 50.0]))
        after = Start(0).run(state, images)
        np.testing.assert_array_equal(after.clusters, KINDS)
        assert next(left, None) is None

    def test_the_number_of_components_is_found(self, images, make):
        """Three patterns far apart: a model of three, which learns on from the same features."""
        state = make(n_components=None)
        assert state.n_components == 1
        state = dataclasses.replace(state, pixels=images.pixels.reshape(N, -1).astype(float))
        after = Start().run(state, images)
        assert len({*zip(after.clusters.tolist(), KINDS.tolist(), strict=True)}) == K
        assert (after.prominences >= 3).sum() == K - 1
        assert after.n_components == after.settings.n_components == K
        assert after.gmvae.model.prior.n_components == K
        assert after.assigner is after.gmvae.guide.assigner
        assert after.assigner.features is state.assigner.features
        assert after.assigner(images.tensor()).shape == (N, K)


class TestCells:
    def test_what_is_minimised(self, images, make, training, monkeypatch):
        cells, asked = np.arange(N) % 7, {}

        def find_cells(points, n_components, rng):
            asked.update(points=points, n_components=n_components, rng=rng)
            return cells

        monkeypatch.setattr(phases.cells, "find_cells", find_cells)
        pixels, learned = np.random.default_rng(1).random((2, N, 4))
        state = dataclasses.replace(make(augment="affine"), pixels=pixels, representation=learned)
        after = Cells(smoothing=0.2, pixel_share=0.25).run(state, images)
        np.testing.assert_array_equal(asked["points"][:], beside(learned, pixels, 0.25)[:])
        assert (asked["n_components"], asked["rng"]) == (K, state.rng)
        (call,) = training
        np.testing.assert_array_equal(call["y"].numpy(), cells)
        features = state.assigner.features
        *of_features, weight, bias = call["parameters"]
        assert [id(p) for p in of_features] == [id(p) for p in features.parameters()]
        assert weight.shape == (7, features.n_features)
        features.eval()
        x, y = images.tensor(slice(0, 8)), torch.as_tensor(cells[:8])
        state.generator.manual_seed(3)
        view = state.view(x, torch.Generator().manual_seed(3))
        log_q = F.linear(features(view), weight, bias).log_softmax(-1)
        target = 0.8 * F.one_hot(y, 7) + 0.2 / 7
        expected = -11 * (target * log_q).sum(-1).mean()
        torch.testing.assert_close(call["objective"](x, y, 11), expected)
        # Directions on their principal axes: the same angles, around their mean.
        directions = F.normalize(features(images.tensor()), dim=-1).detach().double().numpy()
        centred = directions - directions.mean(0)
        np.testing.assert_allclose(
            after.representation @ after.representation.T, centred @ centred.T, atol=1e-5
        )
        assert after.clusters is None

    def test_links_are_of_views_and_of_neighbours(self, images, make, training, monkeypatch):
        """Two views of each and five neighbours of 20 of a kind, half a say each, both ways."""
        seen = []

        def answers(query, some, device, *modules):
            seen.append(query(some.tensor()).detach().double().numpy())
            return seen[-1]

        state = PixelAxes().run(make(augment="affine"), images)
        state = dataclasses.replace(state, representation=state.pixels)
        monkeypatch.setattr(phases.cells, "find_cells", lambda *_: KINDS)
        monkeypatch.setattr(phases.cells, "answers", answers)
        after = Cells(n_views=2, n_neighbors=5).run(state, images)
        one, two = (logits.argmax(-1) for logits in seen[-2:])
        assert not np.array_equal(seen[-2], seen[-1])
        links = np.zeros((K, K))
        near = nearest(alone(state.pixels), 5, np.random.default_rng(0))
        for i, cell in enumerate(after.cells):
            for other, share in [
                (one[i], 1 / 2),
                (two[i], 1 / 2),
                *((j, 1 / 5) for j in after.cells[near[i]]),
            ]:
                links[cell, other] += share
                links[other, cell] += share
        np.testing.assert_allclose(after.cell_links, links)
        assert links.sum() == pytest.approx(4 * N)

    def test_without_views_the_links_are_the_neighbours(self, images, make, training, monkeypatch):
        kinds = np.arange(N) % 7
        monkeypatch.setattr("gmvae.training.phases.cells.find_cells", lambda *_: kinds)
        state = PixelAxes().run(make(augment="none"), images)
        state = dataclasses.replace(state, representation=state.pixels)
        near = np.stack([np.arange(N) - 7, np.arange(N) - 1], axis=1)
        monkeypatch.setattr("gmvae.training.phases.cells.nearest", lambda *_: near)
        after = Cells(n_neighbors=2).run(state, images)
        expected = np.zeros((7, 7))
        for image, others in enumerate(near):
            for other in others:
                expected[after.cells[image], after.cells[other]] += 0.5
        np.testing.assert_allclose(after.cell_links, expected + expected.T)

    def test_kinds_come_to_lie_apart(self, images, make):
        """Of the three patterns, in 7 cells: those of one kind nearer than those of others."""
        state = PixelAxes().run(make(), images)
        points = Cells(LONG).run(state, images).representation
        distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
        alike = KINDS[:, None] == KINDS
        assert distances[alike].max() < distances[~alike].min()


class TestAssignment:
    def test_it_learns_the_clusters(self, images, make):
        swapped = (KINDS + 1) % K
        state = Assignment(length=LONG).run(with_clusters(make(), swapped), images)
        state.assigner.eval()
        predicted = state.assigner(images.tensor()).argmax(-1).numpy()
        np.testing.assert_array_equal(predicted, swapped)
        assert {row["phase"] for row in state.history} == {"assignment"}

    def test_what_is_minimised(self, images, make, training):
        state = with_clusters(make(augment="affine"))
        Assignment(smoothing=0.2).run(state, images)
        (call,) = training
        np.testing.assert_array_equal(call["y"].numpy(), KINDS)
        assert len(call["parameters"]) == len(list(state.assigner.parameters()))
        x, y = images.tensor(slice(0, 8)), torch.as_tensor(KINDS[:8])
        state.assigner.eval()
        state.generator.manual_seed(3)
        view = state.view(x, torch.Generator().manual_seed(3))
        log_q = state.assigner(view).log_softmax(-1)
        target = 0.8 * F.one_hot(y, K) + 0.2 / K
        expected = -11 * (target * log_q).sum(-1).mean()
        torch.testing.assert_close(call["objective"](x, y, 11), expected)

    @pytest.mark.parametrize(("number", "anew"), [(1, False), (2, True)])
    def test_from_the_second_round_it_begins_with_new_parameters(
        self, images, make, training, number, anew
    ):
        state = with_clusters(make())
        before = [p.detach().clone() for p in state.assigner.parameters() if p.dim() > 1]
        Assignment(number).run(state, images)
        after = [p for p in state.assigner.parameters() if p.dim() > 1]
        assert [not torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [anew] * len(
            before
        )

    def test_names(self):
        names = [phase(number).name for number in (1, 2) for phase in (Assignment, Sharpening)]
        assert names == ["assignment", "sharpening", "assignment 2", "sharpening 2"]


class TestViewsOnPixelAxes:
    """Whom views of each image lie near."""

    def test_three_of_each_view_and_none_of_itself(self, make, images):
        state = PixelAxes(n_views=4).run(make(augment="affine"), images)
        assert state.view_neighbours.shape == (N, 12)
        assert not (state.view_neighbours == np.arange(N)[:, None]).any()

    def test_views_that_change_little_lie_among_their_kind(self, make, images, monkeypatch):
        little = {"affine": lambda x, generator: x + 1e-3}
        monkeypatch.setattr("gmvae.training.state.AUGMENTATIONS", little)
        state = PixelAxes(n_views=2).run(make(augment="affine"), images)
        assert (KINDS[state.view_neighbours] == KINDS[:, None]).all()

    @pytest.mark.parametrize(("augment", "n_views"), [("none", 4), ("affine", 0)])
    def test_without_views_there_are_none(self, make, images, augment, n_views):
        state = PixelAxes(n_views=n_views).run(make(augment=augment), images)
        assert state.view_neighbours is None


class TestSharpening:
    def test_the_clusters_are_then_the_networks(self, images, make):
        """Ten images of the wrong cluster are corrected."""
        wrong = np.where(np.arange(N) < 10, (KINDS + 1) % K, KINDS)
        state = Assignment(length=dataclasses.replace(LONG, epochs=10)).run(
            with_clusters(make(), wrong), images
        )
        np.testing.assert_array_equal(state.clusters, wrong)
        # Where the pixels' axes know the kinds.
        state = dataclasses.replace(state, pixels=np.eye(K)[KINDS])
        sharpened = Sharpening(length=LONG).run(state, images)
        np.testing.assert_array_equal(sharpened.clusters, KINDS)
        assert sharpened.assigner.training

    def test_what_is_maximised(self, images, make, training):
        observed = np.where(np.arange(N) < 6, KINDS, -1)
        # Neither views nor neighbours: of an image and itself.
        state = dataclasses.replace(with_clusters(make(observed)), pixels=None)
        Sharpening(sharp=0.5, classification_weight=2.0).run(state, images)
        (call,) = training
        # Three clusters of twenty: H(pi) is ln 3.
        assert call["length"].enough == pytest.approx(-0.5 * math.log(K), rel=1e-6)
        assert dataclasses.replace(call["length"], enough=-math.inf) == Sharpening.length
        (term,) = call["regularisers"]
        assert isinstance(term, Classification)
        assert term.weight == 2.0
        assert call["guide"].assigner is state.assigner
        state.assigner.eval()
        x = images.tensor(slice(0, 8))
        q = state.assigner(x).softmax(-1).detach().numpy().astype(float)
        joint = q.T @ q / len(q)
        share = joint.sum(0)
        information = (joint * np.log(joint / np.outer(share, share))).sum()
        # Held to a third each, in a batch of eight and three more.
        counted = (8 * share + 3 * np.full(3, 1 / 3)) / 11
        held = math.log(3) + (share * np.log(share)).sum() - (np.log(1 / 3 / counted) / 3).sum()
        value = call["objective"](x, call["y"][:8], 10).item()
        assert value == pytest.approx(-10 * (information + held), rel=1e-3, abs=1e-5)

    @pytest.mark.parametrize("augment", ["none", "affine"])
    def test_without_views_neighbours_belong_together(
        self, images, make, training, monkeypatch, augment
    ):
        other = np.roll(np.arange(N), -5)
        monkeypatch.setattr("gmvae.training.phases.sharpening.nearest", lambda *_: other[:, None])
        state = with_clusters(make(augment=augment))
        Sharpening().run(state, images)
        (call,) = training
        state.assigner.eval()
        rows = torch.arange(10, 18)
        x, partners = images.tensor(rows.numpy()), images.tensor(other[rows])
        if augment != "none":
            generator = torch.Generator().manual_seed(3)
            state.generator.manual_seed(3)
            partners = state.view(x, generator)
        q, of_partners = (state.assigner(part).softmax(-1) for part in (x, partners))
        sizes = torch.full((K,), 1 / K)
        expected = -8 * mutual_information(q, of_partners, sizes)
        torch.testing.assert_close(call["objective"](x, rows, 8), expected)

    def test_it_is_sharp_enough_at_a_share_of_the_entropy_of_the_sizes(
        self, images, make, training
    ):
        """41, 13 and 6 of 60 images, and one more of each."""
        state = with_clusters(make(), np.repeat([0, 1, 2], [41, 13, 6]))
        shares = np.array([42, 14, 7]) / 63
        np.testing.assert_allclose(state.sizes, shares)
        Sharpening(sharp=0.9).run(state, images)
        entropy = -(shares * np.log(shares)).sum()
        assert training[0]["length"].enough == pytest.approx(-0.9 * entropy, rel=1e-6)

    def test_a_small_cluster_stays_small(self, images, make):
        """Sizes of 10 : 1 in an even set of images, told apart by one pixel: not evened."""
        rare = np.arange(N) % 11 == 0
        pixels = images.pixels[:1].repeat(N, 0).copy()
        pixels[rare, :, :3] = 1 - pixels[rare, :, :3]
        same = Images(pixels)
        state = with_clusters(make(n_components=2), rare.astype(int))
        state = dataclasses.replace(state, pixels=None)
        # All images a step: of small batches the running means that the answers use are noisy.
        whole = dataclasses.replace(LONG, epochs=60, batch_size=N)
        state = Assignment(length=whole).run(state, same)
        np.testing.assert_array_equal(Sharpening(length=whole).run(state, same).clusters, rare)


class TestPlacing:
    def test_each_cluster_is_laid_at_its_mean(self, images, make):
        state = with_clusters(make())
        Placing(dataclasses.replace(Placing.length, epochs=60, steps=1, lr=5e-3)).run(state, images)
        means = state.gmvae.model.prior.means.detach()
        z = state.gmvae.encode(images)
        nearest = torch.cdist(z, means).argmin(-1).numpy()
        np.testing.assert_array_equal(nearest, KINDS)
        assert (z - means[KINDS]).norm(dim=-1).mean() < 1.5

    def test_what_is_trained_and_on_what(self, images, make, training):
        clusters = np.where(np.arange(N) < 30, 0, 1 + np.arange(N) % 2)
        state = with_clusters(make(), clusters)
        Placing(gap=4.0).run(state, images)
        prior = state.gmvae.model.prior
        counts = np.bincount(clusters) + 1.0
        torch.testing.assert_close(
            prior.weights.detach(), torch.tensor(counts / counts.sum()).float()
        )
        torch.testing.assert_close(prior.full_covariances.detach(), torch.eye(2).expand(K, 2, 2))
        distances = torch.pdist(prior.means.detach())
        torch.testing.assert_close(distances, torch.full((3,), 4.0))
        (call,) = training
        np.testing.assert_array_equal(call["y"].numpy(), clusters)
        networks = [state.gmvae.guide.encoder, state.gmvae.model.decoder]
        trained = {id(p) for network in networks for p in network.parameters()}
        assert {id(p) for p in call["parameters"]} == trained
        assert call["objective"].kl_weight == 100.0


class TestJoint:
    observed = np.where(np.arange(N) < 6, 4 + KINDS, -1)

    @pytest.mark.parametrize(
        ("settings", "weights", "kinds"),
        [
            ({}, (1.0, 2.0, 3.0), [(Agreement, 2.0), (MutualInformation, 1.0)]),
            ({}, (0.0, 2.0, 3.0), [(Agreement, 2.0)]),
            ({}, (1.0, 0.0, 3.0), [(MutualInformation, 1.0)]),
            ({"assignment": "exact"}, (1.0, 2.0, 3.0), [(MutualInformation, 1.0)]),
            (
                {"observed": observed},
                (1.0, 2.0, 3.0),
                [(Agreement, 2.0), (MutualInformation, 1.0), (Classification, 3.0)],
            ),
            (
                {"observed": observed},
                (1.0, 2.0, 0.0),
                [(Agreement, 2.0), (MutualInformation, 1.0)],
            ),
        ],
    )
    def test_the_terms_beside_the_bound(self, images, make, settings, weights, kinds):
        state = make(**settings)
        terms = Joint(*weights).regularisers(state, images)
        assert [(type(term), term.weight) for term in terms] == kinds
        assert all(term.generator is state.generator for term in terms)
        views = [term.view for term in terms if not isinstance(term, Classification)]
        assert all(view.view is state.view for view in views)
        assert len({*map(id, views)}) == 1
        # Those of these two that are there know the mixture, one for its sizes.
        mixtures = [term.prior for term in terms if not isinstance(term, Classification)]
        assert all(prior is state.gmvae.model.prior for prior in mixtures)

    @pytest.mark.parametrize("held_out", [False, True])
    def test_what_is_trained_and_on_what(self, images, make, training, held_out):
        others = images.subset(slice(0, 9)) if held_out else None
        state = make(self.observed, others)
        state.gmvae.guide.encoder.loc.requires_grad_(False)
        length = dataclasses.replace(Joint.length, patience=4)
        Joint(length=length).run(state, images)
        (call,) = training
        np.testing.assert_array_equal(call["y"].numpy(), np.where(np.arange(N) < 6, KINDS, -1))
        assert call["length"].patience == (4 if held_out else None)
        assert [type(term) for term in call["regularisers"]] == [
            Agreement,
            MutualInformation,
            Classification,
        ]
        frozen = {id(p) for p in state.gmvae.guide.encoder.loc.parameters()}
        frozen |= {id(p) for p in state.assigner.features.parameters()}
        every = {id(p) for p in state.gmvae.parameters()}
        assert {id(p) for p in call["parameters"]} == every - frozen
        looked_at = state.held_out or images
        seed = torch.Generator().manual_seed(0)
        elbo = state.gmvae.elbo(looked_at, generator=seed).elbo.mean().item()
        assert call["validate"]()["elbo"] == pytest.approx(elbo)

    def test_without_observed_labels_the_bound_knows_none(self, images, make, training):
        Joint().run(make(), images)
        assert training[0]["y"] is None

    def test_the_bound_rises(self, images, make):
        state = with_clusters(make())
        Joint(length=dataclasses.replace(LONG, lr=2e-3)).run(state, images)
        bounds = [row["elbo"] for row in state.history]
        assert bounds[-1] > bounds[0] + 0.5


def test_classification_takes_the_labelled_images_and_their_components(images, make):
    rows = np.array([3, 7, 8, 50])
    observed = np.full(N, -1)
    observed[rows] = np.array([9, 2, 6, 2])
    (term,) = classification(make(observed), images, 1.5)
    assert torch.equal(term.x, images.tensor(rows))
    assert term.y.tolist() == [2, 0, 1, 0]
    assert classification(make(observed), images, 0.0) == []
    assert classification(make(), images, 1.5) == []
    observed[50] = 4  # Four classes, three components: labels only name them.
    assert classification(make(observed), images, 1.5) == []


def test_frozen_features_come_back_as_they_were(make):
    assigner = make().assigner
    features = assigner.features
    with frozen_features(assigner):
        assert isinstance(assigner.features, Frozen)
        assert assigner.features.features is features
        assert not any(p.requires_grad for p in features.parameters())
        assert assigner.logits.weight.requires_grad
        assert not any(
            part.training for part in assigner.modules() if part is not assigner.features
        )
    assert assigner.features is features
    assert all(p.requires_grad for p in features.parameters())


def test_answers_are_of_every_image_and_of_modules_that_do_not_learn(images, make, monkeypatch):
    monkeypatch.setattr(phases.phase, "_ROWS", 7)
    assigner = make().assigner
    for part in assigner.modules():
        if isinstance(part, torch.nn.BatchNorm2d):
            part.running_mean += 0.3
    values = answers(assigner, images, torch.device("cpu"), assigner)
    assert assigner.training
    assert values.dtype == np.float64
    assigner.eval()
    np.testing.assert_allclose(values, assigner(images.tensor()).detach().numpy(), atol=1e-6)


def test_frozen_features_are_computed_once_an_image(make, images, monkeypatch):
    """Those of a batch are at hand before it is asked for, but not where all take too much."""
    assigner, device = make().assigner, torch.device("cpu")
    expected = answers(assigner.features, images, device, assigner)
    with frozen_features(assigner) as frozen:
        before_step = with_features_at_hand(frozen, images, device)
        seen = []
        frozen.features.register_forward_hook(lambda module, x, y: seen.append(len(y)))
        for rows in torch.randperm(N).split(7):
            x = images.tensor(rows.numpy())
            before_step(x, rows)
            np.testing.assert_allclose(frozen(x).numpy(), expected[rows.numpy()], atol=1e-5)
        assert seen == [N]
        monkeypatch.setattr("gmvae.training.phases.phase._AT_HAND", N * frozen.n_features * 4 - 1)
        assert with_features_at_hand(frozen, images, device) is None
