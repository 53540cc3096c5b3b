"""Hamiltonian Monte Carlo, of all chains of all images at once.

n images, C chains, S draws, D latent dimensions.
"""

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from gmvae.posterior.chance import normal, uniform
from gmvae.posterior.student import StudentMixture
from gmvae.posterior.target import Target

# Leapfrog steps of a trajectory, at random so that none comes back to where it began.
_FEWEST_STEPS, _MOST_STEPS = 4, 12
# The share of accepted trajectories that step sizes are tuned to (Betancourt, Byrne and Girolami,
# *Optimizing the integrator step size for Hamiltonian Monte Carlo*, 2014).
_ACCEPTED = 0.8
# An error of the energy, in nats, beyond which a trajectory has diverged, as in Stan.
_DIVERGED = 1000.0


@dataclass(frozen=True)
class Chains:
    """Draws after the warm-up.

    Attributes:
        z: (C, S, n, D) float64.
        log_joint: log p(x, z), (C, S, n).
        divergences: trajectories of each image that diverged, (n,).
    """

    z: Tensor
    log_joint: Tensor
    divergences: Tensor


class _StepSizes:
    """Dual averaging of the log of a step size an image (Hoffman and Gelman, JMLR 2014, 3.2)."""

    def __init__(self, n: int, like: Tensor) -> None:
        self._start = torch.full((n,), math.log(0.5)).to(like)
        self.log = self._start.clone()
        self.averaged = self._start.clone()
        self._error = torch.zeros_like(self._start)
        self._t = 0

    def update(self, accepted: Tensor) -> None:
        """Learn from the mean probability of acceptance of each image's chains, (n,)."""
        self._t += 1
        t = self._t
        self._error += (_ACCEPTED - accepted - self._error) / (t + 10)
        self.log = self._start + math.log(2) - math.sqrt(t) / 0.05 * self._error
        self.averaged += t**-0.75 * (self.log - self.averaged)


def sample_chains(
    target: Target,
    start: Tensor,
    tril: Tensor,
    jumps: StudentMixture,
    n_draws: int,
    n_warmup: int,
    generator: Generator | None,
) -> Chains:
    """Chains that move by trajectories, and between modes by jumps.

    After each trajectory a draw of the mixture is proposed, accepted by Metropolis and Hastings:
    a chain that trajectories hold in one mode comes to the others by these. Both moves leave
    p(z | x) as it is.

    Args:
        target: of n images.
        start: where the chains begin, (C, n, D) float64.
        tril: a root of the covariance within a mode, (n, D, D), the unit of the trajectories.
        jumps: the mixture.
        n_draws: S.
        n_warmup: steps before them, in which the step sizes are tuned.
        generator: the source of chance, on the CPU.

    References:
        Neal, *MCMC using Hamiltonian dynamics*, 2011; Tierney, *Markov chains for exploring
        posterior distributions*, Annals of Statistics, 1994 (mixtures of kernels).
    """
    sizes = _StepSizes(len(target), start)
    z = start
    log_joint, slope = target.log_joint_and_slope(z)
    log_jump = jumps.log_prob(z)
    diverged = torch.zeros(len(target), dtype=torch.long)
    kept: list[tuple[Tensor, Tensor]] = []
    for i in range(n_warmup + n_draws):
        warming = i < n_warmup
        size = (sizes.log if warming else sizes.averaged).exp()
        new, energy_error = _trajectory(target, (z, log_joint, slope), tril, size, generator)
        chance = energy_error.neg().clamp(max=0).exp().nan_to_num(0.0)
        moved = uniform(chance, generator) < chance
        z, log_joint, slope = _chosen(moved, new, (z, log_joint, slope))
        log_jump = torch.where(moved, jumps.log_prob(z), log_jump)
        if warming:
            sizes.update(chance.mean(0))
        else:
            diverged += (~(energy_error < _DIVERGED)).sum(0)
        proposed = jumps.sample(len(z), generator)
        reached = (proposed, *target.log_joint_and_slope(proposed))
        log_proposed = jumps.log_prob(proposed)
        ratio = (reached[1] - log_proposed) - (log_joint - log_jump)
        moved = uniform(ratio, generator).log() < ratio
        z, log_joint, slope = _chosen(moved, reached, (z, log_joint, slope))
        log_jump = torch.where(moved, log_proposed, log_jump)
        if not warming:
            kept.append((z, log_joint))
    draws, values = (torch.stack(part, 1) for part in zip(*kept, strict=True))
    return Chains(draws, values, diverged)


