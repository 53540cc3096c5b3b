"""The checks of the model itself."""

import numpy as np
import pytest
import torch
from diagnosed import grey_images, standard_prior
from torch import nn
from toys import SHAPE, tiny

from gmvae.diagnostics import draw, predictive_check
from gmvae.diagnostics.model_checks import (
    active_units,
    binarised,
    prior_mismatch,
    statistics,
    weight_mismatch,
)
from gmvae.probability.likelihood import Bernoulli, Gaussian



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
