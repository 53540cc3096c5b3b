"""The posterior over the mixture, encoder and decoder fixed, and leave-one-out under it."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from toys import LinearGaussian, exact_guide, small_pair, three_clusters

from gmvae.diagnostics import (
    MixturePosterior,
    arviz_bridge,
    draw,
    fit_mixture,
    leave_one_out,
    log_likelihood,
    mixture,
)
from gmvae.probability.bayesian import BayesianMixturePrior, DrawnMixture, variational_start
from gmvae.probability.families import posterior as posterior_of
from gmvae.support.errors import ArgumentError


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_of_ten_components_the_three_of_the_data_are_left(seed):
    torch.manual_seed(seed)
    model, guide = small_pair(10)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found = fit_mixture(model, guide, three_clusters(model), 10, n_draws=50, seed=seed)
    assert found.weights.shape == (50, 10)
    assert found.covariances.shape == (50, 10, 2, 2)
    assert abs(found.effective_number.mean() - 3) < 0.5
    largest = np.sort(found.weights.mean(0))[::-1]
    assert largest[:3] == pytest.approx([0.5, 0.3, 0.2], abs=0.08)
    # The model's own mixture is left as it was.
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_log_likelihood_under_other_mixtures_is_the_exact_one(monkeypatch):
    monkeypatch.setattr("gmvae.diagnostics.mixture._MOST_LATENTS", 1_600)
    truth = LinearGaussian(1, "full")
    draws = draw(truth.model, exact_guide(truth, widen=1.5), truth.x, 1_600)
    own = truth.log_evidence()
    means = truth.prior.means.detach() + 0.3 * torch.randn(5, 1, 2).double()
    scales = truth.prior.scale_tril.detach() * torch.linspace(0.8, 1.2, 5)[:, None, None, None]
    mixture = MixturePosterior(
        np.ones((5, 1)), means.numpy(), (scales @ scales.mT).detach().numpy()
    )
    found = log_likelihood(truth.model, draws, mixture)
    for i in range(5):
        drawn = DrawnMixture(torch.ones(1).double(), means[i], scales[i])
        truth.prior = drawn
        assert found[i] == pytest.approx(truth.log_evidence().numpy(), abs=0.06)
        assert np.abs(found[i] - own.numpy()).max() > 0.05


def test_leave_one_out_is_the_exact_predictive_density():
    """Data of unknown mean, unit variance: the predictive density of each is known."""
    rng = np.random.default_rng(0)
    n, tau = 30, 2.0
    x = rng.normal(1.0, 1.0, n)

    def posterior(seen):
        precision = 1 / tau**2 + len(seen)
        return seen.sum() / precision, 1 / precision

    mean, variance = posterior(x)
    mu = rng.normal(mean, math.sqrt(variance), 4_000)

    def log_normal(x, mean, variance):
        return -0.5 * (np.log(2 * np.pi * variance) + (x - mean) ** 2 / variance)

    found = leave_one_out(log_normal(x, mu[:, None], 1.0))
    each = [posterior(np.delete(x, i)) for i in range(n)]
    exact = [log_normal(x[i], m, 1 + v) for i, (m, v) in enumerate(each)]
    assert found.elpd == pytest.approx(exact, abs=0.01)
    assert found.khat.max() < 0.5
    assert found.n_effective == pytest.approx(1, abs=0.4)


def test_leaving_out_without_a_posterior_over_the_mixture_is_refused():
    with pytest.raises(ArgumentError, match="posterior over the mixture"):
        leave_one_out(None)


def test_what_cannot_be_fitted_is_refused():
    model, guide = small_pair(3)
    with pytest.raises(ArgumentError, match="at least 2"):
        fit_mixture(model, guide, torch.rand(5, 1, 2, 3), 1)
    with pytest.raises(ArgumentError, match="at least 6 latents"):
        fit_mixture(model, guide, torch.rand(5, 1, 2, 3), 6)


def test_the_effective_number_is_that_of_each_draw():
    weights = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.5, 0.25, 0.25]])
    found = MixturePosterior(weights, np.zeros((3, 3, 1)), np.ones((3, 3, 1, 1)))
    assert found.effective_number == pytest.approx([2, 1, 2**1.5])


def by_hand(truth, draws, posterior, n_latents, seed):
    """Log p(x | theta), latent by latent: systematic resampling, then the mean of the ratios."""
    t, n, _ = draws.z.shape
    first = np.random.default_rng(seed).random(n)
    drawn = [
        DrawnMixture(*(torch.as_tensor(part) for part in parts))
        for parts in zip(
            posterior.weights,
            posterior.means,
            np.linalg.cholesky(posterior.covariances),
            strict=True,
        )
    ]
    found = np.zeros((len(drawn), n))
    for i in range(n):
        below = np.exp(draws.smoothed[:, i]).cumsum()
        rows = [int((below < (first[i] + j) / n_latents).sum()) for j in range(n_latents)]
        z = torch.as_tensor(draws.z[np.minimum(rows, t - 1), i])
        p_z = truth.prior.z_dist().log_prob(z).exp()
        for s, other in enumerate(drawn):
            ratio = (other.z_dist().log_prob(z).exp() / p_z).mean().log().item()
            found[s, i] = draws.log_evidence[i] + ratio
    return found


# Six densities a latent: two images, three draws of a mixture of one component.
@pytest.mark.parametrize(
    ("densities", "n_latents"),
    [(0, 10), (6 * 12 + 5, 12), (6 * 100, 100), (6 * 1_000, 100)],
)
def test_the_log_likelihood_by_hand(densities, n_latents, monkeypatch):
    monkeypatch.setattr("gmvae.diagnostics.mixture._DENSITIES", densities)
    truth = LinearGaussian(1, "full")
    guide = exact_guide(truth, widen=1.5)
    truth.x = truth.x[:2]
    guide.encoder.loc, guide.encoder.scale = guide.encoder.loc[:2], guide.encoder.scale[:2]
    draws = draw(truth.model, guide, truth.x, 40)
    means = truth.prior.means.detach().numpy() + np.random.default_rng(0).normal(size=(3, 1, 2)) / 3
    covariances = np.stack([np.diag([1.0, 0.5]), np.diag([0.7, 0.8]), np.eye(2)])[:, None]
    posterior = MixturePosterior(np.ones((3, 1)), means, covariances)
    found = log_likelihood(truth.model, draws, posterior, seed=6)
    assert found == pytest.approx(by_hand(truth, draws, posterior, n_latents, 6), rel=1e-9)
    plain = log_likelihood(truth.model, draws, posterior)
    assert np.array_equal(plain, log_likelihood(truth.model, draws, posterior, 0))


def test_leaving_one_out_by_hand():
    values = np.random.default_rng(0).normal(-50, 0.3, size=(200, 3))
    found = leave_one_out(values)
    elpd, khat = arviz_bridge.loo(values)
    assert np.array_equal(found.elpd, elpd)
    assert np.array_equal(found.khat, khat)
    seen = np.log(np.exp(values).mean(0))
    assert found.n_effective == pytest.approx((seen - elpd).sum())
    # Of densities too small for exponentials.
    shifted = leave_one_out(values - 2_000)
    assert shifted.n_effective == pytest.approx(found.n_effective)


def encoded(model, guide, x, seed):
    """What a fit starts from: what the encoder answers, and one draw of the latents."""
    torch.manual_seed(seed)
    answer = guide.encoder(x)
    BayesianMixturePrior(3, 2)  # its means are drawn before the latents are
    rows = torch.randperm(len(x))
    return answer, posterior_of(tuple(part[rows] for part in answer)).sample()


class LeftAndRight(nn.Module):
    """An encoder of a mixture: two Gaussians left and right of where the image's latent lies."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, x):
        loc, scale = self.encoder(x)
        apart = torch.tensor([[-3.0, 0.0], [3.0, 0.0]], dtype=loc.dtype)
        both = loc.unsqueeze(1) + apart
        return both, scale.unsqueeze(1).expand_as(both) / 100, torch.zeros(len(x), 2).to(loc)


