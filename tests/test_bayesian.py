"""A posterior over the mixture: its sites, its guide, and components that switch off."""

import numpy as np
import pyro
import pytest
import torch
from pyro import poutine
from pyro.infer import SVI, Predictive, Trace_ELBO, TraceEnum_ELBO
from pyro.infer.autoguide import AutoDelta
from sklearn.mixture import BayesianGaussianMixture
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


@pytest.mark.parametrize("latent_dim", [1, 3])
def test_the_priors_of_the_sites_are_those_written_down(latent_dim):
    prior = BayesianMixturePrior(4, latent_dim, concentration=0.3, mean_scale=5.0, scale=0.7)
    trace = poutine.trace(prior).get_trace()
    weights = trace.nodes["mixture_weights"]
    assert weights["fn"].concentration.tolist() == pytest.approx([0.3] * 4)
    means = trace.nodes["mixture_means"]
    assert means["value"].shape == (4, latent_dim)
    normal = torch.distributions.Normal(0.0, 5.0).log_prob(means["value"]).sum()
    assert means["fn"].log_prob(means["value"]) == pytest.approx(normal)
    scales = trace.nodes["mixture_scales"]
    half = torch.distributions.HalfNormal(0.7).log_prob(scales["value"]).sum()
    assert scales["fn"].log_prob(scales["value"]) == pytest.approx(half)
    root = scales["value"].unsqueeze(-1)
    if latent_dim > 1:
        factors = trace.nodes["mixture_factors"]
        assert factors["fn"].base_dist.concentration.unique().tolist() == [2.0]
        root = root * factors["value"]
    drawn = trace.nodes["_RETURN"]["value"]
    assert torch.allclose(drawn.scale_tril, root)
    assert torch.equal(drawn.means, means["value"])
    assert torch.allclose(drawn.weights, weights["value"])


def test_the_defaults_of_the_prior():
    prior = BayesianMixturePrior(5, 2)
    assert prior.concentration == pytest.approx(1 / 10)
    assert (prior.mean_scale, prior.scale) == (3.0, 1.0)
    assert (prior.n_components, prior.latent_dim, prior.covariance) == (5, 2, "full")


@pytest.mark.parametrize("name", ["concentration", "mean_scale", "scale"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("inf")])
def test_numbers_of_the_prior_are_above_0_and_finite(name, value):
    with pytest.raises(ArgumentError, match=f"^`{name}` expected above 0, and finite; got"):
        BayesianMixturePrior(3, 2, **{name: value})


def test_a_weight_of_zero_has_a_finite_logarithm():
    drawn = DrawnMixture(torch.tensor([1.0, 0.0]), torch.zeros(2, 2), torch.eye(2).repeat(2, 1, 1))
    assert drawn.logits.tolist() == pytest.approx([0.0, np.log(torch.finfo(torch.float32).tiny)])
    assert drawn.covariance == "full"


@pytest.mark.parametrize(
    "shapes", [((2, 3), (3, 2), (3, 2, 2)), ((3,), (2,), (3, 2, 2)), ((3,), (3, 2), (2, 2))]
)
def test_parameters_of_other_shapes_are_refused_by_name(shapes):
    words = (
        "`weights`, `means`, `scale_tril` expected (K,), (K, D), (K, D, D); got "
        f"{shapes[0]}, {shapes[1]}, {shapes[2]}. Draw one mixture at a time "
        "(vectorize_particles=False)."
    )
    with pytest.raises(ArgumentError) as error:
        DrawnMixture(*(torch.ones(shape) for shape in shapes))
    assert str(error.value) == words


class Fixed(AutoDelta):
    """A guide of the mixture whose draws are told, one after the other."""

    def __init__(self, model, draws):
        super().__init__(model)
        self.draws = iter(draws)

    def forward(self, *_, **__):
        return next(self.draws)


def told(latent_dim=2, n=3, n_components=2):
    """Mixtures as an autoguide draws them, and their covariances."""
    weights = torch.rand(n, n_components).softmax(-1)
    means = torch.randn(n, n_components, latent_dim)
    scales = torch.rand(n, n_components, latent_dim) + 0.5
    angles = torch.rand(n, n_components)
    factors = torch.zeros(n, n_components, 2, 2)
    factors[..., 0, 0] = 1
    factors[..., 1, 0], factors[..., 1, 1] = angles.cos(), angles.sin()
    names = ("mixture_weights", "mixture_means", "mixture_scales", "mixture_factors")
    values = (weights, means, scales, factors)[: 4 if latent_dim > 1 else 3]
    draws = [dict(zip(names, parts, strict=False)) for parts in zip(*values, strict=True)]
    correlation = torch.ones(n, n_components, latent_dim, latent_dim)
    if latent_dim > 1:
        correlation[..., 0, 1] = correlation[..., 1, 0] = angles.cos()
    covariances = scales.unsqueeze(-1) * correlation * scales.unsqueeze(-2)
    return draws, weights, means, covariances


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_draws_are_those_of_the_autoguide(latent_dim):
    draws, weights, means, covariances = told(latent_dim)
    model, guide = small_pair(2, latent_dim)
    bayes = BayesianGuide(model, guide, autoguide=lambda seen: Fixed(seen, draws))
    found = bayes.draw(torch.rand(4, *SHAPE), 3)
    assert list(found) == ["weights", "means", "covariances"]
    assert torch.equal(found["weights"], weights)
    assert torch.equal(found["means"], means)
    assert torch.allclose(found["covariances"], covariances)


