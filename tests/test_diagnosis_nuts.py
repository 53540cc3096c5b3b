"""NUTS, against posteriors that are known."""

import math

import numpy as np
import torch
from diagnosed import linear_gaussian
from torch import nn
from toys import SMALL, ConstantAssigner, LinearGaussian, Noise

from gmvae.diagnostics.draws import draw
from gmvae.diagnostics.nuts import _factors, chosen_images, sample_posterior
from gmvae.diagnostics.simulation import simulate
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model
from gmvae.probability.prior import MixturePrior


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
