"""Model and guide as guests of Pyro's algorithms and handlers, and beside each other.

Where an algorithm has an answer that is known, of a linear-Gaussian model, it is compared.
"""

import copy
import importlib.util

import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import (
    MCMC,
    NUTS,
    SVI,
    Predictive,
    Trace_ELBO,
    TraceEnum_ELBO,
    config_enumerate,
    infer_discrete,
)
from pyro.infer.autoguide import AutoNormal
from toys import (
    ASSIGNMENTS,
    SHAPE,
    D,
    K,
    LinearGaussian,
    parameters_of,
    random_images,
    tiny,
    unmoved,
)

from gmvae.support.errors import ArgumentError


def objective_of(assignment="amortised"):
    """The one that trains the pair."""
    return TraceEnum_ELBO(max_plate_nesting=1) if assignment == "amortised" else Trace_ELBO()


def test_compute_marginals_refuses_enumeration_in_the_guide():
    gmvae, elbo = tiny(), objective_of()
    with pytest.raises(NotImplementedError, match="not compatible with guide enumeration"):
        elbo.compute_marginals(gmvae.model, gmvae.guide, random_images(3))


@pytest.mark.filterwarnings("ignore:.* found no sample sites configured:UserWarning")
def test_the_exact_assignment_leaves_no_y_to_infer():
    gmvae, elbo, x = tiny(assignment="exact"), objective_of(), random_images(3)
    assert elbo.compute_marginals(gmvae.model, gmvae.guide, x) == {}
    conditioned = poutine.condition(gmvae.model, {"z": torch.randn(3, D)})
    inferred = infer_discrete(config_enumerate(conditioned), first_available_dim=-2)
    assert "y" not in poutine.trace(inferred).get_trace(x).nodes


@pytest.mark.parametrize("parallel", [False, True])
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_predictive_with_the_guide(assignment, parallel):
    gmvae, x = tiny(assignment=assignment), random_images(5)
    with torch.no_grad():
        for parameter in gmvae.guide.encoder.raw_scale.parameters():
            parameter.fill_(-20.0)
    predictive = Predictive(
        poutine.uncondition(gmvae.model), guide=gmvae.guide, num_samples=6, parallel=parallel
    )
    drawn = predictive(x)
    assert drawn["x"].shape == (6, 5, *SHAPE)
    loc = gmvae.guide.encoder(x)[0].detach()
    torch.testing.assert_close(drawn["z"], loc.expand(6, 5, D), atol=1e-2, rtol=1e-3)
    # The exact assignment has summed y out.
    assert {name: tuple(value.shape) for name, value in drawn.items() if name == "y"} == (
        {"y": (6, 5)} if assignment == "amortised" else {}
    )


@pytest.mark.parametrize("temperature", [0, 1])
def test_infer_discrete_gives_p_of_y_given_z(temperature):
    gmvae, n = tiny(), 3_000
    x = random_images(1).expand(n, *SHAPE)
    z = torch.randn(1, D).expand(n, D)
    posterior = infer_discrete(
        config_enumerate(poutine.condition(gmvae.model, {"z": z})),
        first_available_dim=-2,
        temperature=temperature,
    )
    y = poutine.trace(posterior).get_trace(x).nodes["y"]["value"]
    expected = gmvae.model.prior.responsibilities(z[0]).detach()
    if temperature == 0:
        assert (y == expected.argmax()).all()
    else:
        shares = torch.bincount(y, minlength=K) / n
        torch.testing.assert_close(shares, expected, atol=0.04, rtol=0)


def test_nuts_over_the_latent_finds_the_exact_posterior():
    truth = LinearGaussian(K, "full", assignment="exact")
    x = truth.x[:1]
    truth.x = x
    means, covariances = truth.posterior()
    q_y = truth.log_joint().softmax(-1)[0]
    mean = q_y @ means[0]
    spread = (
        q_y.unsqueeze(-1) * ((means[0] - mean) ** 2 + covariances.diagonal(dim1=1, dim2=2))
    ).sum(0)
    kernel = NUTS(truth.model, max_tree_depth=3)
    sampler = MCMC(kernel, num_samples=150, warmup_steps=50, disable_progbar=True)
    sampler.run(x)
    z = sampler.get_samples()["z"]
    assert z.shape == (150, 1, D)
    assert ((z[:, 0].mean(0) - mean).abs() < 0.35 * spread.sqrt()).all()
    assert ((z[:, 0].var(0) / spread - 1).abs() < 0.6).all()


