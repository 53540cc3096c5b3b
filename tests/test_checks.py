"""Arguments of the wrong kind: one line that names the argument, from every door of the library."""

import dataclasses

import numpy as np
import pyro
import pytest
import torch
from sklearn.mixture import GaussianMixture
from torch import nn

import gmvae
from gmvae import GMVAE, Config, Images, Settings, fit
from gmvae.data import from_arrays
from gmvae.probability.likelihood import Gaussian, Likelihood
from gmvae.probability.prior import MixturePrior
from gmvae.support import checks
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.training.restarts import fit_restarts
from gmvae.training.selection import compare_components, pruned

CONFIG = Config(image_shape=(1, 3, 4), n_components=3, hidden=(4,), channels=(2,))
X = torch.rand(4, 1, 3, 4)
IMAGES = Images(torch.rand(40, 1, 3, 4).numpy())


class Encoder(nn.Module):
    def __init__(self, latent_dim, one=False, negative=False):
        super().__init__()
        self.linear, self.one, self.sign = nn.Linear(12, latent_dim), one, 1 - 2 * negative

    def forward(self, x):
        loc = self.linear(x.flatten(-3))
        return loc if self.one else (loc, self.sign * loc.exp())


class NoLocations(Encoder):
    def forward(self, x):
        loc, scale = super().forward(x)
        return loc / 0, scale


class OfPixels(Likelihood):
    def forward(self, output):
        return torch.distributions.Normal(output, 1.0)


def svi_step(x, y=None):
    pair = GMVAE(CONFIG)
    return pair.svi(pyro.optim.Adam({"lr": 1e-3})).step(x, y)


