"""The parts of `gmvae.posterior`: proposals, climbs and chains, each against what is known."""

import math

import numpy as np
import pytest
import torch
from certified import answer, linear_gaussian, stat, target_of, two_modes
from pyro import distributions as dist
from toys import seeded, tiny

from gmvae.posterior import Effort, chains, modes
from gmvae.posterior.hamiltonian import bridge, sample_chains
from gmvae.posterior.importance import OfPrior, Sample, Weights
from gmvae.posterior.routes import Plan
from gmvae.posterior.student import FREEDOM, StudentMixture
from gmvae.posterior.target import Target, log_prior, points
from gmvae.posterior.work import batch_size, shared_points
from gmvae.support.errors import ArgumentError


def mixture(n=3, n_components=2, d=2, seed=0):
    generator = seeded(seed)
    root = torch.randn(n, n_components, d, d, generator=generator).double()
    tril = torch.linalg.cholesky(root @ root.mT + 0.5 * torch.eye(d))
    loc = 3 * torch.randn(n, n_components, d, generator=generator).double()
    return StudentMixture(torch.randn(n, n_components, generator=generator).double(), loc, tril)


def of_pyro(proposal):
    parts = dist.MultivariateStudentT(float(FREEDOM), proposal.loc, proposal.tril)
    return dist.MixtureSameFamily(dist.Categorical(logits=proposal.logits), parts)


class TestStudentMixture:
    def test_its_density_is_pyros(self):
        proposal = mixture()
        z = 4 * torch.randn(50, 3, 2, dtype=torch.float64)
        assert torch.allclose(proposal.log_prob(z), of_pyro(proposal).log_prob(z))

    def test_a_component_that_is_not_there(self):
        one, two = mixture(n_components=1), mixture()
        logits = torch.tensor([[0.0, -torch.inf]]).double().expand(3, -1)
        padded = StudentMixture(
            logits, *(torch.cat([a, b[:, :1]], 1) for a, b in zip(one[1:], two[1:], strict=True))
        )
        z = torch.randn(50, 3, 2, dtype=torch.float64)
        assert torch.allclose(padded.log_prob(z), one.log_prob(z))
        assert torch.isfinite(padded.refitted(z, torch.full((50, 3), 0.02).double()).tril).all()

    def test_its_draws_have_its_moments(self):
        proposal = mixture()
        z = proposal.sample(200_000, seeded())
        expected = of_pyro(proposal)
        error = expected.variance.sqrt() / math.sqrt(200_000)
        assert ((z.mean(0) - expected.mean).abs() < 4 * error).all()
        assert torch.allclose(z.var(0), expected.variance, rtol=0.03)

    def test_a_refit_finds_the_target(self):
        """From a proposal far off to the mixture whose weights it is given."""
        target, start = mixture(seed=1), mixture(seed=2)
        z = torch.cat([target.sample(300, seeded()), start.sample(300, seeded(1))])
        balance = torch.stack([target.log_prob(z), start.log_prob(z)]).logsumexp(0)
        weights = (target.log_prob(z) - balance).softmax(0)
        before, after = (
            (weights * (target.log_prob(z) - fitted.log_prob(z))).sum(0)
            for fitted in (start, start.refitted(z, weights))
        )
        assert (before > 0.3).all()
        assert (after < 0.3 * before).all()

    def test_one_heavy_draw_makes_no_point_of_it(self):
        proposal = mixture()
        z = proposal.sample(100, seeded())
        weights = torch.full((100, 3), 1e-9, dtype=torch.float64)
        weights[7] = 1
        fitted = proposal.refitted(z, weights)
        assert (fitted.tril.diagonal(dim1=-2, dim2=-1) > 0.05).all()

    def test_a_component_more_lies_where_the_weight_is(self):
        proposal = mixture()
        z = proposal.sample(100, seeded())
        weights = torch.full((100, 3), 1e-3, dtype=torch.float64)
        weights[7], weights[9, 1] = 0.5, 0.9
        grown = proposal.grown(z, weights)
        expected = torch.stack([z[7, 0], z[9, 1], z[7, 2]])
        assert torch.equal(grown.loc[:, -1], expected)
        assert grown.logits.softmax(-1)[:, -1] == pytest.approx(0.2)


