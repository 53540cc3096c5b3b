"""The guide against NUTS on the latents of a few images.

n images, C chains, S draws, D latent dimensions.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer import MCMC, NUTS
from torch import Tensor

from gmvae.diagnostics import arviz_bridge
from gmvae.diagnostics.draws import Array, settled
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model
from gmvae.support import checks

# Trajectories of at most 63 steps: a ridge takes no more in the units of the guide.
_DEEPEST = 6
# Points among which the chains' starts are found, and draws that weigh the chains, an image.
CANDIDATES = 8_000
# Of them, decoded at once.
_CHUNK = 500
# Draws that climb to the modes, an image, and the share of them that makes a mode count.
_CLIMBERS = 100
_STEPS = 150
_COUNTS = 0.05
# The step of the differences that make a curvature, in sd of the guide, and the least curvature,
# of a direction three such sd wide.
_STEP = 0.5
_FLATTEST = 1 / 9
# Of the Student t around a chain: its tails are heavier than those of a posterior.
_FREEDOM = 5.0


@dataclass(frozen=True)
class Reference:
    """What NUTS finds where the guide only approximates.

    In a posterior of several modes a chain seldom leaves the one it is in: R-hat is large, however
    long the chains, and how many of them are where says nothing of the modes' mass. So mean and
    spread are not those of the pooled draws: a Student t is laid around each chain, and draws of
    these, with a quarter from the prior, are weighted by p(x, z). That holds for one mode and for
    several; the k-hat of the weights says whether it held. The modes are where weighted draws
    end that climb p(x, z), those within one sd of the guide taken together; they count from a
    twentieth of the mass.

    Attributes:
        z: the draws, (C, S, n, D).
        guide_mean: of q(z | x), (n, D).
        guide_sd: of q(z | x), (n, D).
        mean: of p(z | x), (n, D).
        sd: of p(z | x), (n, D).
        log_evidence: log p(x) by the same weights, (n,) nats.
        khat: of these weights, (n,).
        modes: how many p(z | x) has, (n,), at least 1.
        rhat: of the draws, (n, D); at most 1.01 is wanted where there is one mode.
        ess: the effective number of the draws, (n, D).
        energy: the Hamiltonian of the trajectory to each draw, (C, S, n) nats.
        diverging: whether that trajectory diverged, (S, n): the chains of an image share it.
    """

    z: Array
    guide_mean: Array
    guide_sd: Array
    mean: Array
    sd: Array
    log_evidence: Array
    khat: Array
    modes: Array
    rhat: Array
    ess: Array
    energy: Array
    diverging: Array

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
    n_draws: int = 200,
    n_warmup: int = 100,
    n_chains: int = 4,
    seed: int = 0,
) -> Reference:
    """Draw from p(z | x), y summed out, by the no-U-turn sampler.

    A sampler an image; its chains run side by side, and so share step size and length of the
    trajectories, while each has its own coordinates, in which its mode is about a standard
    normal: trajectories need few steps there, however narrow the ridge. They start wider apart
    than the posterior, which R-hat needs to see anything: at points drawn from the square root
    of p(x, z) by importance sampling, half of the candidates from the prior, so that another
    mode than the guide's is found where the prior finds it.

    Args:
        model: the generative model.
        guide: its guide, to start from and to compare with.
        x: a few images, (n, C, H, W).
        n_draws: S, for each chain.
        n_warmup: steps before them.
        n_chains: C, at least 2, for R-hat.
        seed: of the draws.

    References:
        Hoffman and Gelman, *The no-U-turn sampler*, JMLR, 2014. Gelman and Rubin, *Inference
        from iterative simulation using multiple sequences*, Statistical Science, 1992 (starts
        wider apart than the target). Hesterberg, *Weighted average importance sampling and
        defensive mixture distributions*, Technometrics, 1995.
    """
    checks.whole("n_chains", n_chains, least=2)
    like = model.prior.means
    x = x.to(like.device, like.dtype)
    with settled(model, guide, seed), pyro.get_param_store().scope():
        q_z = guide.z_dist(x)
        loc, scale = q_z.mean, q_z.stddev
        starts = _starts(model, x, loc, scale, n_chains)
        factors = _factors(model, x, starts, scale)
        chains = [
            _run(model, x[i], starts[:, i], factors[:, i], n_draws, n_warmup) for i in range(len(x))
        ]
        z = torch.stack([chain.z for chain in chains], dim=2)
        weighted, smoothed, log_evidence, khat = _weighted(model, x, z, scale)
        modes = _modes(model, x, weighted, smoothed, scale)
    draws, values, weights = (part.cpu().double().numpy() for part in (z, weighted, smoothed))
    mean = np.einsum("sn,snd->nd", weights, values)
    variance = np.einsum("sn,snd->nd", weights, (values - mean) ** 2)
    return Reference(
        draws,
        loc.cpu().numpy(),
        scale.cpu().numpy(),
        mean,
        np.sqrt(variance),
        log_evidence,
        khat,
        modes,
        _by_quantity(arviz_bridge.rhat, draws),
        _by_quantity(arviz_bridge.ess, draws),
        torch.stack([chain.energy for chain in chains], dim=2).cpu().numpy(),
        np.stack([chain.diverging for chain in chains], axis=1),
    )


class _Chains(NamedTuple):
    """The chains of one image: z (C, S, D), energy (C, S), diverging (S,)."""

    z: Tensor
    energy: Tensor
    diverging: Array


class _Recording(NUTS):  # type: ignore[misc]
    """NUTS that keeps where each trajectory starts and with what kinetic energy, by chain."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.begun: list[tuple[Tensor, Tensor]] = []

    def _sample_r(self, name: str) -> Any:
        r, r_unscaled = super()._sample_r(name)
        # Not where a step size is looked for.
        if name.startswith("r_t="):
            momentum = next(iter(r_unscaled.values())).reshape(self._z_last["z"].shape)
            self.begun.append((self._z_last["z"].detach(), momentum.square().sum(-1) / 2))
        return r, r_unscaled


