"""A model as two functions of tensors, which other programs can run: no Pyro, no draws.

:class:`Classification` answers as :func:`gmvae.answers.answers` does, from pixels, and
:class:`Decoding` as :meth:`gmvae.GMVAE.decode` does. Both are plain torch of any number of
images B, so that ``torch.export`` and ONNX take them; what the model computes by distributions is
written out.
"""

import copy
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gmvae.answers import N_VIEWS, views_of
from gmvae.data.views import Affine, sampled
from gmvae.gmvae import GMVAE
from gmvae.outliers import outliers_of
from gmvae.probability.families import location, variances
from gmvae.probability.likelihood import (
    Bernoulli,
    ContinuousBernoulli,
    Gaussian,
    Likelihood,
    continuous_log_normaliser,
    continuous_mean,
)
from gmvae.support.errors import ArgumentError


class Classified(NamedTuple):
    """What a model says of B images, as :class:`gmvae.answers.Answers` calls it.

    Attributes:
        components: the most probable component by q(y | x), (B,).
        probability: how probable that is, (B,), 0 to 1.
        outlier: how little an image is like those of the training, (B,), 0 to 1; -1 where the model
            does not know how well it explains these.
        probabilities: q(y | x), (B, K).
        responsibilities: p(y | z) at the encoded image, (B, K).
        latents: the encoded images, (B, D).
        scales: standard deviations of q(z | x), (B, D).
    """

    components: Tensor
    probability: Tensor
    outlier: Tensor
    probabilities: Tensor
    responsibilities: Tensor
    latents: Tensor
    scales: Tensor


class Classification(nn.Module):
    r"""From images (B, C, H, W) in [0, 1] to what the model says of them.

    With :math:`\Sigma_k = L_k L_k^\top` of the mixture,

    .. math:: \ln p(z \mid k) = -\tfrac12 \|L_k^{-1} (z - \mu_k)\|^2 - \ln |L_k|
              - \tfrac D2 \ln 2\pi

    Args:
        gmvae: a trained model, of which this is a copy.

    Raises:
        ArgumentError: a likelihood of the user's own, whose density cannot be written out.
    """

    means: Tensor
    whitening: Tensor
    constant: Tensor
    grids: Tensor

    def __init__(self, gmvae: GMVAE) -> None:
        super().__init__()
        shipped(gmvae.model.likelihood)
        gmvae = copy.deepcopy(gmvae).eval().requires_grad_(False)
        prior = gmvae.model.prior
        self.encoder, self.assigner = gmvae.guide.encoder, gmvae.guide.assigner
        self.decoder, self.likelihood = gmvae.model.decoder, gmvae.model.likelihood
        means = prior.means.detach()
        constant, whitening = prior.whitened()
        constant = constant - prior.latent_dim / 2 * math.log(2 * math.pi)
        self.register_buffer("means", means)
        self.register_buffer("whitening", whitening.to(means).contiguous())
        self.register_buffer("constant", constant.to(means))
        self.register_buffer("grids", _grids(gmvae, means))
        outliers = outliers_of(gmvae)
        self.outliers = None if outliers is None else outliers.to(means)

    def forward(self, x: Tensor) -> Classified:
        """What the model says of images (B, C, H, W)."""
        answer = self.encoder(x)
        z, scales = location(answer), variances(answer).sqrt()
        joint = self.log_joint(z)
        of_mixture = joint.softmax(-1)
        q_y = of_mixture if self.assigner is None else self.q_y(x)
        total = q_y
        for grid in self.grids:
            view = sampled(x, grid.expand(x.shape[0], -1, -1, -1))
            total = total + self.q_y(view)
        honest = (total + of_mixture) / (2 + self.grids.shape[0])
        components = q_y.argmax(-1)
        probability = honest.gather(1, components.unsqueeze(1)).squeeze(1)
        outlier = self.outlier(x, z, joint)
        return Classified(components, probability, outlier, q_y, of_mixture, z, scales)

    def q_y(self, x: Tensor) -> Tensor:
        """q(y | x), (B, K)."""
        if self.assigner is None:
            return self.log_joint(location(self.encoder(x))).softmax(-1)
        logits: Tensor = self.assigner(x)
        return logits.softmax(-1)

    def log_joint(self, z: Tensor) -> Tensor:
        """Log p(y) + log p(z | y), (B, K)."""
        shift = z.unsqueeze(1) - self.means
        white = (self.whitening @ shift.unsqueeze(-1)).squeeze(-1)
        return self.constant - white.square().sum(-1) / 2

    def outlier(self, x: Tensor, z: Tensor, joint: Tensor) -> Tensor:
        """How little the images are like those of the training, (B,); -1 where nothing says it."""
        if self.outliers is None:
            return torch.full_like(joint[:, 0], -1.0)
        # By hand, as above: the sum of exponentials of such an image as was never seen is 0.
        largest = joint.amax(-1, keepdim=True)
        of_z = largest.squeeze(-1) + (joint - largest).exp().sum(-1).log()
        log_prob = log_prob_of(self.likelihood, self.decoder(z), x) + of_z
        score: Tensor = self.outliers(x, log_prob)
        return score