def test_draws_of_several_proposals_are_weighted_as_of_their_mixture():
    truth, _ = linear_gaussian(20)
    target, prior = target_of(truth), truth.prior
    sample = Sample(target)
    near = mixture(20)
    with torch.no_grad():
        for proposal, n in ((near, 30), (OfPrior(prior), 50), (near, 20)):
            z = near.sample(n, seeded(n))
            sample.add(proposal, z)
        z, log_joint = sample.z, target.log_joint(sample.z)
        balance = torch.logaddexp(
            math.log(0.5) + near.log_prob(z), math.log(0.5) + log_prior(prior, z)
        )
        assert torch.allclose(sample.log_weights, log_joint - balance)
        some = torch.tensor([4, 11])
        assert torch.equal(sample.at(some).log_weights, sample.log_weights[:, some])


def test_the_target_is_the_joint_by_its_parts():
    gmvae = tiny().eval()
    x = torch.rand(6, 1, 3, 4)
    target = Target(gmvae.model, x)
    target.at_once = 2
    z = torch.randn(5, 6, 2)
    value, slope = target.log_joint_and_slope(z)
    prior = gmvae.model.prior.z_dist().log_prob(z)
    expected = gmvae.model.likelihood(gmvae.model.decoder(z)).log_prob(x) + prior
    assert torch.allclose(value, expected.double(), atol=1e-4)
    step = 1e-2 * torch.randn_like(z)
    with torch.no_grad():
        rise = target.log_joint(z + step) - target.log_joint(z - step)
    assert torch.allclose((2 * slope * step).sum(-1).double(), rise, atol=2e-3)
    with torch.no_grad():
        shared = points(gmvae.model, (1, 3, 4), seeded())
        together = target.log_joint_at(shared)
        apart = target.log_joint(shared.z.unsqueeze(1).expand(-1, 6, -1))
    assert torch.allclose(together, apart, atol=1e-4)


class TestModes:
    def test_a_climb_of_a_gaussian_ends_at_its_mean(self):
        truth, _ = linear_gaussian(20, n_components=1)
        means, covariances = truth.posterior()
        target = target_of(truth)
        start = means[:, 0] + 3 * torch.randn(4, 20, 2, dtype=torch.float64)
        scale = torch.full((20, 2), 0.1).double()
        reach = torch.ones(2).double()
        ends, value = modes.climb(target, start, scale, reach, 60)
        assert (ends - means[:, 0]).abs().max() < 0.03
        around = modes.around(target, ends, value, scale, reach)
        assert (around.logits.isfinite().sum(-1) == 1).all()
        best = around.logits.argmax(-1)
        tril = around.tril[torch.arange(20), best]
        assert torch.allclose(tril @ tril.mT, covariances.expand(20, -1, -1), rtol=0.02, atol=1e-3)

    def test_laplaces_evidence_of_two_modes_is_even(self):
        model, _, x = two_modes()
        target = Target(model, x)
        with torch.no_grad():
            mean = x.flatten(1) @ model.decoder.w
        scale = torch.full((20, 2), 0.1).double()
        start = torch.stack([mean, -mean, mean]).double()
        ends, value = modes.climb(target, start, scale, torch.ones(2).double(), 40)
        around = modes.around(target, ends, value, scale, torch.ones(2).double())
        weights = around.logits.softmax(-1).sort(-1).values
        assert weights[:, 0].max() == 0
        assert torch.allclose(weights[:, 1:], torch.tensor(0.5).double(), atol=0.05)

    def test_starts_are_apart(self):
        gmvae = tiny().eval()
        with torch.no_grad():
            shared = points(gmvae.model, (1, 3, 4), seeded())
            log_joint = Target(gmvae.model, torch.rand(5, 1, 3, 4)).log_joint_at(shared)
        mean = torch.zeros(5, 2).double()
        start = modes.starts(log_joint, shared, mean, 4)
        assert torch.equal(start[0], mean)
        best = shared.z[log_joint.argmax(0)]
        assert torch.equal(start[1], best)
        white = start[1:] / modes.spread(shared)
        gaps = [(white[a] - white[b]).norm(dim=-1).min() for a, b in ((0, 1), (0, 2), (1, 2))]
        assert min(gaps) >= 0.5


