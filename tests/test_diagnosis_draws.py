"""Draws of the guide and their weights, against answers that are known."""

import math

import numpy as np
import pytest
import torch
from diagnosed import linear_gaussian
from toys import LinearGaussian, exact_guide, tiny

from gmvae.diagnostics.draws import draw
from gmvae.diagnostics.simulation import simulate
from gmvae.support.errors import ArgumentError



def test_an_exact_guide_has_constant_weights_and_no_gap():
    truth = LinearGaussian()
    draws = draw(truth.model, exact_guide(truth), truth.x, 100)
    assert np.isneginf(draws.khat).all()
    assert np.abs(draws.gap_z).max() < 1e-6
    assert np.abs(draws.gap_y).max() < 1e-6
    assert np.allclose(draws.log_evidence, truth.log_evidence())
    assert np.abs(draws.total_variation).max() < 1e-6


def test_a_narrow_guide_is_found_out():
    model, guide = linear_gaussian(widen=0.5)
    x = simulate(model, guide, 20).x
    draws = draw(model, guide, x, 10_000)
    assert 0.60 <= np.median(draws.khat) <= 0.80
    # KL(q || p) of N(0, 1/4) and N(0, 1), but for the noise of the weights.
    assert draws.gap_z.mean() == pytest.approx(math.log(2) - 3 / 8, abs=0.05)


def test_the_gap_of_y_is_the_divergence_of_the_assigner():
    truth = LinearGaussian(n_components=2)
    # Wide enough for the other component's share of the posterior.
    draws = draw(truth.model, exact_guide(truth, widen=4), truth.x, 1_600)
    log_y = np.log(draws.y)
    expected = (0.5 * (np.log(0.5) - log_y)).sum(-1).mean(0)
    assert np.allclose(draws.gap_y, expected)
    assert np.allclose(draws.elbo + draws.gap_y + draws.gap_z, draws.log_evidence)
    exact = truth.log_joint().softmax(-1).numpy()
    assert np.abs(draws.p_y - exact).max() < 0.05
    assert np.allclose(draws.total_variation, np.abs(exact - 0.5).sum(-1) / 2, atol=0.05)


def test_with_y_summed_out_its_gap_is_zero():
    truth = LinearGaussian(n_components=2, assignment="exact")
    draws = draw(truth.model, exact_guide(truth), truth.x, 100)
    assert not draws.gap_y.any()


def test_images_are_kept_in_order_over_the_chunks(monkeypatch):
    model, guide = linear_gaussian(latent_dim=2)
    x = simulate(model, guide, 7).x
    whole = draw(model, guide, x, 100)
    monkeypatch.setattr("gmvae.diagnostics.draws.DECODED_AT_ONCE", 200)
    parts = draw(model, guide, x, 100)
    assert whole.z.shape == parts.z.shape == (100, 7, 2)
    assert np.allclose(whole.log_evidence, parts.log_evidence)


def test_drawing_leaves_no_trace():
    gmvae = tiny()
    x = torch.rand(2, 1, 3, 4)
    before = torch.random.get_rng_state()
    gmvae.guide.encoder.eval()
    modes = [part.training for part in gmvae.modules()]
    draw(gmvae.model, gmvae.guide, x, 25)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert [part.training for part in gmvae.modules()] == modes


def test_few_draws_are_refused():
    gmvae = tiny()
    with pytest.raises(ArgumentError, match="n_draws"):
        draw(gmvae.model, gmvae.guide, torch.rand(2, 1, 3, 4), 10)
