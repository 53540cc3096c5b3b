"""Simulated images, and the ranks of their latents under a guide that is known."""

import itertools

import numpy as np
import pytest
import torch
from diagnosed import linear_gaussian
from scipy import stats
from torch import nn
from toys import ConstantAssigner, LinearGaussian, exact_guide

from gmvae.diagnostics.simulation import Simulation, _uniformity, calibrate, ranks_among, simulate
from gmvae.probability.guide import Guide
from gmvae.support.errors import ArgumentError


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_ranks_under_an_exact_guide_are_uniform(latent_dim):
    model, guide = linear_gaussian(latent_dim)
    found = calibrate(model, guide, simulate(model, guide, 1_000))
    assert found.ranks.shape == (1_000, latent_dim)
    assert 0 <= found.ranks.min() <= found.ranks.max() <= 99
    assert found.p_value > 0.01


@pytest.mark.parametrize("widen", [0.5, 2.0])
def test_ranks_under_a_guide_of_the_wrong_width_are_not(widen):
    model, guide = linear_gaussian(widen=widen)
    found = calibrate(model, guide, simulate(model, guide, 1_000))
    assert found.p_value < 1e-6


def test_p_values_of_uniform_ranks_are_uniform():
    model, guide = linear_gaussian()
    values = [
        calibrate(model, guide, simulate(model, guide, 200, seed), 99, 1_000 + seed).p_value
        for seed in range(60)
    ]
    assert stats.kstest(values, "uniform").pvalue > 0.01


class Elsewhere(nn.Module):
    """A guide that draws N(loc, scale) in each of two dimensions, whatever the image."""

    def __init__(self, loc, scale):
        super().__init__()
        self.loc, self.scale = torch.tensor(loc).double(), torch.tensor(scale).double()

    def forward(self, x):
        return self.loc.expand(len(x), -1), self.scale.expand(len(x), -1)


def guide_at(loc, scale):
    return Guide(Elsewhere(loc, scale), ConstantAssigner(torch.zeros(1).double()))


def test_a_guide_below_the_latents_gives_rank_l_and_one_above_rank_0():
    model, _ = linear_gaussian(latent_dim=2)
    simulation = simulate(model, guide_at([0.0, 0.0], [1.0, 1.0]), 30)
    ranks = calibrate(model, guide_at([-99.0, 99.0], [1e-3, 1e-3]), simulation, n_draws=9)
    assert ranks.ranks.tolist() == [[9, 0]] * 30
    assert ranks.n_draws == 9
    assert ranks.p_value < 1e-9


def test_ranks_count_the_draws_below_each_latent(monkeypatch):
    """By hand, over three batches, the last of them smaller."""
    monkeypatch.setattr("gmvae.diagnostics.simulation._BATCH", 10)
    model, guide = linear_gaussian(latent_dim=2)
    simulation = simulate(model, guide, 24)
    found = calibrate(model, guide, simulation, n_draws=5, seed=7)
    torch.manual_seed(7)
    ranks = []
    for x, z in zip(simulation.x.split(10), simulation.z.split(10), strict=True):
        draws = guide.z_dist(x).sample((5,))
        ranks.append(sum((draw < z).long() for draw in draws))
    assert found.ranks.tolist() == torch.cat(ranks).tolist()
    # Not all of them at either end.
    assert len(np.unique(found.ranks)) == 6


def test_there_are_99_draws_by_default_and_the_seed_of_the_ranks_is_not_that_of_the_latents():
    model, guide = linear_gaussian()
    simulation = simulate(model, guide, 20)
    found = calibrate(model, guide, simulation)
    assert found.n_draws == 99
    assert np.array_equal(found.ranks, calibrate(model, guide, simulation, 99, seed=1).ranks)


@pytest.mark.parametrize(
    ("n", "n_values", "edges"),
    [
        # Five ranks a bin: eight bins of 100 values, 12.5 each, to whole ranks.
        (40, 100, [0, 12, 25, 38, 50, 62, 75, 88, 100]),
        # Twenty bins at most.
        (200, 100, list(range(0, 101, 5))),
        # No more bins than values.
        (100, 10, list(range(11))),
        # Two bins at least.
        (7, 100, [0, 50, 100]),
    ],
)
def test_uniformity_is_tested_by_chi_square(n, n_values, edges):
    rng = np.random.default_rng(n)
    ranks = np.stack([rng.integers(0, n_values, n), rng.integers(0, n_values, n)], axis=1)
    # An edge belongs to the bin above it.
    ranks[: len(edges) - 1, 0] = edges[:-1]
    p_values = []
    for column in ranks.T:
        counts = [np.sum((a <= column) & (column < b)) for a, b in itertools.pairwise(edges)]
        shares = np.diff(edges) / n_values
        p_values.append(stats.chisquare(counts, n * shares).pvalue)
    assert _uniformity(ranks, n_values) == pytest.approx(min(1, 2 * min(p_values)), rel=1e-9)


