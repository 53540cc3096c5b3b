"""The last phase: the guide alone learns to cover the posterior."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from toys import GUIDES, SHAPE, LinearGaussian

from gmvae.config import Config
from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.probability.likelihood import Bernoulli, Gaussian
from gmvae.settings import Settings
from gmvae.training.phases import Covering, Length
from gmvae.training.phases.covering import as_seen, effective_share, mixtures, simulated
from gmvae.training.state import begin, config_for

N, K = 60, 3
SETTINGS = Settings(n_components=K, augment="none", held_out=0.0)
BRIEF = Length(epochs=1, steps=1, batch_size=32, lr=1e-3)
IMAGES = Images(np.random.default_rng(0).random((N, 1, 6, 6)).astype(np.float32))


def state_of(**changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    return begin(GMVAE(config_for(IMAGES, settings)), settings, np.full(N, -1), None)


@pytest.mark.parametrize("guide", GUIDES)
def test_the_encoder_learns_and_nothing_else(guide):
    state = state_of(guide=guide)
    before = {name: p.clone() for name, p in state.gmvae.named_parameters()}
    classes = state.gmvae.eval().classify(IMAGES)
    Covering(BRIEF).run(state, IMAGES)
    moved = {n for n, p in state.gmvae.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {name for name in before if name.startswith("guide.encoder.")}
    assert torch.equal(state.gmvae.eval().classify(IMAGES), classes)


def test_the_exact_assignment_and_a_frozen_encoder_are_left_alone(monkeypatch):
    def fail(*_, **__):
        raise AssertionError("nothing is to be trained")

    monkeypatch.setattr("gmvae.training.phases.covering.train_phase", fail)
    Covering().run(state_of(assignment="exact"), IMAGES)
    state = state_of()
    state.gmvae.guide.encoder.requires_grad_(False)
    Covering().run(state, IMAGES)


def test_the_same_seed_gives_the_same():
    answers = []
    for _ in range(2):
        torch.manual_seed(3)
        state = state_of()
        Covering(BRIEF).run(state, IMAGES)
        answers.append(state.gmvae.encode(IMAGES))
    assert torch.equal(*answers)


class Linear(nn.Module):
    """Location and one scale; as wide as the posterior they can be exact."""

    def __init__(self):
        super().__init__()
        self.loc, self.raw = nn.Linear(12, 2), nn.Parameter(torch.zeros(2))

    def forward(self, x):
        loc = self.loc(x.flatten(1))
        return loc, self.raw.exp().expand_as(loc)


def linear_state():
    """A linear-Gaussian model of one component, whose posterior is known; its state and images."""
    truth = LinearGaussian(1)
    model = truth.model.float()
    images = Images(torch.rand(64, *SHAPE).numpy())
    gmvae = GMVAE(Config(SHAPE, 1, 2), Linear(), model.decoder, likelihood=model.likelihood)
    gmvae.model.prior.set(
        truth.prior.weights, truth.prior.means, truth.prior.full_covariances.detach()
    )
    settings = dataclasses.replace(SETTINGS, n_components=1)
    return truth, begin(gmvae, settings, np.full(64, -1), None), images


def posterior_of(truth, images):
    """Means (N, D) and standard deviations (D,)."""
    truth.prior.double()
    truth.x = images.tensor().double()
    means, covariances = truth.posterior()
    return means[:, 0], covariances[0].diagonal().sqrt()


def test_it_goes_to_the_posterior_so_much_wider():
    truth, state, images = linear_state()
    length = Length(epochs=150, steps=1, batch_size=32, lr=5e-2)
    Covering(length, n_simulated=32, widening=1.5).run(state, images)
    means, sd = posterior_of(truth, images)
    loc, scale = (part.detach() for part in state.gmvae.guide.encoder(images.tensor()))
    torch.testing.assert_close(
        scale[0].double() / sd, torch.full((2,), 1.5).double(), atol=0.1, rtol=0
    )
    assert ((loc.double() - means) / sd).abs().mean() < 0.15


@pytest.mark.parametrize("lr", [5e-2, 3.0])
def test_an_epoch_is_kept_only_where_draws_are_worth_more(lr):
    """Of a good rate the best epoch, which is not the last; of one far too large none."""
    truth, state, images = linear_state()
    encoder = state.gmvae.guide.encoder
    before = {name: p.clone() for name, p in encoder.named_parameters()}
    length = Length(epochs=150 if lr < 1 else 2, steps=1, batch_size=32, lr=lr, patience=1_000)
    Covering(length, n_simulated=32, widening=1.5).run(state, images)
    shares = [row["effective_share"] for row in state.history]
    # Less than a fifth is worth nothing.
    losses = [-share if share >= 0.2 else 0.0 for share in shares]
    assert [row["loss"] for row in state.history] == pytest.approx(losses)
    if lr > 1:
        assert max(shares) < 0.05
        assert all(torch.equal(p, before[name]) for name, p in encoder.named_parameters())
        return
    # Draws of a Gaussian so many times as wide as the posterior, in each of two dimensions.
    means, sd = posterior_of(truth, images)
    loc, scale = (part.detach().double() for part in encoder(images.tensor()))
    wide = scale[0] / sd
    off = ((loc - means) / sd).square().sum(-1).mean()
    expected = (2 * wide.square() - 1).sqrt().prod() / wide.square().prod()
    assert max(shares) > 0.6
    assert max(shares) == pytest.approx(expected.item(), abs=0.05 + 0.5 * off.item())


def test_the_share_is_the_geometric_mean_of_those_of_the_images():
    """Of four draws all count for one image, two for the next, and one for the last."""
    weights = torch.tensor([[0.25, 0.5, 1.0], [0.25, 0.5, 0.0], [0.25, 0.0, 0.0], [0.25, 0.0, 0.0]])
    assert effective_share(weights) == pytest.approx((1 * 0.5 * 0.25) ** (1 / 3))
    assert effective_share(weights[:, :1]) == pytest.approx(1.0)
    assert effective_share(weights[:, 2:]) == pytest.approx(0.25)


def test_an_epoch_that_covers_little_is_not_kept(monkeypatch):
    """Better than before, and still not enough for a certificate."""
    _, state, images = linear_state()
    encoder = state.gmvae.guide.encoder
    shares = iter([0.05, 0.1, 0.19, 0.15])
    monkeypatch.setattr(
        "gmvae.training.phases.covering.effective_share", lambda weights: next(shares)
    )
    before = {name: p.clone() for name, p in encoder.named_parameters()}
    Covering(Length(epochs=3, steps=1, batch_size=32, lr=5e-2, patience=9)).run(state, images)
    assert [row["effective_share"] for row in state.history] == [0.1, 0.19, 0.15]
    assert all(torch.equal(p, before[name]) for name, p in encoder.named_parameters())


@pytest.mark.parametrize(
    ("likelihood", "shares"),
    [(Bernoulli(), [1, 0]), (Bernoulli(grey=False), [1, 1]), (Gaussian(), [0, 0])],
)
def test_what_is_seen_of_the_images(likelihood, shares):
    """Black and white at random where the likelihood is of such, else as they are."""
    model = SimpleNamespace(likelihood=likelihood)
    x = torch.full((4_000, 1, 2, 2), 0.4)
    seen = as_seen(x, model, torch.Generator().manual_seed(0))
    assert torch.equal(seen, as_seen(x, model, torch.Generator().manual_seed(0)))
    assert seen.shape == x.shape
    binary = ((seen == 0) | (seen == 1)).flatten(1).all(1).float()
    assert [binary[i::2].mean().item() for i in range(2)] == shares
    assert seen.mean().item() == pytest.approx(0.4, abs=0.02)


def test_mixtures_are_of_an_image_and_the_one_before():
    x = torch.tensor([0.2, 0.6]).repeat(2_000)[:, None, None, None].expand(-1, 1, 2, 2)
    mixed = mixtures(x, torch.Generator().manual_seed(0))
    assert torch.equal(mixed, mixtures(x, torch.Generator().manual_seed(0)))
    # One share an image, the same for all its pixels, from all of the one to all of the other.
    assert torch.equal(mixed, mixed[..., :1, :1].expand_as(mixed))
    assert mixed.min().item() == pytest.approx(0.2, abs=0.001)
    assert mixed.max().item() == pytest.approx(0.6, abs=0.001)
    # Half of one and half of the other, on average.
    assert mixed.mean().item() == pytest.approx(0.4, abs=0.01)


@pytest.mark.parametrize("mixed", [True, False])
def test_images_are_mixed_where_they_are_few(monkeypatch, mixed):
    seen = []

    def watched(x, *_):
        seen.append(x)
        return x

    monkeypatch.setattr("gmvae.training.phases.covering.as_seen", watched)
    Covering(BRIEF, mixed=mixed).run(state_of(), IMAGES)
    known = torch.cdist(torch.cat(seen).flatten(1), IMAGES.tensor().flatten(1)).min(1).values < 1e-2
    share = known.float().mean().item()
    assert share < 0.5 if mixed else share == 1.0


def test_draws_of_the_model():
    truth = LinearGaussian(3, "full")
    prior = truth.prior.z_dist()
    z, x = simulated(truth.model, prior, 20_000)
    torch.testing.assert_close(z.mean(0), prior.mean.detach(), atol=0.1, rtol=0)
    noise = x - truth.model.decoder(z)
    assert noise.std().item() == pytest.approx(0.7, abs=0.01)
    assert not x.requires_grad