def _run(
    model: Model, x: Tensor, start: Tensor, factor: Tensor, n_draws: int, n_warmup: int
) -> _Chains:
    """The chains of one image from starts (C, D), in the coordinates of the factors.

    Args:
        model: the generative model.
        x: the image, (C, H, W).
        start: where each chain starts, (C, D).
        factor: from the coordinates of each chain to a shift from its start, (C, D, D).
        n_draws: S.
        n_warmup: steps before them.
    """
    prior = model.prior.z_dist()

    def located(standard: Tensor) -> Tensor:
        return start + (factor @ standard.unsqueeze(-1)).squeeze(-1)

    def potentials(standard: Tensor) -> Tensor:
        z = located(standard)
        log_p_x = model.likelihood(model.decoder(z)).log_prob(x)
        minus: Tensor = -(log_p_x + prior.log_prob(z))
        return minus

    def potential(sites: dict[str, Tensor]) -> Tensor:
        return potentials(sites["z"]).sum()

    kernel = _Recording(potential_fn=potential, max_tree_depth=_DEEPEST)
    mcmc = MCMC(
        kernel,
        num_samples=n_draws,
        warmup_steps=n_warmup,
        initial_params={"z": torch.zeros_like(start)},
        disable_progbar=True,
    )
    # Validating each of some thousand tiny distributions takes a third of the time.
    with torch.enable_grad(), pyro.validation_enabled(False):
        mcmc.run()
        energies = [potentials(z) + kinetic for z, kinetic in kernel.begun[-n_draws:]]
    diverging = np.zeros(n_draws, dtype=bool)
    diverging[mcmc.diagnostics()["divergences"]["chain 0"]] = True
    z = located(mcmc.get_samples()["z"].detach()).transpose(0, 1)
    return _Chains(z, torch.stack(energies, 1).detach(), diverging)


def _starts(model: Model, x: Tensor, loc: Tensor, scale: Tensor, n_chains: int) -> Tensor:
    """Points for the chains, (C, n, D), drawn without replacement (Gumbel's way)."""
    wide = dist.Normal(loc, 2 * scale).to_event(1)
    z, log_q = _with_prior(model, wide, 0.5)
    log_weights = _log_joint(model, x, z) / 2 - log_q
    gumbel = -torch.empty_like(log_weights).exponential_().log()
    rows = (log_weights + gumbel).topk(n_chains, dim=0).indices
    return z.gather(0, rows.unsqueeze(-1).expand(-1, -1, z.shape[-1]))


def _factors(model: Model, x: Tensor, starts: Tensor, scale: Tensor) -> Tensor:
    r"""For each start (C, n, D) a root of the covariance of the mode above it, (C, n, D, D).

    Minus the second derivative of log p(x, z) there, :math:`V \Lambda V^\top` in units of the
    guide, gives the covariance of the Gaussian that fits the mode, and :math:`V \Lambda^{-1/2}`
    its root; where the density is curved the other way, or hardly at all, :math:`\Lambda` is made
    positive (Betancourt, *A general metric for Riemannian manifold Hamiltonian Monte Carlo*,
    2013). It is found by differences of gradients, which a decoder with kinks has too.
    """
    mode = _climb(model, x, starts, scale)
    shifts = _STEP * torch.eye(scale.shape[-1]).to(scale).unsqueeze(1).unsqueeze(1) * scale
    above, below = (_slope(model, x, mode + shift) for shift in (shifts, -shifts))
    curvature = ((below - above) * scale / (2 * _STEP)).permute(1, 2, 0, 3)
    size, directions = torch.linalg.eigh((curvature + curvature.mT) / 2)
    widths = size.abs().clamp(min=_FLATTEST).rsqrt()
    factors: Tensor = scale.unsqueeze(-1) * directions * widths.unsqueeze(-2)
    return factors


