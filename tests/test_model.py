"""The bound that Pyro computes, against a sum over components written by hand.

Nothing of :mod:`gmvae.probability.evidence` is used: formulas and torch alone.
"""

import math

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import Predictive
from torch import nn
from torch.nn import functional as F
from toys import (
    ASSIGNMENTS,
    COVARIANCES,
    SHAPE,
    D,
    K,
    LinearGaussian,
    Noise,
    assert_same_gradients,
    log_normal,
    random_images,
    tiny,
)

from gmvae.probability.guide import Guide
from gmvae.probability.likelihood import Gaussian
from gmvae.probability.model import Model
from gmvae.probability.prior import MixturePrior
from gmvae.support.errors import ArgumentError

B = 6
LABELS = {
    "none": None,
    "all unknown": torch.full((B,), -1),
    "some": torch.tensor([-1, 0, 2, -1, 1, -1]),
    "all": torch.tensor([1, 0, 2, 2, 1, 0]),
}


def loss_by_hand(gmvae, x, y, size, seed):
    """Minus the bound: the sum over components, image by image and component by component."""
    prior, guide = gmvae.model.prior, gmvae.guide
    loc, scale = guide.encoder(x)
    torch.manual_seed(seed)
    z = torch.distributions.Normal(loc, scale).rsample()
    log_q_z = -0.5 * (((z - loc) / scale) ** 2 + math.log(2 * math.pi)) - scale.log()
    logits = gmvae.model.decoder(z)
    log_p_x = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").flatten(1).sum(-1)
    amortised = gmvae.config.assignment == "amortised"
    q_y = guide.assigner(x).softmax(-1) if amortised else None
    bound = 0
    for i in range(len(x)):
        joint = [
            prior.weights[k].log() + log_normal(z[i], prior.means[k], prior.full_covariances[k])
            for k in range(K)
        ]
        if y is not None and y[i] >= 0:
            about_y = joint[y[i]]
        elif amortised:
            about_y = sum(q_y[i, k] * (joint[k] - q_y[i, k].log()) for k in range(K))
        else:
            about_y = sum(term.exp() for term in joint).log()
        bound = bound + log_p_x[i] - log_q_z[i].sum() + about_y
    return -bound * (len(x) if size is None else size) / len(x)