def test_the_least_p_value_is_corrected_for_the_dimensions_and_is_at_most_one():
    level = np.arange(100)
    heaped = np.where(level < 60, 5, level)
    alone = _uniformity(heaped[:, None], 100)
    assert alone < 1e-6
    three = np.stack([level, heaped, level], axis=1)
    assert _uniformity(three, 100) == pytest.approx(3 * alone)
    assert _uniformity(np.stack([level, level], axis=1), 100) == 1


def test_simulated_images_are_those_of_their_latents_and_components():
    truth = LinearGaussian(n_components=3)
    centres = torch.tensor([[-9.0, 0.0], [0.0, 9.0], [9.0, 0.0]]).double()
    weights = torch.tensor([0.2, 0.3, 0.5]).double()
    truth.prior.set(weights, centres, torch.eye(2).double().expand(3, 2, 2) / 100)
    truth.likelihood.scale = 1e-3
    found = simulate(truth.model, exact_guide(truth), 2_000, seed=3)
    assert found.y.shape == (2_000,)
    assert torch.bincount(found.y) / 2_000 == pytest.approx(weights, abs=0.03)
    assert (found.z - centres[found.y]).abs().max() < 0.5
    # The second batch has the images of its own latents, too.
    assert (found.x - truth.model.decoder(found.z).detach()).abs().max() < 0.01
    again = simulate(truth.model, exact_guide(truth), 2_000, seed=3)
    assert all(torch.equal(vars(found)[name], vars(again)[name]) for name in "yzx")
    other = simulate(truth.model, exact_guide(truth), 2_000)
    assert torch.equal(other.z, simulate(truth.model, exact_guide(truth), 2_000, seed=0).z)
    assert not torch.equal(other.z, found.z)


def test_too_few_simulated_images_are_refused():
    model, guide = linear_gaussian()
    with pytest.raises(ArgumentError, match=r"^`n_images` expected at least 1; got 0\."):
        simulate(model, guide, 0)
    assert len(simulate(model, guide, 1).x) == 1
    words = r"^`simulation` expected at least 20 images; got 19\. Simulate more\.$"
    with pytest.raises(ArgumentError, match=words):
        calibrate(model, guide, simulate(model, guide, 19))


def test_ranks_among_any_draws():
    """Of the truth's own kind uniform; of draws too narrow by half at the ends."""
    rng = np.random.default_rng(0)
    truth, noise = torch.zeros(400, 2), rng.normal(size=(400, 200, 2))
    mean = rng.normal(size=(400, 1, 2))
    simulated = Simulation(torch.zeros(400), truth, torch.zeros(400, 1, 1, 1))
    right = ranks_among(mean + noise, simulated)
    assert right.p_value > 0.01
    assert (right.ranks == (mean + noise[:, :99] < 0).sum(1)).all()
    assert ranks_among(mean + noise / 2, simulated).p_value < 1e-6
    assert ranks_among(mean + noise, simulated, 7).ranks.max() <= 7


def test_what_ranks_refuse():
    few = Simulation(torch.zeros(19), torch.zeros(19, 2), torch.zeros(19, 1, 1, 1))
    with pytest.raises(ArgumentError, match="at least 20 images; got 19"):
        ranks_among(np.zeros((19, 99, 2)), few)
    enough = Simulation(torch.zeros(20), torch.zeros(20, 2), torch.zeros(20, 1, 1, 1))
    with pytest.raises(ArgumentError, match="`n_draws` expected 1 to 98; got 99"):
        ranks_among(np.zeros((20, 98, 2)), enough)


def test_the_p_value_is_that_of_one_rank_more_than_draws():
    model, guide = linear_gaussian()
    found = calibrate(model, guide, simulate(model, guide, 150), n_draws=13)
    assert found.p_value == _uniformity(found.ranks, 14)
    assert found.p_value != _uniformity(found.ranks, 15)