def test_settling_takes_the_means_of_the_draws():
    draws, _, means, covariances = told()
    for drawn in draws:
        drawn["mixture_weights"] = torch.tensor([1.0, 0.0])
    model, guide = small_pair(2)
    bayes = BayesianGuide(model, guide, autoguide=lambda seen: Fixed(seen, draws))
    bayes.settle(torch.rand(4, *SHAPE), 3)
    assert torch.allclose(model.prior.means, means.mean(0))
    assert torch.allclose(model.prior.full_covariances, covariances.mean(0), atol=1e-5)
    # A weight that has underflowed is as small as can be.
    assert model.prior.weights.tolist() == pytest.approx([1.0, 0.0])
    assert model.prior.logits.isfinite().all()


def test_settling_is_done_by_200_draws_of_seed_0():
    model, guide = small_pair(2)
    bayes, x = BayesianGuide(model, guide), torch.rand(3, *SHAPE)
    bayes(x)  # the first call builds the autoguide
    drawn = bayes.draw(x, 200, 0)
    before = torch.get_rng_state()
    bayes.settle(x)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.allclose(model.prior.means, drawn["means"].mean(0), atol=1e-6)
    assert torch.equal(drawn["means"], bayes.draw(x, 200)["means"])
    assert not torch.equal(drawn["means"], bayes.draw(x, 200, 1)["means"])


def test_the_autoguide_starts_narrow_and_sees_the_mixture_alone():
    model, guide = small_pair(3)
    bayes, x = BayesianGuide(model, guide), torch.rand(2, *SHAPE)
    trace = poutine.trace(bayes).get_trace(x)
    sites = {name for name, node in trace.nodes.items() if node["type"] == "sample"}
    mixture = {f"mixture_{name}" for name in ("weights", "means", "scales", "factors")}
    assert mixture < sites
    assert {name for name in sites - mixture if "unconstrained" not in name} >= {"z"}
    assert not any(name in bayes.mixture.prototype_trace.nodes for name in ("x", "y", "z"))
    assert bayes.mixture.scales.mixture_means.unique().tolist() == pytest.approx([0.05])
    # From the mixture that the prior stands for.
    assert torch.allclose(bayes.mixture.locs.mixture_means, model.prior.means)


def test_two_guides_keep_their_parameters_apart():
    first, second = (BayesianGuide(*small_pair(2)) for _ in range(2))
    assert first._pyro_name != second._pyro_name
    assert first._pyro_name.startswith("gmvae_bayesian_guide_")


def test_a_wide_start_by_hand():
    z = torch.randn(50, 2) * torch.tensor([1.0, 3.0])
    weights, means, covariances = wide_start(z, 4, seed=5)
    rows = torch.randperm(50, generator=torch.Generator().manual_seed(5))[:4]
    assert weights.tolist() == [0.25] * 4
    assert torch.equal(means, z[rows])
    # Twice as wide as all latents: four times the mean variance.
    assert torch.allclose(covariances, 2 * z.var(0).sum() * torch.eye(2).expand(4, 2, 2))
    assert torch.equal(wide_start(z, 4)[1], wide_start(z, 4, 0)[1])
    # As many latents as components are enough.
    assert sorted(wide_start(z[:4], 4)[1][:, 0].tolist()) == sorted(z[:4, 0].tolist())


def test_the_variational_start_is_the_best_of_five_of_scikit_learn():
    z = torch.cat([torch.randn(40, 2), torch.randn(20, 2) + 3])
    expected = BayesianGaussianMixture(
        n_components=4,
        weight_concentration_prior_type="dirichlet_distribution",
        weight_concentration_prior=1 / 8,
        mean_precision_prior=0.01,
        max_iter=500,
        n_init=5,
        random_state=3,
    ).fit(z.double().numpy())
    weights, means, covariances = variational_start(z, 4, seed=3)
    assert weights.dtype == means.dtype == covariances.dtype == torch.float32
    assert weights.numpy() == pytest.approx(expected.weights_, rel=1e-5)
    assert means.numpy() == pytest.approx(expected.means_, rel=1e-4, abs=1e-5)
    assert covariances.numpy() == pytest.approx(expected.covariances_, rel=1e-4, abs=1e-5)
    # Seeds beyond what NumPy takes come around.
    assert torch.equal(variational_start(z, 4, seed=2**32 + 3)[1], means)
    assert torch.equal(variational_start(z, 4)[1], variational_start(z, 4, seed=0)[1])


def test_too_few_latents_are_refused_in_one_line():
    words = "`z` expected at least 5 latents; got 4. Encode more images, or take fewer components."
    with pytest.raises(ArgumentError) as error:
        wide_start(torch.zeros(4, 2), 5)
    assert str(error.value) == words
