"""The mixture against numerical integration, scikit-learn and its own formulas."""

import math

import numpy as np
import pytest
import torch
from pyro.distributions.torch_distribution import TorchDistributionMixin
from scipy import stats
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from torch.distributions import constraints
from toys import COVARIANCES, shake

from gmvae.probability.prior import MixturePrior
from gmvae.support.errors import ArgumentError


@pytest.fixture(params=COVARIANCES)
def covariance(request):
    return request.param


def random_prior(covariance, k=3, d=2):
    return shake(MixturePrior(k, d, covariance)).double()


def grid(d, half_width=14, n=561):
    """Points (n**d, d) and the volume that each stands for."""
    line = torch.linspace(-half_width, half_width, n, dtype=torch.float64)
    points = torch.cartesian_prod(*[line] * d).reshape(-1, d)
    return points, (line[1] - line[0]) ** d


@pytest.mark.parametrize("d", [1, 2])
def test_densities_integrate_to_1(covariance, d):
    prior = random_prior(covariance, d=d)
    points, volume = grid(d)
    whole = prior.z_dist().log_prob(points).exp().sum() * volume
    torch.testing.assert_close(whole.item(), 1.0, atol=1e-8, rtol=0)
    for y in range(3):
        each = prior.z_dist(torch.tensor(y)).log_prob(points).exp().sum() * volume
        torch.testing.assert_close(each.item(), 1.0, atol=1e-8, rtol=0)


def test_log_joint_is_weight_times_gaussian(covariance):
    prior = random_prior(covariance, k=4, d=3)
    z = torch.randn(2, 5, 3, dtype=torch.float64)
    weights, means, covariances = (
        t.detach().numpy() for t in (prior.weights, prior.means, prior.full_covariances)
    )
    expected = np.stack(
        [
            np.log(weights[k]) + stats.multivariate_normal(means[k], covariances[k]).logpdf(z)
            for k in range(4)
        ],
        axis=-1,
    )
    log_joint = prior.log_joint(z).detach()
    np.testing.assert_allclose(log_joint, expected, rtol=1e-10)
    torch.testing.assert_close(prior.z_dist().log_prob(z).detach(), log_joint.logsumexp(-1))
    torch.testing.assert_close(prior.responsibilities(z).detach(), log_joint.softmax(-1))


@pytest.mark.parametrize("shape", [(), (5,), (3, 1), (2, 1, 4)])
def test_z_dist_takes_any_shape_of_components(covariance, shape):
    prior = random_prior(covariance)
    y = torch.randint(3, shape)
    z_dist = prior.z_dist(y)
    assert (z_dist.batch_shape, z_dist.event_shape) == (shape, (2,))
    torch.testing.assert_close(z_dist.mean, prior.means[y])


@pytest.mark.parametrize("kind", ["spherical", "diag", "full", "tied"])
@pytest.mark.parametrize("k", [1, 4])
def test_from_sklearn_agrees_with_scikit_learn(kind, k):
    rng = np.random.default_rng(0)
    data = rng.normal(size=(200, 3)) * [0.5, 1, 2] + 3 * rng.integers(0, 3, (200, 1))
    mixture = GaussianMixture(k, covariance_type=kind, random_state=0).fit(data)
    prior = MixturePrior.from_sklearn(mixture).double()
    z = torch.as_tensor(rng.normal(size=(50, 3)) * 3)
    # The parameters were rounded to float32, torch's default.
    np.testing.assert_allclose(
        prior.z_dist().log_prob(z).detach(), mixture.score_samples(z), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(
        prior.responsibilities(z).detach(), mixture.predict_proba(z), atol=1e-5
    )
    if kind != "tied":
        expected = mixture.covariances_
        assert prior.covariances.shape == expected.shape
        np.testing.assert_allclose(prior.covariances.detach(), expected, rtol=1e-5, atol=1e-6)


def test_from_sklearn_takes_the_bayesian_mixture():
    data = np.random.default_rng(0).normal(size=(100, 2))
    mixture = BayesianGaussianMixture(n_components=2, random_state=0).fit(data)
    prior = MixturePrior.from_sklearn(mixture)
    np.testing.assert_allclose(prior.weights.detach(), mixture.weights_, rtol=1e-5)
    np.testing.assert_allclose(prior.covariances.detach(), mixture.covariances_, atol=1e-5)


@pytest.mark.parametrize("d", [1, 2])
def test_overlap_is_the_integral_of_the_root_of_the_product(covariance, d):
    prior = random_prior(covariance, d=d)
    points, volume = grid(d)
    roots = (prior.log_joint(points) - prior.weights.log()).div(2).exp()
    torch.testing.assert_close(prior.overlap(), roots.mT @ roots * volume, atol=1e-7, rtol=0)


def test_set_is_what_the_properties_give(covariance):
    one, other = random_prior(covariance, k=4, d=3), random_prior(covariance, k=4, d=3)
    other.set(one.weights, one.means, one.full_covariances)
    for name in ("weights", "means", "covariances", "full_covariances", "scale_tril"):
        torch.testing.assert_close(getattr(other, name), getattr(one, name))


@pytest.mark.parametrize(
    ("covariance", "expected"),
    [("spherical", [3.0]), ("diagonal", [[2.0, 4.0]]), ("full", [[[2.0, 1.0], [1.0, 4.0]]])],
)
def test_set_keeps_what_the_kind_can_hold(covariance, expected):
    prior = MixturePrior(1, 2, covariance)
    prior.set(torch.ones(1), torch.zeros(1, 2), torch.tensor([[[2.0, 1.0], [1.0, 4.0]]]))
    torch.testing.assert_close(prior.covariances, torch.tensor(expected))


def test_no_scale_is_below_the_floor(covariance):
    prior = MixturePrior(2, 3, covariance, floor=0.1)
    prior.set(torch.ones(2) / 2, torch.zeros(2, 3), 1e-12 * torch.eye(3).expand(2, 3, 3))
    torch.testing.assert_close(
        prior.scale_tril, 0.1 * torch.eye(3).expand(2, 3, 3), rtol=1e-3, atol=0
    )
    with torch.no_grad():
        prior.raw_scales.fill_(-1e4)
    assert (prior.scale_tril.diagonal(dim1=-2, dim2=-1) >= 0.1).all()
    log_prob = prior.z_dist().log_prob(torch.ones(3))
    log_prob.backward()
    assert all(p.grad.isfinite().all() for p in prior.parameters())


def test_samples_have_the_mixtures_moments(covariance):
    prior = random_prior(covariance)
    n = 100_000
    z = prior.z_dist().sample((n,))
    weights, means = prior.weights, prior.means
    mean = weights @ means
    outer = (means - mean).unsqueeze(-1) * (means - mean).unsqueeze(-2)
    expected = (weights[:, None, None] * (prior.full_covariances + outer)).sum(0)
    torch.testing.assert_close(z.mean(0), mean.detach(), atol=0.03, rtol=0)
    torch.testing.assert_close(z.T.cov(), expected.detach(), atol=0.03, rtol=0.03)
    # The entropy of the draws under the density ties the two together.
    points, volume = grid(2, n=281)
    log_p = prior.z_dist().log_prob(points).detach()
    entropy = -(log_p.exp() * log_p).sum() * volume
    drawn = -prior.z_dist().log_prob(z).detach()
    assert abs(drawn.mean() - entropy) < 4 * drawn.std() / math.sqrt(n)


def test_draws_given_y_come_from_that_component(covariance):
    prior = random_prior(covariance)
    z = prior.z_dist(torch.full((50_000,), 1)).sample()
    torch.testing.assert_close(z.mean(0), prior.means[1].detach(), atol=0.03, rtol=0)
    torch.testing.assert_close(z.T.cov(), prior.full_covariances[1].detach(), atol=0.04, rtol=0.03)


def test_far_points_have_finite_gradients(covariance):
    prior = shake(MixturePrior(3, 2, covariance))
    z = torch.full((1, 2), 1e4, requires_grad=True)
    assert torch.isclose(prior.responsibilities(z).sum(), torch.tensor(1.0))
    prior.responsibilities(z).max().backward()
    assert z.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in prior.parameters())


