"""Bounds per image, against formulas and against a model whose evidence is known."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from toys import (
    ASSIGNMENTS,
    COVARIANCES,
    GUIDES,
    ConstantAssigner,
    K,
    LinearGaussian,
    assert_same_gradients,
    exact_guide,
    log_normal,
    random_images,
    tiny,
)

from gmvae.probability.evidence import Bound, elbo_parts, log_evidence
from gmvae.probability.guide import Guide
from gmvae.support.errors import ArgumentError

LABELS = {"none": None, "some": torch.tensor([-1, 0, 2, -1, 1]), "all": torch.arange(5) % K}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def with_encoder(truth, loc, scale, logits=None):
    class Encoder(nn.Module):
        def forward(self, x):
            return loc, scale

    if truth.model.assignment == "exact":
        return Guide(Encoder(), prior=truth.prior)
    return Guide(Encoder(), ConstantAssigner(logits))


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_parts_by_hand(covariance, assignment, labels):
    gmvae = tiny(covariance=covariance, assignment=assignment).double()
    prior, x, y = gmvae.model.prior, random_images(5, dtype=torch.float64), LABELS[labels]
    loc, scale = gmvae.guide.encoder(x)
    z = loc + scale * torch.randn(4, *loc.shape, generator=seeded(), dtype=torch.float64)
    log_p_z = torch.stack(
        [log_normal(z, prior.means[k], prior.full_covariances[k]) for k in range(K)], dim=-1
    )
    if assignment == "amortised":
        q_y = gmvae.guide.assigner(x).softmax(-1).expand(4, -1, -1)
    else:
        q_y = (prior.weights * log_p_z.exp()) / (prior.weights * log_p_z.exp()).sum(-1, True)
    if y is not None:
        q_y = torch.where((y >= 0)[:, None], torch.eye(K).double()[y], q_y)
    log_q_z = log_normal(z, loc, scale.square().diag_embed())
    reconstruction = -F.binary_cross_entropy_with_logits(
        gmvae.model.decoder(z), x.expand(4, -1, -1, -1, -1), reduction="none"
    ).sum((-1, -2, -3))
    kl_z = log_q_z - (q_y * log_p_z).sum(-1)
    kl_y = (torch.special.xlogy(q_y, q_y) - q_y * prior.weights.log()).sum(-1)
    parts = elbo_parts(gmvae.model, gmvae.guide, x, y, 4, seeded())
    for part, expected in zip(parts, (reconstruction, kl_z, kl_y), strict=True):
        torch.testing.assert_close(part, expected.mean(0), rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(parts.elbo, parts.reconstruction - parts.kl_z - parts.kl_y)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("labels", LABELS)
def test_the_parts_add_to_the_bound_that_pyro_trains_on(assignment, labels):
    gmvae = tiny(assignment=assignment).double()
    x, y = random_images(5, dtype=torch.float64), LABELS[labels]
    torch.manual_seed(3)
    loss = gmvae.elbo_module()(x, y)
    torch.manual_seed(3)
    parts = elbo_parts(gmvae.model, gmvae.guide, x, y)
    torch.testing.assert_close(parts.elbo.sum(), -loss, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_kl_of_y_is_never_negative(assignment):
    gmvae = tiny(assignment=assignment)
    parts = elbo_parts(gmvae.model, gmvae.guide, random_images(200), n_samples=3)
    assert (parts.kl_y >= -1e-6).all()


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("n_samples", [1, 7])
def test_the_exact_guide_gives_the_evidence_with_any_number_of_draws(assignment, n_samples):
    truth = LinearGaussian(1, assignment=assignment)
    pair = truth.model, exact_guide(truth)
    for bound in (
        log_evidence(*pair, truth.x, n_samples),
        elbo_parts(*pair, truth.x, n_samples=n_samples).elbo,
    ):
        torch.testing.assert_close(bound.detach(), truth.log_evidence(), rtol=1e-12, atol=0)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_the_bound_rises_with_draws_to_the_exact_evidence(assignment, covariance):
    """Three components; the guide has the posterior's moments, moved and widened."""
    truth = LinearGaussian(K, covariance, assignment)
    means, covariances = truth.posterior()
    q_y = truth.log_joint().softmax(-1)
    loc = (q_y.unsqueeze(-1) * means).sum(1)
    spread = (means - loc.unsqueeze(1)).square() + covariances.diagonal(dim1=-2, dim2=-1)
    scale = 1.2 * (q_y.unsqueeze(-1) * spread).sum(1).sqrt()
    loc = loc + scale / 2
    exact = truth.log_evidence().sum().item()

    def repeated(n):
        logits = torch.zeros(K).double()
        guide = with_encoder(truth, loc.repeat(n, 1), scale.repeat(n, 1), logits)
        return truth.model, guide, truth.x.repeat(n, 1, 1, 1)

    with torch.no_grad():
        elbo = elbo_parts(*repeated(1000)).elbo.sum().item() / 1000
        bounds = [
            log_evidence(*repeated(n), s).sum().item() / n
            for s, n in {1: 1000, 4: 500, 32: 200, 1000: 10}.items()
        ]
    assert elbo < bounds[1] < bounds[2] < bounds[3] < exact + 0.05
    assert bounds[0] < bounds[1]
    assert bounds[3] == pytest.approx(exact, abs=0.05)