Place = tuple[Tensor, Tensor, Tensor]


def _trajectory(
    target: Target, place: Place, tril: Tensor, size: Tensor, generator: Generator | None
) -> tuple[Place, Tensor]:
    """Where a trajectory ends, and by how much its energy has risen, (C, n)."""
    z, log_joint, slope = place
    momentum = normal(z.shape, z, generator)
    before = log_joint - momentum.square().sum(-1) / 2
    step = size.unsqueeze(-1)
    n_steps = int(torch.randint(_FEWEST_STEPS, _MOST_STEPS + 1, (), generator=generator))
    for _ in range(n_steps):
        momentum = momentum + step / 2 * _in_units(slope, tril)
        z = z + torch.einsum("nij,cnj->cni", tril, step * momentum)
        log_joint, slope = target.log_joint_and_slope(z)
        momentum = momentum + step / 2 * _in_units(slope, tril)
    after = log_joint - momentum.square().sum(-1) / 2
    return (z, log_joint, slope), before - after


def _in_units(slope: Tensor, tril: Tensor) -> Tensor:
    return torch.einsum("nij,cni->cnj", tril, slope)


def _chosen(moved: Tensor, new: Place, old: Place) -> Place:
    """Where moved the new place, else the old."""
    z, log_joint, slope = (
        torch.where(moved if a.dim() == moved.dim() else moved.unsqueeze(-1), a, b)
        for a, b in zip(new, old, strict=True)
    )
    return z, log_joint, slope


def bridge(
    of_posterior: Tensor, of_proposal: Tensor, n_effective: Tensor, n_steps: int = 100
) -> tuple[Tensor, Tensor]:
    r"""Log p(x) from draws of the posterior and of a proposal, and its standard error.

    .. math::
        p(x) = \frac{E_q\, w / (s_1 w + s_2 p(x))}{E_p\, 1 / (s_1 w + s_2 p(x))},\quad
        w = \frac{p(x, z)}{q(z)}

    with shares s of the two sizes; it holds whichever of them has the lighter tails, where
    importance weights do not.

    Args:
        of_posterior: log w of draws of the posterior, (S, n).
        of_proposal: log w of draws of the proposal, (T, n).
        n_effective: what the former are worth, (n,).
        n_steps: of the iteration.

    Returns:
        Both (n,), nats.

    References:
        Meng and Wong, *Simulating ratios of normalizing constants via a simple identity*,
        Statistica Sinica, 1996. Frühwirth-Schnatter, *Estimating marginal likelihoods for mixture
        and Markov switching models using bridge sampling techniques*, 2004 (the error).
    """
    n_proposal = len(of_proposal)
    first = (n_effective / (n_effective + n_proposal)).log()
    second = (n_proposal / (n_effective + n_proposal)).log()
    log_p = of_proposal.logsumexp(0) - math.log(n_proposal)
    for _ in range(n_steps):
        above = of_proposal - torch.logaddexp(first + of_proposal, second + log_p)
        below = -torch.logaddexp(first + of_posterior, second + log_p)
        log_p = (
            above.logsumexp(0)
            - math.log(n_proposal)
            - below.logsumexp(0)
            + math.log(len(of_posterior))
        )
    variance = _relative(above) / n_proposal + _relative(below) / n_effective
    return log_p, variance.sqrt()


def _relative(log_values: Tensor) -> Tensor:
    """The variance of exp(values) over its squared mean, (n,)."""
    values = (log_values - log_values.amax(0)).exp()
    return values.var(0) / values.mean(0).square()
