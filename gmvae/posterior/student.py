"""Mixtures of Student t distributions, one an image: what draws are proposed from.

n images, L components, S draws, D latent dimensions.
"""

import math
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from gmvae.posterior.chance import normal

# Of freedom: tails heavier than those of a posterior. An odd number of squares of normals makes
# its chi-square, which torch does not draw from a generator of the caller's.
FREEDOM = 5
# Steps of expectation and maximisation a refit: a rough fit, which the next round mends.
_EM_STEPS = 4
# What a new component has of the proposals before it is fitted.
_NEW = 0.2
# Draws that are fitted to, the heaviest: of more the others hardly weigh.
_MOST_FITTED = 600
# Numbers that are worked on at a time: some 30 MB.
_MOST_NUMBERS = 2**22
# The least variance, as a share of that before: a component must not shrink onto one draw.
_LEAST = 1e-3


class StudentMixture(NamedTuple):
    """Component l of image i: weight softmax(logits)[i, l], place loc, factor of its scale matrix.

    Attributes:
        logits: (n, L); minus infinity for a component that is not there.
        loc: (n, L, D).
        tril: (n, L, D, D), lower triangular.
    """

    logits: Tensor
    loc: Tensor
    tril: Tensor

    def at(self, rows: Tensor) -> "StudentMixture":
        """Those of some of the images, by their numbers (m,)."""
        return StudentMixture(*(part[rows] for part in self))

    def sample(self, n_draws: int, generator: Generator | None) -> Tensor:
        """Draws, (S, n, D)."""
        n, _, d = self.loc.shape
        weights = self.logits.softmax(-1)
        component = torch.multinomial(weights, n_draws, replacement=True, generator=generator).T
        image = torch.arange(n, device=self.loc.device)
        noise = normal((n_draws, n, d, 1), self.loc, generator)
        squares = normal((n_draws, n, FREEDOM), self.loc, generator).square()
        tril = self.tril[image, component]
        step = (tril @ noise).squeeze(-1) * (FREEDOM / squares.sum(-1, keepdim=True)).sqrt()
        return self.loc[image, component] + step

    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density at draws (S, n, D), (S, n)."""
        at_once = max(1, _MOST_NUMBERS // self.loc.numel())
        return torch.cat([self.log_joint(part)[0].logsumexp(-1) for part in z.split(at_once)])

    def log_joint(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Log weight and density of each component at draws (S, n, D), and squared distances.

        Returns:
            Both (S, n, L).
        """
        d = z.shape[-1]
        eye = torch.eye(d, dtype=z.dtype, device=z.device)
        inverse = torch.linalg.solve_triangular(self.tril, eye.expand_as(self.tril), upper=False)
        # In the order of matrix products, a tenth of the time of one small solve a draw.
        white = torch.einsum("nlij,snj->snli", inverse, z)
        white = white - torch.einsum("nlij,nlj->nli", inverse, self.loc)
        distance = white.square().sum(-1)
        log_det = self.tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        constant = (
            math.lgamma((FREEDOM + d) / 2)
            - math.lgamma(FREEDOM / 2)
            - d / 2 * math.log(FREEDOM * math.pi)
        )
        kernel = -(FREEDOM + d) / 2 * torch.log1p(distance / FREEDOM)
        return self.logits.log_softmax(-1) - log_det + constant + kernel, distance

    def refitted(self, z: Tensor, weights: Tensor) -> "StudentMixture":
        r"""The mixture moved towards weighted draws, by expectation and maximisation.

        A draw counts for component l by :math:`w\,r_l\,u_l` with its responsibility r and
        :math:`u_l = (\nu + D) / (\nu + \delta_l^2)` (Peel and McLachlan, *Robust mixture modelling
        using the t distribution*, 2000); with weights it minimises the divergence from the target
        (Cappé et al., *Adaptive importance sampling in general mixture classes*, 2008). The scale
        matrix before counts for D + 1 draws, so that a few of them make no flat one.

        Args:
            z: (S, n, D).
            weights: (S, n), of sum 1 over S.
        """
        mixture = self
        if len(z) > _MOST_FITTED:
            weights, rows = weights.topk(_MOST_FITTED, dim=0)
            z = z.gather(0, rows.unsqueeze(-1).expand(-1, -1, z.shape[-1]))
        for _ in range(_EM_STEPS):
            mixture = mixture._step(z, weights)
        return mixture

    def grown(self, z: Tensor, weights: Tensor) -> "StudentMixture":
        """The same and one component more, at the draw of the largest weight.

        There the mixture is furthest below the target (Raftery and Bao, *Estimating and projecting
        trends in HIV/AIDS generalized epidemics using incremental mixture importance sampling*,
        Biometrics, 2010). Its scale matrix is that of the component which explains the draw; the
        refit finds its own.

        Args:
            z: (S, n, D).
            weights: (S, n), of sum 1 over S.
        """
        image = torch.arange(len(self.loc), device=z.device)
        place = z[weights.argmax(0), image]
        log_joint, _ = self.log_joint(place.unsqueeze(0))
        tril = self.tril[image, log_joint[0].argmax(-1)]
        logits = self.logits.log_softmax(-1)
        share = torch.full_like(logits[:, :1], math.log(_NEW / (1 - _NEW)))
        return StudentMixture(
            torch.cat([logits, share], 1),
            torch.cat([self.loc, place.unsqueeze(1)], 1),
            torch.cat([self.tril, tril.unsqueeze(1)], 1),
        )

    def _step(self, z: Tensor, weights: Tensor) -> "StudentMixture":
        d = z.shape[-1]
        log_joint, distance = self.log_joint(z)
        share = weights.unsqueeze(-1) * log_joint.softmax(-1)
        mass = share.sum(0)
        n_effective = mass.square() / share.square().sum(0).clamp(min=1e-300)
        pull = share * (FREEDOM + d) / (FREEDOM + distance)
        total = pull.sum(0).clamp(min=1e-300)
        loc = torch.einsum("snl,snd->nld", pull, z) / total.unsqueeze(-1)
        # Of a component that has no draws the place stays.
        loc = torch.where((mass > 1e-12).unsqueeze(-1), loc, self.loc)
        second = torch.einsum("snl,snd,sne->nlde", pull, z, z) / total[..., None, None]
        delta = loc.unsqueeze(-1) * loc.unsqueeze(-2)
        scatter = (second - delta) * (total / mass.clamp(min=1e-300))[..., None, None]
        before = self.tril @ self.tril.mT
        n_effective = torch.where(mass > 1e-12, n_effective, 0.0)[..., None, None]
        matrix = (n_effective * scatter + (d + 1) * before) / (n_effective + d + 1)
        return StudentMixture((mass + 1e-6).log(), loc, _factor(matrix, self.tril))


def _factor(matrix: Tensor, before: Tensor) -> Tensor:
    """Cholesky factors; those before, where rounding leaves none."""
    variance = before.square().sum(-1)
    tril, failed = torch.linalg.cholesky_ex(matrix + (_LEAST * variance).diag_embed())
    return torch.where((failed != 0)[..., None, None], before, tril)
