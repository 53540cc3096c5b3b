"""How well the model explains images: bounds on log p(x) per image.

Functions of a :class:`~gmvae.Model` and a :class:`~gmvae.Guide`; y is summed out
exactly. B images, S samples, K components, D latent dimensions.
"""

import math
from typing import NamedTuple

from torch import Generator, Tensor, nn

from gmvae.probability.families import draws_and_log_densities
from gmvae.probability.guide import Guide, held_to
from gmvae.probability.model import Model
from gmvae.support import checks


class Parts(NamedTuple):
    """The parts of the evidence lower bound, in nats, (B,) each."""

    reconstruction: Tensor
    kl_z: Tensor
    kl_y: Tensor

    @property
    def elbo(self) -> Tensor:
        """The bound, (B,)."""
        return self.reconstruction - self.kl_z - self.kl_y


def elbo_parts(
    model: Model,
    guide: Guide,
    x: Tensor,
    y: Tensor | None = None,
    n_samples: int = 1,
    generator: Generator | None = None,
) -> Parts:
    r"""The bound that the pair trains on, taken apart.

    .. math::
        \underbrace{E_{q(z|x)} \log p(x|z)}_{reconstruction}
        - \underbrace{E_{q(z|x) q(y|x)} \log \frac{q(z|x)}{p(z|y)}}_{KL of z}
        - \underbrace{KL(q(y|x) \| p(y))}_{KL of y}

    The expectation over y is a sum; that over z an average of ``n_samples`` draws. Where the
    model sums y out, p(y | z) stands for q(y | x): the two KL parts then add to
    :math:`E \log q(z|x)/p(z)`.

    Args:
        model: the generative model.
        guide: its guide.
        x: images, (B, C, H, W).
        y: component indices, (B,), -1 where unknown; None for none.
        n_samples: S, draws of z an image.
        generator: the source of the draws; torch's own by default.

    Raises:
        ArgumentError: ``n_samples`` below 1, or no generator of the images' device.
    """
    prior = model.prior
    z, log_q_z = _draws(guide, x, n_samples, generator)
    log_prior_y = prior.logits.log_softmax(-1)
    log_p_z_given_y = prior.log_densities(z)
    if model.assignment == "amortised":
        log_q_y = guide.log_q_y(x, y).unsqueeze(0)
    else:
        log_joint = log_prior_y + log_p_z_given_y
        log_q_y = (log_joint if y is None else held_to(y, log_joint)).log_softmax(-1)
    q_y = log_q_y.exp()
    kl_y = (q_y * (log_q_y - log_prior_y)).sum(-1)
    kl_z = log_q_z - (q_y * log_p_z_given_y).sum(-1)
    reconstruction = model.likelihood(model.decoder(z)).log_prob(x)
    return Parts(*(part.mean(0) for part in (reconstruction, kl_z, kl_y)))


class Bound(nn.Module):
    r"""Minus the bound of a batch, as an objective of training.

    The number, and the gradients, that ``TraceEnum_ELBO`` has of the same draws (``Trace_ELBO`` of
    the exact assignment), written as the sum that it is: Pyro's handlers take as long as the
    networks of small images.

    Args:
        model: the generative model.
        guide: its guide.
        kl_weight: of both KL parts; 1 is the bound.
    """

    def __init__(self, model: Model, guide: Guide, kl_weight: float = 1.0) -> None:
        super().__init__()
        self.model, self.guide, self.kl_weight = model, guide, kl_weight

    def forward(self, x: Tensor, y: Tensor | None = None, size: int | None = None) -> Tensor:
        """A scalar in nats, of the ``size`` images that the batch (B, C, H, W) stands for.

        Args:
            x: images.
            y: component indices, (B,), -1 where unknown; None for none.
            size: by default B.
        """
        parts = elbo_parts(self.model, self.guide, x, y)
        bounds = parts.reconstruction - self.kl_weight * (parts.kl_z + parts.kl_y)
        loss: Tensor = -(len(x) if size is None else size) * bounds.mean()
        return loss


def log_evidence(
    model: Model,
    guide: Guide,
    x: Tensor,
    n_samples: int = 100,
    generator: Generator | None = None,
) -> Tensor:
    r"""The importance-weighted bound on log p(x), (B,).

    .. math::
        \log \frac1S \sum_s \frac{p(x|z_s)\, p(z_s)}{q(z_s|x)},\quad z_s \sim q(z|x)

    It rises with S to log p(x) (Burda, Grosse and Salakhutdinov, *Importance weighted
    autoencoders*, ICLR 2016).

    Args:
        model: the generative model.
        guide: its guide.
        x: images, (B, C, H, W).
        n_samples: S, draws of z an image.
        generator: the source of the draws; torch's own by default.

    Raises:
        ArgumentError: ``n_samples`` below 1, or no generator of the images' device.
    """
    z, log_q_z = _draws(guide, x, n_samples, generator)
    log_p_z = model.prior.log_joint(z).logsumexp(-1)
    log_weights: Tensor = model.likelihood(model.decoder(z)).log_prob(x) + log_p_z - log_q_z
    return log_weights.logsumexp(0) - math.log(n_samples)


def _draws(
    guide: Guide, x: Tensor, n_samples: int, generator: Generator | None
) -> tuple[Tensor, Tensor]:
    """``n_samples`` draws of q(z | x), (S, B, D), and their log-densities, (S, B)."""
    remedy = "Of gmvae.Images it is images.tensor()."
    checks.instance("x", x, Tensor, "a tensor (B, C, H, W)", remedy)
    checks.whole("n_samples", n_samples, least=1)
    checks.generator(generator, x.device)
    return draws_and_log_densities(guide.z_dist(x), n_samples, generator)
