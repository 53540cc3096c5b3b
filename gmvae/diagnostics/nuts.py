"""The guide against NUTS on the latents of a few images.

n images, C chains, S draws, D latent dimensions.
"""

from dataclasses import dataclass

import numpy as np
import pyro
import torch
from pyro.infer import MCMC, NUTS
from torch import Tensor

from gmvae import arviz_bridge
from gmvae.diagnostics.draws import Array, settled
from gmvae.errors import ArgumentError
from gmvae.guide import Guide
from gmvae.model import Model

# Trajectories of at most 63 steps: longer ones are waste on a few latents of unit scale.
_DEEPEST = 6


@dataclass(frozen=True)
class Reference:
    """What NUTS finds where the guide only approximates.

    Attributes:
        z: the draws, (C, S, n, D).
        guide_mean: of q(z | x), (n, D).
        guide_sd: of q(z | x), (n, D).
        rhat: of the draws, (n, D); at most 1.01 is wanted.
        ess: their effective number, (n, D).
    """

    z: Array
    guide_mean: Array
    guide_sd: Array
    rhat: Array
    ess: Array

    @property
    def mean(self) -> Array:
        """Of the posterior, (n, D)."""
        return np.asarray(self.z.mean((0, 1)))

    @property
    def sd(self) -> Array:
        """Of the posterior, (n, D)."""
        return np.asarray(self.z.std((0, 1), ddof=1))

    @property
    def shift(self) -> Array:
        """How far the guide's mean is from the posterior's, in the latter's sd, (n, D)."""
        return np.asarray(np.abs(self.guide_mean - self.mean) / self.sd)

    @property
    def narrowness(self) -> Array:
        """The guide's sd over the posterior's, (n, D)."""
        return np.asarray(self.guide_sd / self.sd)


def sample_posterior(
    model: Model,
    guide: Guide,
    x: Tensor,
    n_draws: int = 250,
    n_warmup: int = 200,
    n_chains: int = 4,
    seed: int = 0,
) -> Reference:
    """Draw from p(z | x), y summed out, by the no-U-turn sampler.

    Each chain starts from a draw of the guide, twice as wide as it is. All chains of all images
    run side by side in one sampler, which is many times faster: they share the step size and the
    length of the trajectories, but start and move independently, and the draws of each have
    p(z | x) as their limit.

    Args:
        model: the generative model.
        guide: its guide, to start from and to compare with.
        x: a few images, (n, C, H, W).
        n_draws: S, for each chain.
        n_warmup: steps before them.
        n_chains: C, at least 2, for R-hat.
        seed: of the draws.

    References:
        Hoffman and Gelman, *The no-U-turn sampler*, Journal of Machine Learning Research, 2014.
    """
    if n_chains < 2:
        raise ArgumentError(f"`n_chains` expected at least 2; got {n_chains}.")
    like = model.prior.means
    x = x.to(like.device, like.dtype)
    with settled(model, guide, seed), pyro.get_param_store().scope():
        q_z = guide.z_dist(x)
        loc, scale = q_z.mean, q_z.stddev
        start = 2 * torch.randn(n_chains, *loc.shape, dtype=loc.dtype, device=loc.device)
        z = _run(model, x, loc, scale, start, n_draws, n_warmup)
    n, d = z.shape[2:]
    each = [[z[:, :, i, j] for j in range(d)] for i in range(n)]
    rhat, ess = (
        np.array([[statistic(draws) for draws in row] for row in each])
        for statistic in (arviz_bridge.rhat, arviz_bridge.ess)
    )
    return Reference(z, loc.cpu().numpy(), scale.cpu().numpy(), rhat, ess)


def _run(
    model: Model, x: Tensor, loc: Tensor, scale: Tensor, start: Tensor, n_draws: int, n_warmup: int
) -> Array:
    """The chains, (C, S, n, D), run in the units of the guide, in which all latents are alike."""

    def potential(sites: dict[str, Tensor]) -> Tensor:
        z = loc + scale * sites["z"]
        log_p_x = model.likelihood(model.decoder(z)).log_prob(x)
        log_p_z = model.prior.log_joint(z).logsumexp(-1)
        minus: Tensor = -(log_p_x + log_p_z).sum()
        return minus

    mcmc = MCMC(
        NUTS(potential_fn=potential, max_tree_depth=_DEEPEST),
        num_samples=n_draws,
        warmup_steps=n_warmup,
        initial_params={"z": start},
        disable_progbar=True,
    )
    with torch.enable_grad():
        mcmc.run()
    standard: Tensor = mcmc.get_samples()["z"].detach()
    return (loc + scale * standard).transpose(0, 1).cpu().numpy().astype(np.float64)


def chosen_images(khat: Array, n_worst: int, n_random: int, seed: int = 0) -> Array:
    """Row numbers: the worst k-hats, worst first, then others at random."""
    order = np.argsort(-khat, kind="stable")
    n_worst = min(n_worst, len(khat))
    others = order[n_worst:]
    drawn = np.random.default_rng(seed).choice(others, min(n_random, len(others)), replace=False)
    return np.concatenate([order[:n_worst], np.sort(drawn)])
