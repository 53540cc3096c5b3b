"""q(z | x) as a distribution: against torch's, against quadrature, and by hand."""

import pyro.distributions as dist
import pytest
import torch
from toys import GUIDES, log_normal, random_images, seeded, tiny

from gmvae.probability.families import (
    GaussianMixture,
    at_noise,
    draws,
    draws_and_log_densities,
    location,
    posterior,
)

M, DIM = 3, 2


def parts(full=True, batch=(), dtype=torch.float64, d=DIM):
    """Locations, factors and logits of a mixture, leaves of the graph."""
    kind = {"dtype": dtype}
    locations = torch.randn(*batch, M, d, **kind)
    scales = 0.3 + torch.rand(*batch, M, d, **kind)
    if full:
        scales = scales.diag_embed() + torch.randn(*batch, M, d, d, **kind).tril(-1)
    return [t.requires_grad_() for t in (locations, scales, torch.randn(*batch, M, **kind))]


def of_torch(locations, scale, logits):
    factor = scale if scale.dim() > locations.dim() else scale.diag_embed()
    return torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=logits),
        torch.distributions.MultivariateNormal(locations, scale_tril=factor),
    )


@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("full", [True, False])
def test_density_and_moments_are_those_of_torchs_mixture(full, d):
    made = parts(full, (4,), d=d)
    ours, theirs = GaussianMixture(*made), of_torch(*made)
    z = 2 * torch.randn(7, 4, d, dtype=torch.float64)
    torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
    torch.testing.assert_close(ours.mean, theirs.mean)
    torch.testing.assert_close(ours.variance, theirs.variance)
    torch.testing.assert_close(ours.weights, theirs.mixture_distribution.probs)
    assert (ours.batch_shape, ours.event_shape) == (theirs.batch_shape, theirs.event_shape)
    wider = ours.expand((6, 4))
    torch.testing.assert_close(wider.log_prob(z[:6]), ours.log_prob(z[:6]))
    assert wider.sample((2,)).shape == (2, 6, 4, d)


@pytest.mark.parametrize("full", [True, False])
def test_draws_are_distributed_as_the_density_says(full):
    """Their share in each cell of a grid is the integral of the density there."""
    mixture = GaussianMixture(*parts(full))
    z = mixture.sample((200_000,))
    edges = torch.linspace(-3, 3, 7, dtype=torch.float64)
    counts = torch.histogramdd(z, [edges, edges]).hist / len(z)
    fine = torch.linspace(-3, 3, 601, dtype=torch.float64)
    middle = (fine[1:] + fine[:-1]) / 2
    grid = torch.stack(torch.meshgrid(middle, middle, indexing="ij"), -1)
    mass = mixture.log_prob(grid).exp().detach() * 0.01**2
    expected = mass.reshape(6, 100, 6, 100).sum((1, 3))
    torch.testing.assert_close(counts, expected, atol=4e-3, rtol=0)


@pytest.mark.parametrize("full", [True, False])
def test_the_gradient_of_an_expectation_is_that_of_the_integral(full):
    """Of all parameters, the weights among them."""

    def f(z):
        return (1.3 * z[..., 0]).sin() * (0.7 * z[..., 1]).cos() + 0.3 * z[..., 0] * z[..., 1]

    made = parts(full)
    mixture = GaussianMixture(*made)
    axis = torch.linspace(-12, 12, 800, dtype=torch.float64)
    grid = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
    cell = (axis[1] - axis[0]) ** 2
    integral = (mixture.log_prob(grid).exp() * f(grid) * cell).sum()
    exact = torch.autograd.grad(integral, made, retain_graph=True)
    # The mean of many draws; no entry of the gradients is far below 1.
    estimate = torch.autograd.grad(f(mixture.rsample((400_000,))).mean(), made)
    for one, other in zip(exact, estimate, strict=True):
        other = other.tril() if full and other.dim() == 3 else other
        one = one.tril() if full and one.dim() == 3 else one
        torch.testing.assert_close(other, one, atol=0.02, rtol=0.02)


def test_one_gaussian_of_a_mixture_moves_as_a_gaussian_does():
    """Then the gradient is that of location plus factor times noise, draw by draw."""
    location_, factor, _ = (part[:1].detach().requires_grad_() for part in parts())
    mixture = GaussianMixture(location_, factor, torch.zeros(1).double())
    noise = torch.randn(5, DIM, dtype=torch.float64)
    z = mixture.moving(mixture.picked(noise, torch.rand(5).double()))
    by_hand = location_[0] + noise @ factor[0].tril().mT
    torch.testing.assert_close(z, by_hand)
    weights = torch.randn_like(z)
    for one, other in zip(
        torch.autograd.grad((weights * z.sin()).sum(), (location_, factor)),
        torch.autograd.grad((weights * by_hand.sin()).sum(), (location_, factor)),
        strict=True,
    ):
        torch.testing.assert_close(one.tril() if one.dim() == 3 else one, other)