def test_each_image_has_its_own_log_sum_exp():
    """The bound of a batch is the bounds of its images, not a pooled one."""
    gmvae = tiny()
    x = random_images(3)
    noise = [torch.randn(5, 3, 2, generator=seeded(1))[:, i] for i in range(3)]
    whole = log_evidence(gmvae.model, gmvae.guide, x, 5, seeded(1))
    prior = gmvae.model.prior
    for i in range(3):
        loc, scale = gmvae.guide.encoder(x[i])
        z = loc + scale * noise[i]
        log_w = (
            gmvae.model.likelihood(gmvae.model.decoder(z)).log_prob(x[i])
            + prior.z_dist().log_prob(z)
            - torch.distributions.Normal(loc, scale).log_prob(z).sum(-1)
        )
        torch.testing.assert_close(whole[i], log_w.exp().mean().log())


def test_gradients_flow_and_a_generator_leaves_torchs_own_alone():
    gmvae = tiny()
    x = random_images(3)
    before = torch.get_rng_state()
    log_evidence(gmvae.model, gmvae.guide, x, 4, seeded()).sum().backward()
    assert torch.equal(before, torch.get_rng_state())
    assert all(p.grad is not None for p in gmvae.guide.encoder.parameters())


def test_labels_that_do_not_fit_are_refused():
    gmvae = tiny()
    with pytest.raises(ArgumentError, match="`y` expected"):
        elbo_parts(gmvae.model, gmvae.guide, random_images(2), torch.tensor([0, K]))


@pytest.mark.parametrize("bound", [elbo_parts, log_evidence])
def test_what_is_no_batch_or_no_generator_is_refused(bound):
    gmvae, x = tiny(), random_images(2)
    words = (
        r"^`x` expected a tensor \(B, C, H, W\); got list\. Of gmvae\.Images it is images\.tensor"
    )
    with pytest.raises(ArgumentError, match=words):
        bound(gmvae.model, gmvae.guide, [x])
    with pytest.raises(ArgumentError, match=r"^`generator` expected a torch\.Generator on cpu"):
        bound(gmvae.model, gmvae.guide, x, generator=3)
    with pytest.raises(ArgumentError, match=r"^`n_samples` expected at least 1; got 0\."):
        bound(gmvae.model, gmvae.guide, x, n_samples=0)


@pytest.mark.parametrize("size", [None, 40])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("guide", GUIDES)
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_the_objective_is_that_of_pyro_and_so_is_its_gradient(assignment, guide, labels, size):
    """Of the same draws."""
    gmvae = tiny(assignment=assignment, guide=guide).double()
    x, y = random_images(5, dtype=torch.float64), LABELS[labels]
    losses = []
    for objective in (gmvae.elbo_module(), Bound(gmvae.model, gmvae.guide)):
        torch.manual_seed(1)
        losses.append(objective(x, y, size=size))
    torch.testing.assert_close(*losses, rtol=1e-10, atol=1e-10)
    assert_same_gradients(gmvae, *losses, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_the_kl_part_of_the_objective_is_what_is_weighed(assignment, labels):
    gmvae = tiny(assignment=assignment).double()
    x, y = random_images(5, dtype=torch.float64), LABELS[labels]
    torch.manual_seed(1)
    loss = Bound(gmvae.model, gmvae.guide, kl_weight=0.3)(x, y, size=10)
    torch.manual_seed(1)
    parts = elbo_parts(gmvae.model, gmvae.guide, x, y)
    expected = -2 * (parts.reconstruction - 0.3 * (parts.kl_z + parts.kl_y)).sum()
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)
