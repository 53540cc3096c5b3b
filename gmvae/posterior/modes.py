"""The modes of p(z | x), of all images of a batch at once.

n images, M starts, D latent dimensions.
"""

import torch
from torch import Tensor

from gmvae.posterior.student import StudentMixture
from gmvae.posterior.target import Points, Target, normaliser

# Nearer than so many standard deviations of the guide two ends are one mode.
_SAME = 1.0
# The step of the differences that make a curvature, in standard deviations of the guide, as the
# reference by NUTS has it.
_STEP = 0.5
# A sufficient rise, as a share of what the slope promises (Nocedal and Wright, section 3.1).
_RISE = 1e-4
# Where the next step promises less, in nats, a climb has ended.
_ENDED = 1e-3
# Of a step, in standard deviations of the mixture: further away a slope says nothing.
_LONGEST = 1.0
# What each mode has at least of the proposals, all together: Laplace's evidence may err.
_EVEN = 0.2


def starts(log_joint: Tensor, shared: Points, mean: Tensor, n_starts: int) -> Tensor:
    """Where to climb from: the guide's mean, then the likeliest draws of the mixture, (M, n, D).

    The draws of a half of the mixture's spread around one that is chosen are not chosen, so that
    the starts are not all on one mode.

    Args:
        log_joint: log p(x, z) of n images at draws of the mixture, (P, n).
        shared: these P draws.
        mean: of the guide, (n, D).
        n_starts: M, at least 1.
    """
    value = log_joint.T
    scale = spread(shared)
    white = shared.z / scale
    near = torch.cdist(white, white) < 0.5
    chosen = [mean]
    for _ in range(n_starts - 1):
        best = value.argmax(-1)
        chosen.append(shared.z[best])
        value = value.masked_fill(near[best], -torch.inf)
    return torch.stack(chosen)


def spread(shared: Points) -> Tensor:
    """The standard deviation of the mixture by dimension, (D,)."""
    return shared.z.std(0).clamp(min=1e-6)


def climb(
    target: Target, z: Tensor, scale: Tensor, reach: Tensor, n_steps: int
) -> tuple[Tensor, Tensor]:
    """Where latents end that climb log p(x, z), and its value there.

    BFGS in units of the guide's spread, a step shortened until it rises (Nocedal and Wright,
    *Numerical optimization*, chapter 6); each climb goes its own way.

    Args:
        target: of n images.
        z: starts, (M, n, D).
        scale: the guide's standard deviations, (n, D).
        reach: the mixture's, (D,), which bound a step.
        n_steps: evaluations at most.

    Returns:
        (M, n, D) and (M, n).
    """
    place = z / scale
    value, slope = target.log_joint_and_slope(z)
    slope = slope * scale
    inverse = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device).expand(*z.shape, -1).clone()
    fresh = torch.ones_like(value, dtype=torch.bool)
    length = torch.ones_like(value)
    for _ in range(n_steps):
        way = torch.einsum("mnij,mnj->mni", inverse, slope)
        promise = (way * slope).sum(-1)
        if bool((promise < _ENDED).all()):
            break
        longest = (way * scale / reach).abs().amax(-1)
        bounded = (_LONGEST / longest.clamp(min=1e-12)).clamp(max=1.0) * length
        step = way * bounded.unsqueeze(-1)
        new_value, new_slope = target.log_joint_and_slope((place + step) * scale)
        new_slope = new_slope * scale
        rises = new_value >= value + _RISE * bounded * promise
        inverse = _updated(inverse, step, slope - new_slope, rises, fresh)
        fresh = fresh & ~rises
        kept = rises.unsqueeze(-1)
        place = torch.where(kept, place + step, place)
        slope = torch.where(kept, new_slope, slope)
        value = torch.where(rises, new_value, value)
        length = torch.where(rises, (2 * length).clamp(max=1.0), length / 4)
    return place * scale, value


def _updated(inverse: Tensor, step: Tensor, fall: Tensor, rises: Tensor, fresh: Tensor) -> Tensor:
    """The BFGS formula where a step was taken and the curvature along it is that of a hill."""
    product = (step * fall).sum(-1)
    hill = rises & (product > 1e-10)
    safe = torch.where(hill, product, 1.0)[..., None, None]
    # The first time the unit matrix is scaled to the curvature (Nocedal and Wright, 6.20).
    first = (product / fall.square().sum(-1).clamp(min=1e-30))[..., None, None]
    inverse = torch.where((fresh & hill)[..., None, None], first * inverse, inverse)
    eye = torch.eye(step.shape[-1], dtype=step.dtype, device=step.device)
    left = eye - step.unsqueeze(-1) * fall.unsqueeze(-2) / safe
    new = left @ inverse @ left.mT + step.unsqueeze(-1) * step.unsqueeze(-2) / safe
    return torch.where(hill[..., None, None], new, inverse)


def around(
    target: Target, z: Tensor, value: Tensor, scale: Tensor, reach: Tensor
) -> StudentMixture:
    r"""Student t distributions around modes, weighed by Laplace's evidence.

    Minus the second derivative of log p(x, z), by differences of gradients, is
    :math:`V \Lambda V^\top` in units of the mixture's spread; where the density is curved the other
    way :math:`\Lambda` is made positive, and nothing is wider than the mixture. The scale matrix is
    :math:`V \Lambda^{-1} V^\top`, and
    :math:`\log p(x, z) + \tfrac D2 \log 2\pi - \tfrac12 \log |\Lambda|` the evidence.

    Args:
        target: of n images.
        z: the ends of climbs, (M, n, D).
        value: log p(x, z) there, (M, n).
        scale: the guide's standard deviations, (n, D).
        reach: the mixture's, (D,).
    """
    d = z.shape[-1]
    eye = torch.eye(d, dtype=z.dtype, device=z.device)
    matrices = []
    for i in range(d):
        shift = _STEP * eye[i] * scale
        _, slopes = target.log_joint_and_slope(torch.cat([z - shift, z + shift]))
        below, above = slopes.chunk(2)
        matrices.append((below - above) / (2 * _STEP * scale[:, i : i + 1]))
    curvature = torch.stack(matrices, -1) * reach * reach.unsqueeze(-1)
    size, directions = torch.linalg.eigh((curvature + curvature.mT) / 2)
    size = size.abs().clamp(min=1.0)
    root = reach.unsqueeze(-1) * directions * size.rsqrt().unsqueeze(-2)
    covariance = root @ root.mT
    tril = torch.linalg.cholesky(covariance)
    log_det = tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    evidence = (value + log_det + normaliser(d)).masked_fill(~_first(z, value, scale), -torch.inf)
    share = evidence.softmax(0)
    there = (share > 0) & (share > 1e-4 * share.amax(0))
    share = (1 - _EVEN) * share + _EVEN * there / there.sum(0)
    return StudentMixture(
        share.masked_fill(~there, 0).log().T, z.transpose(0, 1), tril.transpose(0, 1)
    )


def _first(z: Tensor, value: Tensor, scale: Tensor) -> Tensor:
    """Of ends that are one mode the highest alone, (M, n)."""
    white = z / scale
    first = torch.ones_like(value, dtype=torch.bool)
    for i in range(len(z)):
        near = (white - white[i]).square().sum(-1).sqrt() < _SAME
        higher = (value > value[i]) | (
            (value == value[i]) & (torch.arange(len(z), device=z.device) < i).unsqueeze(1)
        )
        first[i] = ~(near & higher).any(0)
    return first
