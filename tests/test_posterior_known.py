"""`gmvae.posterior` on models whose posterior is known: exact sums, a grid, symmetry."""

import numpy as np
import pytest
import torch
from certified import answer, linear_gaussian, on_grid, stat, two_modes
from toys import tiny

from gmvae.posterior import Effort

# Of some thousand comparisons one is expected beyond four standard errors in a run of twenty.
ERRORS = 4


@pytest.fixture(scope="module", params=[1.0, 0.6, 3.0], ids=["near", "narrow", "wide"])
def linear(request):
    """Two hundred images of a linear-Gaussian model of three components, and the answer."""
    torch.manual_seed(0)
    truth, guide = linear_gaussian(200, request.param)
    return truth, answer(truth.model, guide, truth.x, weights=True)


def exact_moments(truth):
    """Means (N, D), covariances (N, D, D) and p(y | x), (N, K), of the mixture posterior."""
    p_y = truth.log_joint().softmax(-1)
    means, covariances = truth.posterior()
    mean = torch.einsum("nk,nkd->nd", p_y, means)
    delta = means - mean.unsqueeze(1)
    second = covariances + delta.unsqueeze(-1) * delta.unsqueeze(-2)
    return mean.numpy(), torch.einsum("nk,nkde->nde", p_y, second).numpy(), p_y.numpy()


def within(values, errors, truth):
    """Whether all values are within their errors of the truth, and the errors not idle."""
    scores = np.abs(values - truth) / np.maximum(errors, 1e-9)
    assert scores.max() < ERRORS
    return scores


def test_every_image_is_certified(linear):
    _, posterior = linear
    assert posterior.certified.all()
    assert set(posterior.routes) == {"guide", "refined", "hmc", "unresolved"}


def test_the_evidence(linear):
    truth, posterior = linear
    errors = stat(posterior, "log_evidence_mcse")
    scores = within(posterior.log_evidence, errors, truth.log_evidence().numpy())
    # Standard errors that were ten times too large would pass, too.
    assert 0.5 < np.sqrt(np.mean(scores**2)) < 1.5
    assert errors.max() < 0.15


def test_means_and_spreads(linear):
    truth, posterior = linear
    mean, covariance, _ = exact_moments(truth)
    within(stat(posterior, "mean"), stat(posterior, "mean_mcse"), mean)
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    within(stat(posterior, "sd"), stat(posterior, "sd_mcse"), sd)


def test_the_components(linear):
    truth, posterior = linear
    _, _, p_y = exact_moments(truth)
    # Of a component that no draw is near the error is zero, as is its share.
    errors = np.maximum(stat(posterior, "p_y_mcse"), 1e-4)
    within(posterior.p_y, errors, p_y)
    assert posterior.p_y.sum(-1) == pytest.approx(1)


def test_covariances_of_the_weighted_draws(linear):
    truth, posterior = linear
    mean, covariance, _ = exact_moments(truth)
    z = np.moveaxis(stat(posterior, "weighted")[0], 0, 1) - mean[:, None]
    weights = np.exp(stat(posterior, "log_weight")[0].T)
    assert weights.sum(-1) == pytest.approx(1)
    product = z[..., 0] * z[..., 1]
    value = (weights * product).sum(-1)
    # Thinning to 500 adds to the variance of the weights what their square says.
    error = np.sqrt((weights**2 * (product - value[:, None]) ** 2).sum(-1))
    within(value, error, covariance[:, 0, 1])


def test_the_draws_of_equal_weight(linear):
    truth, posterior = linear
    mean, covariance, _ = exact_moments(truth)
    sd = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    assert posterior.z.shape == (200, 500, 2)
    # Resampled once more: an error as of 500 draws beside that of the effective sample size.
    size = 1 / (1 / 500 + 1 / stat(posterior, "ess"))
    within(posterior.z.mean(1), sd / np.sqrt(size)[:, None], mean)
    scores = (posterior.z - mean[:, None]) / sd[:, None]
    assert (scores**2).mean() == pytest.approx(1, abs=0.02)


def test_expected_pixels(linear):
    truth, posterior = linear
    mean, _, _ = exact_moments(truth)
    expected = torch.as_tensor(mean) @ truth.w.T + truth.b
    within(posterior.pixels, stat(posterior, "pixels_mcse"), expected.numpy())