class TestChains:
    def drawn(self, n_draws=250, jumps_apart=0.0):
        """Chains on Gaussian posteriors, from starts far off."""
        truth, _ = linear_gaussian(12, n_components=1)
        means, covariances = truth.posterior()
        tril = torch.linalg.cholesky(covariances[0]).expand(12, -1, -1)
        jumps = StudentMixture(
            torch.zeros(12, 1).double(), means + jumps_apart, 0.7 * tril.unsqueeze(1)
        )
        start = means[:, 0] + 2 * torch.randn(4, 12, 2, dtype=torch.float64)
        target = target_of(truth)
        with torch.no_grad():
            out = sample_chains(target, start, 0.5 * tril, jumps, n_draws, 100, seeded())
        return truth, out, jumps, target

    @pytest.mark.parametrize("jumps_apart", [0.0, 30.0])
    def test_they_have_the_moments_of_the_posterior(self, jumps_apart):
        truth, out, _, _ = self.drawn(jumps_apart=jumps_apart)
        means, covariances = truth.posterior()
        z = out.z.numpy()
        ess = chains.effective_size(z)
        sd = covariances[0].diagonal().sqrt().numpy()
        assert ess.min() > 150
        assert chains.rhat(z).max() < 1.05
        scores = (z.mean((0, 1)) - means[:, 0].numpy()) / sd * np.sqrt(ess)
        assert np.abs(scores).max() < 4
        assert np.sqrt((scores**2).mean()) < 1.6
        assert z.std((0, 1)).mean(0) == pytest.approx(sd, rel=0.05)
        assert (out.divergences == 0).all()

    def test_the_bridge_finds_the_evidence(self):
        truth, out, jumps, target = self.drawn()
        flat = out.z.flatten(0, 1)
        with torch.no_grad():
            proposed = jumps.sample(500, seeded())
            of_proposal = target.log_joint(proposed) - jumps.log_prob(proposed)
        of_posterior = out.log_joint.flatten(0, 1) - jumps.log_prob(flat)
        size = torch.full((12,), 400.0).double()
        log_evidence, error = bridge(of_posterior, of_proposal, size)
        scores = (log_evidence - truth.log_evidence()) / error
        assert scores.abs().max() < 4
        assert error.max() < 0.1

    def test_jumps_bring_them_from_mode_to_mode(self):
        """All four begin in one of two modes, a trajectory from which to the other is hopeless."""
        model, _, x = two_modes(6)
        with torch.no_grad():
            mean = (x.flatten(1) @ model.decoder.w).double()
            tril = 0.1 * torch.eye(2).double().expand(6, 2, 2)
            loc = torch.stack([mean, -mean], 1)
            logits = torch.zeros(6, 2).double()
            jumps = StudentMixture(logits, loc, tril.unsqueeze(1).expand(-1, 2, -1, -1))
            start = mean.expand(4, -1, -1)
            target = Target(model, x)
            out = sample_chains(target, start, tril, jumps, 200, 60, seeded())
        right = (out.z.sum(-1) > 0).double().mean((0, 1))
        assert (right - 0.5).abs().max() < 0.1
        assert chains.rhat(out.z.numpy()).max() < 1.05

    def test_a_step_too_long_is_counted_as_divergence(self, monkeypatch):
        monkeypatch.setattr("gmvae.posterior.hamiltonian._StepSizes.update", lambda *_: None)
        truth, _ = linear_gaussian(3, n_components=1)
        means, covariances = truth.posterior()
        wide = 100 * torch.linalg.cholesky(covariances[0]).expand(3, -1, -1)
        jumps = StudentMixture(torch.zeros(3, 1).double(), means, wide.unsqueeze(1))
        with torch.no_grad():
            out = sample_chains(
                target_of(truth), means[:, 0].expand(4, -1, -1), wide, jumps, 10, 0, seeded()
            )
        assert (out.divergences > 10).all()


