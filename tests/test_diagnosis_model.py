"""The checks of the model itself."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diagnosed import grey_images, standard_prior
from sklearn.neighbors import KNeighborsClassifier
from torch import nn
from toys import SHAPE, Noise, tiny

from gmvae.diagnostics import draw, predictive_check
from gmvae.diagnostics.model_checks import (
    Predictive,
    active_units,
    binarised,
    prior_mismatch,
    replicate,
    statistics,
    weight_mismatch,
)
from gmvae.probability.likelihood import Bernoulli, Gaussian
from gmvae.probability.model import Model


def test_statistics_of_an_image_are_those_seen():
    x = torch.zeros(2, 1, 3, 4)
    x[0, 0, 2, 1] = 1.0
    found = statistics(x)
    assert found["ink"] == pytest.approx([1 / 12, 0])
    assert found["row"] == pytest.approx([2, 1])
    assert found["column"] == pytest.approx([1, 1.5])
    assert found["distance"] == pytest.approx([1, 1])


def test_images_of_the_model_look_like_its_replicates():
    gmvae = standard_prior(tiny(grey=False))
    with torch.no_grad():
        x = gmvae.model.likelihood(gmvae.model.decoder(torch.randn(600, 2))).sample()
    draws = draw(gmvae.model, gmvae.guide, x, 25)
    found = predictive_check(gmvae.model, gmvae.guide, x, draws)
    assert found.replicated["ink"].shape == (20, 600)
    for name in found.observed:
        assert found.distance(name) < 0.1
    white = predictive_check(gmvae.model, gmvae.guide, torch.ones_like(x), draws)
    assert white.distance("ink") > 0.9
    assert white.p_value("ink") == 0


def test_no_image_is_left_without_a_neighbour():
    gmvae, images = tiny().eval(), grey_images(257)
    found = predictive_check(
        gmvae.model, gmvae.guide, images, draw(gmvae.model, gmvae.guide, images, 25)
    )
    assert (found.observed["distance"] > 0).all()


def test_only_a_bernoulli_draws_black_and_white():
    """Another likelihood that is no density of its data draws what it draws."""
    gmvae, x = tiny(), torch.rand(3, *SHAPE)
    assert set(binarised(gmvae.model, x).unique().tolist()) <= {0, 1}

    gmvae.model.likelihood = Gaussian()

    gmvae.model.likelihood.normalised = False
    assert torch.equal(binarised(gmvae.model, x), x)

    gmvae.model.likelihood = Bernoulli(grey=False)
    assert torch.equal(binarised(gmvae.model, x), x)


def test_an_unused_latent_is_counted_out():
    gmvae = tiny()
    gmvae.guide.encoder = Used()
    draws = draw(gmvae.model, gmvae.guide, torch.rand(200, *SHAPE), 25)
    assert active_units(draws) == 1


class Used(nn.Module):
    """A posterior that depends on the image in its first dimension alone."""

    def forward(self, x):
        loc = torch.stack([10 * x.mean((1, 2, 3)), torch.zeros(len(x))], dim=-1)
        return loc, torch.full((len(x), 2), 0.1)


def test_latents_like_the_mixture_cannot_be_told_apart():
    gmvae = standard_prior(tiny())
    x = torch.rand(1_000, *SHAPE)
    draws = draw(gmvae.model, gmvae.guide, x, 25)
    assert prior_mismatch(gmvae.model, gmvae.guide, draws) == pytest.approx(0.5, abs=0.06)
    gmvae.model.prior.means.data += 5
    assert prior_mismatch(gmvae.model, gmvae.guide, draws) > 0.95


def test_use_of_components_is_compared_with_their_weights():
    gmvae = standard_prior(tiny())
    draws = draw(gmvae.model, gmvae.guide, torch.rand(5, *SHAPE), 25)
    draws.q_y[:] = [1, 0, 0]
    assert weight_mismatch(gmvae.model, draws) == pytest.approx(2 / 3)


def test_statistics_of_a_coloured_image_with_pixels_below_zero():
    x = torch.zeros(2, 2, 2, 2)
    x[0, 0, 0, 1], x[0, 1, 1, 1], x[0, 1, 0, 0] = 1.0, 3.0, -4.0
    found = statistics(x)
    assert found["ink"].tolist() == [0, 0]
    # What is below 0 has no mass.
    assert found["row"] == pytest.approx([0.75, 0.5])
    assert found["column"] == pytest.approx([1, 0.5])
    assert found["distance"] == pytest.approx([26**0.5, 26**0.5])


def test_the_distance_is_one_from_the_image_before():
    x = torch.tensor([0.0, 1.0, 5.0])[:, None, None, None].expand(3, 1, 1, 1)
    assert statistics(x)["distance"].tolist() == [5, 1, 4]


def test_distance_and_p_value_of_known_statistics():
    found = Predictive(
        {"ink": np.array([1.0, 2.0, 3.0, 4.0])},
        {"ink": np.array([[1.0, 2.0, 3.0, 4.0], [0, 0, 0, 0], [3, 3, 3, 3], [1, 1, 1, 1]])},
    )
    # The means are 2.5, 0, 3 and 1, where 2.5 was observed. Of the values 9 of 16 are at most 1,
    # and one of the four observed.
    assert found.p_value("ink") == 0.5
    assert found.distance("ink") == pytest.approx(9 / 16 - 1 / 4)


class FirstLatent(nn.Module):
    """An image whose every pixel is the first latent."""

    def forward(self, z):
        return z[..., 0, None, None, None].expand(*z.shape[:-1], *SHAPE)


def test_replicates_are_those_of_their_images():
    """300 images, in two batches; image i has the draws i, i + 1000 and so on."""
    gmvae = tiny()
    model = Model(FirstLatent(), gmvae.model.prior, Noise(1e-9))
    first = np.arange(300.0) + 1_000 * np.arange(25.0)[:, None]
    draws = SimpleNamespace(z=np.stack([first, first], axis=-1).astype(np.float32))
    x = torch.arange(300.0)[:, None, None, None].expand(300, *SHAPE)
    found = predictive_check(model, gmvae.guide, x, draws)
    assert found.observed["ink"].tolist() == list(range(300))
    assert np.allclose(found.replicated["ink"], first[:20])
    # Neighbours differ by one pixel's worth in each of twelve pixels; of each batch the first is
    # next to its last.
    expected = np.full(300, 12**0.5)
    expected[0], expected[256] = 255 * 12**0.5, 43 * 12**0.5
    assert found.observed["distance"] == pytest.approx(expected, rel=1e-5)
    assert found.replicated["distance"][19] == pytest.approx(expected, rel=1e-5)
    fewer = predictive_check(model, gmvae.guide, x, draws, n_replicates=4)
    assert np.allclose(fewer.replicated["ink"], first[:4])
    # There are no more replicates than draws.
    draws = SimpleNamespace(z=draws.z[:3])
    assert predictive_check(model, gmvae.guide, x, draws).replicated["ink"].shape == (3, 300)


def test_an_image_too_many_joins_the_batch_before(monkeypatch):
    sizes = []
    monkeypatch.setattr(
        "gmvae.diagnostics.model_checks.binarised", lambda _, x: sizes.append(len(x)) or x
    )
    gmvae = tiny().eval()
    for n, expected in ((256, [256]), (257, [257]), (258, [256, 2]), (512, [256, 256])):
        images = grey_images(n)
        draws = draw(gmvae.model, gmvae.guide, images, 25)
        predictive_check(gmvae.model, gmvae.guide, images, draws, n_replicates=1)
        assert sizes == expected
        sizes.clear()


def test_replicates_of_a_seed():
    gmvae = tiny().eval()
    z = np.random.default_rng(0).normal(size=(3, 4, 2))
    found = replicate(gmvae.model, gmvae.guide, z, seed=8)
    assert found.shape == (3, 4, *SHAPE)
    torch.manual_seed(8)
    for i in range(3):
        decoded = gmvae.model.decoder(torch.as_tensor(z[i]).float())
        expected = gmvae.model.likelihood(decoded).sample()
        assert np.array_equal(found[i], expected)
    assert np.array_equal(
        replicate(gmvae.model, gmvae.guide, z), replicate(gmvae.model, gmvae.guide, z, 3)
    )


def test_the_seeds_of_the_checks_are_2_and_4_by_default():
    gmvae = tiny().eval()
    pair, x = (gmvae.model, gmvae.guide), grey_images(30)
    draws = draw(*pair, x, 25)
    default, second = predictive_check(*pair, x, draws), predictive_check(*pair, x, draws, 20, 2)
    assert all(np.array_equal(default.observed[n], second.observed[n]) for n in default.observed)
    assert prior_mismatch(*pair, draws) == prior_mismatch(*pair, draws, 4)


def test_pixels_out_of_their_range_are_binarised_all_the_same():
    gmvae = tiny()
    assert binarised(gmvae.model, torch.tensor([-0.5, 1.5])).tolist() == [0, 1]


@pytest.mark.parametrize(("spread", "units"), [(0.11, 1), (0.09, 0)])
def test_a_unit_is_active_above_a_variance_of_a_hundredth(spread, units):
    means = spread * np.array([1.0, -1.0, 1.0, -1.0])
    z = np.stack([means, np.zeros(4)], axis=-1) + np.array([1.0, -1.0])[:, None, None]
    assert active_units(SimpleNamespace(z=z)) == units


@pytest.mark.parametrize("most", [2_000, 100])
def test_the_mismatch_is_the_accuracy_of_five_neighbours(most, monkeypatch):
    """The same test with its steps written out, on latents of very unlike scales."""
    monkeypatch.setattr("gmvae.diagnostics.model_checks.MOST_COMPARED", most)
    gmvae = tiny().eval()
    z = np.random.default_rng(1).normal(size=(25, 300, 2)) * [1_000.0, 0.1]
    draws = SimpleNamespace(z=z)
    rng = np.random.default_rng(4)
    n = min(most, 300)
    rows = rng.permutation(300)[:n]
    ours = z[rng.integers(0, 25, n), rows]
    torch.manual_seed(4)
    y = gmvae.model.prior.y_dist().sample((n,))
    theirs = gmvae.model.prior.z_dist(y).sample().numpy()
    both = np.concatenate([ours, theirs])
    both = (both - both.mean(0)) / both.std(0)
    order = rng.permutation(2 * n)
    half = KNeighborsClassifier(5).fit(both[order[:n]], order[:n] >= n)
    expected = half.score(both[order[n:]], order[n:] >= n)
    assert prior_mismatch(gmvae.model, gmvae.guide, draws) == pytest.approx(expected)
