"""What is asked of a guide beside the evidence lower bound.

A regulariser is a function of the guide and a batch that returns a scalar, *subtracted* from
the mean objective of the training loop: larger is better. It stays outside model and guide, so
that the bound they define is never touched.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor
from torch.special import entr

from gmvae.data.views import View, unchanged
from gmvae.probability.guide import Guide
from gmvae.probability.prior import MixturePrior


class Batch(NamedTuple):
    """Images (B, C, H, W) and component indices (B,), -1 where unknown, or None."""

    x: Tensor
    y: Tensor | None = None


class Regulariser(Protocol):
    """A function of guide and batch; the larger the better."""

    def __call__(self, guide: Guide, batch: Batch) -> Tensor:
        """A scalar in nats an image."""
        ...


@dataclass(frozen=True)
class Classification:
    """weight * mean of log q(y = label | x) over labelled images and views of them.

    The bound of a labelled row holds y to its label and so never trains q(y | x) there; this is
    the term that the bound lacks (Kingma et al., *Semi-supervised learning with deep generative
    models*, NeurIPS 2014, equation 9). Labelled images are few, so every step takes its own of
    them, whatever the batch holds.

    Attributes:
        weight: relative to the evidence lower bound in nats an image.
        x: the labelled images, (M, C, H, W).
        y: their component indices, (M,).
        view: from images to views of them, one each.
        generator: the source of all draws, on the CPU; torch's own by default.
        batch_size: labelled images a step, at most; all of them where there are fewer.
    """

    weight: float
    x: Tensor
    y: Tensor
    view: View = unchanged
    generator: Generator | None = None
    # A step's cost grows by so many images and as many views; half of a batch of the joint phase,
    # by convention.
    batch_size: int = 64

    def __call__(self, guide: Guide, batch: Batch) -> Tensor:
        """A scalar, at most 0."""
        rows = torch.randperm(len(self.y), generator=self.generator)[: self.batch_size]
        rows = rows.to(self.y.device)
        x, y = self.x[rows], self.y[rows]
        q_y = guide.y_dist(torch.cat([x, self.view(x, self.generator)]))
        log_q: Tensor = q_y.log_prob(torch.cat([y, y]))
        return self.weight * log_q.mean()


@dataclass(frozen=True)
class MutualInformation:
    r"""weight * I(y; y') between an image's component and its transformed view's, sizes held.

    .. math::
        I = \sum_{k, l} P_{kl} \ln \frac{P_{kl}}{P_{k \cdot} P_{\cdot l}},\quad
        P = \tfrac{1}{2B} \sum_i \big(q_i q_i'^\top + q_i' q_i^\top\big)

    with q the probabilities of the image and q' those of its view. One number against both
    collapse and indecision, but largest where all components are used alike. So its marginal is
    held to the mixture's weights :math:`\pi`, which are what the bound has learned of the sizes:
    :func:`mutual_information` is given them. It is a statistic of the batch, so batches should
    hold many images a component (Ji, Henriques and Vedaldi, *Invariant information clustering*,
    ICCV 2019).

    Attributes:
        weight: relative to the evidence lower bound in nats an image.
        view: from images to views of them, one each.
        prior: the mixture, for its weights, which do not learn from this term; None for equal ones.
        generator: the source of the views' draws, on the CPU; torch's own by default.
    """

    weight: float
    view: View
    generator: Generator | None = None
    prior: MixturePrior | None = None

    def __call__(self, guide: Guide, batch: Batch) -> Tensor:
        """A scalar, at most weight times the entropy of the sizes."""
        view = self.view(batch.x, self.generator)
        q, of_view = (guide.y_dist(images).probs for images in (batch.x, view))
        sizes = None if self.prior is None else self.prior.logits.detach().softmax(-1)
        return self.weight * mutual_information(q, of_view, sizes)


@dataclass(frozen=True)
class Agreement:
    r"""weight * mean of :math:`E_{q(z|x')} \sum_y q(y|x) \ln p(y|z)`: the latent follows q(y | x).

    Without views, x' = x, the bound holds this term with weight 1, where it is worth a few
    hundredths of a nat beside the hundred of the pixels, so that an image which is known to be of
    one component may be laid near another. With more weight encoder and mixture learn to agree
    with q(y | x), and from views to do so on images that they have not seen. They learn from it,
    not it from them: q(y | x) counts as given here, since the latent is the worse judge.

    Attributes:
        weight: relative to the evidence lower bound in nats an image.
        prior: the mixture, for p(y | z).
        view: from images to the views x' of them, one each.
        generator: the source of the views' draws, on the CPU; torch's own by default.
    """

    weight: float
    prior: MixturePrior
    view: View = unchanged
    generator: Generator | None = None

    def __call__(self, guide: Guide, batch: Batch) -> Tensor:
        """A scalar, at most 0."""
        z = guide.z_dist(self.view(batch.x, self.generator)).rsample()
        log_weights = self.prior.logits.log_softmax(-1).detach()
        log_p = (log_weights + self.prior.log_densities(z)).log_softmax(-1)
        q = guide.y_dist(batch.x).probs.detach()
        agreement: Tensor = (q * log_p).sum(-1).mean()
        return self.weight * agreement


def mutual_information(q: Tensor, other: Tensor, sizes: Tensor | None = None) -> Tensor:
    r"""I(y; y') in nats of paired probabilities, (B, K) each; with sizes, held to them.

    .. math:: I = H(m) - H(y \mid y'), \qquad
        I_\pi = H(\pi) - H(y \mid y') - KL(\pi \| m)

    with m the marginal of the joint, made symmetric; in the divergence K more pairs are counted in,
    one a component on average, which have the sizes :math:`\pi`: a few images may lack a small
    component by chance. I is largest where all components are used
    alike; :math:`I_\pi` where they have the sizes :math:`\pi` and every image goes surely with its
    partner, :math:`H(\pi)` there: no component is the better for being as large as the others. The
    two agree where :math:`m = \pi`. This divergence, and not its reverse, since that lets a small
    component go for as little as its size.

    Args:
        q: probabilities of the components of B images.
        other: of their partners.
        sizes: the shares pi of the components, (K,), that sum to 1; None for I itself.
    """
    joint = q.mT @ other / len(q)
    joint = ((joint + joint.mT) / 2).clamp(min=torch.finfo(joint.dtype).tiny)
    # Not the logarithm of a ratio: the product of two empty components' shares underflows.
    marginal = joint.sum(0)
    log_marginal = marginal.log()
    log_ratio = joint.log() - log_marginal.unsqueeze(0) - log_marginal.unsqueeze(1)
    information: Tensor = (joint * log_ratio).sum()
    if sizes is None:
        return information
    n, k = q.shape
    counted = (n * marginal + k * sizes) / (n + k)
    divergence = (sizes * (sizes / counted).log()).sum()
    more: Tensor = (entr(sizes) - entr(marginal)).sum() - divergence
    return information + more
