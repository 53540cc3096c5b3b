"""Small models, one whose evidence is known, and small data, for the tests to share."""

import math
import struct

import numpy as np
import torch
from pyro import distributions as dist
from torch import nn

from gmvae.config import Config
from gmvae.gmvae import GMVAE
from gmvae.probability.bayesian import BayesianMixturePrior
from gmvae.probability.guide import Guide
from gmvae.probability.likelihood import Likelihood
from gmvae.probability.model import Model
from gmvae.probability.prior import MixturePrior

COVARIANCES = ["spherical", "diagonal", "full"]
ASSIGNMENTS = ["amortised", "exact"]
GUIDES = ["diagonal", "full", "mixture"]
SHAPE = (1, 3, 4)
SMALL = (1, 2, 3)
K, D = 3, 2
# What one asks of a model, of images alone.
QUERIES = ["encode", "classify", "responsibilities", "predict", "reconstruct"]


def tiny(**changes):
    """A GMVAE of a few hundred weights, its mixture far from its symmetric start."""
    small = {
        "image_shape": SHAPE,
        "n_components": K,
        "latent_dim": D,
        "guide": "diagonal",
        "hidden": (16, 8),
        "assigner_network": "mlp",
        "assigner_hidden": (8,),
        "channels": (3, 4),
        "assigner_channels": (3, 4),
    }
    gmvae = GMVAE(Config(**(small | changes)))
    shake(gmvae.model.prior)
    return gmvae


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def as_tensor(answer):
    return torch.as_tensor(answer)


def random_images(n=7, shape=SHAPE, dtype=torch.float32):
    return torch.rand(n, *shape).to(dtype)


@torch.no_grad()
def shake(prior):
    """Give the mixture unequal weights, scales and (where it has any) correlations."""
    for parameter in prior.parameters():
        parameter.copy_(parameter + 0.5 * torch.randn_like(parameter))
    return prior


def parameters_of(gmvae):
    parts = {"model": gmvae.model, "guide": gmvae.guide}
    return {f"{a}.{b}": p for a, part in parts.items() for b, p in part.named_parameters()}


def unmoved(gmvae, step):
    parameters = parameters_of(gmvae)
    before = {name: p.detach().clone() for name, p in parameters.items()}
    step()
    assert all(p.isfinite().all() for p in parameters.values())
    return [name for name, p in parameters.items() if torch.equal(p, before[name])]


def log_normal(z, mean, covariance):
    """The Gaussian log-density, from its formula."""
    delta = z - mean
    squares = (delta * torch.linalg.solve(covariance, delta.unsqueeze(-1)).squeeze(-1)).sum(-1)
    return -0.5 * (z.shape[-1] * math.log(2 * math.pi) + torch.logdet(covariance) + squares)


class LinearDecoder(nn.Module):
    """x has mean W z + b, in the shape of an image."""

    def __init__(self, latent_dim, image_shape, orthogonal=False):
        super().__init__()
        self.image_shape = image_shape
        self.linear = nn.Linear(latent_dim, math.prod(image_shape)).double()
        if orthogonal:
            # Then W'W is diagonal, and so is the posterior under a diagonal prior.
            q, _ = torch.linalg.qr(torch.randn_like(self.linear.weight))
            with torch.no_grad():
                self.linear.weight.copy_(q * torch.linspace(0.5, 1.5, latent_dim))

    def forward(self, z):
        return self.linear(z).reshape(*z.shape[:-1], *self.image_shape)


class Noise(Likelihood):
    """A likelihood of the user's own: Gaussian, without the squashing of the shipped one."""

    def __init__(self, scale=0.7):
        super().__init__()
        self.scale = scale

    def forward(self, output):
        return dist.Normal(output, self.scale).to_event(3)


class LinearGaussian:
    """A model whose evidence and posteriors are known in closed form, float64."""

    def __init__(self, n_components=1, covariance="diagonal", assignment="amortised"):
        self.prior = shake(MixturePrior(n_components, D, covariance)).double()
        decoder = LinearDecoder(D, SHAPE, orthogonal=True)
        self.likelihood = Noise()
        self.model = Model(decoder, self.prior, self.likelihood, assignment)
        self.w, self.b = decoder.linear.weight.detach(), decoder.linear.bias.detach()
        self.x = torch.randn(5, *SHAPE, dtype=torch.float64)

    def log_joint(self):
        """log p(y) + log p(x | y), (B, K): z integrated out."""
        prior = self.prior
        noise = self.likelihood.scale**2 * torch.eye(len(self.b), dtype=torch.float64)
        means = prior.means @ self.w.T + self.b
        covariances = self.w @ prior.full_covariances @ self.w.T + noise
        each = log_normal(self.x.flatten(1).unsqueeze(1), means, covariances)
        return (prior.weights.log() + each).detach()

    def log_evidence(self):
        return self.log_joint().logsumexp(-1)

    def posterior(self):
        """Means (B, K, D) and covariances (K, D, D) of p(z | x, y)."""
        prior, variance = self.prior, self.likelihood.scale**2
        precisions = torch.linalg.inv(prior.full_covariances)
        covariances = torch.linalg.inv(precisions + self.w.T @ self.w / variance)
        seen = (self.x.flatten(1) - self.b) @ self.w / variance
        weighted = (precisions @ prior.means.unsqueeze(-1)).squeeze(-1)
        means = (covariances @ (seen.unsqueeze(1) + weighted).unsqueeze(-1)).squeeze(-1)
        return means.detach(), covariances.detach()