def _weighted(
    model: Model, x: Tensor, z: Tensor, scale: Tensor
) -> tuple[Tensor, Tensor, Array, Array]:
    """Draws around the chains, their weights, (S, n) of sum 1, log p(x) and k-hat."""
    chains = z.permute(2, 0, 1, 3)
    mean = chains.mean(2)
    centred = chains - mean.unsqueeze(2)
    covariance = centred.mT @ centred / (z.shape[1] - 1)
    # A chain that never moved has a width all the same.
    covariance = covariance + (0.01 * scale).square().diag_embed().unsqueeze(1)
    around = dist.MultivariateStudentT(_FREEDOM, mean, torch.linalg.cholesky(covariance))
    even = dist.Categorical(torch.ones_like(mean[..., 0]))
    drawn, log_q = _with_prior(model, dist.MixtureSameFamily(even, around), 0.25)
    log_weights = (_log_joint(model, x, drawn) - log_q).cpu().double()
    smoothed, khat = arviz_bridge.psis(log_weights.T.numpy())
    log_evidence = log_weights.logsumexp(0) - math.log(len(drawn))
    weights = torch.as_tensor(np.exp(smoothed.T)).to(drawn)
    return drawn, weights, log_evidence.numpy(), khat


def _modes(model: Model, x: Tensor, z: Tensor, weights: Tensor, scale: Tensor) -> Array:
    """The number of modes, (n,), that draws (S, n, D) of these weights climb to."""
    from scipy.cluster.hierarchy import fcluster, linkage

    rows = torch.multinomial(weights.T, _CLIMBERS, replacement=True).T
    start = z.gather(0, rows.unsqueeze(-1).expand(-1, -1, z.shape[-1]))
    reached = (_climb(model, x, start, scale) / scale).cpu().numpy()
    modes = []
    for i in range(len(x)):
        groups = fcluster(linkage(reached[:, i], "single"), 1.0, "distance")
        modes.append(max(1, int((np.bincount(groups) >= _COUNTS * _CLIMBERS).sum())))
    return np.array(modes)


def _climb(model: Model, x: Tensor, z: Tensor, scale: Tensor) -> Tensor:
    """Where latents (..., n, D) of n images end that climb log p(x, z), in steps of Adam."""
    place = z / scale
    optimiser = torch.optim.Adam([place], lr=0.1)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, _STEPS)
    for _ in range(_STEPS):
        place.grad = -_slope(model, x, place * scale) * scale
        optimiser.step()
        schedule.step()
    return place * scale


def _slope(model: Model, x: Tensor, z: Tensor) -> Tensor:
    """The gradient of log p(x, z) in latents (..., n, D) of n images."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        (slope,) = torch.autograd.grad(_log_joint(model, x, z).sum(), z)
    return slope


def _with_prior(model: Model, near: Any, share: float) -> tuple[Tensor, Tensor]:
    """Draws (S, n, D) of ``near`` and, for that share, of the prior; their log-density (S, n)."""
    prior, n_prior = model.prior.z_dist(), round(share * CANDIDATES)
    z = torch.cat(
        [
            prior.sample((n_prior, *near.batch_shape)),
            near.sample((CANDIDATES - n_prior,)),
        ]
    )
    log_prior = prior.log_prob(z) + math.log(share)
    return z, torch.logaddexp(log_prior, near.log_prob(z) + math.log1p(-share))


def _log_joint(model: Model, x: Tensor, z: Tensor) -> Tensor:
    """Log p(x, z), y summed out, of latents (S, n, D) of n images, (S, n)."""
    prior = model.prior.z_dist()
    parts = [
        model.likelihood(model.decoder(part)).log_prob(x) + prior.log_prob(part)
        for part in z.split(_CHUNK)
    ]
    return torch.cat(parts)


def _by_quantity(statistic: Any, chains: Array) -> Array:
    """A statistic of chains (C, S, n, D) by image and dimension, (n, D)."""
    n, d = chains.shape[2:]
    return np.array([[statistic(chains[:, :, i, j]) for j in range(d)] for i in range(n)])


def chosen_images(khat: Array, n_worst: int, n_random: int, seed: int = 0) -> Array:
    """Row numbers: the worst k-hats, worst first, then others at random."""
    order = np.argsort(-khat, kind="stable")
    n_worst = min(n_worst, len(khat))
    others = order[n_worst:]
    drawn = np.random.default_rng(seed).choice(others, min(n_random, len(others)), replace=False)
    return np.concatenate([order[:n_worst], np.sort(drawn)])
