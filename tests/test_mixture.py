"""The posterior over the mixture, encoder and decoder fixed, and leave-one-out under it."""

import math

import numpy as np
import pytest
import torch
from toys import LinearGaussian, exact_guide, small_pair, three_clusters

from gmvae.diagnostics import MixturePosterior, draw, fit_mixture, leave_one_out, log_likelihood
from gmvae.probability.bayesian import DrawnMixture
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
