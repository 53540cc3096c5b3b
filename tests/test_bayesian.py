"""A posterior over the mixture: its sites, its guide, and components that switch off."""

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Predictive, Trace_ELBO, TraceEnum_ELBO
from toys import SMALL as SHAPE
from toys import SmallLinear, small_pair, three_clusters

from gmvae.metrics import effective_number
from gmvae.probability.bayesian import (
    BayesianGuide,
    BayesianMixturePrior,
    DrawnMixture,
    variational_start,
    wide_start,
)
from gmvae.probability.likelihood import Gaussian
from gmvae.probability.model import Model
from gmvae.probability.prior import MixturePrior
from gmvae.support.errors import ArgumentError


def learn(model, guide, x, steps, lr=0.1):
    optimiser = torch.optim.Adam(guide.mixture.parameters(), lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, lr, total_steps=steps, pct_start=0.1)
    loss = Trace_ELBO()(model, guide)
    for _ in range(steps):
        optimiser.zero_grad()
        loss(x).backward()
        optimiser.step()
        schedule.step()


def test_components_that_are_not_needed_switch_off():
    model, guide = small_pair(10)
    x = three_clusters(model)
    bayes = BayesianGuide(model, guide, wide_start(guide.encoder(x)[0], 10))
    bayes(x)
    learn(model, bayes, x, 450)
    drawn = bayes.draw(x, 100)
    number = np.mean([effective_number(w.numpy()) for w in drawn["weights"]])
    assert abs(number - 3) < 0.5
    bayes.settle(x)
    weights, order = model.prior.weights.sort(descending=True)
    assert torch.allclose(weights[:3], torch.tensor([0.5, 0.3, 0.2]), atol=0.08)
    assert torch.allclose(model.prior.means[order[0]], torch.tensor([-3.0, 0.0]), atol=0.3)


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_the_mixture_is_drawn_once_a_batch_outside_the_plate(latent_dim):
    model, _ = small_pair(4, latent_dim)
    trace = poutine.trace(model).get_trace(torch.rand(5, *SHAPE))
    trace.compute_log_prob()
    mixture = [name for name in trace.nodes if name.startswith("mixture")]
    assert len(mixture) == (3 if latent_dim == 1 else 4)
    for name in mixture:
        assert trace.nodes[name]["log_prob"].shape == ()
    assert trace.nodes["z"]["log_prob"].shape == (5,)


@pytest.mark.parametrize("assignment", ["amortised", "exact"])
@pytest.mark.parametrize("plain", [True, False])
def test_every_parameter_moves(assignment, plain):
    model, guide = small_pair(4, assignment=assignment)
    x = torch.rand(6, *SHAPE)
    bayes = BayesianGuide(model, guide)
    bayes(x)
    elbo = TraceEnum_ELBO if assignment == "amortised" else Trace_ELBO
    before = {name: p.detach().clone() for name, p in bayes.named_parameters()}
    expected = 8 if assignment == "exact" else 10
    assert len(before) == expected
    if plain:
        SVI(model, bayes, pyro.optim.Adam({"lr": 0.01}), elbo()).step(x)
        after = {n.replace("_unconstrained", ""): p for n, p in bayes.named_parameters()}
    else:
        optimiser = torch.optim.Adam(bayes.parameters(), 0.01)
        elbo()(model, bayes)(x).backward()
        optimiser.step()
        after = dict(bayes.named_parameters())
    moved = [not torch.equal(a, b) for a, b in zip(before.values(), after.values(), strict=True)]
    assert all(moved)


def test_outside_of_inference_it_stands_for_one_mixture():
    prior = BayesianMixturePrior(3, 2)
    assert not list(prior.parameters())
    means = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    prior.set(torch.tensor([0.2, 0.3, 0.5]), means, 2 * torch.eye(2).expand(3, 2, 2))
    plain = MixturePrior(3, 2)
    plain.set(torch.tensor([0.2, 0.3, 0.5]), means, 2 * torch.eye(2).expand(3, 2, 2))
    z = torch.randn(7, 2)
    assert torch.allclose(prior.log_joint(z), plain.log_joint(z), atol=1e-5)
    assert set(prior.state_dict()) == set(plain.state_dict())


def test_the_drawn_mixture_is_the_mixture_of_its_parameters():
    plain = MixturePrior(3, 2)
    drawn = DrawnMixture(plain.weights, plain.means, plain.scale_tril)
    z = torch.randn(7, 2)
    assert torch.allclose(drawn.log_joint(z), plain.log_joint(z), atol=1e-5)
    assert torch.allclose(drawn.z_dist().log_prob(z), plain.z_dist().log_prob(z), atol=1e-5)


def test_a_component_switched_off_leaves_finite_gradients():
    weights = torch.tensor([1.0, 0.0], requires_grad=True)
    drawn = DrawnMixture(weights, torch.zeros(2, 2), torch.eye(2).expand(2, 2, 2))
    drawn.z_dist().log_prob(torch.randn(3, 2)).sum().backward()
    assert torch.isfinite(weights.grad).all()


def test_the_guide_starts_where_it_is_told():
    model, guide = small_pair(3)
    means = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    covariance = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    start = torch.tensor([0.2, 0.3, 0.5]), means, covariance.expand(3, 2, 2)
    x = torch.rand(2, *SHAPE)
    drawn = BayesianGuide(model, guide, start).draw(x, 400)
    assert torch.allclose(drawn["means"].mean(0), means, atol=0.02)
    assert torch.allclose(drawn["weights"].mean(0), start[0], atol=0.02)
    assert torch.allclose(drawn["covariances"].mean(0), start[2], atol=0.05)


def test_the_variational_start_has_the_clusters_of_the_data():
    model, guide = small_pair(10)
    z = guide.encoder(three_clusters(model))[0]
    weights, means, covariances = variational_start(z, 10)
    largest, order = weights.sort(descending=True)
    assert largest[:3] == pytest.approx(torch.tensor([0.5, 0.3, 0.2]), abs=0.08)
    assert torch.allclose(means[order[0]], torch.tensor([-3.0, 0.0]), atol=0.3)
    model.prior.set(weights, means, covariances)


def test_predictive_draws_mixtures_and_images():
    model, _ = small_pair(3)
    drawn = Predictive(model, num_samples=5)(size=4)
    assert drawn["mixture_weights"].shape[-1] == 3
    assert drawn["x"].shape == (5, 4, *SHAPE)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ArgumentError, match="concentration"):
        BayesianMixturePrior(3, 2, concentration=0)
    plain = Model(SmallLinear(), MixturePrior(3, 2), Gaussian())
    with pytest.raises(ArgumentError, match="BayesianMixturePrior"):
        BayesianGuide(plain, small_pair(3)[1])
    with pytest.raises(ArgumentError, match="vectorize_particles"):
        DrawnMixture(torch.ones(2, 3) / 3, torch.zeros(3, 2), torch.eye(2).expand(3, 2, 2))
    for start in (wide_start, variational_start):
        with pytest.raises(ArgumentError, match="at least 5 latents"):
            start(torch.zeros(4, 2), 5)
