"""Draws of several proposals, weighted as draws of their mixture.

n images, S draws of all proposals so far, D latent dimensions.
"""

import math
from typing import Any, Protocol

import torch
from torch import Tensor

from gmvae.posterior.pareto import Array, effective_size, khat_threshold, psis
from gmvae.posterior.target import Target, log_prior
from gmvae.probability.families import Answer, posterior, rows_of
from gmvae.probability.prior import MixturePrior


class Proposal(Protocol):
    """A normalised density an image."""

    def log_prob(self, z: Tensor) -> Tensor:
        """At latents (S, n, D), (S, n) float64."""

    def at(self, rows: Tensor) -> Any:
        """The same of some of the images."""


class OfGuide:
    """q(z | x).

    Args:
        answer: the guide's encoder's, of n images: it is asked once, whoever is left.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer, self.dist = answer, posterior(answer)

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Proposal`."""
        log_prob: Tensor = self.dist.log_prob(z.to(self._answer[0]))
        return log_prob.cpu().double()

    def at(self, rows: Tensor) -> "OfGuide":
        """See `Proposal`."""
        return OfGuide(rows_of(self._answer, rows))


class OfPrior:
    """p(z), the same for every image: every weight is bounded where it has a share."""

    def __init__(self, prior: MixturePrior) -> None:
        self._prior = prior

    def log_prob(self, z: Tensor) -> Tensor:
        """See `Proposal`."""
        return log_prior(self._prior, z)

    def at(self, rows: Tensor) -> "OfPrior":
        """See `Proposal`."""
        return self


class Sample:
    r"""Weighted draws; a proposal may join at any time.

    A draw z of any of them has the weight

    .. math:: w(z) = \frac{p(x, z)}{\sum_t S_t\, q_t(z) / \sum_t S_t}

    the balance heuristic (Veach and Guibas, *Optimally combining sampling techniques*, 1995), which
    adaptive rounds keep for all draws so far (Cornuet et al., *Adaptive multiple importance
    sampling*, Scandinavian Journal of Statistics, 2012). A bad proposal does no harm beside a good
    one.

    Args:
        target: of n images.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self._proposals: list[tuple[int, Proposal]] = []
        self.z = self.log_joint = self._log_mixture = torch.zeros(0)

    def add(self, proposal: Proposal, z: Tensor, log_joint: Tensor | None = None) -> None:
        """Take in draws (S, n, D) of a proposal, and log p(x, z), (S, n), where it is known."""
        log_joint = self.target.log_joint(z) if log_joint is None else log_joint
        self._proposals.append((len(z), proposal))
        if len(self._proposals) == 1:
            self.z, self.log_joint, self._log_mixture = z, log_joint, self._under_all(z)
            return
        before = self._under(len(z), proposal, self.z)
        mixture = torch.logaddexp(self._log_mixture, before)
        self._log_mixture = torch.cat([mixture, self._under_all(z)])
        self.z = torch.cat([self.z, z])
        self.log_joint = torch.cat([self.log_joint, log_joint])

    def at(self, rows: Tensor) -> "Sample":
        """The draws of some of the images, by their numbers (m,)."""
        some = Sample(self.target.at(rows))
        some._proposals = [(n, proposal.at(rows)) for n, proposal in self._proposals]
        some.z, some.log_joint = self.z[:, rows], self.log_joint[:, rows]
        some._log_mixture = self._log_mixture[:, rows]
        return some

    @property
    def log_weights(self) -> Tensor:
        """Log w, (S, n), nats."""
        weights: Tensor = self.log_joint - self._log_mixture + math.log(len(self.z))
        return weights

    def _under_all(self, z: Tensor) -> Tensor:
        parts = [self._under(n, proposal, z) for n, proposal in self._proposals]
        return torch.stack(parts).logsumexp(0)

    @staticmethod
    def _under(n: int, proposal: Proposal, z: Tensor) -> Tensor:
        return proposal.log_prob(z) + math.log(n)


class Weights:
    """The weights of a sample, smoothed, and what they are worth.

    Attributes:
        smoothed: log-weights normalised over S, (n, S).
        khat: (n,); minus infinity where they are constant.
        ess: the effective sample size, (n,).
        log_evidence: log p(x), (n,) nats.
        log_evidence_mcse: its Monte Carlo standard error, (n,).
    """

    def __init__(self, log_weights: Tensor) -> None:
        log_w: Array = log_weights.T.numpy()
        n_draws = log_w.shape[1]
        self._limit = khat_threshold(n_draws)
        self.smoothed, self.khat = psis(log_w)
        self.ess = effective_size(self.smoothed)
        self.log_evidence = log_weights.logsumexp(0).numpy() - math.log(n_draws)
        self.log_evidence_mcse = (1 / self.ess - 1 / n_draws).clip(0) ** 0.5

    def good(self, least_ess: float, most_khat: float = math.inf) -> Array:
        """Whether k-hat, below its threshold in any case, and sample size are, (n,)."""
        good: Array = (self.khat <= min(self._limit, most_khat)) & (self.ess >= least_ess)
        return good

    def tensor(self) -> Tensor:
        """The weights, (S, n) of sum 1 over S."""
        return torch.as_tensor(self.smoothed).exp().T