def test_the_exact_guide_is_all_that_is_needed():
    truth, guide = linear_gaussian(50, n_components=1)

    class Exact(torch.nn.Module):
        def forward(self, x):
            return means[: len(x), 0], covariances[0].diagonal().sqrt().expand(len(x), -1)

    # A diagonal prior: the posterior of one component is diagonal then.
    with torch.no_grad():
        truth.prior.lower.zero_()
    means, covariances = truth.posterior()
    guide.encoder = Exact()
    posterior = answer(truth.model, guide, truth.x)
    assert posterior.routes["guide"] == 50
    assert posterior.log_evidence == pytest.approx(truth.log_evidence().numpy(), abs=0.02)
    assert np.isneginf(stat(posterior, "guide_khat")).all()


@pytest.mark.parametrize("latent_dim", [2, 4])
def test_both_of_two_far_modes(latent_dim):
    """The guide has one of them, and its k-hat sees nothing."""
    model, guide, x = two_modes(latent_dim=latent_dim)
    posterior = answer(model, guide, x)
    assert (stat(posterior, "guide_khat") < 0.6).all()
    assert posterior.certified.all()
    assert (stat(posterior, "modes") == 2).all()
    right = posterior.z.sum(-1) > 0 if latent_dim == 2 else posterior.z[..., :2].sum(-1) > 0
    assert np.abs(right.mean(-1) - 0.5).max() <= 0.05
    # The truth is symmetric about zero.
    assert np.abs(stat(posterior, "mean")).max() < 0.25


def test_the_evidence_and_the_components_on_a_grid():
    """A network's posterior has no formula, but in two dimensions a sum."""
    gmvae = tiny(assignment="exact")
    with torch.no_grad():
        # A decoder that says something: its posteriors are narrower than the mixture, and bent.
        gmvae.model.decoder.layers[-1].weight.mul_(12)
    x = (torch.rand(60, 1, 3, 4) > 0.5).float()
    log_evidence, p_y = on_grid(gmvae, x)
    posterior = answer(gmvae.model, gmvae.guide, x, n_draws=4_000)
    assert posterior.certified.all()
    error = stat(posterior, "log_evidence_mcse")
    within(posterior.log_evidence, error, log_evidence)
    assert abs(posterior.log_evidence.mean() - log_evidence.mean()) < 0.01
    assert np.abs(posterior.p_y - p_y).sum(-1).mean() / 2 < 0.01


class TestWithoutEffort:
    NONE = Effort(starts=0, rounds=0, hmc_draws=0)

    def test_what_the_guide_cannot_do_is_unresolved(self):
        truth, guide = linear_gaussian(30, widen=0.3)
        posterior = answer(truth.model, guide, truth.x, effort=self.NONE)
        bad = posterior.route == "unresolved"
        assert bad.sum() > 20
        limit = 1 - 1 / np.log10(500)
        assert ((stat(posterior, "khat") > limit) | (stat(posterior, "ess") < 100))[bad].all()
        assert (posterior.certified == ~bad).all()
        # There are draws all the same.
        assert np.isfinite(posterior.z).all()
        assert "unresolved" in repr(posterior)

    def test_a_mode_without_draws_of_the_guide_is_seen_by_climbs_alone(self):
        model, guide, x = two_modes()
        blind = answer(model, guide, x, effort=self.NONE)
        assert blind.routes["guide"] == 20
        seeing = answer(model, guide, x, effort=Effort(starts=6, rounds=0, hmc_draws=0))
        assert seeing.routes["unresolved"] == 20

    def test_more_effort_resolves_more(self):
        truth, guide = linear_gaussian(30, widen=0.3)
        unresolved = [
            answer(truth.model, guide, truth.x, effort=Effort(rounds=n, hmc_draws=0)).routes[
                "unresolved"
            ]
            for n in (0, 10)
        ]
        assert unresolved[0] > 20
        assert unresolved[1] == 0


def test_the_guide_is_asked_once_whoever_is_left():
    """An encoder of one's own need not know what to do with no images, nor see them twice."""
    truth, guide = linear_gaussian(30, widen=0.3)
    encoder, asked = guide.encoder, []

    class Counting(torch.nn.Module):
        def forward(self, x):
            asked.append(len(x))
            return encoder(x.view(len(x), -1).view_as(x))

    guide.encoder = Counting()
    posterior = answer(truth.model, guide, truth.x, rows=20)
    assert posterior.routes["refined"] > 20
    assert posterior.certified.all()
    assert asked == [20, 10]