def test_nuts_refuses_an_enumerated_y():
    truth = LinearGaussian(K, "full")
    sampler = MCMC(NUTS(truth.model), num_samples=1, disable_progbar=True)
    with pytest.raises(ArgumentError, match='Sum y out: assignment="exact"'):
        sampler.run(truth.x[:1])


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_an_autoguide_over_the_latent(assignment):
    truth = LinearGaussian(1, assignment=assignment)
    means, _ = truth.posterior()
    frozen = poutine.block(truth.model, hide_types=["param"])
    elbo, hidden = Trace_ELBO, frozen
    if assignment == "amortised":
        elbo, frozen = TraceEnum_ELBO, config_enumerate(frozen)
        hidden = poutine.block(frozen, hide=["y"])
    guide = AutoNormal(hidden)
    svi = SVI(
        frozen,
        guide,
        pyro.optim.Adam({"lr": 0.1}),
        elbo(20, vectorize_particles=True, max_plate_nesting=1),
    )
    for _ in range(200):
        loss = svi.step(truth.x)
    torch.testing.assert_close(guide.median()["z"].detach(), means[:, 0], atol=0.25, rtol=0)
    assert loss == pytest.approx(-truth.log_evidence().sum().item(), abs=0.5)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_handlers(assignment):
    gmvae, x = tiny(assignment=assignment), random_images(5)
    model = gmvae.model
    z = torch.randn(5, D)
    held = poutine.trace(poutine.condition(model, {"z": z})).get_trace(x)
    assert torch.equal(held.nodes["z"]["value"], z)
    torch.testing.assert_close(
        held.log_prob_sum(lambda name, _: name == "x"),
        model.likelihood(model.decoder(z)).log_prob(x).sum(),
    )
    blocked = poutine.trace(poutine.block(model, hide=["z"])).get_trace(x)
    assert "z" not in blocked.nodes
    elbo = gmvae.elbo_module()

    def loss(handler):
        torch.manual_seed(0)
        with handler:
            return elbo(x)

    plain = loss(poutine.scale(scale=1.0))
    torch.testing.assert_close(loss(poutine.scale(scale=3.0)), 3 * plain)
    assert loss(poutine.mask(mask=False)) == 0
    rows = torch.tensor([True, False, True, True, False])
    torch.testing.assert_close(
        loss(poutine.mask(mask=rows)) + loss(poutine.mask(mask=~rows)), plain
    )


def test_the_prior_is_a_prior_in_any_other_model():
    truth = LinearGaussian(K, "full")
    prior = truth.prior

    def model(data):
        pyro.module("mixture", prior)
        with pyro.plate("rows", len(data)):
            pyro.sample("z", prior.z_dist(), obs=data)

    data = torch.randn(20, D, dtype=torch.float64)
    svi = SVI(model, lambda data: None, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
    before = {name: p.detach().clone() for name, p in prior.named_parameters()}
    assert svi.step(data) == pytest.approx(-prior.z_dist().log_prob(data).sum().item(), rel=0.2)
    assert not [n for n, p in prior.named_parameters() if torch.equal(p, before[n])]


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
@pytest.mark.parametrize("first", ["original", "copy"])
def test_a_copy_shares_nothing_with_its_original(first, assignment):
    original, x = tiny(assignment=assignment), random_images(7)
    elbo = objective_of(assignment)

    def train(gmvae):
        return unmoved(gmvae, lambda: gmvae.svi(pyro.optim.Adam({"lr": 1e-2}), elbo).step(x))

    if first == "original":
        assert train(original) == []
    copied = copy.deepcopy(original)
    assert copy.deepcopy(copied).guide._pyro_name != copied.guide._pyro_name
    kept = {name: value.clone() for name, value in original.state_dict().items()}
    assert train(copied) == []
    assert all(torch.equal(kept[name], value) for name, value in original.state_dict().items())
    assert train(original) == []


def test_models_beside_each_other_share_nothing():
    """Two pairs under one plain SVI store: the second trains and leaves the first alone."""
    x = random_images(5)
    one, other = tiny(), tiny()
    steps = [
        SVI(g.model, g.guide, pyro.optim.Adam({"lr": 1e-2}), objective_of()).step
        for g in (one, other)
    ]
    assert unmoved(one, lambda: steps[0](x)) == []
    assert unmoved(one, lambda: steps[1](x)) == list(parameters_of(one))
    assert unmoved(other, lambda: steps[1](x)) == []


@pytest.mark.skipif(not importlib.util.find_spec("graphviz"), reason="graphviz is not installed")
@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_render_model(assignment):
    gmvae, x = tiny(assignment=assignment), random_images(3)
    graph = pyro.render_model(gmvae.model, (x,), render_distributions=True)
    shown = {site for site in ("y", "z", "x") if f"{site} [" in graph.source}
    assert shown == ({"y", "z", "x"} if assignment == "amortised" else {"z", "x"})


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_every_parameter_moves_under_a_handler(assignment):
    gmvae, x = tiny(assignment=assignment), random_images(7)
    handled = poutine.scale(gmvae.model, 0.5), poutine.scale(gmvae.guide, 0.5)
    objective = objective_of(assignment)
    svi = SVI(*handled, pyro.optim.Adam({"lr": 1e-2}), objective)
    assert unmoved(gmvae, lambda: svi.step(x)) == []


def test_local_parameters_of_modules_are_supported_too():
    x = random_images(5)
    with pyro.settings.context(module_local_params=True):
        gmvae = tiny()
        module = objective_of()(gmvae.model, gmvae.guide)
        optimiser = torch.optim.Adam(module.parameters(), lr=1e-2)

        def step():
            module(x).backward()
            optimiser.step()

        assert unmoved(gmvae, step) == []
        assert len(pyro.get_param_store()) == 0
