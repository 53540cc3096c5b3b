"""The mixture of Gaussians on the latent: p(y), p(z | y), p(z) and p(y | z)."""

from typing import Any, get_args

import numpy as np
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.nn.functional import softplus

from gmvae.probability.categorical import Categorical
from gmvae.probability.gaussians import log_gaussians
from gmvae.support import checks
from gmvae.support.choices import MOST_DIMENSIONS, Covariance
from gmvae.support.errors import ArgumentError
from gmvae.support.html import html_table

# A hundredth of the scale at the start, by convention: far below what clusters of a trained model
# need.
FLOOR = 1e-2

_FROM_SKLEARN = {"spherical": "spherical", "diag": "diagonal", "full": "full"}


# Dimensions of a mean that fit a cell of a table.
MOST_SHOWN = 10


class Mixture(dist.MixtureSameFamily):  # type: ignore[misc]
    """A mixture of Gaussians over R^D, open to Hamiltonian samplers.

    torch gives a mixture a support of its own kind, for which it knows no bijection; ours is
    all of R^D.
    """

    support = constraints.real_vector


class MixturePrior(nn.Module):
    r"""The Gaussian mixture :math:`p(z) = \sum_y \pi_y \, N(z; \mu_y, \Sigma_y)`, learned.

    Shapes: ``K`` components, ``D`` latent dimensions, ``...`` any batch.

    The covariance is held by its Cholesky factor, :math:`\Sigma_y = L_y L_y^\top`, whose
    diagonal is softplus of a free parameter plus ``floor``: no component can shrink onto a
    point, where the density is unbounded and maximum likelihood degenerates (Bishop, *Pattern
    Recognition and Machine Learning*, section 9.2.1).

    Args:
        n_components: K, at least 1.
        latent_dim: D, 1 to 10,000.
        covariance: ``spherical`` (one scale a component), ``diagonal`` or ``full``.
        floor: the smallest standard deviation along the factor's diagonal, between 0 and 1 (the
            scale at the start).

    Raises:
        ArgumentError: a number outside its range, or an unknown covariance.
    """

    def __init__(
        self,
        n_components: int,
        latent_dim: int,
        covariance: Covariance = "full",
        floor: float = FLOOR,
    ) -> None:
        super().__init__()
        n_components = checks.whole("n_components", n_components, least=1)
        latent_dim = checks.whole("latent_dim", latent_dim, least=1, most=MOST_DIMENSIONS)
        checks.one_of("covariance", covariance, get_args(Covariance))
        checks.number("floor", floor, "between 0 and 1", lambda value: 0 < value < 1)
        self.covariance = covariance
        self.floor = floor
        self.logits = nn.Parameter(torch.zeros(n_components))
        self.means = nn.Parameter(_standard_normal(n_components, latent_dim))
        n_scales = (n_components,) if covariance == "spherical" else (n_components, latent_dim)
        one = _inverse_softplus(torch.ones((), device="cpu") - floor).item()
        self.raw_scales = nn.Parameter(torch.full(n_scales, one))
        if covariance == "full":
            self.lower = nn.Parameter(torch.zeros(n_components, latent_dim, latent_dim))

    def extra_repr(self) -> str:
        """What is between the brackets of ``repr``."""
        k, d = self.n_components, self.latent_dim
        return f"n_components={k}, latent_dim={d}, covariance={self.covariance!r}"

    def _repr_html_(self) -> str:
        """Weights, means and standard deviations, a row a component, for notebooks."""
        deviations = torch.diagonal(self.full_covariances, dim1=1, dim2=2).sqrt()
        shown = [
            [f"{weight:.3f}", *(", ".join(f"{v:.2f}" for v in row[:MOST_SHOWN]) for row in rows)]
            for weight, *rows in zip(
                self.weights.tolist(), self.means.tolist(), deviations.tolist(), strict=True
            )
        ]
        rows = [(k, *cells) for k, cells in enumerate(shown)]
        return html_table(
            f"Gaussian mixture, {self.covariance} covariance",
            rows,
            ("component", "weight", "mean", "standard deviations"),
        )

    def forward(self) -> "MixturePrior":
        """The mixture that a model uses for a batch: itself; one with a prior is drawn here."""
        return self

    @property
    def n_components(self) -> int:
        """K."""
        return self.means.shape[0]

    @property
    def latent_dim(self) -> int:
        """D."""
        return self.means.shape[1]

    @property
    def weights(self) -> Tensor:
        """pi, (K,), summing to 1."""
        return self.logits.softmax(-1)

    @property
    def scale_tril(self) -> Tensor:
        """L, (K, D, D), lower triangular, for every kind of covariance."""
        factors = self._factors()
        return factors if self.covariance == "full" else factors.diag_embed()

    def _factors(self) -> Tensor:
        """L where the covariance is full, (K, D, D), else its diagonal, (K, D)."""
        scales = self.floor + softplus(self.raw_scales)
        if self.covariance == "full":
            return scales.diag_embed() + self.lower.tril(-1)
        spherical = self.covariance == "spherical"
        return scales.unsqueeze(-1).expand(-1, self.latent_dim) if spherical else scales

    def whitened(self) -> tuple[Tensor, Tensor]:
        r""":math:`\ln \pi_y - \ln |L_y|`, (K,), and :math:`L_y^{-1}`, (K, D, D).

        In double precision. So much of log p(y) + log p(z | y) as differs between components, but
        for the means: by L itself, since the covariance of a narrow component may have no factor in
        single precision.
        """
        # On the CPU: not every device has double precision.
        scale_tril = self.scale_tril.detach().cpu().double()
        log_scales = scale_tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constants = self.logits.detach().cpu().double().log_softmax(-1) - log_scales
        return constants, torch.linalg.inv(scale_tril)

    @property
    def covariances(self) -> Tensor:
        """Sigma in scikit-learn's shapes: (K,) spherical, (K, D) diagonal, (K, D, D) full."""
        if self.covariance == "full":
            return self.full_covariances
        return (self.floor + softplus(self.raw_scales)).square()

    @property
    def full_covariances(self) -> Tensor:
        """Sigma as matrices, (K, D, D), for every kind of covariance."""
        scale_tril = self.scale_tril
        return scale_tril @ scale_tril.mT

    def y_dist(self) -> Any:
        """p(y) = Categorical(pi)."""
        return Categorical(logits=self.logits)

    def z_dist(self, y: Tensor | None = None) -> Any:
        """p(z | y) = Normal(mu_y, Sigma_y), or p(z) with y summed out.

        Args:
            y: component indices, (...); None for the mixture.

        Returns:
            A distribution of batch shape (...), () for the mixture, and event shape (D,).
        """
        if y is None:
            components = self._gaussians(slice(None))
            return Mixture(self.y_dist(), components)
        return self._gaussians(y)

    def log_densities(self, z: Tensor) -> Tensor:
        """Log p(z | y) for every y: (..., D) to (..., K).

        Raises:
            ArgumentError: latents of another dimension.
        """
        if z.ndim == 0 or z.shape[-1] != self.latent_dim:
            raise ArgumentError(
                f"`z` expected (..., {self.latent_dim}); got {tuple(z.shape)}. Give latents of "
                "this mixture."
            )
        return log_gaussians(z, self.means, self._factors())

    def log_joint(self, z: Tensor) -> Tensor:
        """Log p(y) + log p(z | y) for every y: (..., D) to (..., K).

        Raises:
            ArgumentError: latents of another dimension.
        """
        return self.logits.log_softmax(-1) + self.log_densities(z)

    def responsibilities(self, z: Tensor) -> Tensor:
        """p(y | z), by Bayes' rule: (..., D) to (..., K)."""
        return self.log_joint(z).softmax(-1)

    def overlap(self) -> Tensor:
        r"""The Bhattacharyya coefficient of every two components, (K, K), 1 on the diagonal.

        .. math::
            \exp -\Big[\tfrac18 \delta^\top \bar\Sigma^{-1} \delta + \tfrac12 \ln
            \frac{|\bar\Sigma|}{\sqrt{|\Sigma_i| |\Sigma_j|}}\Big],\quad
            \bar\Sigma = \tfrac12 (\Sigma_i + \Sigma_j),\ \delta = \mu_i - \mu_j

        0 where they lie apart, 1 where they are the same (Bhattacharyya, 1943).
        """
        sigma = self.full_covariances
        middle = (sigma.unsqueeze(1) + sigma.unsqueeze(0)) / 2
        delta = self.means.unsqueeze(1) - self.means.unsqueeze(0)
        mahalanobis = (delta * torch.linalg.solve(middle, delta.unsqueeze(-1)).squeeze(-1)).sum(-1)
        half_logdet = sigma.logdet() / 2
        spread = middle.logdet() - half_logdet.unsqueeze(1) - half_logdet.unsqueeze(0)
        return torch.exp(-mahalanobis / 8 - spread / 2)

    @torch.no_grad()
    def set(self, weights: Tensor, means: Tensor, covariances: Tensor) -> None:
        """Take these parameters in place, covariances as matrices.

        A ``spherical`` or ``diagonal`` prior keeps the mean variance, or the diagonal.
        Scales below ``floor`` are raised to it.

        Args:
            weights: (K,), positive.
            means: (K, D).
            covariances: (K, D, D), positive definite.

        Raises:
            ArgumentError: a shape, a weight or a covariance that does not fit; nothing is changed.
        """
        k, d = self.n_components, self.latent_dim
        shapes = tuple(weights.shape), tuple(means.shape), tuple(covariances.shape)
        if shapes != ((k,), (k, d), (k, d, d)):
            raise ArgumentError(
                f"`weights`, `means`, `covariances` expected shapes {(k,)}, {(k, d)}, {(k, d, d)};"
                f" got {shapes[0]}, {shapes[1]}, {shapes[2]}. Give one of each a component."
            )
        if not ((weights > 0) & weights.isfinite()).all():
            raise ArgumentError(
                f"`weights` expected finite values above 0; got {weights.tolist()}. Change the "
                "others."
            )
        if not means.isfinite().all():
            raise ArgumentError("`means` expected finite values; got others. Change them.")
        # Beyond the rounding of single precision.
        if not torch.allclose(covariances, covariances.mT, rtol=1e-4, atol=1e-6):
            raise ArgumentError(
                "`covariances` expected symmetric matrices; got others. Give (S + S.mT) / 2."
            )
        scale_tril, failed = torch.linalg.cholesky_ex(covariances)
        if failed.any():
            wrong = failed.nonzero().flatten().tolist()
            raise ArgumentError(
                f"`covariances` expected positive definite matrices; got others at {wrong}. Add to "
                "their diagonals."
            )
        if self.covariance == "full":
            scales = scale_tril.diagonal(dim1=-2, dim2=-1)
            self.lower.copy_(scale_tril.tril(-1))
        else:
            variances = covariances.diagonal(dim1=-2, dim2=-1)
            scales = (variances.mean(-1) if self.covariance == "spherical" else variances).sqrt()
        self.logits.copy_(weights.log())
        self.means.copy_(means)
        # Softplus reaches 0 at minus infinity alone: a scale at the floor lies just above it.
        self.raw_scales.copy_(_inverse_softplus((scales - self.floor).clamp(min=1e-6)))

    @classmethod
    def from_sklearn(cls, mixture: Any, floor: float = FLOOR) -> "MixturePrior":
        """The same mixture as a fitted ``sklearn.mixture.GaussianMixture``.

        ``spherical``, ``diag``, ``full`` and ``tied`` (which becomes full) are taken; so is a
        ``BayesianGaussianMixture``, at its point estimates.

        Raises:
            ArgumentError: something else, or one that is not fitted.
        """
        if not hasattr(mixture, "covariances_"):
            raise ArgumentError(
                "`mixture` expected a fitted sklearn.mixture.GaussianMixture; got "
                f"{checks.shown(mixture)}. Call its fit first."
            )
        k, d = mixture.means_.shape
        covariances = np.asarray(mixture.covariances_, dtype=np.float64)
        if mixture.covariance_type == "spherical":
            matrices = covariances[:, None, None] * np.eye(d)
        elif mixture.covariance_type == "diag":
            matrices = covariances[:, :, None] * np.eye(d)
        else:
            matrices = np.broadcast_to(covariances, (k, d, d)).copy()
        kind: Any = _FROM_SKLEARN.get(mixture.covariance_type, "full")
        prior = cls(k, d, kind, floor).double()
        prior.set(*(torch.as_tensor(a) for a in (mixture.weights_, mixture.means_, matrices)))
        return prior.to(torch.get_default_dtype())

    def _gaussians(self, index: Any) -> Any:
        """The Gaussians at ``index`` (component indices or a slice), event shape (D,)."""
        means, factors = self.means[index], self._factors()[index]
        if self.covariance == "full":
            return dist.MultivariateNormal(means, scale_tril=factors)
        return dist.Normal(means, factors).to_event(1)


def _standard_normal(*shape: int) -> Tensor:
    """Draws from N(0, 1); on the device meta, which knows shapes alone, none.

    Torch would load its tracing for them, which takes as long as to answer for 1,000 images.
    """
    values = torch.empty(shape)
    return values if values.is_meta else values.normal_()


def _inverse_softplus(value: Tensor) -> Tensor:
    """The x with softplus(x) = value > 0, without overflow for large values."""
    return value + torch.log(-torch.expm1(-value))