def test_the_latents_are_those_of_a_guide_of_several_gaussians(monkeypatch):
    """Between the two nothing is drawn, where one Gaussian of their spread would have most."""
    told = []
    monkeypatch.setattr("gmvae.diagnostics.mixture._learn", lambda *_: None)

    def start(z, n_components, seed):
        told.append(z)
        return variational_start(z, n_components, seed)

    monkeypatch.setattr("gmvae.diagnostics.mixture.variational_start", start)
    model, guide = small_pair(5)
    x = three_clusters(model, 1).expand(60, -1, -1, -1)
    centre = guide.encoder(x[:1])[0]
    guide.encoder = LeftAndRight(guide.encoder)
    fit_mixture(model, guide, x, 2, n_draws=25)
    off = (told[0] - centre)[:, 0].detach()
    assert (off.abs() - 3).abs().max() < 1
    assert 10 < (off > 0).sum() < 50


def test_a_fit_starts_from_the_variational_mixture_of_the_latents(monkeypatch):
    told = []
    monkeypatch.setattr("gmvae.diagnostics.mixture._learn", lambda *what: told.append(what))
    model, guide = small_pair(5)
    x = three_clusters(model, 100)
    found = fit_mixture(model, guide, x, 3, n_draws=400, seed=2)
    answer, z = encoded(model, guide, x, 2)
    weights, means, covariances = variational_start(z, 3, 2)
    # The draws lie around the start, as narrow as the autoguide starts.
    assert found.weights.shape == (400, 3)
    assert found.weights.mean(0) == pytest.approx(weights.numpy(), abs=0.01)
    assert found.means.mean(0) == pytest.approx(means.numpy(), abs=0.02)
    assert found.covariances.mean(0) == pytest.approx(covariances.numpy(), abs=0.05)
    ((prior, posterior, seen, answer_told),) = told
    assert all(map(torch.equal, answer_told, answer))
    assert torch.equal(seen, x[:1])
    assert posterior.guide.encoder is guide.encoder
    # The prior has the scale of the latents: means twice as wide as components.
    spread = answer[0].std().item()
    assert (prior.mean_scale, prior.scale) == pytest.approx((2 * spread, spread))
    assert prior.concentration == pytest.approx(1 / 6)