@pytest.mark.parametrize("size", [None, 40])
@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_the_bound_is_the_sum_over_components(covariance, assignment, labels, size):
    gmvae = tiny(covariance=covariance, assignment=assignment).double()
    x, y = random_images(B, dtype=torch.float64), LABELS[labels]
    by_hand = loss_by_hand(gmvae, x, y, size, seed=1)
    torch.manual_seed(1)
    by_pyro = gmvae.elbo_module()(x, y, size=size)
    torch.testing.assert_close(by_pyro, by_hand, rtol=1e-10, atol=1e-10)
    assert_same_gradients(gmvae, by_pyro, by_hand, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_unknown_labels_are_no_labels(assignment):
    gmvae = tiny(assignment=assignment)
    x = random_images(B)
    losses = []
    for y in (None, LABELS["all unknown"]):
        torch.manual_seed(0)
        losses.append(gmvae.elbo_module()(x, y))
    torch.testing.assert_close(*losses)


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_a_linear_gaussian_mixture_gives_exactly_log_p_of_x(covariance):
    """K > 1 with a guide q(y | x) q(z | x, y), which is exact, and the amortised model."""
    truth = LinearGaussian(K, covariance)
    means, covariances = truth.posterior()

    def guide(x, y=None, size=None):
        with pyro.plate("images", len(x)):
            q_y = pyro.distributions.Categorical(logits=truth.log_joint())
            component = pyro.sample("y", q_y, infer={"enumerate": "parallel"})
            loc = means[torch.arange(len(x)), component]
            q_z = pyro.distributions.MultivariateNormal(loc, covariances[component])
            pyro.sample("z", q_z)

    elbo = pyro.infer.TraceEnum_ELBO(max_plate_nesting=1)
    for _ in range(3):
        loss = elbo.differentiable_loss(truth.model, guide, truth.x)
        torch.testing.assert_close(loss.detach(), -truth.log_evidence().sum(), rtol=1e-12, atol=0)


def test_the_same_mixture_with_y_summed_out_of_model_and_guide():
    truth = LinearGaussian(K, "full", assignment="exact")
    means, covariances = truth.posterior()

    def guide(x, y=None, size=None):
        q_y = pyro.distributions.Categorical(logits=truth.log_joint())
        each = pyro.distributions.MultivariateNormal(means, covariances.expand(len(x), -1, -1, -1))
        with pyro.plate("images", len(x)):
            pyro.sample("z", pyro.distributions.MixtureSameFamily(q_y, each))

    loss = pyro.infer.Trace_ELBO().loss(truth.model, guide, truth.x)
    assert loss == pytest.approx(-truth.log_evidence().sum().item(), rel=1e-12)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_generating_draws_the_joint(assignment):
    """Predictive without data: the frequencies of y, and z given y, are the prior's."""
    gmvae = tiny(assignment=assignment)
    model, prior = gmvae.model, gmvae.model.prior
    drawn = Predictive(model, num_samples=4, return_sites=("y", "z", "x"))(size=20_000)
    assert drawn["y"].shape == (4, 20_000)
    assert drawn["z"].shape == (4, 20_000, D)
    assert drawn["x"].shape == (4, 20_000, *SHAPE)
    y, z = drawn["y"].flatten(), drawn["z"].flatten(0, 1)
    shares = torch.bincount(y, minlength=K) / len(y)
    torch.testing.assert_close(shares, prior.weights.detach(), atol=0.015, rtol=0)
    for k in range(K):
        of_k = z[y == k]
        torch.testing.assert_close(of_k.mean(0), prior.means[k].detach(), atol=0.1, rtol=0.03)
    assert set(drawn["x"].unique().tolist()) <= {0.0, 1.0}


def test_generating_one_by_default():
    assert tiny().model().shape == (1, *SHAPE)
    assert tiny().model(size=3).shape == (3, *SHAPE)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_generating_given_a_component(assignment):
    model = tiny(assignment=assignment).model
    y = torch.full((5,), 2)
    trace = poutine.trace(poutine.condition(model, {"y": y})).get_trace(size=5)
    assert trace.nodes["y"]["is_observed"]
    assert torch.equal(trace.nodes["y"]["value"], y)


def test_the_decoder_runs_once_a_batch():
    gmvae = tiny()
    seen = []
    gmvae.model.decoder.register_forward_hook(lambda _m, inputs, _o: seen.append(inputs[0].shape))
    gmvae.elbo_module()(random_images(B))
    assert seen == [(B, D)]


def test_sites_and_plate():
    gmvae = tiny()
    x = random_images(B)
    trace = poutine.trace(gmvae.model).get_trace(x, size=30)
    assert trace.stochastic_nodes == ["images", "y", "z"]
    assert trace.observation_nodes == ["x"]
    assert trace.nodes["x"]["scale"] == 30 / B
    exact = tiny(assignment="exact").model
    assert poutine.trace(exact).get_trace(x).stochastic_nodes == ["images", "z"]
    labelled = poutine.trace(exact).get_trace(x, LABELS["some"])
    assert labelled.observation_nodes == ["y", "x"]


def test_names_are_unique_unless_given():
    one, other = tiny(), tiny()
    names = {m._pyro_name for g in (one, other) for m in (g.model, g.guide)}
    assert len(names) == 4
    named = Model(one.model.decoder, one.model.prior, one.model.likelihood, name="mine")
    assert named._pyro_name == "mine"
    assert Guide(one.guide.encoder, one.guide.assigner, name="yours")._pyro_name == "yours"


def test_a_fixed_scale_stays_fixed_inside_the_model():
    prior = MixturePrior(K, D)
    model = Model(tiny().model.decoder, prior, Gaussian(0.3, learned=False))
    assert "likelihood.log_scale" not in dict(model.named_parameters())
    trace = poutine.trace(model).get_trace(random_images(2))
    assert not [name for name in trace.param_nodes if "log_scale" in name]


def test_errors():
    gmvae = tiny()
    decoder, prior = gmvae.model.decoder, gmvae.model.prior
    with pytest.raises(ArgumentError, match=r"`assignment` expected one of amortised, exact"):
        Model(decoder, prior, Noise(), assignment="hard")
    with pytest.raises(ArgumentError, match=r"`y` expected None when images are generated"):
        gmvae.model(y=torch.zeros(3))


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_a_size_below_the_batch_is_refused(assignment):
    gmvae = tiny(assignment=assignment)
    with pytest.raises(ArgumentError, match=r"`size` expected at least the batch, 6; got 5\."):
        gmvae.elbo_module()(random_images(B), size=5)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("y", [torch.full((B,), K), torch.zeros(B + 1), torch.zeros(1)], ids=str)
def test_labels_that_do_not_fit_are_refused(assignment, y):
    gmvae = tiny(assignment=assignment)
    with pytest.raises(ArgumentError, match="`y` expected"):
        gmvae.elbo_module()(random_images(B), y)
    with pytest.raises(ArgumentError, match="`y` expected"):
        gmvae.model(random_images(B), y)


def test_images_that_are_no_tensor_are_refused():
    gmvae = tiny()
    for part in (gmvae.model, gmvae.guide):
        with pytest.raises(
            ArgumentError, match=r"`x` expected a tensor \(B, C, H, W\); got ndarray"
        ):
            part(random_images(B).numpy())


@pytest.mark.parametrize("wrong", ["decoder", "prior", "likelihood"])
def test_parts_of_another_type_are_refused(wrong):
    parts = {"decoder": nn.Linear(2, 2), "prior": MixturePrior(3, 2), "likelihood": Gaussian()}
    with pytest.raises(ArgumentError, match=f"`{wrong}` expected a .*; got 3"):
        Model(**{**parts, wrong: 3})
