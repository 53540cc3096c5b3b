"""NUTS, against posteriors that are known."""

import math

import numpy as np
import pytest
import torch
from diagnosed import linear_gaussian
from torch import nn
from toys import SMALL, ConstantAssigner, LinearGaussian, Noise

from gmvae.diagnostics import Reference, nuts
from gmvae.diagnostics.draws import draw
from gmvae.diagnostics.nuts import _factors, chosen_images, sample_posterior
from gmvae.diagnostics.simulation import simulate
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model
from gmvae.probability.prior import MixturePrior
from gmvae.support.errors import ArgumentError


def entropy_less(model, guide, x):
    """Of -log p(z | x) at the mode: what the energy has beside the two chi-squares."""
    scale = guide.z_dist(x).stddev
    return (scale.log() + math.log(2 * math.pi) / 2).sum(-1).detach().numpy()


def test_nuts_agrees_with_the_exact_posterior():
    model, guide = linear_gaussian(latent_dim=2)
    x = simulate(model, guide, 2).x
    found = sample_posterior(model, guide, x, n_draws=150, n_warmup=50, n_chains=2)
    assert found.z.shape == (2, 150, 2, 2)
    assert found.rhat.max() < 1.05
    assert found.ess.min() > 80
    assert found.shift.max() < 0.25
    assert np.abs(found.narrowness - 1).max() < 0.1
    assert (found.modes == 1).all()
    assert found.khat.max() < 0.7
    # Energies are of one half more a dimension, kinetic and potential, than the normaliser's.
    assert found.energy.shape == (2, 150, 2)
    assert not found.diverging.any()
    potential = found.energy.mean((0, 1)) + found.log_evidence
    assert potential == pytest.approx(2 / 2 + 2 / 2 + entropy_less(model, guide, x), abs=0.35)
    # The guide is exact, so that each of its draws has log p(x) as its weight.
    known = draw(model, guide, x, 25).log_evidence
    assert np.allclose(found.log_evidence, known, atol=0.05)


def test_the_coordinates_of_the_chains_are_those_of_a_standard_normal():
    truth = LinearGaussian(1, "full")
    _, covariances = truth.posterior()
    starts = torch.randn(4, 5, 2).double()
    factors = _factors(truth.model, truth.x, starts, torch.full((5, 2), 0.3).double())
    assert factors.shape == (4, 5, 2, 2)
    assert torch.allclose(factors @ factors.mT, covariances.expand(4, 5, 2, 2), rtol=1e-4)


def test_coordinates_are_at_most_three_sd_of_the_guide_wide():
    model, guide = linear_gaussian(widen=0.01)
    x = simulate(model, guide, 2).x
    loc, scale = (value.detach() for value in guide.encoder(x))
    factors = _factors(model, x, loc.unsqueeze(0), scale)
    assert torch.allclose(factors.abs().flatten(), 3 * scale.flatten())


def test_trajectories_along_a_narrow_ridge_are_short():
    """The guide knows nothing of a correlation of 0.999; NUTS is told of it."""
    model, guide = linear_gaussian(latent_dim=2)
    prior = model.prior = MixturePrior(1, 2).double()
    ridge = torch.tensor([[[1.0, 0.999], [0.999, 1.0]]]).double()
    prior.set(torch.ones(1).double(), torch.zeros(1, 2).double(), ridge)
    model.likelihood.scale = 50.0
    calls = []
    model.decoder.register_forward_hook(lambda *_: calls.append(1))
    x = torch.zeros(1, *SMALL).double()
    found = sample_posterior(model, guide, x, n_draws=100, n_warmup=50, n_chains=2)
    # In the units of the guide there are more than 6,000, and few effective draws.
    assert len(calls) < 2_500
    assert found.ess.min() > 50


class TwoSheets(nn.Module):
    """x sees only the square of z: both signs explain it alike."""

    def forward(self, z):
        return z.square().sum(-1)[..., None, None, None].expand(*z.shape[:-1], *SMALL)