def test_which_gaussian_is_picked():
    locations = torch.tensor([[0.0], [10.0], [20.0]])
    mixture = GaussianMixture(
        locations, torch.full((3, 1), 0.5), torch.tensor([0.2, 0.3, 0.5]).log()
    )
    uniform = torch.tensor([0.0, 0.19, 0.21, 0.49, 0.51, 0.999])
    z = mixture.picked(torch.full((6, 1), 2.0), uniform)
    assert z[:, 0].tolist() == pytest.approx([1, 1, 11, 11, 21, 21])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("guide", GUIDES)
def test_draws_come_from_the_generator_that_was_given(guide, dtype):
    gmvae, x = tiny(guide=guide).to(dtype), random_images(4, dtype=dtype)
    q_z = gmvae.guide.z_dist(x)
    before = torch.get_rng_state()
    one, other, third = (draws(q_z, 6, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(before, torch.get_rng_state())
    assert one.shape == (6, 4, DIM)
    assert one.dtype == dtype
    assert torch.equal(one, other)
    assert not torch.equal(one, third)
    many = draws(q_z, 20_000, seeded())
    torch.testing.assert_close(many.mean(0), q_z.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(many.std(0), q_z.stddev, atol=0.03, rtol=0)


@pytest.mark.parametrize("guide", GUIDES)
def test_draws_come_with_their_log_densities(guide):
    gmvae, x = tiny(guide=guide).double(), random_images(4, dtype=torch.float64)
    parameters = list(gmvae.guide.encoder.parameters())
    z, log_q = draws_and_log_densities(gmvae.guide.z_dist(x), 6, seeded())
    q_z = gmvae.guide.z_dist(x)
    same = draws(q_z, 6, seeded())
    expected = q_z.log_prob(same)
    torch.testing.assert_close((z, log_q), (same, expected), rtol=1e-10, atol=1e-10)
    of_each = [
        torch.autograd.grad(log_p.sum(), parameters, materialize_grads=True, retain_graph=True)
        for log_p in (log_q, expected)
    ]
    torch.testing.assert_close(*of_each, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("guide", GUIDES)
def test_the_same_noise_serves_all_images(guide):
    gmvae, x = tiny(guide=guide), random_images(4)
    q_z, noise, uniform = gmvae.guide.z_dist(x), torch.randn(5, 1, DIM), torch.rand(5, 1)
    z = at_noise(q_z, noise, uniform)
    assert z.shape == (5, 4, DIM)
    for i in range(4):
        alone = at_noise(gmvae.guide.z_dist(x[i : i + 1]), noise, uniform)
        torch.testing.assert_close(z[:, i : i + 1], alone)


def test_the_distribution_is_told_by_the_shapes():
    loc, scale = torch.randn(4, 3), 0.5 + torch.rand(4, 3)
    factor, z = scale.diag_embed() + torch.randn(4, 3, 3).tril(-1), torch.randn(4, 3)
    diagonal, full = posterior((loc, scale)), posterior((loc, factor))
    torch.testing.assert_close(
        diagonal.log_prob(z), log_normal(z, loc, scale.square().diag_embed())
    )
    torch.testing.assert_close(full.log_prob(z), log_normal(z, loc, factor @ factor.mT))
    assert isinstance(full, dist.MultivariateNormal)
    mixture = posterior((loc.unsqueeze(1), factor.unsqueeze(1), torch.zeros(4, 1)))
    torch.testing.assert_close(mixture.log_prob(z), full.log_prob(z))


def test_the_location_is_the_mean_of_the_heaviest_gaussian():
    loc = torch.randn(2, 3, 2)
    logits = torch.tensor([[0.0, 2.0, 1.0], [0.1, 0.0, -1.0]])
    torch.testing.assert_close(
        location((loc, torch.ones(2, 3, 2), logits)), torch.stack([loc[0, 1], loc[1, 0]])
    )
    assert location((loc[:, 0], torch.ones(2, 2))) is not None
    assert torch.equal(location((loc[:, 0], torch.ones(2, 2))), loc[:, 0])
