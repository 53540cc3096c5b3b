"""Log-densities of many Gaussians at once, against scipy and against exact arithmetic."""

import numpy as np
import pytest
import torch
from scipy import stats

from gmvae.probability.gaussians import (
    MOST_BY_NOISE,
    log_gaussians,
    squares_by_form,
    squares_by_noise,
)

MANY = 4 * MOST_BY_NOISE


def gaussians(k, d, spread=3.0, scale=1.0, dtype=torch.float64):
    """Means (K, D) around a place that is not the origin, and factors (K, D, D)."""
    means = 5.0 + spread * torch.randn(k, d, dtype=dtype)
    scales = scale * (0.5 + torch.rand(k, d, dtype=dtype))
    return means, scales.diag_embed() + 0.2 * scale * torch.randn(k, d, d, dtype=dtype).tril(-1)


@pytest.mark.parametrize("k", [1, 3, MANY])
@pytest.mark.parametrize("d", [1, 2, 6])
@pytest.mark.parametrize("full", [True, False])
def test_of_scipy(k, d, full):
    means, scale_tril = gaussians(k, d)
    scale = scale_tril if full else scale_tril.diagonal(dim1=-2, dim2=-1)
    covariances = (scale_tril @ scale_tril.mT) if full else scale.square().diag_embed()
    z = 5 + 3 * torch.randn(2, 4, d, dtype=torch.float64)
    expected = np.stack(
        [
            stats.multivariate_normal(mean, covariance).logpdf(z)
            for mean, covariance in zip(means.numpy(), covariances.numpy(), strict=True)
        ],
        -1,
    ).reshape(2, 4, k)
    np.testing.assert_allclose(log_gaussians(z, means, scale), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shift", [0.0, 1e3])
@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4])
def test_single_precision_is_as_exact_with_many_narrow_gaussians_far_away(scale, shift):
    """Points near to one of them, and so many scales away from the middle of all."""
    means, scale_tril = (t.float() for t in gaussians(MANY, 10, scale=scale))
    means = means + shift
    noise = torch.randn(MANY, 10, 1)
    z = means + (scale_tril @ noise).squeeze(-1)
    exact = log_gaussians(z.double(), means.double(), scale_tril.double()).diagonal()
    error = (log_gaussians(z, means, scale_tril).diagonal() - exact).abs().max()
    of_noise = (squares_by_noise(z, means, scale_tril).diagonal() / -2).double() - (
        squares_by_noise(z.double(), means.double(), scale_tril.double()).diagonal() / -2
    )
    # The logarithms are around -50 to 90, of which single precision keeps 1e-5.
    assert error <= max(3e-5, of_noise.abs().max())


def test_double_precision_is_not_lost_to_cancellation():
    means, scale_tril = gaussians(MANY, 10, scale=1e-4)
    noise = torch.randn(MANY, 10, dtype=torch.float64)
    z = means + (scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
    constants = log_gaussians(means, means, scale_tril).diagonal()
    expected = constants - noise.square().sum(-1) / 2
    found = log_gaussians(z, means, scale_tril).diagonal()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)


def test_gradients_by_either_formula_are_the_same():
    leaves = [*gaussians(5, 3), 5 + torch.randn(4, 3, dtype=torch.float64)]
    means, scale_tril, z = (t.requires_grad_() for t in leaves)
    toward = torch.randn(4, 5, dtype=torch.float64)
    of_each = [
        torch.autograd.grad((squares(z, means, scale_tril) * toward).sum(), leaves)
        for squares in (squares_by_noise, squares_by_form)
    ]
    torch.testing.assert_close(*of_each, rtol=1e-10, atol=1e-10)


def test_many_gaussians_are_no_numbers_for_each_dimension():
    """What backward keeps of 1,000 Gaussians in 10 dimensions: (B, K), never (B, K, D)."""
    means, scale_tril = (t.float().requires_grad_() for t in gaussians(1_000, 10))
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, id)
    with hooks:
        log_gaussians(torch.randn(512, 10), means, scale_tril)
    assert max(kept) <= 1_000 * 512
