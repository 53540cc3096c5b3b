"""The heads against their formulas."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from toys import SHAPE

from gmvae.probability.likelihood import (
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    Likelihood,
    named_likelihood,
)
from gmvae.support.errors import ArgumentError, ContentError

HEADS = [
    Bernoulli(),
    Bernoulli(grey=False),
    ContinuousBernoulli(),
    Gaussian(),
    Gaussian(0.3, False),
]


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("leading", [(), (4,), (3, 1, 4)])
def test_the_event_is_the_image(head, leading):
    output = 3 * torch.randn(*leading, *SHAPE)
    p_x = head(output)
    assert (p_x.batch_shape, p_x.event_shape) == (leading, SHAPE)
    mean = head.mean(output)
    assert mean.shape == output.shape
    assert mean.min() >= 0
    assert mean.max() <= 1
    x = p_x.sample()
    assert p_x.log_prob(x).shape == leading


def test_bernoulli_on_grey_pixels_is_minus_the_cross_entropy():
    output, x = torch.randn(5, *SHAPE), torch.rand(5, *SHAPE)
    expected = F.binary_cross_entropy_with_logits(output, x, reduction="none").sum((1, 2, 3))
    torch.testing.assert_close(Bernoulli()(output).log_prob(x), -expected)


@pytest.mark.parametrize(("value", "got"), [(-0.5, "-0.5 to 0"), (16.0, "0 to 16")])
def test_bernoulli_on_grey_pixels_refuses_those_outside_0_and_1(value, got):
    p_x = Bernoulli()(torch.zeros(2, *SHAPE))
    x = torch.zeros(2, *SHAPE)
    p_x.log_prob(x)
    x[1, 0, 0, 0] = value
    with pytest.raises(ContentError, match=f"`x` expected pixels between 0 and 1; got {got}"):
        p_x.log_prob(x)


def test_bernoulli_refuses_grey_pixels_where_it_is_told_of_none():
    binary = Bernoulli(grey=False)
    output = torch.randn(2, *SHAPE)
    assert binary(output).log_prob(torch.ones(2, *SHAPE)).shape == (2,)
    with pytest.raises(ValueError, match="support"):
        binary(output).log_prob(torch.full((2, *SHAPE), 0.5))


@pytest.mark.parametrize("logit", [-20.0, -3.0, -1e-4, 0.0, 1e-4, 0.7, 20.0])
def test_continuous_bernoulli_integrates_to_1(logit):
    x = torch.linspace(0, 1, 20_001, dtype=torch.float64)
    output = torch.full((len(x), 1, 1, 1), logit, dtype=torch.float64)
    p_x = ContinuousBernoulli()(output).log_prob(x.reshape(-1, 1, 1, 1)).exp()
    assert torch.trapezoid(p_x, x).item() == pytest.approx(1, abs=1e-5)
    mean = torch.trapezoid(x * p_x, x).item()
    assert ContinuousBernoulli().mean(output)[0].item() == pytest.approx(mean, abs=1e-4)


@pytest.mark.parametrize("logit", [-300.0, -17.0, -1.0, 0.0, 0.09, 0.11, 5.0, 30.0, 300.0])
def test_continuous_bernoulli_is_a_density_of_any_logit(logit):
    """In single precision, by quadrature: of the density, the mean, and the distribution."""
    output = torch.full((1, 1, 1), logit)
    x = torch.linspace(0, 1, 400_001)
    p_x = ContinuousBernoulli()(output)
    p = p_x.log_prob(x.reshape(-1, 1, 1, 1)).exp().double()
    x = x.double()
    assert torch.trapezoid(p, x).item() == pytest.approx(1, abs=1e-4)
    mean = ContinuousBernoulli().mean(output).item()
    assert mean == pytest.approx(torch.trapezoid(x * p, x).item(), abs=1e-5)
    torch.manual_seed(0)
    drawn = p_x.sample((20_000,)).flatten().double()
    assert drawn.mean().item() == pytest.approx(mean, abs=4 * drawn.std().item() / 20_000**0.5)


def test_continuous_bernoulli_is_that_of_torch_where_that_is_right():
    output = torch.linspace(-9, 9, 180, dtype=torch.float64).reshape(-1, 1, 1, 1)
    x = torch.rand(180, 1, 1, 1, dtype=torch.float64)
    expected = torch.distributions.ContinuousBernoulli(logits=output)
    torch.testing.assert_close(
        ContinuousBernoulli()(output).log_prob(x),
        expected.log_prob(x).sum((1, 2, 3)),
        atol=1e-6,
        rtol=0,
    )
    torch.testing.assert_close(ContinuousBernoulli().mean(output), expected.mean, atol=1e-5, rtol=0)
    assert torch.autograd.gradcheck(
        lambda o: (ContinuousBernoulli()(o).log_prob(x), ContinuousBernoulli().mean(o)),
        output.requires_grad_(),
    )


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("logit", [-200.0, 200.0])
def test_sure_decoders_have_finite_gradients(head, logit):
    output = torch.full((1, *SHAPE), logit, requires_grad=True)
    for pixel in (0.0, 1.0):
        log_prob = head(output).log_prob(torch.full((1, *SHAPE), pixel)).sum()
        (gradient,) = torch.autograd.grad(log_prob, output)
        assert log_prob.isfinite()
        assert gradient.isfinite().all()


def test_gaussian_is_around_the_sigmoid():
    output, x = torch.randn(5, *SHAPE), torch.rand(5, *SHAPE)
    expected = torch.distributions.Normal(output.sigmoid(), 0.3).log_prob(x).sum((1, 2, 3))
    torch.testing.assert_close(Gaussian(0.3)(output).log_prob(x).detach(), expected)


def test_a_fixed_scale_is_saved_but_never_trained():
    learned, fixed = Gaussian(0.3), Gaussian(0.3, learned=False)
    assert [n for n, _ in learned.named_parameters()] == ["log_scale"]
    assert not list(fixed.parameters())
    assert list(fixed.state_dict()) == list(learned.state_dict()) == ["log_scale"]


def test_grey_pixels_have_the_expected_log_probability_of_black_and_white_ones():
    """The sum over all black-and-white images, by their probability under the grey one."""
    shape = (1, 2, 3)
    output, x = torch.randn(shape).double(), torch.rand(shape).double()
    every = torch.tensor(list(itertools.product((0.0, 1.0), repeat=6))).double()
    every = every.reshape(-1, *shape)
    by_grey = torch.where(every == 1, x, 1 - x).prod(-1).prod(-1).prod(-1)
    head = Bernoulli()
    expected = (by_grey * head(output).log_prob(every)).sum()
    torch.testing.assert_close(head(output).log_prob(x), expected)
    assert head(output).log_prob(every).exp().sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("head", HEADS)
def test_each_is_a_density_of_what_it_is_of(head):
    assert head.normalised


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bernoulli", Bernoulli),
        ("continuous-bernoulli", ContinuousBernoulli),
        ("gaussian", Gaussian),
    ],
)
def test_names(name, kind):
    assert type(named_likelihood(name)) is kind
    assert named_likelihood(name, grey=False).normalised


def test_errors():
    with pytest.raises(ArgumentError, match="`likelihood` expected one of bernoulli"):
        named_likelihood("beta")
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ArgumentError, match="`scale` expected above 0, and finite; got"):
            Gaussian(scale)
    with pytest.raises(NotImplementedError, match="forward"):
        Likelihood()(torch.zeros(SHAPE))


def test_a_likelihood_of_ones_own_needs_only_forward():
    class Poisson(Likelihood):
        def forward(self, output):
            return torch.distributions.Independent(
                torch.distributions.Poisson(nn.functional.softplus(output)), 3
            )

    output = torch.randn(2, *SHAPE)
    torch.testing.assert_close(Poisson().mean(output), nn.functional.softplus(output))
