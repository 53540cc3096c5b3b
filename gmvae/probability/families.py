"""What an encoder answers, as a distribution of the latent.

B images (any leading dimensions), D latent dimensions, M Gaussians of a mixture, S draws.

=============  ===================================================================  =============
guide          what the encoder answers                                             q(z | x)
=============  ===================================================================  =============
``diagonal``   location (B, D), scale (B, D)                                        Gaussian
``full``       location (B, D), Cholesky factor (B, D, D)                           Gaussian
``mixture``    locations (B, M, D), Cholesky factors (B, M, D, D) or scales         M Gaussians
               (B, M, D), logits of the weights (B, M)
=============  ===================================================================  =============
"""

import math
from typing import Any, TypeAlias, cast

import pyro.distributions as dist
import torch
from torch import Generator, Size, Tensor
from torch.distributions import constraints
from torch.nn import functional as F
from torch.special import ndtr

from gmvae.probability.gaussians import log_density

# As in the table.
Answer: TypeAlias = tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]


def posterior(answer: Answer) -> Any:
    """q(z | x) of batch shape (B,) and event shape (D,), by the shapes of what was answered."""
    if len(answer) == 3:
        return GaussianMixture(*answer)
    loc, scale = answer
    if scale.dim() > loc.dim():
        return dist.MultivariateNormal(loc, scale_tril=scale)
    return dist.Normal(loc, scale).to_event(1)


def rows_of(answer: Answer, rows: slice | Tensor) -> Answer:
    """What was answered for these images alone, by their numbers or a slice of them."""
    return cast(Answer, tuple(part[rows] for part in answer))


def location(answer: Answer) -> Tensor:
    """The encoded image, (B, D): the mean of q(z | x), if it is one Gaussian.

    Between the Gaussians of a mixture there may be nothing: of them it is the mean of the heaviest.
    """
    if len(answer) == 2:
        return answer[0]
    locations, _, logits = answer
    heaviest = logits.argmax(-1)[..., None, None]
    return locations.gather(-2, heaviest.expand(*heaviest.shape[:-1], locations.shape[-1]))[
        ..., 0, :
    ]


def variances(answer: Answer) -> Tensor:
    """The variance of each entry of q(z | x), (B, D).

    By operations of tensors alone, which programs without distributions can run, too.
    """
    locations, scales = answer[:2]
    full = scales.dim() > locations.dim()
    within = scales.square().sum(-1) if full else scales.square()
    if len(answer) == 2:
        return within
    weights = answer[2].softmax(-1).unsqueeze(-1)
    between = (locations - (weights * locations).sum(-2, keepdim=True)).square()
    return (weights * (within + between)).sum(-2)


def draws(q_z: Any, n_samples: int, generator: Generator | None = None) -> Tensor:
    """Draws of a q(z | x) of batch shape (B,), (S, B, D), with gradients.

    By noise of our own: torch's distributions take no generator.

    Args:
        q_z: as :func:`posterior` makes it.
        n_samples: S.
        generator: the source of the draws; torch's own by default.
    """
    return at_noise(q_z, *_noise(q_z, n_samples, generator))


def draws_and_log_densities(
    q_z: Any, n_samples: int, generator: Generator | None = None
) -> tuple[Tensor, Tensor]:
    r"""The same draws, and their log-densities, (S, B), with gradients.

    Of a Gaussian they are known by the noise n that makes the draws,

    .. math:: \ln q(z) = \ln N(n; 0, I) - \ln |L|
    """
    noise, uniform = _noise(q_z, n_samples, generator)
    z = at_noise(q_z, noise, uniform)
    if isinstance(q_z, GaussianMixture):
        return z, q_z.log_prob(z)
    full = isinstance(q_z, dist.MultivariateNormal)
    scales = q_z.scale_tril.diagonal(dim1=-2, dim2=-1) if full else q_z.base_dist.scale
    return z, log_density(noise.square().sum(-1), scales)


def at_noise(q_z: Any, noise: Tensor, uniform: Tensor | None = None) -> Tensor:
    """The draws (S, B, D) that given noise makes, with gradients.

    Args:
        q_z: as :func:`posterior` makes it, of batch shape (B,).
        noise: of a standard normal, (S, B, D), or (S, 1, D) for the same of each image.
        uniform: of [0, 1), (S, B) or (S, 1): which Gaussian of a mixture is drawn from.
    """
    if isinstance(q_z, GaussianMixture):
        assert uniform is not None, "a mixture is drawn from with two kinds of noise"
        return q_z.moving(q_z.picked(noise, uniform))
    if isinstance(q_z, dist.MultivariateNormal):
        return cast(Tensor, q_z.loc + (q_z.scale_tril @ noise.unsqueeze(-1)).squeeze(-1))
    return cast(Tensor, q_z.base_dist.loc + q_z.base_dist.scale * noise)


