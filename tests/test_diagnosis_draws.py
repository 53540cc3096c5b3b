"""Draws of the guide and their weights, against answers that are known."""

import math

import numpy as np
import pytest
import torch
from diagnosed import grey_images, linear_gaussian
from toys import SHAPE, LinearGaussian, exact_guide, tiny

from gmvae.diagnostics import arviz_bridge
from gmvae.diagnostics.draws import Draws, batches, draw, settled, standard_error
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
    with pytest.raises(ArgumentError, match=r"^`n_draws` expected at least 25; got 10\."):
        draw(gmvae.model, gmvae.guide, torch.rand(2, 1, 3, 4), 10)


def test_what_follows_from_draws_by_hand():
    """Two draws of one image, two components."""
    draws = Draws(
        z=np.zeros((2, 1, 3)),
        y=np.array([[[0.9, 0.1]], [[0.4, 0.6]]]),
        q_y=np.array([[0.3, 0.7]]),
        log_weights=np.array([[math.log(2.0)], [math.log(6.0)]]) + 800,
        smoothed=np.log([[0.2], [0.8]]),
        khat=np.zeros(1),
        gap_y=np.array([0.25]),
    )
    assert draws.log_evidence == pytest.approx(800 + math.log(4))
    mean = 800 + math.log(12) / 2
    assert draws.gap_z == pytest.approx(800 + math.log(4) - mean)
    assert draws.elbo == pytest.approx(mean - 0.25)
    assert draws.p_y == pytest.approx(np.array([[0.2 * 0.9 + 0.8 * 0.4, 0.2 * 0.1 + 0.8 * 0.6]]))
    assert draws.total_variation == pytest.approx(0.2)


@pytest.mark.parametrize("assignment", ["amortised", "exact"])
def test_draws_are_those_of_the_seed_with_their_weights(assignment):
    gmvae = tiny(assignment=assignment).double().eval()
    model, guide, x = gmvae.model, gmvae.guide, torch.rand(4, *SHAPE).double()
    draws = draw(model, guide, x, 30, seed=5)
    torch.manual_seed(5)
    q_z = guide.z_dist(x)
    z = q_z.sample((30,))
    log_joint = model.prior.log_joint(z)
    log_p_x = model.likelihood(model.decoder(z)).log_prob(x)
    log_weights = (log_p_x + log_joint.logsumexp(-1) - q_z.log_prob(z)).detach().numpy()
    assert np.allclose(draws.z, z)
    assert np.allclose(draws.y, log_joint.softmax(-1).detach())
    assert np.allclose(draws.log_weights, log_weights)
    smoothed, khat = arviz_bridge.psis(log_weights.T)
    assert np.allclose(draws.smoothed, smoothed.T)
    assert np.allclose(draws.khat, khat)
    assert np.allclose(draws.q_y, guide.y_dist(x).probs.detach())
    q_y = guide.y_dist(x).probs
    divergence = (q_y * (q_y.log() - log_joint.log_softmax(-1))).sum(-1).mean(0).detach()
    expected = divergence if assignment == "amortised" else torch.zeros(4)
    assert np.allclose(draws.gap_y, expected)
    assert (draws.log_weights.dtype, draws.gap_y.dtype) == (np.float64, np.float64)


def test_by_default_there_are_500_draws_of_seed_0():
    model, guide = linear_gaussian()
    x = simulate(model, guide, 2).x
    draws = draw(model, guide, x)
    assert draws.z.shape == (500, 2, 1)
    assert np.array_equal(draws.z, draw(model, guide, x, 500, seed=0).z)


@pytest.mark.parametrize(
    ("at_once", "sizes"), [(200, [2, 2, 2, 1]), (300, [3, 3, 1]), (1, [1] * 7)]
)
def test_no_more_latents_are_decoded_at_once_than_fit(monkeypatch, at_once, sizes):
    model, guide = linear_gaussian()
    x = simulate(model, guide, 7).x
    monkeypatch.setattr("gmvae.diagnostics.draws.DECODED_AT_ONCE", at_once)
    decoded = []
    model.decoder.register_forward_hook(lambda *call: decoded.append(call[1][0].shape[:2]))
    draw(model, guide, x, 100)
    assert decoded == [(100, n) for n in sizes]


def test_batches_have_the_precision_of_the_model():
    images = grey_images(5)
    model, _ = linear_gaussian()
    parts = list(batches(model, images, 2))
    assert [len(part) for part in parts] == [2, 2, 1]
    assert {part.dtype for part in parts} == {torch.float64}
    assert torch.equal(torch.cat(parts), images.tensor().double())
    same = torch.cat(list(batches(model, images.tensor(), 3)))
    assert torch.equal(same, images.tensor().double())


def test_settled_seeds_and_needs_no_gradients():
    gmvae = tiny()
    with settled(gmvae.model, gmvae.guide, 11):
        drawn = torch.rand(3)
        assert not torch.is_grad_enabled()
        assert not any(part.training for part in (*gmvae.model.modules(), *gmvae.guide.modules()))
    assert torch.is_grad_enabled()
    torch.manual_seed(11)
    assert torch.equal(torch.rand(3), drawn)


def test_the_standard_error_of_a_mean():
    assert standard_error(np.array([1.0, 2.0, 3.0, 6.0])) == pytest.approx(math.sqrt(14 / 3 / 4))
    assert standard_error(np.array([1.0, 3.0])) == pytest.approx(1.0)
    assert math.isnan(standard_error(np.array([1.0])))