def test_500_draws_of_seed_0_by_default(monkeypatch):
    monkeypatch.setattr("gmvae.diagnostics.mixture._learn", lambda *_: None)
    model, guide = small_pair(5)
    x = three_clusters(model, 60)
    found = fit_mixture(model, guide, x, 2)
    assert found.weights.shape == (500, 2)
    assert np.array_equal(found.means, fit_mixture(model, guide, x, 2, 500, 0).means)


def test_of_many_latents_the_start_sees_some(monkeypatch):
    monkeypatch.setattr("gmvae.diagnostics.mixture._learn", lambda *_: None)
    monkeypatch.setattr("gmvae.diagnostics.mixture._START_ROWS", 30)
    told = []

    def start(z, n_components, seed):
        told.append((z, n_components, seed))
        return variational_start(z, n_components, seed)

    monkeypatch.setattr("gmvae.diagnostics.mixture.variational_start", start)
    model, guide = small_pair(5)
    fit_mixture(model, guide, three_clusters(model, 60), 2, n_draws=25, seed=9)
    ((z, n_components, seed),) = told
    assert (z.shape, n_components, seed) == ((30, 2), 2, 9)


def test_learning_from_a_part_of_the_latents_at_a_time_counts_all_of_them(monkeypatch):
    """One component: the mean's posterior has the width 1 / sqrt(n), n all 600 latents."""
    monkeypatch.setattr("gmvae.diagnostics.mixture._ROWS", 60)
    model, guide = small_pair(2, scale=1e-3)
    z = torch.randn(600, 2) * torch.tensor([1.0, 0.5]) + torch.tensor([3.0, -1.0])
    found = fit_mixture(model, guide, model.decoder(z), 2, n_draws=300)
    largest = found.weights.mean(0).argmax()
    assert found.weights[:, largest].mean() > 0.95
    means = found.means[:, largest]
    assert means.mean(0) == pytest.approx(z.mean(0).numpy(), abs=0.1)
    assert means.std(0) == pytest.approx(z.std(0).numpy() / 600**0.5, rel=0.4)
    covariance = found.covariances[:, largest].mean(0)
    assert covariance == pytest.approx(torch.cov(z.T).numpy(), abs=0.12)


def test_what_learns_and_for_how_long(monkeypatch):
    """300 steps whose rate rises to a tenth in their first tenth and falls to nothing."""
    rates = []
    adam = torch.optim.Adam

    class Watched(adam):
        def step(self, *args, **kwargs):
            rates.append(self.param_groups[0]["lr"])
            return super().step(*args, **kwargs)

    monkeypatch.setattr("torch.optim.Adam", Watched)
    model, guide = small_pair(2)
    fit_mixture(model, guide, three_clusters(model, 20), 2, n_draws=25)
    assert len(rates) == mixture._STEPS == 300
    assert np.argmax(rates) == 29
    assert max(rates) == pytest.approx(0.1)
    assert rates[-1] < 1e-4
