"""The guide: its two factors, what labels do to it, and that it is exact where it can be."""

import copy

import pyro
import pytest
import torch
from pyro import poutine
from toys import ASSIGNMENTS, COVARIANCES, D, K, LinearGaussian, exact_guide, random_images, tiny

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


def test_assigner_or_prior_but_not_both():
    gmvae = tiny()
    encoder, assigner, prior = gmvae.guide.encoder, gmvae.guide.assigner, gmvae.model.prior
    for arguments in ((encoder,), (encoder, assigner, prior)):
        with pytest.raises(ArgumentError, match=r"`assigner` or `prior` expected"):
            Guide(*arguments)
