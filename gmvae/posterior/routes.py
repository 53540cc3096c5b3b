"""One batch of images, each by the first way that is good enough: guide, refined, HMC.

n images of the batch, m of them still without an answer, D latent dimensions.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from gmvae.posterior import chains, modes
from gmvae.posterior.block import (
    ROUTES,
    Block,
    Sizes,
    expected_pixels,
    kept_draws,
    moments,
)
from gmvae.posterior.chance import numpy_generator, seed_of
from gmvae.posterior.effort import LEAST_DRAWS, Effort, proposed
from gmvae.posterior.hamiltonian import Chains, bridge, sample_chains
from gmvae.posterior.importance import OfGuide, OfPrior, Sample, Weights
from gmvae.posterior.pareto import Array
from gmvae.posterior.resampling import systematic
from gmvae.posterior.student import StudentMixture
from gmvae.posterior.target import Points, Target
from gmvae.probability.families import draws
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model

# Evaluations of the target that a climb has.
_CLIMB = 40
# A mode is the guide's, too, where its weight is at most so many times the mean weight: a guide
# that has half of a mode's mass leaves a weight of 2 there, one that misses it one of thousands.
_OUTWEIGHED = 10.0
# What the effective sample size has to be, of draws kept; at least that of a hundred draws.
SHARE, LEAST_ESS = 0.2, 100.0
# The largest R-hat (Vehtari et al., 2021).
MOST_RHAT = 1.01
# What is aimed at while there are rounds to come. Above .5 weights have no variance, and their
# standard error is too small; of the default model's images a guide's draws that were worth less
# than half of their number missed up to .2 nats of log p(x).
_AIM_KHAT, _AIM_ESS = 0.5, 0.5
N_CHAINS = 4
# Of the chains' length, steps to tune their step sizes in.
_WARMUP = 0.4


@dataclass(frozen=True)
class Plan:
    """What is to be worked out for every image.

    Attributes:
        n_draws: S, kept of each.
        effort: the most that is done.
        weights: whether weighted draws are kept, too.
    """

    n_draws: int
    effort: Effort
    weights: bool

    @property
    def n_proposed(self) -> int:
        """Draws of a proposal at a time."""
        return proposed(self.n_draws)

    @property
    def least_ess(self) -> float:
        """What the effective sample size has to be."""
        return max(SHARE * self.n_draws, LEAST_ESS)


class Batch:
    """The work on a batch.

    Args:
        model: the generative model, in eval mode.
        guide: its guide, likewise.
        x: images (n, C, H, W).
        shared: draws of the mixture that all images share.
        plan: what to work out.
        generator: the source of chance, on the CPU.
    """

    def __init__(
        self,
        model: Model,
        guide: Guide,
        x: Tensor,
        shared: Points,
        plan: Plan,
        generator: Generator | None,
    ) -> None:
        self.target = Target(model, x)
        self.shared, self.plan, self.generator = shared, plan, generator
        self.rng = numpy_generator(generator)
        self.of_guide = OfGuide(guide.encoder(x))
        self.reach = modes.spread(shared)
        self.scale = self.of_guide.dist.stddev.cpu().double()
        prior = model.prior
        sizes = Sizes(len(x), plan.n_draws, prior.latent_dim, prior.n_components, x[0].numel())
        self.block = Block.empty(sizes, plan.weights)

    def answer(self) -> Block:
        """The posteriors of all images."""
        effort = self.plan.effort
        sample = self._by_guide()
        weights = Weights(sample.log_weights)
        self.block.put(slice(None), guide_khat=weights.khat, guide_ess=weights.ess)
        # A round needs places to start from.
        refines = effort.rounds > 0 and effort.starts > 0
        good = self._fine(weights, last=not refines)
        if effort.starts:
            # Where the guide has no draws its weights say nothing: draws of the mixture may, and
            # climbs to the modes.
            log_joint = self.target.log_joint_at(self.shared)
            self._add_shared(sample, log_joint)
            weights = Weights(sample.log_weights)
            ends, value = self._climbed(log_joint)
            good &= self._fine(weights, last=not refines)
            good &= ~self._missed(ends, value, weights)
        self._put(good, np.arange(len(good)), sample, weights, "guide")
        left = np.flatnonzero(~good)
        if len(left) and refines:
            rows = torch.as_tensor(left)
            mixture = modes.around(
                self.target.at(rows), ends[:, rows], value[:, rows], self.scale[rows], self.reach
            )
            self.block.put(left, modes=mixture.logits.isfinite().sum(-1).numpy())
            left, sample, mixture = self._refined(left, sample.at(rows), mixture)
            if len(left) and effort.hmc_draws:
                left, sample = self._by_chains(left, sample, mixture)
        else:
            sample = sample.at(torch.as_tensor(left))
        if len(left):
            weights = Weights(sample.log_weights)
            self._put(np.ones(len(left), bool), left, sample, weights, "unresolved")
        self.block.put(slice(None), **expected_pixels(self.target, self.block.z, self.block.ess))
        return self.block

    def _by_guide(self) -> Sample:
        """Draws of the guide, weighted."""
        generator = Generator(self.target.x.device).manual_seed(seed_of(self.generator))
        z = draws(self.of_guide.dist, self.plan.n_proposed, generator).cpu().double()
        sample = Sample(self.target)
        sample.add(self.of_guide, z)
        return sample

    def _add_shared(self, sample: Sample, log_joint: Tensor) -> None:
        """Take in the draws of the mixture; log p(x, z) of each image there is (P, n)."""
        z = self.shared.z.unsqueeze(1).expand(-1, len(self.target), -1)
        sample.add(OfPrior(self.target.model.prior), z, log_joint)

    def _climbed(self, log_joint: Tensor) -> tuple[Tensor, Tensor]:
        """Where climbs of log p(x, z) end, (M, n, D), and its value, (M, n)."""
        mean = self.of_guide.dist.mean.cpu().double()
        start = modes.starts(log_joint, self.shared, mean, self.plan.effort.starts)
        return modes.climb(self.target, start, self.scale, self.reach, _CLIMB)

    def _fine(self, weights: Weights, last: bool) -> Array:
        """Whether weights are good enough, (n,): well so, while there are rounds to come."""
        if last:
            return weights.good(self.plan.least_ess)
        return weights.good(_AIM_ESS * self.plan.n_proposed, _AIM_KHAT)

    def _missed(self, ends: Tensor, value: Tensor, weights: Weights) -> Array:
        """Whether a mode outweighs all draws of the guide, (n,)."""
        weight = (value - self.of_guide.log_prob(ends)).amax(0).numpy()
        missed: Array = weight - weights.log_evidence > math.log(_OUTWEIGHED)
        return missed

    def _refined(
        self, left: Array, sample: Sample, mixture: StudentMixture
    ) -> tuple[Array, Sample, StudentMixture]:
        """Rounds of proposals; who is left, with draws and proposal."""
        rounds = self.plan.effort.rounds
        for i in range(rounds):
            sample.add(mixture, mixture.sample(self.plan.n_proposed, self.generator))
            weights = Weights(sample.log_weights)
            good = self._fine(weights, last=i == rounds - 1)
            self._put(good, left, sample, weights, "refined")
            rows = torch.as_tensor(np.flatnonzero(~good))
            left, w = left[~good], weights.tensor()[:, rows]
            sample, mixture = sample.at(rows), mixture.at(rows)
            if not len(left):
                break
            mixture = mixture.grown(sample.z, w).refitted(sample.z, w)
        return left, sample, mixture

    def _put(self, good: Array, left: Array, sample: Sample, weights: Weights, route: str) -> None:
        """Write down those of the images that are good; ``left`` are the numbers of all."""
        if not good.any():
            return
        rows = torch.as_tensor(np.flatnonzero(good))
        z, w = sample.z[:, rows], weights.tensor()[:, rows]
        self.block.put(
            left[good],
            **moments(self.target.model.prior, z, w),
            **kept_draws(z, w, self.plan.n_draws, self.rng, self.plan.weights),
            log_evidence=weights.log_evidence[good],
            log_evidence_mcse=weights.log_evidence_mcse[good],
            khat=weights.khat[good],
            ess=weights.ess[good],
            n_worked=len(z),
            route=ROUTES.index(route),
        )

    def _by_chains(
        self, left: Array, sample: Sample, mixture: StudentMixture
    ) -> tuple[Array, Sample]:
        """Hamiltonian Monte Carlo; who is left, with their weighted draws."""
        for attempt in (1, 2):
            n_draws = attempt * self.plan.effort.hmc_draws
            weights = Weights(sample.log_weights)
            start = self._started(sample, weights)
            drawn = sample_chains(
                sample.target,
                start,
                _within(mixture),
                mixture,
                n_draws,
                math.ceil(_WARMUP * n_draws),
                self.generator,
            )
            good = self._put_chains(left, sample, weights, mixture, drawn)
            rows = torch.as_tensor(np.flatnonzero(~good))
            left, sample, mixture = left[~good], sample.at(rows), mixture.at(rows)
            if not len(left):
                break
        return left, sample

    def _started(self, sample: Sample, weights: Weights) -> Tensor:
        """Where the chains begin, (C, m, D): weighted draws."""
        rows = systematic(np.exp(weights.smoothed), N_CHAINS, self.rng)
        image = torch.arange(len(sample.target))
        return sample.z[torch.as_tensor(rows.T), image]

    def _put_chains(
        self,
        left: Array,
        sample: Sample,
        weights: Weights,
        mixture: StudentMixture,
        drawn: Chains,
    ) -> Array:
        """Write down those of the images whose chains agree; who they are."""
        z = drawn.z.numpy()
        both = np.concatenate([z, drawn.log_joint.unsqueeze(-1).numpy()], -1)
        rhat, ess = chains.rhat(both).max(-1), chains.effective_size(both).min(-1)
        divergences = drawn.divergences.numpy()
        good: Array = (rhat <= MOST_RHAT) & (ess >= self.plan.least_ess) & (divergences == 0)
        self.block.put(left, rhat=rhat, divergences=divergences)
        if not good.any():
            return good
        flat = drawn.z.flatten(0, 1)
        even = torch.full_like(flat[..., 0], 1 / len(flat))
        # As many as a fit takes, of all chains alike.
        some = flat[:: max(1, len(flat) // LEAST_DRAWS)]
        refitted = mixture.refitted(some, torch.full_like(some[..., 0], 1 / len(some)))
        proposed = refitted.sample(self.plan.n_proposed, self.generator)
        of_posterior = drawn.log_joint.flatten(0, 1) - refitted.log_prob(flat)
        of_proposal = sample.target.log_joint(proposed) - refitted.log_prob(proposed)
        log_evidence, error = bridge(of_posterior, of_proposal, torch.as_tensor(ess).to(flat))
        rows = torch.as_tensor(np.flatnonzero(good))
        found = moments(self.target.model.prior, flat[:, rows], even[:, rows])
        # Draws of a chain are worth less than their number.
        inflation = np.sqrt(len(flat) / ess[good])[:, None]
        for name in ("mean_mcse", "sd_mcse", "p_y_mcse"):
            found[name] = found[name] * inflation
        self.block.put(
            left[good],
            **found,
            **kept_draws(
                flat[:, rows], even[:, rows], self.plan.n_draws, self.rng, self.plan.weights
            ),
            log_evidence=log_evidence.numpy()[good],
            log_evidence_mcse=error.numpy()[good],
            khat=weights.khat[good],
            ess=ess[good],
            n_worked=len(flat),
            route=ROUTES.index("hmc"),
        )
        return good


def _within(mixture: StudentMixture) -> Tensor:
    """A root of the mean covariance of the components, (m, D, D)."""
    weights = mixture.logits.softmax(-1)
    covariance = torch.einsum("nl,nlij->nij", weights, mixture.tril @ mixture.tril.mT)
    tril: Tensor = torch.linalg.cholesky(covariance)
    return tril
