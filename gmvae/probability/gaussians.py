"""Log-densities of many Gaussians at the same points.

``...`` any shape of points, K Gaussians, D dimensions.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import linear, pad

# Gaussians up to which their noise takes as little time as quadratic forms do, or D^2 / 2 where
# that is more: measured with 256 points and D = 2 to 32.
MOST_BY_NOISE = 30


def log_gaussians(z: Tensor, means: Tensor, scale: Tensor) -> Tensor:
    r"""Log N(z; mu_k, L_k L_k^T) of every k: (..., D) to (..., K).

    With the noise :math:`n_k = L_k^{-1} (z - \mu_k)` that makes z,

    .. math:: \ln N(z; \mu_k, L_k L_k^\top) = -\tfrac12 |n_k|^2 - \ln |L_k| - \tfrac D2 \ln 2 \pi

    Args:
        z: points.
        means: mu, (K, D).
        scale: L, (K, D, D), lower triangular with a diagonal above 0, or that diagonal alone,
            (K, D).
    """
    if scale.dim() == 2:
        scales, squares = scale, ((z.unsqueeze(-2) - means) / scale).square().sum(-1)
    else:
        scales = scale.diagonal(dim1=-2, dim2=-1)
        squares = _squares(z, means, scale)
    return log_density(squares, scales)


def log_density(squares: Tensor, scales: Tensor) -> Tensor:
    r"""Log N(z; mu, L L^T) by the noise that makes z.

    Args:
        squares: of the noise, :math:`|n|^2`, (...).
        scales: the diagonal of L, (..., D).
    """
    constant = 0.5 * scales.shape[-1] * math.log(2 * math.pi)
    log_densities: Tensor = -0.5 * squares - scales.log().sum(-1) - constant
    return log_densities


def _squares(z: Tensor, means: Tensor, scale_tril: Tensor) -> Tensor:
    """Of the noise, (..., K), by what takes the least time."""
    k, d = means.shape
    # A form of doubles would need more than doubles, which not every device has.
    single = z.dtype == torch.float32 and z.device.type != "mps"
    by_form = single and k > max(MOST_BY_NOISE, d * d / 2)
    return (squares_by_form if by_form else squares_by_noise)(z, means, scale_tril)


def squares_by_noise(z: Tensor, means: Tensor, scale_tril: Tensor) -> Tensor:
    r"""The squares :math:`|n_k|^2`, (..., K), of the noise itself, (..., K, D)."""
    z, affine = _affine(z, means, scale_tril)
    weight, bias = affine[..., :-1].flatten(0, 1), affine[..., -1].flatten()
    noise: Tensor = linear(z, weight, bias).unflatten(-1, means.shape)
    return noise.square().sum(-1)


def squares_by_form(z: Tensor, means: Tensor, scale_tril: Tensor) -> Tensor:
    r"""The same as quadratic forms: one product of matrices, without a number for each k and d.

    The noise is affine in z, :math:`n_k = A_k (z, 1)`, so that

    .. math:: |n_k|^2 = \langle A_k^\top A_k,\; (z, 1) (z, 1)^\top \rangle

    Its terms cancel: r scales away from the middle they are as large as :math:`r^2`, and an error
    of rounding with them, where that of the noise is as large as r. They are therefore summed in
    double precision, whose rounding is less than single precision's squared.
    """
    one, affine = _affine(z.double(), means.double(), scale_tril.double())
    one = pad(one, (0, 1), value=1.0)
    outer = one.unsqueeze(-1) * one.unsqueeze(-2)
    forms = affine.mT @ affine
    return linear(outer.flatten(-2), forms.flatten(1)).to(z.dtype)


def _affine(z: Tensor, means: Tensor, scale_tril: Tensor) -> tuple[Tensor, Tensor]:
    r""":math:`z - m` and :math:`A_k = L_k^{-1} (I, m - \mu_k)`, (K, D, D + 1).

    Around the middle m of the means both are as small as can be, and so is rounding.
    """
    middle = means.detach().mean(0)
    one = torch.eye(len(middle), dtype=z.dtype, device=z.device).expand_as(scale_tril)
    to_solve = torch.cat([one, (middle - means).unsqueeze(-1)], -1)
    return z - middle, torch.linalg.solve_triangular(scale_tril, to_solve, upper=False)
