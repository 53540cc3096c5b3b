"""The diagnostics, against answers that are known."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn
from toys import ConstantAssigner, LinearDecoder, LinearGaussian, Noise, exact_guide, tiny

from gmvae.diagnostics.calibration import labelled_reliability, reliability, simulated_reliability
from gmvae.diagnostics.draws import draw
from gmvae.diagnostics.nuts import _factors, chosen_images, sample_posterior
from gmvae.diagnostics.report import _sureness
from gmvae.diagnostics.simulation import calibrate, simulate
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model
from gmvae.probability.prior import MixturePrior
from gmvae.support.errors import ArgumentError

SHAPE = (1, 2, 3)


class Posterior(nn.Module):
    """The exact posterior of a linear-Gaussian model of one component, for any images."""

    def __init__(self, model, widen=1.0):
        super().__init__()
        self.model, self.widen = model, widen

    def forward(self, x):
        prior, linear = self.model[0].prior, self.model[0].decoder.linear
        variance = self.model[0].likelihood.scale ** 2
        spread = prior.full_covariances[0].diagonal()
        precision = 1 / spread + linear.weight.square().sum(0) / variance
        seen = (x.flatten(1) - linear.bias) @ linear.weight / variance
        loc = (seen + prior.means[0] / spread) / precision
        return loc, (self.widen / precision.sqrt()).expand_as(loc)


def linear_gaussian(latent_dim=1, widen=1.0):
    """A model with its exact posterior, or one too narrow or too wide."""
    prior = MixturePrior(1, latent_dim, "diagonal").double()
    decoder = LinearDecoder(latent_dim, SHAPE, orthogonal=True).double()
    model = Model(decoder, prior, Noise())
    # In a tuple: the guide does not own the model.
    return model, Guide(Posterior((model,), widen), ConstantAssigner(torch.zeros(1).double()))


def test_an_exact_guide_has_constant_weights_and_no_gap():
    truth = LinearGaussian()
    draws = draw(truth.model, exact_guide(truth), truth.x, 100)
    assert np.isneginf(draws.khat).all()
    assert np.abs(draws.gap_z).max() < 1e-6
    assert np.abs(draws.gap_y).max() < 1e-6
    assert np.allclose(draws.log_evidence, truth.log_evidence())
    assert np.abs(draws.total_variation).max() < 1e-6


def test_a_narrow_guide_is_found_out():
    model, guide = linear_gaussian(widen=0.5)
    x = simulate(model, guide, 20).x
    draws = draw(model, guide, x, 10_000)
    assert 0.60 <= np.median(draws.khat) <= 0.80
    # KL(q || p) of N(0, 1/4) and N(0, 1), but for the noise of the weights.
    assert draws.gap_z.mean() == pytest.approx(math.log(2) - 3 / 8, abs=0.05)


def test_the_gap_of_y_is_the_divergence_of_the_assigner():
    truth = LinearGaussian(n_components=2)
    # Wide enough for the other component's share of the posterior.
    draws = draw(truth.model, exact_guide(truth, widen=4), truth.x, 1_600)
    log_y = np.log(draws.y)
    expected = (0.5 * (np.log(0.5) - log_y)).sum(-1).mean(0)
    assert np.allclose(draws.gap_y, expected)
    assert np.allclose(draws.elbo + draws.gap_y + draws.gap_z, draws.log_evidence)
    exact = truth.log_joint().softmax(-1).numpy()
    assert np.abs(draws.p_y - exact).max() < 0.05
    assert np.allclose(draws.total_variation, np.abs(exact - 0.5).sum(-1) / 2, atol=0.05)


def test_with_y_summed_out_its_gap_is_zero():
    truth = LinearGaussian(n_components=2, assignment="exact")
    draws = draw(truth.model, exact_guide(truth), truth.x, 100)
    assert not draws.gap_y.any()


def test_images_are_kept_in_order_over_the_chunks(monkeypatch):
    model, guide = linear_gaussian(latent_dim=2)
    x = simulate(model, guide, 7).x
    whole = draw(model, guide, x, 100)
    monkeypatch.setattr("gmvae.diagnostics.draws.DECODED_AT_ONCE", 200)
    parts = draw(model, guide, x, 100)
    assert whole.z.shape == parts.z.shape == (100, 7, 2)
    assert np.allclose(whole.log_evidence, parts.log_evidence)


def test_drawing_leaves_no_trace():
    gmvae = tiny()
    x = torch.rand(2, 1, 3, 4)
    before = torch.random.get_rng_state()
    gmvae.guide.encoder.eval()
    modes = [part.training for part in gmvae.modules()]
    draw(gmvae.model, gmvae.guide, x, 25)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert [part.training for part in gmvae.modules()] == modes


def test_few_draws_are_refused():
    gmvae = tiny()
    with pytest.raises(ArgumentError, match="n_draws"):
        draw(gmvae.model, gmvae.guide, torch.rand(2, 1, 3, 4), 10)


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


def three_classes(n=20_000, seed=0):
    """Probabilities and labels drawn from them."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(3), n)
    truth = (probabilities.cumsum(-1) < rng.random((n, 1))).sum(-1)
    return probabilities, truth


