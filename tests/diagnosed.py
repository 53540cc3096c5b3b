"""Images, models and guides whose diagnosis is known, for its tests to share."""

import numpy as np
import torch
from torch import nn
from toys import SHAPE, SMALL, ConstantAssigner, LinearDecoder, Noise

from gmvae.data import Images
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model
from gmvae.probability.prior import MixturePrior


def grey_images(n=40, labels=True):
    rng = np.random.default_rng(0)
    values = rng.integers(1, 4, n).astype(np.int64) if labels else None
    return Images(rng.random((n, *SHAPE), dtype=np.float32), values, "noise")


class PriorAsGuide(nn.Module):
    """Every image has the standard normal as its posterior."""

    def forward(self, x):
        return torch.zeros(len(x), 2), torch.ones(len(x), 2)


def standard_prior(gmvae):
    gmvae.model.prior.set(torch.full((3,), 1 / 3), torch.zeros(3, 2), torch.eye(2).expand(3, 2, 2))
    gmvae.guide.encoder = PriorAsGuide()
    return gmvae


class Posterior(nn.Module):
    """The exact posterior of a linear-Gaussian model of one component, for any images."""

    def __init__(self, model, widen=1.0):
        super().__init__()
        self.model, self.widen = model, widen

    def forward(self, x):
        prior, linear = self.model[0].prior, self.model[0].decoder.linear
        variance = self.model[0].likelihood.scale ** 2
        spread = prior.full_covariances[0].diagonal()
        precision = 1 / spread + linear.weight.square().sum(0) / variance
        seen = (x.flatten(1) - linear.bias) @ linear.weight / variance
        loc = (seen + prior.means[0] / spread) / precision
        return loc, (self.widen / precision.sqrt()).expand_as(loc)


def linear_gaussian(latent_dim=1, widen=1.0):
    """A model with its exact posterior, or one too narrow or too wide."""
    prior = MixturePrior(1, latent_dim, "diagonal").double()
    decoder = LinearDecoder(latent_dim, SMALL, orthogonal=True).double()
    model = Model(decoder, prior, Noise())
    # In a tuple: the guide does not own the model.
    return model, Guide(Posterior((model,), widen), ConstantAssigner(torch.zeros(1).double()))
