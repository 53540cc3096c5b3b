"""A posterior over the mixture, encoder and decoder fixed, and what it predicts.

N images, S draws of the mixture, K components, D latent dimensions.
"""

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
import pyro
import torch
from pyro.infer import Trace_ELBO
from torch import Tensor

from gmvae.data import Images
from gmvae.diagnostics import arviz_bridge
from gmvae.diagnostics.draws import Array, Draws, batches, settled
from gmvae.metrics import effective_number
from gmvae.probability.bayesian import (
    BayesianGuide,
    BayesianMixturePrior,
    DrawnMixture,
    variational_start,
)
from gmvae.probability.families import Answer, rows_of
from gmvae.probability.families import posterior as q_of
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model
from gmvae.support import checks
from gmvae.support.errors import ArgumentError

# Steps of Adam from a start near the end.
_STEPS = 300
_LR = 0.1
# Latents a step, and for the start; of more images a random part.
_ROWS = 2_000
_START_ROWS = 5_000
# Densities for the log-likelihood of all draws: some two minutes' worth on one core.
_DENSITIES = 2_000_000_000
_FEWEST_LATENTS, _MOST_LATENTS = 10, 100


@dataclass(frozen=True)
class MixturePosterior:
    """Draws of the mixture from its approximate posterior.

    Attributes:
        weights: (S, K).
        means: (S, K, D).
        covariances: (S, K, D, D).
    """

    weights: Array
    means: Array
    covariances: Array

    @property
    def effective_number(self) -> Array:
        """Of components, (S,), each in 1 to K."""
        return np.array([effective_number(weights) for weights in self.weights])


@dataclass(frozen=True)
class LeaveOneOut:
    """How well the mixture predicts an image that it has not seen.

    Attributes:
        elpd: log p(x_i | the other images), (N,) nats, encoder and decoder fixed.
        khat: of the weights behind each, (N,).
        n_effective: the effective number of the mixture's parameters: by how much images are
            better explained when seen, summed over them.
    """

    elpd: Array
    khat: Array
    n_effective: float


def fit_mixture(
    model: Model,
    guide: Guide,
    x: Tensor | Images,
    n_components: int,
    n_draws: int = 500,
    seed: int = 0,
) -> MixturePosterior:
    r"""Fit a Bayesian mixture to the latents of images, with encoder and decoder fixed.

    Of the bound on log p(x), pi, mu and Sigma concern

    .. math::
        E_{q(\pi, \mu, \Sigma)} \sum_i E_{q(z_i | x_i)} \log p(z_i | \pi, \mu, \Sigma)
        - KL(q(\pi, \mu, \Sigma) \| p(\pi, \mu, \Sigma))

    alone, so the decoder need not run: latents are drawn anew at every step, and Pyro's SVI
    fits the autoguide of :class:`~gmvae.probability.BayesianGuide` to them, from
    :func:`~gmvae.probability.bayesian.variational_start`. The prior is that of
    :class:`~gmvae.probability.BayesianMixturePrior`, in the scale of the latents: means have twice
    their standard deviation, components the same (a convention of gmvae). The autoguide takes
    the parameters as independent, so that spreads are too small rather than too large.

    Args:
        model: the generative model; its own mixture is left as it is.
        guide: its guide.
        x: images, at least as many as components.
        n_components: K, as many as there might be, at least 2; those not needed switch off.
        n_draws: S.
        seed: of the fit and of the draws.

    Raises:
        ArgumentError: fewer than two components, or fewer images than components.
    """
    checks.whole("n_components", n_components, least=2)
    with settled(model, guide, seed), pyro.get_param_store().scope():
        answers = [guide.encoder(batch) for batch in batches(model, x, 1_024)]
        answer = cast(Answer, tuple(torch.cat(parts) for parts in zip(*answers, strict=True)))
        loc = q_of(answer).mean
        spread = loc.std().item()
        prior = BayesianMixturePrior(
            n_components, model.prior.latent_dim, mean_scale=2 * spread, scale=spread
        )
        bayesian = Model(model.decoder, prior.to(loc), model.likelihood, "exact")
        rows = torch.randperm(len(loc), device=loc.device)[:_START_ROWS]
        start = variational_start(q_of(rows_of(answer, rows)).sample(), n_components, seed)
        posterior = BayesianGuide(bayesian, Guide(guide.encoder, prior=prior), start)
        seen = next(batches(model, x, 1))
        posterior.mixture(seen)
        _learn(prior, posterior, seen, answer)
        drawn = posterior.draw(seen, n_draws, seed)
    return MixturePosterior(*(drawn[name].cpu().numpy() for name in drawn))


