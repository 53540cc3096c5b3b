"""Models whose posterior is known, for the tests of `gmvae.posterior` to share."""

import numpy as np
import torch
from torch import nn
from toys import SHAPE, ConstantAssigner, LeastSquares, LinearGaussian, Noise, seeded

from gmvae.posterior import Effort
from gmvae.posterior.result import Posterior
from gmvae.posterior.routes import Plan
from gmvae.posterior.target import Target
from gmvae.posterior.work import blocks_of
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model
from gmvae.probability.prior import MixturePrior


def answer(model, guide, x, n_draws=500, effort=None, weights=False, seed=0, rows=128):
    """The posterior of images by this pair, a batch of ``rows`` at a time."""
    plan = Plan(n_draws, effort or Effort(), weights)
    blocks = blocks_of(model, guide, x.split(rows), len(x), plan, seeded(seed))
    return Posterior.joined(blocks)


def stat(posterior, name):
    return posterior.tree["sample_stats"][name].to_numpy()


class FromLatents(nn.Module):
    """An encoder that turns images into latents by least squares; ``widen`` its spread."""

    def __init__(self, truth, widen=1.0):
        super().__init__()
        w = truth.w
        self.b, self.inverse = truth.b, torch.linalg.pinv(w)
        self.scale = widen * truth.likelihood.scale / w.norm(dim=0)

    def forward(self, x):
        loc = (x.flatten(1) - self.b) @ self.inverse.T
        return loc, self.scale.expand_as(loc)


def linear_gaussian(n_images=200, widen=1.0, n_components=3):
    """Images of a linear-Gaussian model, their exact posterior, and a guide that is not it."""
    truth = LinearGaussian(n_components, "full")
    with torch.no_grad():
        z = truth.prior.z_dist().sample((n_images,))
        truth.x = truth.likelihood(truth.model.decoder(z)).sample()
    assigner = ConstantAssigner(torch.zeros(n_components).double())
    return truth, Guide(FromLatents(truth, widen), assigner)


class Even(nn.Module):
    """A decoder of |z| alone: z and -z decode alike."""

    def __init__(self, latent_dim=2):
        super().__init__()
        w = torch.linalg.qr(torch.randn(12, latent_dim, generator=seeded()))[0]
        self.register_buffer("w", w)
        direction = torch.ones(latent_dim) / latent_dim**0.5
        self.register_buffer("direction", direction)

    def forward(self, z):
        # The sign by which z lies on the right of a line; the product is even in z.
        side = torch.tanh(20 * (z @ self.direction)).unsqueeze(-1)
        return ((z * side) @ self.w.T).reshape(*z.shape[:-1], *SHAPE)


def two_modes(n_images=20, scale=0.1, latent_dim=2):
    """A model of two far modes an image, a guide that has one of them, and images."""
    decoder = Even(latent_dim)
    prior = MixturePrior(1, latent_dim)
    prior.set(torch.ones(1), torch.zeros(1, latent_dim), 4 * torch.eye(latent_dim).unsqueeze(0))
    model = Model(decoder, prior, Noise(scale), "exact")
    # Right of the line it is the posterior, and knows nothing of the other side.
    guide = Guide(LeastSquares(decoder, scale), prior=prior)
    with torch.no_grad():
        angle = torch.linspace(-0.9, 0.9, n_images)
        z = 2.5 * torch.stack([(torch.pi / 4 + angle).cos(), (torch.pi / 4 + angle).sin()], -1)
        z = nn.functional.pad(z, (0, latent_dim - 2))
        x = decoder(z) + scale * torch.randn(n_images, *SHAPE, generator=seeded())
    return model, guide, x


def target_of(truth):
    return Target(truth.model, truth.x)


def on_grid(gmvae, x, n=400, widths=7.0):
    """log p(x), (N,), and p(y | x), (N, K), of a model of two latents, by a sum over a grid."""
    prior = gmvae.model.prior
    with torch.no_grad():
        spread = widths * prior.full_covariances.diagonal(dim1=1, dim2=2).sqrt()
        low, high = (prior.means - spread).amin(0), (prior.means + spread).amax(0)
        axes = [torch.linspace(float(a), float(b), n) for a, b in zip(low, high, strict=True)]
        z = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2)
        parts = []
        for part in z.split(4_000):
            output = gmvae.model.decoder(part).unsqueeze(1)
            log_x = gmvae.model.likelihood(output).log_prob(x).double()
            log_zy = prior.log_joint(part).double().unsqueeze(1)
            parts.append((log_x.unsqueeze(-1) + log_zy).logsumexp(0))
        joint = torch.stack(parts).logsumexp(0)
    cell = np.prod([float(axis[1] - axis[0]) for axis in axes])
    return (joint.logsumexp(-1) + np.log(cell)).numpy(), joint.softmax(-1).numpy()
