"""A posterior over the mixture itself.

K components, D latent dimensions, S draws.
"""

import math
import warnings
from collections.abc import Callable
from itertools import count
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer.autoguide import AutoGuide, AutoNormal, init_to_value
from pyro.nn import PyroModule
from torch import Tensor, nn

from gmvae.probability.guide import Guide
from gmvae.probability.model import Model
from gmvae.probability.prior import MixturePrior
from gmvae.support import checks
from gmvae.support.errors import ArgumentError

# The sites of the mixture, in the order in which they are drawn.
SITES = ("mixture_weights", "mixture_means", "mixture_scales", "mixture_factors")
_LOCAL = ("y", "z", "x")
# The autoguide starts narrow, so that the first steps see the starting values.
_START_SCALE = 0.05

_numbers = count()


class BayesianMixturePrior(MixturePrior):
    r"""A mixture with a prior of its own, in place of a :class:`~gmvae.MixturePrior`.

    .. code-block:: text

        pi     ~ Dirichlet(concentration, ..., concentration)
        mu_y   ~ Normal(0, mean_scale)                   in each dimension
        s_y    ~ HalfNormal(scale)                       in each dimension
        C_y    ~ LKJ(2)                                  the Cholesky factor of a correlation
        Sigma_y = diag(s_y) C_y C_y' diag(s_y)

    A concentration below 1 lets components that are not needed switch off (Rousseau and
    Mengersen, *Asymptotic behaviour of the posterior distribution in overfitted mixture models*,
    JRSS B, 2011). The sites ``mixture_weights``, ``mixture_means``, ``mixture_scales`` and (above
    one dimension) ``mixture_factors`` are drawn once a batch, outside the plate.

    Outside of inference the object stands for one mixture, a point estimate kept in buffers: the
    one given to :meth:`~gmvae.MixturePrior.set`, as :meth:`BayesianGuide.settle` does.

    Args:
        n_components: K, as many as there might be.
        latent_dim: D.
        concentration: of the Dirichlet distribution, above 0; 1 / (2 K) by default.
        mean_scale: standard deviation of the means around 0, above 0.
        scale: of the half-normal standard deviations, above 0.

    Raises:
        ArgumentError: a number out of its range.
    """

    def __init__(
        self,
        n_components: int,
        latent_dim: int,
        concentration: float | None = None,
        mean_scale: float = 3.0,
        scale: float = 1.0,
    ) -> None:
        super().__init__(n_components, latent_dim, "full")
        concentration = 0.5 / n_components if concentration is None else concentration
        numbers = {"concentration": concentration, "mean_scale": mean_scale, "scale": scale}
        for name, value in numbers.items():
            checks.number(name, value, "above 0, and finite", lambda v: 0 < v < math.inf)
        self.concentration, self.mean_scale, self.scale = concentration, mean_scale, scale
        for name, parameter in list(self.named_parameters()):
            delattr(self, name)
            self.register_buffer(name, parameter.detach().clone())

    def forward(self) -> MixturePrior:
        """Draw the mixture's sites, and return the mixture that they make.

        Raises:
            ArgumentError: draws for several particles at once.
        """
        like, k, d = self.means, self.n_components, self.latent_dim
        one = torch.ones((), dtype=like.dtype, device=like.device)
        weights_dist = dist.Dirichlet(self.concentration * one.expand(k))
        weights = pyro.sample("mixture_weights", weights_dist)
        means_dist = dist.Normal(0 * one, self.mean_scale * one).expand([k, d]).to_event(2)
        means = pyro.sample("mixture_means", means_dist)
        scales_dist = dist.HalfNormal(self.scale * one).expand([k, d]).to_event(2)
        scales = pyro.sample("mixture_scales", scales_dist)
        if d > 1:
            factors_dist = dist.LKJCholesky(d, 2 * one).expand([k]).to_event(1)
            factors = pyro.sample("mixture_factors", factors_dist)
        else:
            factors = torch.ones_like(scales).unsqueeze(-1)
        return DrawnMixture(weights, means, scales.unsqueeze(-1) * factors)


class DrawnMixture(MixturePrior):
    """A mixture whose parameters are given, and may have gradients of their own.

    Args:
        weights: (K,).
        means: (K, D).
        scale_tril: (K, D, D).

    Raises:
        ArgumentError: other shapes.
    """

    def __init__(self, weights: Tensor, means: Tensor, scale_tril: Tensor) -> None:
        nn.Module.__init__(self)
        if weights.dim() != 1 or means.dim() != 2 or scale_tril.dim() != 3:
            raise ArgumentError(
                "`weights`, `means`, `scale_tril` expected (K,), (K, D), (K, D, D); got "
                f"{tuple(weights.shape)}, {tuple(means.shape)}, {tuple(scale_tril.shape)}. "
                "Draw one mixture at a time (vectorize_particles=False)."
            )
        self.covariance = "full"
        # A component that is switched off may underflow; its log must not be infinite.
        tiny = torch.finfo(weights.dtype).tiny
        self.logits: Any = weights.clamp(min=tiny).log()
        self.means: Any = means
        self._scale_tril = scale_tril

    def _factors(self) -> Tensor:
        """L, (K, D, D)."""
        return self._scale_tril