class Decoding(nn.Module):
    """From latents (B, D) to images (B, C, H, W) in [0, 1]: E(x | z).

    Args:
        gmvae: a trained model, of which this is a copy.

    Raises:
        ArgumentError: a likelihood of the user's own, whose mean cannot be written out.
    """

    def __init__(self, gmvae: GMVAE) -> None:
        super().__init__()
        shipped(gmvae.model.likelihood)
        gmvae = copy.deepcopy(gmvae).eval().requires_grad_(False)
        self.decoder, self.likelihood = gmvae.model.decoder, gmvae.model.likelihood

    def forward(self, z: Tensor) -> Tensor:
        """E(x | z) of latents (B, D)."""
        output: Tensor = self.decoder(z)
        if isinstance(self.likelihood, ContinuousBernoulli):
            return continuous_mean(output)
        return output.sigmoid()


def _grids(gmvae: GMVAE, like: Tensor) -> Tensor:
    """Where each pixel of a view comes from, (V, H, W, 2); V is 0 without views."""
    _, height, width = shape = gmvae.config.image_shape
    views = views_of(gmvae)
    if not isinstance(views, Affine):
        return like.new_zeros(0, height, width, 2)
    return F.affine_grid(views.fixed_matrices(N_VIEWS).to(like), [N_VIEWS, *shape], False)


def shipped(likelihood: Likelihood) -> None:
    """Refuse a likelihood whose density is not written out here.

    Raises:
        ArgumentError: it is one of the user's own.
    """
    if type(likelihood) not in (Bernoulli, ContinuousBernoulli, Gaussian):
        raise ArgumentError(
            f"`gmvae` expected a likelihood that gmvae ships; got {type(likelihood).__name__}. "
            "Export the networks themselves: model.guide, model.model.decoder."
        )


def log_prob_of(likelihood: Likelihood, output: Tensor, x: Tensor) -> Tensor:
    """Log p(x | z) of B images by the decoder's output, (B,): one of the shipped likelihoods."""
    if isinstance(likelihood, (Bernoulli, ContinuousBernoulli)):
        # By hand: ONNX has a log of a sigmoid, which is minus infinity where a pixel is sure.
        pixels = x * output - output.clamp(min=0) - torch.log1p(torch.exp(-output.abs()))
        if isinstance(likelihood, ContinuousBernoulli):
            pixels = pixels + continuous_log_normaliser(output)
    else:
        assert isinstance(likelihood, Gaussian)
        log_scale = likelihood.log_scale
        standardised = (x - output.sigmoid()) / log_scale.exp()
        pixels = -standardised.square() / 2 - log_scale - math.log(2 * math.pi) / 2
    return pixels.flatten(1).sum(-1)