def test_a_calibrated_classifier_has_no_error():
    found = reliability(*three_classes())
    assert found.ece < 0.015
    assert np.abs(found.accuracy - found.confidence)[found.count > 500].max() < 0.05
    assert found.count.sum() == 20_000


def test_a_sharpened_classifier_has_the_known_error():
    probabilities, truth = three_classes()
    sharp = probabilities**3 / (probabilities**3).sum(-1, keepdims=True)
    # It is right as often as the unsharpened top probability says.
    known = (sharp.max(-1) - probabilities.max(-1)).mean()
    assert known > 0.1
    found = reliability(sharp, truth)
    assert found.ece == pytest.approx(known, abs=0.01)
    assert found.excess == pytest.approx(known, abs=0.01)
    assert _sureness(found).startswith("too sure by 0.")
    assert _sureness(reliability(probabilities, truth)).startswith("no surer than right")


def test_components_are_named_or_matched_for_labels():
    probabilities, truth = three_classes(2_000)
    labels = np.array([8, 1, 4])[truth]
    plain = reliability(probabilities, truth).ece
    assert labelled_reliability(probabilities, labels, (8, 1, 4)).ece == pytest.approx(plain)
    assert labelled_reliability(probabilities, labels, None).ece == pytest.approx(plain)


def test_an_error_sure_of_a_class_that_no_image_has_counts_as_sure():
    probabilities = np.tile([0.01, 0.0, 0.99], (4, 1))
    found = labelled_reliability(probabilities, np.array([1, 1, 4, 4]), (1, 4, 8))
    assert found.confidence.tolist() == pytest.approx([0.99])
    assert found.accuracy.tolist() == [0.0]
    assert found.ece == pytest.approx(0.99)


def test_components_of_one_class_are_added():
    probabilities = np.array([[0.4, 0.5, 0.1], [0.3, 0.3, 0.4]])
    found = labelled_reliability(probabilities, np.array([4, 4]), (4, 4, 8))
    assert found.confidence.tolist() == pytest.approx([0.6, 0.9])
    assert found.accuracy.tolist() == [1.0, 1.0]


def test_calibration_on_simulated_images_knows_the_components():
    truth = LinearGaussian(n_components=3)
    truth.prior.set(
        torch.tensor([0.2, 0.3, 0.5]).double(),
        3 * torch.randn(3, 2).double(),
        torch.eye(2).expand(3, 2, 2).double(),
    )

    class Bayes(nn.Module):
        def forward(self, x):
            truth.x = x
            return truth.log_joint()

    guide = Guide(exact_guide(truth).encoder, Bayes())
    found = simulated_reliability(truth.model, guide, simulate(truth.model, guide, 4_000))
    assert found.ece < 0.03


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
    x = torch.zeros(1, *SHAPE).double()
    found = sample_posterior(model, guide, x, n_draws=100, n_warmup=50, n_chains=2)
    # In the units of the guide there are more than 6,000, and few effective draws.
    assert len(calls) < 2_500
    assert found.ess.min() > 50


class TwoSheets(nn.Module):
    """x sees only the square of z: both signs explain it alike."""

    def forward(self, z):
        return z.square().sum(-1)[..., None, None, None].expand(*z.shape[:-1], *SHAPE)


def test_a_posterior_of_two_modes_is_told_from_chains_that_have_not_converged():
    """The guide sits on one of two modes, the chains on both; the truth is found on a grid."""
    prior = MixturePrior(1, 1, "diagonal").double()
    prior.set(
        torch.ones(1).double(), torch.full((1, 1), 0.1).double(), torch.ones(1, 1, 1).double()
    )
    model = Model(TwoSheets(), prior, Noise())
    x = torch.full((1, *SHAPE), 6.25, dtype=torch.float64)

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