class BayesianGuide(PyroModule):  # type: ignore[misc]
    r"""The posterior :math:`q(\pi, \mu, \Sigma) \prod_i q(z_i \mid x_i) q(y_i \mid x_i)`.

    The mixture has an autoguide, by default independent Gaussians in unconstrained coordinates;
    the images have the amortised guide. Both learn in the same SVI.

    Args:
        model: with a :class:`BayesianMixturePrior`.
        guide: for the images.
        start: weights (K,), means (K, D) and covariances (K, D, D) to start from, as
            :func:`wide_start` gives; the mixture that the prior stands for by default.
        autoguide: from the model, seen without its images, to a guide of the mixture.

    Raises:
        ArgumentError: a model whose mixture has no prior.
    """

    def __init__(
        self,
        model: Model,
        guide: Guide,
        start: tuple[Tensor, Tensor, Tensor] | None = None,
        autoguide: Callable[[Any], AutoGuide] | None = None,
    ) -> None:
        super().__init__(f"gmvae_bayesian_guide_{next(_numbers)}")
        prior = model.prior
        if not isinstance(prior, BayesianMixturePrior):
            raise ArgumentError(
                f"`model` expected one with a BayesianMixturePrior; got {type(prior).__name__}. "
                "Build the Model with that prior."
            )
        if start is not None:
            prior.set(*start)
        values = _site_values(prior)

        def normal(seen: Any) -> AutoGuide:
            located = init_to_value(values=values)
            return AutoNormal(seen, init_loc_fn=located, init_scale=_START_SCALE)

        # In a tuple: the prior belongs to the model.
        self._prior = (prior,)
        self.guide = guide
        self.mixture = (autoguide or normal)(poutine.block(model, hide=list(_LOCAL)))

    def forward(self, x: Tensor, y: Tensor | None = None, size: int | None = None) -> None:
        """Sample the mixture's sites, then those of :class:`~gmvae.Guide`."""
        self.mixture(x, y, size)
        self.guide(x, y, size)

    @torch.no_grad()
    def draw(self, x: Tensor, n_draws: int, seed: int = 0) -> dict[str, Tensor]:
        """Draw mixtures from their posterior.

        Args:
            x: any batch of images, (B, C, H, W): the autoguide is a function of the model's
                arguments, though the mixture does not depend on them.
            n_draws: S.
            seed: of the draws; torch's own state is left as it is.

        Returns:
            ``weights`` (S, K), ``means`` (S, K, D) and ``covariances`` (S, K, D, D).
        """
        device = x.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            drawn = [self.mixture(x) for _ in range(n_draws)]
        weights, means, scales = (torch.stack([d[site] for d in drawn]) for site in SITES[:3])
        factors = (
            torch.stack([d[SITES[3]] for d in drawn])
            if SITES[3] in drawn[0]
            else torch.ones_like(scales).unsqueeze(-1)
        )
        scale_tril = scales.unsqueeze(-1) * factors
        return {"weights": weights, "means": means, "covariances": scale_tril @ scale_tril.mT}

    def settle(self, x: Tensor, n_draws: int = 200, seed: int = 0) -> None:
        """Let the prior stand for the posterior means of weights, means and covariances."""
        drawn = self.draw(x, n_draws, seed)
        (prior,) = self._prior
        tiny = torch.finfo(drawn["weights"].dtype).tiny
        weights, means, covariances = (value.mean(0) for value in drawn.values())
        prior.set(weights.clamp(min=tiny), means, covariances)


def wide_start(z: Tensor, n_components: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A start from which components compete before they settle.

    Each one is twice as wide as all latents together and centred on one of them: those that
    are not needed lose their weight early, where narrow ones would share a cluster for long.

    Args:
        z: latents of images, (N, D), at least K of them.
        n_components: K.
        seed: of the choice of latents.

    Returns:
        Weights (K,), means (K, D) and covariances (K, D, D).

    Raises:
        ArgumentError: fewer latents than components.
    """
    _check_enough(z, n_components)
    rows = torch.randperm(len(z), generator=torch.Generator().manual_seed(seed))[:n_components]
    variance = 4 * z.var(0).mean()
    eye = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    weights = torch.full_like(z[:n_components, 0], 1 / n_components)
    return weights, z[rows.to(z.device)], variance * eye.expand(n_components, -1, -1)


def variational_start(z: Tensor, n_components: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A start from the variational mixture of scikit-learn, the best of five by its bound.

    Coordinate ascent (Bishop, *Pattern Recognition and Machine Learning*, section 10.2) switches
    off what is not needed more surely than gradients do, which may leave a cluster split in two,
    but knows only conjugate priors: good to start from.

    Args:
        z: latents of images, (N, D), at least K of them.
        n_components: K.
        seed: of the restarts.

    Returns:
        Weights (K,), means (K, D) and covariances (K, D, D).

    Raises:
        ArgumentError: fewer latents than components.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture

    _check_enough(z, n_components)
    mixture = BayesianGaussianMixture(
        n_components=n_components,
        weight_concentration_prior_type="dirichlet_distribution",
        weight_concentration_prior=0.5 / n_components,
        mean_precision_prior=0.01,
        max_iter=500,
        n_init=5,
        random_state=seed % 2**32,  # the most that NumPy's generator takes
    )
    with warnings.catch_warnings():
        # The gradients that follow go on from there.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(z.detach().cpu().double().numpy())
    fitted = mixture.weights_, mixture.means_, mixture.covariances_
    weights, means, covariances = (torch.as_tensor(part).to(z) for part in fitted)
    return weights, means, covariances


def _check_enough(z: Tensor, n_components: int) -> None:
    if len(z) < n_components:
        raise ArgumentError(
            f"`z` expected at least {n_components} latents; got {len(z)}. Encode more images, or "
            "take fewer components."
        )


def _site_values(prior: MixturePrior) -> dict[str, Tensor]:
    """The values of the sites that make the mixture that ``prior`` stands for."""
    scale_tril = prior.scale_tril.detach()
    scales = scale_tril.norm(dim=-1)
    values = (prior.weights, prior.means, scales, scale_tril / scales.unsqueeze(-1))
    return {name: value.detach().clone() for name, value in zip(SITES, values, strict=True)}