def test_a_posterior_of_two_modes_is_told_from_chains_that_have_not_converged():
    """The guide sits on one of two modes, the chains on both; the truth is found on a grid."""
    prior = MixturePrior(1, 1, "diagonal").double()
    prior.set(
        torch.ones(1).double(), torch.full((1, 1), 0.1).double(), torch.ones(1, 1, 1).double()
    )
    model = Model(TwoSheets(), prior, Noise())
    x = torch.full((1, *SMALL), 6.25, dtype=torch.float64)

    class OneMode(nn.Module):
        def forward(self, x):
            return torch.full((len(x), 1), 2.5).double(), torch.full((len(x), 1), 0.06).double()

    guide = Guide(OneMode(), ConstantAssigner(torch.zeros(1).double()))
    found = sample_posterior(model, guide, x, n_draws=100, n_warmup=50)
    z = torch.linspace(-5, 5, 20_001).double().unsqueeze(-1)
    log_p = model.likelihood(model.decoder(z)).log_prob(x[0]) + prior.log_joint(z).squeeze(-1)
    log_p = log_p.detach()
    p = log_p.softmax(0)
    mean = p @ z
    assert found.modes == [2]
    assert found.rhat.max() > 1.1
    assert found.khat.max() < 0.7
    sd = (p @ (z - mean).square()).sqrt()
    assert found.mean[0] == pytest.approx(mean.numpy(), abs=0.1)
    assert found.sd[0] == pytest.approx(sd.numpy(), rel=0.05)
    log_evidence = log_p.logsumexp(0).item() + math.log(5e-4)
    assert found.log_evidence[0] == pytest.approx(log_evidence, abs=0.05)
    assert found.narrowness.max() < 0.05


def test_nuts_sees_a_guide_too_narrow():
    model, guide = linear_gaussian(widen=0.5)
    found = sample_posterior(model, guide, simulate(model, guide, 1).x, 150, 50, 2)
    assert np.allclose(found.narrowness, 0.5, atol=0.12)


def test_the_worst_images_are_chosen_first():
    rows = chosen_images(np.array([0.1, 2.0, -np.inf, 0.9, 0.3]), 2, 2)
    assert rows[:2].tolist() == [1, 3]
    assert set(rows[2:]) < {0, 2, 4}
    assert len(chosen_images(np.zeros(3), 4, 4)) == 3


def test_shift_and_narrowness_are_in_the_posteriors_sd():
    pair = np.array([[1.0, 5.0]])
    names = "z", "log_evidence", "khat", "modes", "rhat", "ess", "energy", "diverging"
    nothing = {name: np.zeros(1) for name in names}
    found = Reference(guide_mean=pair, guide_sd=pair, mean=pair[:, ::-1], sd=2 * pair, **nothing)
    assert found.shift.tolist() == [[2.0, 0.4]]
    assert found.narrowness.tolist() == [[0.5, 0.5]]


def test_the_slope_is_the_gradient_of_the_log_joint_of_each_image():
    """Of a linear-Gaussian model: minus precision times the distance from the posterior mean."""
    truth = LinearGaussian(1, "full")
    means, covariances = truth.posterior()
    z = torch.randn(4, 5, 2).double()
    expected = -(z - means[:, 0]) @ torch.linalg.inv(covariances[0])
    assert torch.allclose(nuts._slope(truth.model, truth.x, z), expected)


def test_the_log_joint_has_y_summed_out_whatever_the_chunks(monkeypatch):
    truth = LinearGaussian(3, "full")
    z = torch.randn(7, 5, 2).double()
    p_x = truth.likelihood(truth.model.decoder(z)).log_prob(truth.x)
    expected = p_x + truth.prior.log_joint(z).logsumexp(-1)
    monkeypatch.setattr(nuts, "_CHUNK", 3)
    found = nuts._log_joint(truth.model, truth.x, z)
    assert found.shape == (7, 5)
    assert torch.allclose(found, expected)