class ExactEncoder(nn.Module):
    """The posterior of a LinearGaussian of one component; ``widen`` makes it a wrong one."""

    def __init__(self, truth, widen=1.0, shift=0.0):
        super().__init__()
        means, covariances = truth.posterior()
        self.loc = means[:, 0] + shift
        scale = covariances[0].diagonal().sqrt() * widen
        self.scale = scale.expand_as(self.loc)

    def forward(self, x):
        return self.loc, self.scale


class ConstantAssigner(nn.Module):
    def __init__(self, logits):
        super().__init__()
        self.logits = logits

    def forward(self, x):
        return self.logits.expand(len(x), -1)


def exact_guide(truth, **changes):
    """The shipped guide with the exact posterior of one component."""
    encoder = ExactEncoder(truth, **changes)
    if truth.model.assignment == "exact":
        return Guide(encoder, prior=truth.prior)
    return Guide(encoder, ConstantAssigner(torch.zeros(truth.prior.n_components).double()))


def assert_same_gradients(gmvae, one, other, **tolerance):
    """Fail where two losses have other gradients in any named parameter of the pair."""
    names, parameters = zip(*gmvae.named_parameters(), strict=True)
    gradients = (
        torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        for loss in (one, other)
    )
    for name, of_one, of_other in zip(names, *gradients, strict=True):
        torch.testing.assert_close(of_one, of_other, msg=name, **tolerance)


class SmallLinear(nn.Module):
    """x has mean W z, W fixed with orthogonal columns of length one."""

    def __init__(self, latent_dim=2):
        super().__init__()
        self.register_buffer("w", torch.linalg.qr(torch.randn(6, latent_dim))[0])

    def forward(self, z):
        return (z @ self.w.mT).reshape(*z.shape[:-1], *SMALL)


class LeastSquares(nn.Module):
    """The posterior under a flat prior: least squares, with the noise's scale."""

    def __init__(self, decoder, scale):
        super().__init__()
        self.decoder, self.scale = (decoder,), scale

    def forward(self, x):
        loc = x.flatten(1) @ self.decoder[0].w
        return loc, torch.full_like(loc, self.scale)


def small_pair(n_components, latent_dim=2, assignment="exact", scale=0.1):
    decoder = SmallLinear(latent_dim)
    prior = BayesianMixturePrior(n_components, latent_dim)
    model = Model(decoder, prior, Noise(scale), assignment)
    encoder = LeastSquares(decoder, scale)
    if assignment == "exact":
        return model, Guide(encoder, prior=prior)
    return model, Guide(encoder, nn.Sequential(nn.Flatten(), nn.Linear(6, n_components)))


def three_clusters(model, n=400):
    """Images of a known mixture of three, drawn through the model's decoder."""
    known = MixturePrior(3, 2)
    means = torch.tensor([[-3.0, 0.0], [2.0, 2.0], [2.0, -2.5]])
    scales = torch.tensor([[0.6, 0.9], [0.5, 0.5], [1.0, 0.4]])
    known.set(torch.tensor([0.5, 0.3, 0.2]), means, scales.square().diag_embed())
    with torch.no_grad():
        z = known.z_dist().sample((n,))
        return model.likelihood(model.decoder(z)).sample()


def blobs(rng, n=240, k=4, width=6):
    """Points (N, W) of k clusters, ten standard deviations from each other, and whose they are."""
    truth = np.arange(n) % k
    centre = 10 * np.eye(k, width)
    return centre[truth] + rng.normal(size=(n, width)), truth


# Five images of 4 x 6 bytes, and their classes.
BYTES = np.arange(5 * 4 * 6, dtype=np.uint8).reshape(5, 4, 6) * 2
LABELS = np.array([1, 4, 8, 4, 1])


def idx(array, code=0x08, big_endian=">u1"):
    """The bytes of an IDX file, as its format says."""
    head = struct.pack(">BBBB", 0, 0, code, array.ndim) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    return head + array.astype(big_endian).tobytes()