class TestByChains:
    """What weights cannot certify; here they are not allowed to."""

    FEW = Effort(rounds=3, hmc_draws=300)

    @pytest.fixture
    def no_weights(self, monkeypatch):
        monkeypatch.setattr(Weights, "good", lambda self, *_: np.zeros(len(self.khat), bool))

    def test_they_certify_the_rest(self, no_weights):
        truth, guide = linear_gaussian(15)
        posterior = answer(truth.model, guide, truth.x, effort=self.FEW)
        assert posterior.routes["hmc"] >= 14
        chained = posterior.route == "hmc"
        assert (stat(posterior, "rhat")[chained] <= 1.01).all()
        errors = stat(posterior, "log_evidence_mcse")[chained]
        scores = (posterior.log_evidence - truth.log_evidence().numpy())[chained] / errors
        assert np.abs(scores).max() < 4
        p_y = truth.log_joint().softmax(-1).numpy()[chained]
        error = np.maximum(stat(posterior, "p_y_mcse")[chained], 1e-3)
        assert (np.abs(posterior.p_y[chained] - p_y) / error).max() < 4

    def test_chains_that_do_not_agree_certify_nothing(self, no_weights, monkeypatch):
        monkeypatch.setattr("gmvae.posterior.chains.rhat", lambda z: np.full(z.shape[2:], 1.02))
        truth, guide = linear_gaussian(4)
        effort = Effort(rounds=1, hmc_draws=20)
        posterior = answer(truth.model, guide, truth.x, effort=effort)
        assert posterior.routes["unresolved"] == 4
        assert (stat(posterior, "rhat") == 1.02).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_same_generator_gives_the_same_answer_in_either_precision(dtype):
    gmvae = tiny().to(dtype)
    x = torch.rand(9, 1, 3, 4)
    state = torch.random.get_rng_state()
    answers = [gmvae.posterior(x, generator=seeded(3)) for _ in range(2)]
    assert answers[0].tree.identical(answers[1].tree)
    assert torch.equal(torch.random.get_rng_state(), state)
    other = gmvae.posterior(x, generator=seeded(4))
    assert not np.array_equal(other.z, answers[0].z)
    assert other.log_evidence == pytest.approx(answers[0].log_evidence, abs=0.3)
    assert not any(p.requires_grad is False or p.grad is not None for p in gmvae.parameters())


@pytest.mark.parametrize(
    ("shape", "n_draws", "n"),
    [
        ((1, 28, 28), 25, 128),
        ((1, 28, 28), 500, 128),
        ((1, 28, 28), 4_000, 16),
        ((1, 8, 8), 10**6, 1),
        ((3, 256, 256), 500, 42),
    ],
)
def test_of_large_images_and_of_many_draws_fewer_at_a_time(shape, n_draws, n):
    assert batch_size(shape, Plan(n_draws, Effort(), False)) == n


def test_blocks_go_on_after_those_that_are_done(monkeypatch):
    """Those that would have followed; chance is where it was, and the points are the first's."""
    monkeypatch.setattr("gmvae.posterior.work._IMAGES", 4)
    gmvae, x, paces = tiny(), torch.rand(10, 1, 3, 4), []
    generator = seeded()
    shared = shared_points(gmvae.model, (1, 3, 4), generator)
    blocks = gmvae.posterior_blocks(x, 50, generator=seeded())
    for first in (0, 4, 8):
        state = generator.get_state()
        rest = gmvae.posterior_blocks(
            x, 50, generator=generator, shared=shared, first=first, callback=paces.append
        )
        expected, found = next(blocks), next(rest)
        assert all(
            np.array_equal(array, found.arrays()[name], equal_nan=True)
            for name, array in expected.arrays().items()
        )
        assert not torch.equal(generator.get_state(), state)
    assert [(now.done, now.total) for now in paces] == [(4, 10), (4, 6), (2, 2)]


def test_how_far_it_has_come():
    gmvae = tiny()
    paces = []
    gmvae.posterior(torch.rand(130, 1, 3, 4), callback=paces.append)
    assert [(now.done, now.total) for now in paces] == [(128, 130), (130, 130)]
    assert sum(paces[-1].routes.values()) == 130
    assert paces[0].rate == pytest.approx(128 / paces[0].seconds)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n_draws": 24}, "at least 25"),
        ({"effort": 3}, "gmvae.posterior.Effort"),
        ({"generator": 3}, "torch.Generator"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_work(arguments, words):
    with pytest.raises(ArgumentError, match=words):
        tiny().posterior(torch.rand(2, 1, 3, 4), **arguments)