REFUSED = {
    "a fraction of a component": (
        lambda: Config((1, 3, 4), 2.5),
        "`n_components` expected a whole number; got 2.5",
    ),
    "a word for a number": (
        lambda: Config((1, 3, 4), 3, "2"),
        "`latent_dim` expected a whole number; got '2'",
    ),
    "one size for three": (
        lambda: Config(12, 3),
        "`image_shape` expected a tuple of whole numbers, at least one; got 12. Write it as",
    ),
    "custom as a list": (lambda: Config((1, 3, 4), 3, custom=["encoder"]), "`custom` expected"),
    "settings: a truth value": (
        lambda: Settings(epochs=True),
        "`epochs` expected a whole number; got True",
    ),
    "settings: covariance": (
        lambda: Settings(covariance="foo"),
        "`covariance` expected one of spherical, diagonal, full; got 'foo'",
    ),
    "settings: a list of views": (lambda: Settings(augment=[1]), "`augment` expected one of"),
    "settings: a word for a rate": (lambda: Settings(lr="x"), "`lr` expected above 0"),
    "a dict for the configuration": (lambda: GMVAE({}), "`config` expected a gmvae.Config; got"),
    "a name for an encoder": (
        lambda: GMVAE(CONFIG, encoder="mlp"),
        "`encoder` expected a torch.nn.Module; got 'mlp'",
    ),
    "an encoder too wide": (
        lambda: GMVAE(CONFIG, encoder=Encoder(3)),
        "`encoder` expected to answer location and scale, (2, 2) each, of a tensor (2, 1, 3, 4); "
        "got (2, 3)",
    ),
    "an encoder too narrow, which torch would broadcast": (
        lambda: GMVAE(CONFIG, encoder=Encoder(1)),
        "each, of a tensor (2, 1, 3, 4); got (2, 1)",
    ),
    "an encoder without scale": (
        lambda: GMVAE(CONFIG, encoder=Encoder(2, one=True)),
        "`encoder` expected to answer (location, scale); got (2, 2)",
    ),
    "an assigner of two": (
        lambda: GMVAE(CONFIG, assigner=nn.Sequential(nn.Flatten(-3), nn.Linear(12, 2))),
        "`assigner` expected to answer logits (2, 3) of a tensor (2, 1, 3, 4); got (2, 2)",
    ),
    "a flat decoder": (
        lambda: GMVAE(CONFIG, decoder=nn.Linear(2, 12)),
        "`decoder` expected to answer images (2, 1, 3, 4) of a tensor (2, 2); got (2, 12)",
    ),
    "a decoder of three dimensions": (
        lambda: GMVAE(CONFIG, decoder=nn.Linear(3, 12)),
        "`decoder` expected to take a tensor (2, 2); got from it RuntimeError",
    ),
    "pixels as lists": (lambda: Images([[1]]), "`pixels` expected a NumPy array; got list"),
    "labels as a list": (
        lambda: Images(np.zeros((2, 1, 3, 3), np.uint8), [1, 2]),
        "`labels` expected a NumPy array or None; got list",
    ),
    "half a component of the prior": (lambda: MixturePrior(2.0, 2), "`n_components` expected a"),
    "an endless scale": (lambda: Gaussian(float("inf")), "`scale` expected above 0, and finite"),
    "observed floats": (
        lambda: fit(IMAGES, observed=np.full(40, -1.0)),
        "`observed` expected whole numbers from 0, or -1; got float64",
    ),
    "observed truth values": (lambda: fit(IMAGES, observed=np.ones(40, bool)), "got bool"),
    "observed below -1": (lambda: fit(IMAGES, observed=np.full(40, -2)), "or -1; got -2"),
    "observed of another length": (lambda: fit(IMAGES, observed=[1, 2]), "`observed` expected sh"),
    "no device": (lambda: fit(IMAGES, device="foo"), "`device` expected a device that torch can"),
    "a device without memory": (lambda: fit(IMAGES, device="meta"), "compute on here, such as"),
    "held-out images of another shape": (
        lambda: fit(IMAGES, held_out=Images(torch.rand(4, 1, 4, 4).numpy())),
        "`held_out` expected images of shape (1, 3, 4), as `images`; got (1, 4, 4)",
    ),
    "a number for a callback": (lambda: fit(IMAGES, callback=3), "`callback` expected a function"),
    "a number for classes": (
        lambda: IMAGES.only(1),
        "`classes` expected whole numbers; got 1. Write",
    ),
    "a word for classes": (lambda: IMAGES.only("14"), "; got '14'. Write them as [1, 4]."),
    "no hidden layer": (lambda: Config((1, 3, 4), 3, hidden=()), "at least one; got none. Write"),
    "an encoder of negative scales": (
        lambda: GMVAE(CONFIG, encoder=Encoder(2, negative=True)),
        "`encoder` expected to answer scales above 0; got -",
    ),
    "an encoder of no locations": (
        lambda: GMVAE(CONFIG, encoder=NoLocations(2)),
        "`encoder` expected to answer finite locations; got NaN",
    ),
    "a number for a fitted decoder": (
        lambda: fit(IMAGES, Settings(n_components=3), decoder=3),
        "`decoder` expected a torch.nn.Module; got 3",
    ),
    "a fitted encoder of another width": (
        lambda: fit(IMAGES, Settings(n_components=3), encoder=Encoder(5)),
        "`encoder` expected to answer",
    ),
    "a list beside the model": (
        lambda: GMVAE(CONFIG).save("never-written", [1]),
        "`extra` expected a dict; got list",
    ),
    "a number for a folder": (lambda: GMVAE.load(5), "`folder` expected a path; got 5"),
    "a number for data": (lambda: gmvae.load(5), "`source` expected digits, mnist"),
    "an empty name": (lambda: gmvae.load(""), "`source` expected digits, mnist"),
    "2.5 restarts": (lambda: fit_restarts(IMAGES, None, 2.5), "`n_restarts` expected a whole"),
    "restarts of a dict": (lambda: fit_restarts(IMAGES, {}), "`settings` expected gmvae.Settings"),
    "restarts of a tensor": (lambda: fit_restarts(X), "`images` expected gmvae.Images; got Tens"),
    "one number to compare": (lambda: compare_components(IMAGES, 5), "`numbers` expected a seq"),
    "fractions to compare": (lambda: compare_components(IMAGES, [2.5]), "`numbers` expected a wh"),
    "no objective": (
        lambda: GMVAE(CONFIG).svi(pyro.optim.Adam({}), "foo"),
        "`elbo` expected an ELBO of pyro.infer",
    ),
    "a mixture that is not fitted": (
        lambda: MixturePrior.from_sklearn(GaussianMixture(3)),
        "`mixture` expected a fitted sklearn.mixture.GaussianMixture; got GaussianMixture",
    ),
    "images for the bound": (
        lambda: gmvae.elbo_parts(GMVAE(CONFIG).model, GMVAE(CONFIG).guide, IMAGES),
        "`x` expected a tensor (B, C, H, W); got Images",
    ),
    "no optimiser": (lambda: GMVAE(CONFIG).svi("adam"), "`optimiser` expected an optimiser of"),
    "y as a list": (lambda: svi_step(X, [0, 1, 2, 0]), "`y` expected a tensor of component"),
    "y of floats": (lambda: svi_step(X, torch.full((4,), 0.7)), "whole numbers; got float32"),
    "y below -1": (lambda: svi_step(X, torch.full((4,), -5)), "below 3, or -1; got -5"),
    "images of another shape": (
        lambda: svi_step(torch.rand(4, 1, 4, 4)),
        "`x` expected images of shape (1, 3, 4); got (1, 4, 4)",
    ),
    "images of another shape, y summed out": (
        lambda: GMVAE(dataclasses.replace(CONFIG, assignment="exact")).model(
            torch.rand(4, 1, 1, 1)
        ),
        "`x` expected images of shape (1, 3, 4), the event shape of the likelihood; got (1, 1, 1)",
    ),
    "a likelihood of pixels": (
        lambda: GMVAE(CONFIG, likelihood=OfPixels()),
        "`likelihood` expected a distribution of event shape (1, 3, 4); got (). Add .to_event(3)",
    ),
    "one image where batches are normalised": (
        lambda: svi_step(X[:1]),
        "`x` expected at least 2 images while batch normalisation is trained; got 1",
    ),
    "flat images": (lambda: svi_step(X.flatten(1)), "`x` expected floats (B, C, H, W); got (4, 12"),
    "bytes": (lambda: svi_step(X.byte()), "`x` expected floats (B, C, H, W); got (4, 1, 3, 4) of"),
    "half an image": (lambda: GMVAE(CONFIG).sample(2.5), "`n` expected a whole number; got 2.5"),
    "a component that is not there": (
        lambda: GMVAE(CONFIG).sample(2, component=3),
        "`component` expected 0 to 2; got 3",
    ),
    "a seed for a generator": (
        lambda: GMVAE(CONFIG).sample(2, generator=3),
        "`generator` expected a torch.Generator on cpu, or None; got 3",
    ),
    "a generator of NumPy": (
        lambda: GMVAE(CONFIG).log_prob(X, generator=np.random.default_rng()),
        "`generator` expected a torch.Generator on cpu, or None; got Generator",
    ),
    "a thousand million dimensions": (
        lambda: Settings(latent_dim=10**9),
        "`latent_dim` expected 1 to 10000; got 1000000000",
    ),
    "a mixture's wide latent": (
        lambda: MixturePrior(3, 2).log_joint(torch.zeros(4, 5)),
        "`z` expected (..., 2); got (4, 5)",
    ),
    "pruned: a number": (lambda: pruned(3, X), "`gmvae` expected a gmvae.GMVAE; got 3"),
    "a wide latent": (
        lambda: GMVAE(CONFIG).decode(torch.zeros(2, 3)),
        "`z` expected floats (..., 2); got (2, 3) of float32",
    ),
    "a word for draws": (lambda: GMVAE(CONFIG).log_prob(X, "5"), "`n_samples` expected a whole"),
    "a word for a part": (lambda: IMAGES.split("a", 0), "`fraction` expected a number inside"),
    "no other images": (lambda: IMAGES.joined(5), "`other` expected gmvae.Images; got 5"),
    "a key that is taken": (
        lambda: GMVAE(CONFIG).save("never-written", {"model": 1}),
        "`extra` expected other keys than format, model, component_classes, weights_sha256; got",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_a_line_that_names_the_argument(case, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    call, fragment = REFUSED[case]
    with pytest.raises(ArgumentError) as error:
        call()
    # Pyro adds its table of shapes to what is raised inside a model.
    assert fragment in str(error.value).splitlines()[0]
    assert not list(tmp_path.iterdir())


def test_contents_that_cannot_be_trained_on():
    with pytest.raises(ContentError, match=r"`grey` expected images that differ; got 9 that are"):
        fit(from_arrays(np.full((9, 8, 8), 70, np.uint8), name="grey"))
    with pytest.raises(ContentError, match=r"`images` expected float pixels between 0 and 1; got"):
        fit(Images(np.stack([np.full((1, 8, 8), v, np.float32) for v in (0, 99)])))
    with pytest.raises(ContentError, match=r"`one` expected at least 2 images to train on; got 1"):
        fit(from_arrays(np.zeros((1, 8, 8), np.uint8), name="one"))
    with pytest.raises(ContentError, match=r"labels below 2\*\*63; got 9223372036854775809"):
        from_arrays(np.zeros((2, 3, 3)), np.array([1, 2**63 + 1], np.uint64))
    with pytest.raises(ContentError, match=r"got 0 to 16, of which 255 would make black\. Divide"):
        from_arrays(np.arange(17.0).reshape(1, 1, 17))
    with pytest.raises(ContentError, match="expected images of one shape; got a sequence of diff"):
        from_arrays([[[1, 2]], [[1, 2], [3, 4]]])


def test_numbers_of_numpy_and_lists_are_taken(tmp_path):
    config = Config([1, 3, 4], np.int64(3), hidden=[np.int32(4)])
    assert (config.image_shape, config.n_components, config.hidden) == ((1, 3, 4), 3, (4,))
    GMVAE(config).save(tmp_path)
    assert GMVAE.load(tmp_path).config == config
    assert checks.number("lr", np.float32(0.5), "a number", lambda _: True) == 0.5


def test_networks_of_ones_own_that_fit_are_left_as_they_were():
    encoder = nn.Sequential(Encoder(2), nn.Identity()).train()
    before = torch.get_rng_state()
    pair = GMVAE(CONFIG, encoder=encoder)
    assert encoder.training
    assert all(p.grad is None for p in encoder.parameters())
    assert pair.encode(X).shape == (4, 2)
    # Its other networks are drawn, but no image or latent.
    torch.set_rng_state(before)
    GMVAE(CONFIG)
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    GMVAE(CONFIG, likelihood=Gaussian())
    assert torch.equal(torch.get_rng_state(), after)
