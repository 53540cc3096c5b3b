"""The guide: its two factors, what labels do to it, and that it is exact where it can be."""

import copy

import pyro
import pytest
import torch
from pyro import poutine
from toys import (
    ASSIGNMENTS,
    COVARIANCES,
    GUIDES,
    D,
    K,
    LinearGaussian,
    assert_same_gradients,
    exact_guide,
    log_normal,
    random_images,
    tiny,
)

from gmvae.probability.guide import Guide, held_to
from gmvae.support.errors import ArgumentError

Y = torch.tensor([-1, 0, 2, -1, 1])


@pytest.mark.parametrize("covariance", ["spherical", "diagonal"])
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("size", [None, 15])
def test_with_the_exact_posterior_the_bound_is_log_p_of_x(covariance, assignment, size):
    """One linear-Gaussian component, the shipped guide: exact for every single draw."""
    truth = LinearGaussian(1, covariance, assignment)
    guide = exact_guide(truth)
    elbo = pyro.infer.TraceEnum_ELBO if assignment == "amortised" else pyro.infer.Trace_ELBO
    scale = 1 if size is None else size / len(truth.x)
    for _ in range(3):
        loss = elbo(max_plate_nesting=1).loss(truth.model, guide, truth.x, size=size)
        expected = -scale * truth.log_evidence().sum().item()
        assert loss == pytest.approx(expected, rel=1e-12)


def test_a_wrong_posterior_gives_less():
    truth = LinearGaussian(1, assignment="exact")
    elbo = pyro.infer.Trace_ELBO(500, max_plate_nesting=1, vectorize_particles=True)
    for wrong in ({"widen": 0.5}, {"widen": 2.0}, {"shift": 0.5}):
        loss = elbo.loss(truth.model, exact_guide(truth, **wrong), truth.x)
        assert loss > -truth.log_evidence().sum() + 0.1


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_y_dist_without_labels(assignment, covariance):
    gmvae = tiny(assignment=assignment, covariance=covariance)
    x = random_images(5)
    q_y = gmvae.guide.y_dist(x)
    assert (q_y.batch_shape, q_y.probs.shape) == ((5,), (5, K))
    if assignment == "amortised":
        expected = gmvae.guide.assigner(x).softmax(-1)
    else:
        expected = gmvae.model.prior.responsibilities(gmvae.guide.encoder(x)[0])
    torch.testing.assert_close(q_y.probs, expected)


@pytest.mark.parametrize("y", [None, Y])
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_log_q_y_is_that_of_y_dist(assignment, y):
    guide, x = tiny(assignment=assignment).guide, random_images(5)
    torch.testing.assert_close(guide.log_q_y(x, y).exp(), guide.y_dist(x, y).probs)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_labels_make_q_of_y_one_hot_and_leave_the_other_rows_alone(assignment):
    guide = tiny(assignment=assignment).guide
    x = random_images(5)
    free, held = guide.y_dist(x).probs, guide.y_dist(x, Y).probs
    known = Y >= 0
    assert torch.equal(held[known], torch.eye(K)[Y[known]])
    torch.testing.assert_close(held[~known], free[~known])


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_held_to_is_one_hot_in_every_precision_without_nan(dtype):
    logits = torch.tensor([[5.0, -80.0, 0.0]], dtype=dtype).requires_grad_()
    log_q = held_to(torch.tensor([1]), logits).log_softmax(-1)
    assert torch.equal(log_q.exp(), torch.tensor([[0, 1, 0]], dtype=dtype))
    (log_q.exp() * log_q).sum().backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("y", [torch.tensor([0, 3]), torch.tensor([0]), torch.zeros(2, 1)])
def test_held_to_refuses_labels_that_do_not_fit(y):
    with pytest.raises(ArgumentError, match="`y` expected"):
        held_to(y, torch.zeros(2, 3))


def test_sites():
    x = random_images(5)
    amortised = poutine.trace(tiny().guide).get_trace(x, Y, size=20)
    assert amortised.stochastic_nodes == ["images", "y", "z"]
    assert amortised.nodes["y"]["infer"]["enumerate"] == "parallel"
    assert amortised.nodes["z"]["scale"] == 4
    assert amortised.nodes["z"]["value"].shape == (5, D)
    exact = poutine.trace(tiny(assignment="exact").guide).get_trace(x)
    assert exact.stochastic_nodes == ["images", "z"]


def test_the_prior_stays_the_models_own():
    """The exact guide uses the mixture without owning it, also in copies."""
    gmvae = tiny(assignment="exact")
    assert not [name for name, _ in gmvae.guide.named_parameters() if "encoder" not in name]
    names = [name for name, _ in gmvae.named_parameters()]
    assert len(names) == len(set(names))
    twin = copy.deepcopy(gmvae)
    x = random_images(5)
    with torch.no_grad():
        twin.model.prior.means.add_(100 * torch.randn(K, D))
    assert not torch.allclose(twin.guide.y_dist(x).probs, gmvae.guide.y_dist(x).probs)
    expected = twin.model.prior.responsibilities(twin.guide.encoder(x)[0])
    torch.testing.assert_close(twin.guide.y_dist(x).probs, expected)
    doubled = gmvae.double()
    assert doubled.guide.y_dist(x.double()).probs.dtype == torch.float64