def _learn(
    prior: BayesianMixturePrior, posterior: BayesianGuide, seen: Tensor, answer: Answer
) -> None:
    """Fit the autoguide to latents of N images, drawn from what the encoder answered for them."""
    n = len(answer[0])

    def latents(z: Tensor) -> None:
        mixture = prior()
        with pyro.plate("images", n, subsample=torch.arange(len(z))):
            pyro.sample("z", mixture.z_dist(), obs=z)

    def mixture(_: Tensor) -> None:
        posterior.mixture(seen)

    optimiser = torch.optim.Adam(posterior.mixture.parameters(), _LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, _LR, total_steps=_STEPS, pct_start=0.1
    )
    # Validation refuses a weight that has underflowed to 0, as those switched off do.
    with torch.enable_grad(), pyro.validation_enabled(False):
        for _ in range(_STEPS):
            rows = torch.randperm(n, device=answer[0].device)[:_ROWS]
            z = q_of(rows_of(answer, rows)).sample()
            optimiser.zero_grad()
            Trace_ELBO().differentiable_loss(latents, mixture, z).backward()
            optimiser.step()
            schedule.step()


def log_likelihood(model: Model, draws: Draws, mixture: MixturePosterior, seed: int = 0) -> Array:
    r"""Log p(x_i | pi, mu, Sigma) for every draw of the mixture, (S, N), z integrated out.

    .. math::
        \log p(x | \theta) = \log p(x) + \log E_{p(z|x)} \frac{p(z | \theta)}{p(z)}

    where p(z) is the model's own mixture, and the expectation is over latents drawn from the
    guide and resampled by their smoothed importance weights: a hundred an image, or fewer (at
    least ten) where images and draws are many.
    """
    n_mixtures, n_components = mixture.weights.shape
    n_densities = n_mixtures * draws.z.shape[1] * n_components
    n_latents = int(np.clip(_DENSITIES // n_densities, _FEWEST_LATENTS, _MOST_LATENTS))
    z = torch.as_tensor(_resampled(draws, n_latents, seed)).to(model.prior.means)
    parameters = (
        torch.as_tensor(part).to(z)
        for part in (mixture.weights, mixture.means, np.linalg.cholesky(mixture.covariances))
    )
    with torch.no_grad(), pyro.validation_enabled(False):
        log_p_z = model.prior.z_dist().log_prob(z)
        ratios = [
            (DrawnMixture(*one).z_dist().log_prob(z) - log_p_z).logsumexp(0)
            for one in zip(*parameters, strict=True)
        ]
    log_ratio = torch.stack(ratios).double().cpu().numpy() - math.log(n_latents)
    return np.asarray(draws.log_evidence + log_ratio)


def _resampled(draws: Draws, n_latents: int, seed: int) -> Array:
    """Latents of the posterior, (``n_latents``, N, D), by systematic resampling of the draws.

    It has less noise than independent draws.
    """
    n_draws, n, _ = draws.z.shape
    steps = (np.random.default_rng(seed).random(n) + np.arange(n_latents)[:, None]) / n_latents
    cumulated = np.exp(draws.smoothed).cumsum(0)
    rows = np.stack([np.searchsorted(cumulated[:, i], steps[:, i]) for i in range(n)], axis=1)
    return np.asarray(draws.z[rows.clip(max=n_draws - 1), np.arange(n)])


def leave_one_out(log_likelihood: Array | None) -> LeaveOneOut:
    """PSIS-LOO over the mixture, given the fixed encoder and decoder.

    Args:
        log_likelihood: of N images under S draws of the mixture that was fitted to them, (S, N),
            as :func:`log_likelihood` gives; None where the mixture has no posterior.

    Raises:
        ArgumentError: there is no posterior over the mixture. Each image has a latent of its
            own, so that nothing else is left which an image could be left out of: leaving it
            out of -log p(x | z) says nothing (its k-hat is above 0.7 for most images).

    References:
        Vehtari, Gelman and Gabry, *Practical Bayesian model evaluation using leave-one-out
        cross-validation and WAIC*, Statistics and Computing, 2017.
    """
    if log_likelihood is None:
        raise ArgumentError(
            "`log_likelihood` expected draws of a posterior over the mixture; got none. Without "
            "one, leaving an image out means nothing: fit one (gmvae diagnose --mixture)."
        )
    elpd, khat = arviz_bridge.loo(log_likelihood)
    highest = log_likelihood.max(0)
    seen = highest + np.log(np.exp(log_likelihood - highest).mean(0))
    return LeaveOneOut(elpd, khat, float((seen - elpd).sum()))
