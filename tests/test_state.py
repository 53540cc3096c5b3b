"""What a run keeps when the number of its components is found, and the sizes of clusters."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from toys import Noise, random_images

from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.settings import Settings
from gmvae.training.fitting import fit
from gmvae.training.state import begin, config_for, with_components

N, SHAPE = 40, (1, 6, 6)
SETTINGS = Settings(augment="none", latent_dim=2)


class OwnEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.loc = nn.Linear(36, 2)

    def forward(self, x):
        loc = self.loc(x.flatten(1))
        return loc, torch.ones_like(loc)


class OwnDecoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 36)

    def forward(self, z):
        return self.linear(z).reshape(*z.shape[:-1], *SHAPE)


@pytest.fixture
def images():
    return Images(random_images(N, SHAPE).numpy())


def state_of(images, settings=SETTINGS, **modules):
    gmvae = GMVAE(config_for(images, settings), **modules)
    return begin(gmvae, settings, np.full(N, -1), None)


def test_until_it_is_found_there_is_one_component(images):
    state = state_of(images)
    assert state.settings.n_components is None
    assert state.n_components == state.gmvae.model.prior.n_components == 1


@pytest.mark.parametrize("assignment", ["amortised", "exact"])
def test_what_has_been_learned_stays_and_what_depends_on_their_number_is_new(images, assignment):
    state = state_of(images, dataclasses.replace(SETTINGS, assignment=assignment))
    state.history.append({"phase": "warm-up", "epoch": 1})
    features = state.assigner.features
    before = {name: value.clone() for name, value in features.state_dict().items()}
    after = with_components(state, 4)
    assert after.n_components == after.settings.n_components == 4
    assert dataclasses.replace(after.settings, n_components=None) == state.settings
    assert dataclasses.replace(after.gmvae.config, n_components=1) == state.gmvae.config
    assert after.assigner.features is features
    assert all(torch.equal(value, before[name]) for name, value in features.state_dict().items())
    assert after.assigner(images.tensor()).shape == (N, 4)
    assert after.gmvae.model.prior.means.shape == (4, 2)
    assert after.assigner is not state.assigner
    # With the exact assignment the guide has none, and this one only finds clusters.
    assert (after.gmvae.guide.assigner is after.assigner) is (assignment == "amortised")
    for name in ("history", "rng", "generator", "observed"):
        assert getattr(after, name) is getattr(state, name)


def test_the_users_own_modules_stay(images):
    own = {"encoder": OwnEncoder(), "decoder": OwnDecoder(), "likelihood": Noise()}
    after = with_components(state_of(images, **own), 3)
    assert after.gmvae.config.custom == ("encoder", "decoder", "likelihood")
    assert after.gmvae.guide.encoder is own["encoder"]
    assert after.gmvae.model.decoder is own["decoder"]
    assert after.gmvae.model.likelihood is own["likelihood"]
    # The library's own are new.
    state = state_of(images)
    assert with_components(state, 3).gmvae.guide.encoder is not state.gmvae.guide.encoder


@pytest.mark.usefixtures("quick")
def test_a_run_that_finds_its_number_trains_the_users_own_modules():
    rng = np.random.default_rng(0)
    patterns = rng.random((3, *SHAPE)) > 0.5
    pixels = np.abs(patterns[np.arange(60) % 3] - 0.15 * rng.random((60, *SHAPE)))
    own = {"encoder": OwnEncoder(), "decoder": OwnDecoder()}
    before = own["decoder"].linear.weight.detach().clone()
    result = fit(Images(pixels.astype(np.float32)), Settings(latent_dim=2, epochs=2), **own)
    assert result.gmvae.config.n_components == 3
    assert result.gmvae.model.decoder is own["decoder"]
    assert result.gmvae.guide.encoder is own["encoder"]
    assert not torch.equal(own["decoder"].linear.weight, before)


def test_sizes_by_hand(images):
    """20, 15 and 5 images of 40, a component without any, and one more of each."""
    state = with_components(state_of(images), 4)
    clusters = np.repeat([0, 1, 3], [20, 15, 5])
    sizes = dataclasses.replace(state, clusters=clusters).sizes
    np.testing.assert_allclose(sizes, np.array([21, 16, 1, 6]) / 44)