def _noise(q_z: Any, n_samples: int, generator: Generator | None) -> tuple[Tensor, Tensor | None]:
    """Of a standard normal, (S, B, D), and for a mixture of [0, 1), (S, B)."""
    like = q_z.locations[..., 0, :] if isinstance(q_z, GaussianMixture) else q_z.mean
    kind: dict[str, Any] = {"generator": generator, "dtype": like.dtype, "device": like.device}
    noise = torch.randn(n_samples, *like.shape, **kind)
    picks = isinstance(q_z, GaussianMixture)
    return noise, torch.rand(noise.shape[:-1], **kind) if picks else None


class GaussianMixture(dist.TorchDistribution):  # type: ignore[misc]
    r"""A mixture of M Gaussians whose draws have gradients.

    .. math:: q(z) = \sum_m w_m\, N(z; \mu_m, L_m L_m^\top)

    A draw of a mixture is no smooth function of noise. But :math:`F(z_d \mid z_{<d})`, with F the
    distribution function of the d-th entry given those before it, is uniform whatever the
    parameters :math:`\theta`. A draw therefore moves with them so that it stays constant:

    .. math:: \frac{dz_d}{d\theta} = -\frac{1}{q(z_d \mid z_{<d})}
        \frac{d F(z_d \mid z_{<d};\, \theta)}{d\theta}

    where the entries before move alike (implicit reparametrisation: Graves, *Stochastic
    backpropagation through mixture density distributions*, 2016; Figurnov, Mohamed and Mnih,
    *Implicit reparameterization gradients*, NeurIPS 2018). So the weights have a gradient too, and
    the decoder sees one z an image and draw.

    Args:
        locations: mu, (..., M, D).
        scale_tril: L, (..., M, D, D), lower triangular with a diagonal above 0; or that diagonal
            alone, (..., M, D).
        logits: of the weights w, (..., M).
    """

    arg_constraints: dict[str, Any] = {}  # noqa: RUF012  (torch's own name and type)
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, locations: Tensor, scale_tril: Tensor, logits: Tensor) -> None:
        self.locations, self.scale_tril = locations, scale_tril
        self.log_weights = logits.log_softmax(-1)
        self.full = scale_tril.dim() > locations.dim()
        self.scales = scale_tril.diagonal(dim1=-2, dim2=-1) if self.full else scale_tril
        super().__init__(locations.shape[:-2], locations.shape[-1:], validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> "GaussianMixture":
        """The same, of a larger batch shape."""
        n = len(self.batch_shape)
        parts = (self.locations, self.scale_tril, self.log_weights)
        return GaussianMixture(*(p.expand(*batch_shape, *p.shape[n:]) for p in parts))

    @property
    def weights(self) -> Tensor:
        """w, (..., M), summing to 1."""
        return self.log_weights.exp()

    @property
    def mean(self) -> Tensor:
        """E(z), (..., D)."""
        return (self.weights.unsqueeze(-1) * self.locations).sum(-2)

    @property
    def variance(self) -> Tensor:
        """Of each entry, (..., D)."""
        return variances((self.locations, self.scale_tril, self.log_weights))

    @property
    def stddev(self) -> Tensor:
        """The standard deviation of each entry, (..., D)."""
        return self.variance.sqrt()

    def log_prob(self, value: Tensor) -> Tensor:
        """Log q(z) of latents (..., D)."""
        of_each = log_density(self._noise(value).square().sum(-1), self.scales)
        return (self.log_weights + of_each).logsumexp(-1)

    def sample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008  (as torch's)
        """Draws without gradients, (*sample_shape, ..., D)."""
        with torch.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:  # noqa: B008  (as torch's)
        """Draws with gradients, (*sample_shape, ..., D)."""
        shape = self._extended_shape(Size(sample_shape))
        like = self.locations
        noise = torch.randn(shape, dtype=like.dtype, device=like.device)
        uniform = torch.rand(shape[:-1], dtype=like.dtype, device=like.device)
        return self.moving(self.picked(noise, uniform))

    @torch.no_grad()
    def picked(self, noise: Tensor, uniform: Tensor) -> Tensor:
        """Draws (S, ..., D) without gradients, of standard noise alike and uniform (S, ...)."""
        borders = self.weights.cumsum(-1)[..., :-1]
        index = (uniform.unsqueeze(-1) >= borders).sum(-1, keepdim=True)
        shape = torch.broadcast_shapes(noise.shape[:-1], index.shape[:-1])

        def of_picked(values: Tensor) -> Tensor:
            """From (..., M, *V) to (S, ..., *V)."""
            n_values = values.dim() - len(self.batch_shape) - 1
            rows = index.reshape(*index.shape, *[1] * n_values)
            own = values.shape[values.dim() - n_values :]
            rows = rows.expand(*shape, 1, *own)
            return (
                values.expand(*shape, -1, *own).gather(-1 - n_values, rows).squeeze(-1 - n_values)
            )

        scale = of_picked(self.scale_tril)
        moved = (scale @ noise.unsqueeze(-1)).squeeze(-1) if self.full else scale * noise
        return of_picked(self.locations) + moved

    def moving(self, value: Tensor) -> Tensor:
        """The same draws (..., D), with the gradients by which they move with the parameters."""
        value = value.detach()
        if not torch.is_grad_enabled():
            return value
        noise = self._noise(value)
        log_density = -0.5 * noise.square() - self.scales.log()
        # Of each Gaussian, given the entries before the d-th.
        before = F.pad(log_density[..., :-1].cumsum(-1), (1, 0))
        responsibilities = (self.log_weights.unsqueeze(-1) + before).softmax(-2)
        of_each = ndtr(noise)
        distribution = (responsibilities * of_each).sum(-2)
        with torch.no_grad():
            densities = responsibilities * _normal(noise) / self.scales
            shares = responsibilities * (of_each - distribution.unsqueeze(-2))
        # 0, but for its gradient.
        change = distribution - distribution.detach()
        return value - self._movement(change, noise.detach(), densities, shares)

    def _movement(self, change: Tensor, noise: Tensor, densities: Tensor, shares: Tensor) -> Tensor:
        r"""How a draw moves where the distribution functions of its entries change, (..., D).

        The solution dz of :math:`\sum_{e \le d} \frac{dF_d}{dz_e} dz_e = dF_d`. Through the noise
        of the d-th entry and the weights of the Gaussians before it,

        .. math:: \frac{dF_d}{dz_e} = \sum_m r_{md}\, \phi(n_{md})\, (L_m^{-1})_{de}
            - r_{md}\, (\Phi(n_{md}) - F_d) \sum_{f < d} n_{mf}\, (L_m^{-1})_{fe}

        Args:
            change: dF, (..., D).
            noise: n, (..., M, D).
            densities: :math:`r\, \phi(n) / s`, with s the diagonal of L, (..., M, D).
            shares: :math:`r\, (\Phi(n) - F)`, (..., M, D).
        """
        tiny = torch.finfo(noise.dtype).tiny  # In single precision a density may underflow.
        if not self.full:
            density = densities.sum(-2).clamp(min=tiny)
            moved: list[Tensor] = []
            so_far = torch.zeros_like(noise[..., 0])
            for d, of_entry in enumerate(change.unbind(-1)):
                moved.append((of_entry + (shares[..., d] * so_far).sum(-1)) / density[..., d])
                so_far = so_far + noise[..., d] / self.scales[..., d].detach() * moved[d][..., None]
            return torch.stack(moved, -1)
        with torch.no_grad():
            inverse = torch.linalg.solve_triangular(
                self.scale_tril, torch.eye(noise.shape[-1]).to(noise), upper=False
            )
            before = F.pad((noise.unsqueeze(-1) * inverse)[..., :-1, :].cumsum(-2), (0, 0, 1, 0))
            direct = (densities * self.scales).unsqueeze(-1) * inverse
            jacobian = (direct - shares.unsqueeze(-1) * before).sum(-3)
            jacobian.diagonal(dim1=-2, dim2=-1).clamp_(min=tiny)
        solved: Tensor = torch.linalg.solve_triangular(
            jacobian, change.unsqueeze(-1), upper=False
        ).squeeze(-1)
        return solved

    def _noise(self, value: Tensor) -> Tensor:
        """The noise (..., M, D) by which each Gaussian makes the latents (..., D)."""
        rest = value.unsqueeze(-2) - self.locations
        if not self.full:
            return rest / self.scales
        # Draws of one image side by side: its factors are taken once.
        n_draws = rest.dim() - self.locations.dim()
        columns = rest.flatten(0, n_draws - 1) if n_draws else rest.unsqueeze(0)
        solved = torch.linalg.solve_triangular(self.scale_tril, columns.movedim(0, -1), upper=False)
        noise: Tensor = solved.movedim(-1, 0).reshape(rest.shape)
        return noise


def _normal(x: Tensor) -> Tensor:
    """The density of the standard normal."""
    return torch.exp(-0.5 * x.square()) / math.sqrt(2 * math.pi)