def moved_by_hand(answer, z):
    """Draws (B, 2) of a mixture, with the gradients by which F(z) stays as it is.

    F is the distribution function of each entry given those before it, and the draws move by
    minus the inverse of its Jacobian times its derivative by the parameters.
    """
    loc, factor, logits = answer
    normal = torch.distributions.Normal(torch.zeros(()).to(loc), torch.ones(()).to(loc))

    def f(z, loc, factor, logits):
        first = (z[:, :1] - loc[..., 0]) / factor[..., 0, 0]
        second = (z[:, 1:] - loc[..., 1] - factor[..., 1, 0] * first) / factor[..., 1, 1]
        log_r = logits.log_softmax(-1) + normal.log_prob(first) - factor[..., 0, 0].log()
        share = logits.softmax(-1), log_r.softmax(-1)
        return torch.stack(
            [(w * normal.cdf(n)).sum(-1) for w, n in zip(share, (first, second), strict=True)], -1
        )

    z = z.detach()
    fixed = [part.detach() for part in answer]
    jacobian = torch.autograd.functional.jacobian(lambda at: f(at, *fixed).sum(0), z).permute(
        1, 0, 2
    )
    change = f(z, loc, factor, logits)
    return z - torch.linalg.solve(jacobian, (change - change.detach()).unsqueeze(-1)).squeeze(-1)


@pytest.mark.parametrize("labels", [None, Y], ids=["none", "some"])
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("kind", GUIDES)
def test_the_bound_and_its_gradient_of_each_kind_are_those_written_by_hand(
    kind, assignment, labels
):
    gmvae = tiny(guide=kind, assignment=assignment).double()
    prior, guide, x = gmvae.model.prior, gmvae.guide, random_images(5, dtype=torch.float64)
    torch.manual_seed(1)
    by_pyro = gmvae.elbo_module()(x, labels)
    answer = guide.encoder(x)
    torch.manual_seed(1)
    z = guide.z_dist(x).rsample()
    if kind == "mixture":
        z = moved_by_hand(answer, z)
        loc, factor, logits = answer
        each = log_normal(z.unsqueeze(1), loc, factor @ factor.mT)
        log_q_z = (logits.softmax(-1) * each.exp()).sum(-1).log()
    else:
        loc, scale = answer
        factor = scale if kind == "full" else scale.diag_embed()
        torch.manual_seed(1)
        z = loc + (factor @ torch.randn_like(loc).unsqueeze(-1)).squeeze(-1)
        log_q_z = log_normal(z, loc, factor @ factor.mT)
    log_p_z = log_normal(z.unsqueeze(1), prior.means, prior.full_covariances)
    joint = prior.weights.log() + log_p_z
    known = torch.zeros(5, dtype=torch.bool) if labels is None else labels >= 0
    one_hot = torch.eye(K).double()[Y.clamp(min=0)]
    if assignment == "amortised":
        q_y = torch.where(known.unsqueeze(-1), one_hot, guide.assigner(x).softmax(-1))
        about_y = (q_y * joint - torch.special.xlogy(q_y, q_y)).sum(-1)
    else:
        about_y = torch.where(known, (one_hot * joint).sum(-1), joint.exp().sum(-1).log())
    log_p_x = -torch.nn.functional.binary_cross_entropy_with_logits(
        gmvae.model.decoder(z), x, reduction="none"
    ).sum((1, 2, 3))
    by_hand = -(log_p_x + about_y - log_q_z).sum()
    torch.testing.assert_close(by_pyro, by_hand, rtol=1e-10, atol=1e-10)
    assert_same_gradients(gmvae, by_pyro, by_hand, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("kind", GUIDES)
def test_the_decoder_runs_once_an_image_and_draw(kind):
    gmvae, rows = tiny(guide=kind), []
    gmvae.model.decoder.register_forward_hook(lambda _, given, __: rows.append(given[0].shape))
    gmvae.elbo_module()(random_images(5))
    assert rows == [(5, D)]


def test_a_mixture_guide_can_be_the_exact_posterior_of_several_components():
    """K > 1, y summed out: the posterior of z is a mixture, and so is the guide."""
    truth = LinearGaussian(K, "full", assignment="exact")
    means, covariances = truth.posterior()
    factors = torch.linalg.cholesky(covariances).expand(5, -1, -1, -1)

    class Exact(torch.nn.Module):
        def forward(self, x):
            return means, factors, truth.log_joint()

    guide = Guide(Exact(), prior=truth.prior)
    for _ in range(3):
        loss = pyro.infer.Trace_ELBO(max_plate_nesting=1).loss(truth.model, guide, truth.x)
        assert loss == pytest.approx(-truth.log_evidence().sum().item(), rel=1e-12)


def test_assigner_or_prior_but_not_both():
    gmvae = tiny()
    encoder, assigner, prior = gmvae.guide.encoder, gmvae.guide.assigner, gmvae.model.prior
    for arguments in ((encoder,), (encoder, assigner, prior)):
        with pytest.raises(ArgumentError, match=r"`assigner` or `prior` expected"):
            Guide(*arguments)