def test_climbing_ends_at_the_mean_of_a_posterior_of_one_mode():
    truth = LinearGaussian(1, "full")
    means, covariances = truth.posterior()
    scale = covariances[0].diagonal().sqrt().expand(5, 2)
    start = means[:, 0] + 1.5 * scale * torch.randn(6, 5, 2).double()
    with torch.no_grad():
        found = nuts._climb(truth.model, truth.x, start, scale)
    assert torch.allclose(found, means[:, 0].expand(6, 5, 2), atol=0.02)


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_candidates_of_the_prior_and_of_the_guide_have_the_density_of_both(share, monkeypatch):
    monkeypatch.setattr(nuts, "CANDIDATES", 1_000)
    truth = LinearGaussian(2, "full")
    truth.prior.set(
        torch.tensor([0.5, 0.5]).double(),
        torch.full((2, 2), 50.0).double(),
        torch.eye(2).double().expand(2, 2, 2),
    )
    near = torch.distributions.Independent(
        torch.distributions.Normal(torch.zeros(3, 2).double(), 1.0), 1
    )
    z, log_q = nuts._with_prior(truth.model, near, share)
    assert z.shape == (1_000, 3, 2)
    assert ((z > 25).all(-1).sum(0) == round(share * 1_000)).all()
    p = share * truth.prior.z_dist().log_prob(z).exp() + (1 - share) * near.log_prob(z).exp()
    assert torch.allclose(log_q, p.log())


def test_there_are_8000_candidates():
    model, guide = linear_gaussian()
    loc, scale = (part.detach() for part in guide.encoder(torch.zeros(2, *SMALL).double()))
    near = torch.distributions.Independent(torch.distributions.Normal(loc, scale), 1)
    assert nuts._with_prior(model, near, 0.25)[0].shape == (8_000, 2, 1)


def test_the_chains_start_wider_apart_than_the_posterior():
    """Drawn from the root of the density: of a normal, one of twice the variance."""
    model, guide = linear_gaussian(latent_dim=2)
    x = simulate(model, guide, 3).x
    loc, scale = (part.detach() for part in guide.encoder(x))
    starts = nuts._starts(model, x, loc, scale, 300)
    assert starts.shape == (300, 3, 2)
    standard = (starts - loc) / scale
    assert standard.mean(0).abs().max() < 0.3
    assert standard.std(0).numpy() == pytest.approx(np.full((3, 2), 2**0.5), rel=0.12)
    # Without replacement.
    assert all(len(starts[:, i, 0].unique()) == 300 for i in range(3))


def test_weighted_draws_have_the_moments_and_the_evidence_of_the_posterior():
    """Chains of the exact posterior, of which one never moved."""
    truth = LinearGaussian(1, "full")
    means, covariances = truth.posterior()
    root = torch.linalg.cholesky(covariances[0])
    z = means[:, 0] + torch.randn(3, 50, 5, 2).double() @ root.T
    z[2] = means[:, 0]
    scale = covariances[0].diagonal().sqrt().expand(5, 2)
    with torch.no_grad():
        drawn, weights, log_evidence, khat = nuts._weighted(truth.model, truth.x, z, scale)
    assert drawn.shape == (8_000, 5, 2)
    assert torch.allclose(weights.sum(0), torch.ones(5).double())
    mean = (weights.unsqueeze(-1) * drawn).sum(0)
    assert ((mean - means[:, 0]) / scale).abs().max() < 0.1
    sd = (weights.unsqueeze(-1) * (drawn - mean).square()).sum(0).sqrt()
    assert sd.numpy() == pytest.approx(scale.numpy(), rel=0.1)
    assert log_evidence == pytest.approx(truth.log_evidence().numpy(), abs=0.05)
    assert khat.shape == (5,)
    assert khat.max() < 0.7
    # A third of the draws around chains, three quarters of all, is close to the one at rest.
    near = ((drawn - means[:, 0]).abs() < 0.05 * scale).all(-1).double().mean(0)
    assert near.min() > 0.2