def test_the_mixture_is_a_pyro_distribution_over_all_of_space(covariance):
    mixture = random_prior(covariance).z_dist()
    assert isinstance(mixture, TorchDistributionMixin)
    for each in (mixture, mixture.expand([5])):
        assert each.support is constraints.real_vector
    assert mixture.expand([5]).sample().shape == (5, 2)


def test_every_parameter_has_a_gradient_and_survives_state_dict(covariance):
    prior = random_prior(covariance)
    z = torch.randn(5, 2, dtype=torch.float64)
    prior.z_dist().log_prob(z).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in prior.parameters())
    other = MixturePrior(3, 2, covariance).double()
    other.load_state_dict(prior.state_dict())
    torch.testing.assert_close(other.log_joint(z), prior.log_joint(z))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"n_components": 0},
            "`n_components` expected at least 1; got 0. Choose a number in this range.",
        ),
        (
            {"latent_dim": 0},
            "`latent_dim` expected 1 to 10000; got 0. Choose a number in this range.",
        ),
        (
            {"covariance": "tied"},
            "`covariance` expected one of spherical, diagonal, full; got 'tied'. "
            "Choose among these.",
        ),
        ({"floor": 0.0}, "`floor` expected between 0 and 1; got 0.0. Choose such a number."),
        ({"floor": 1.0}, "`floor` expected between 0 and 1; got 1.0. Choose such a number."),
        ({"floor": math.nan}, "`floor` expected between 0 and 1; got nan. Choose such a number."),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ArgumentError) as error:
        MixturePrior(**{"n_components": 2, "latent_dim": 2} | arguments)
    assert str(error.value) == message


EYES = torch.eye(2).expand(2, 2, 2)
ASKEW = torch.tensor([[1.0, 0.9], [0.0, 1.0]]).expand(2, 2, 2)


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "message"),
    [
        (torch.ones(3) / 3, torch.zeros(2, 2), torch.eye(2).expand(2, 2, 2), "expected shapes"),
        (torch.ones(2) / 2, torch.zeros(2, 3), torch.eye(2).expand(2, 2, 2), "expected shapes"),
        (torch.ones(2) / 2, torch.zeros(2, 2), torch.ones(2, 2), "expected shapes"),
        (torch.ones(2) / 2, torch.full((2, 2), torch.nan), EYES, "`means` expected finite values"),
        (torch.tensor([0.5, torch.inf]), torch.zeros(2, 2), EYES, "expected finite values above 0"),
        (torch.ones(2) / 2, torch.zeros(2, 2), ASKEW, "expected symmetric matrices"),
        (torch.tensor([1.0, 0.0]), torch.zeros(2, 2), torch.eye(2).expand(2, 2, 2), "`weights`"),
        (torch.ones(2) / 2, torch.zeros(2, 2), torch.zeros(2, 2, 2), "`covariances`"),
    ],
)
def test_set_refuses_what_does_not_fit_and_changes_nothing(
    covariance, weights, means, covariances, message
):
    prior = MixturePrior(2, 2, covariance)
    before = {name: t.clone() for name, t in prior.state_dict().items()}
    with pytest.raises(ArgumentError, match=message):
        prior.set(weights, means, covariances)
    assert all(torch.equal(before[name], t) for name, t in prior.state_dict().items())