@pytest.mark.parametrize(("share", "modes"), [(0.5, 2), (0.9, 2), (0.99, 1)])
def test_modes_count_from_a_twentieth_of_the_weight(share, modes):
    """Two sheets: draws at both signs, those above 0 of this share of the weight."""
    prior = MixturePrior(1, 1, "diagonal").double()
    model = Model(TwoSheets(), prior, Noise())
    x = torch.full((2, *SMALL), 6.25, dtype=torch.float64)
    z = torch.cat([torch.full((50, 2, 1), 2.4), torch.full((50, 2, 1), -2.6)]).double()
    weights = torch.cat([torch.full((50, 2), share / 50), torch.full((50, 2), (1 - share) / 50)])
    found = nuts._modes(model, x, z, weights.double(), torch.full((2, 1), 0.1).double())
    assert found.tolist() == [modes, modes]


def test_a_statistic_is_taken_by_image_and_dimension():
    chains = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    found = nuts._by_quantity(np.sum, chains)
    assert np.array_equal(found, chains.sum((0, 1)))


def test_what_nuts_is_told_and_what_it_tells():
    """The parts are those of the guide and of the chains, image by image."""
    model, guide = linear_gaussian(latent_dim=2)
    x = simulate(model, guide, 3).x
    found = sample_posterior(model, guide, x.float(), n_draws=20, n_warmup=5, n_chains=2, seed=4)
    loc, scale = (part.detach().numpy() for part in guide.encoder(x.float().double()))
    assert np.allclose(found.guide_mean, loc)
    assert np.allclose(found.guide_sd, scale)
    assert found.z.shape == (2, 20, 3, 2)
    # Each image's chains are around its own mean, which the guide knows.
    assert np.abs((found.z.mean((0, 1)) - loc) / scale).max() < 1.5
    assert found.sd == pytest.approx(scale, rel=0.1)
    assert np.abs((found.mean - loc) / scale).max() < 0.1
    assert found.rhat[1, 0] == nuts.arviz_bridge.rhat(found.z[:, :, 1, 0])
    assert found.ess[1, 0] == nuts.arviz_bridge.ess(found.z[:, :, 1, 0])


def test_one_chain_is_refused():
    model, guide = linear_gaussian()
    with pytest.raises(ArgumentError, match=r"^`n_chains` expected at least 2; got 1\."):
        sample_posterior(model, guide, torch.zeros(1, *SMALL), n_chains=1)


def test_four_chains_of_200_draws_after_100_of_warm_up_by_default(monkeypatch):
    told = []

    def run(model, x, start, factor, n_draws, n_warmup):
        told.append((len(start), n_draws, n_warmup))
        z = torch.randn(len(start), n_draws, 1).double()
        return nuts._Chains(z, z[..., 0], np.zeros(n_draws, bool))

    monkeypatch.setattr(nuts, "_run", run)
    model, guide = linear_gaussian()
    sample_posterior(model, guide, torch.zeros(1, *SMALL))
    assert told == [(4, 200, 100)]


def test_a_trajectory_has_at_most_63_steps(monkeypatch):
    depths = []
    real = nuts._Recording
    monkeypatch.setattr(
        nuts, "_Recording", lambda **kinds: depths.append(kinds["max_tree_depth"]) or real(**kinds)
    )
    model, guide = linear_gaussian()
    pair = [sample_posterior(model, guide, torch.zeros(1, *SMALL), 20, 20, 2) for _ in range(2)]
    assert depths == [6, 6]
    # The same seed gives the same draws.
    assert np.array_equal(pair[0].z, pair[1].z)


def test_chosen_images_by_hand():
    khat = np.array([0.1, 2.0, -np.inf, 0.9, 0.3, 0.9])
    # Of the same k-hat the first comes first.
    assert chosen_images(khat, 3, 0).tolist() == [1, 3, 5]
    assert chosen_images(khat, 0, 6).tolist() == [0, 1, 2, 3, 4, 5]
    assert chosen_images(khat, 1, 99).tolist() == [1, 0, 2, 3, 4, 5]
    drawn = {tuple(chosen_images(khat, 2, 2, seed)[2:].tolist()) for seed in range(50)}
    # Two of the other four, in order, each choice at some seed.
    assert drawn == {(0, 2), (0, 4), (0, 5), (2, 4), (2, 5), (4, 5)}
    assert np.array_equal(chosen_images(khat, 2, 2), chosen_images(khat, 2, 2, 0))
