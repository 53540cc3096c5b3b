"""Regularisers against joints worked out by hand and scikit-learn."""

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.metrics import mutual_info_score
from torch.nn import functional as F
from toys import ASSIGNMENTS, K, log_normal, random_images, tiny

from gmvae.training.regularisers import (
    Agreement,
    Batch,
    Classification,
    MutualInformation,
    mutual_information,
)


def one_hot(y, k=K):
    return F.one_hot(torch.as_tensor(y), k).double()


def test_a_joint_by_hand():
    q = torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64)
    other = torch.tensor([[0.7, 0.3], [0.4, 0.6]], dtype=torch.float64)
    # (q^T other + other^T q) / 2B = [[a, b], [b, c]]
    a = (0.9 * 0.7 + 0.2 * 0.4) / 2
    b = ((0.9 * 0.3 + 0.2 * 0.6) + (0.1 * 0.7 + 0.8 * 0.4)) / 4
    c = (0.1 * 0.3 + 0.8 * 0.6) / 2
    first, second = a + b, b + c
    expected = (
        a * math.log(a / first**2)
        + 2 * b * math.log(b / (first * second))
        + c * math.log(c / second**2)
    )
    assert mutual_information(q, other).item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_it_is_at_most_ln_k_and_there_when_sure_and_balanced(k):
    sure = one_hot(torch.arange(k).repeat(4), k)
    assert mutual_information(sure, sure).item() == pytest.approx(math.log(k), abs=1e-9)
    for _ in range(20):
        q = torch.randn(30, k).mul(3).softmax(-1).double()
        assert -1e-12 <= mutual_information(q, q.roll(1, 0)).item() <= math.log(k)


@pytest.mark.parametrize(
    "collapsed",
    [one_hot([1] * 10), torch.full((10, K), 1 / K, dtype=torch.float64)],
    ids=["one", "undecided"],
)
def test_it_is_0_for_a_collapse_and_for_indecision(collapsed):
    assert mutual_information(collapsed, collapsed).item() == pytest.approx(0, abs=1e-12)


def test_on_one_hot_rows_it_is_scikit_learns():
    rng = np.random.default_rng(0)
    y = rng.integers(0, K, 60)
    other = np.where(rng.random(60) < 0.7, y, rng.integers(0, K, 60))
    both_ways = np.r_[y, other], np.r_[other, y]
    value = mutual_information(one_hot(y), one_hot(other)).item()
    assert value == pytest.approx(mutual_info_score(*both_ways), abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_its_gradient_is_finite_where_a_component_is_empty(dtype):
    logits = torch.tensor([[200.0, 0.0, -200.0]] * 4, dtype=dtype).requires_grad_()
    q = logits.softmax(-1)
    mutual_information(q, q).backward()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_mutual_information_of_a_guide(assignment):
    guide, x = tiny(assignment=assignment).guide, random_images(20)
    view = MutualInformation(3.0, lambda x, generator: x.flip(-1))(guide, Batch(x))
    expected = 3 * mutual_information(guide.y_dist(x).probs, guide.y_dist(x.flip(-1)).probs)
    torch.testing.assert_close(view, expected)
    view.backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in guide.parameters())


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_classification_is_the_mean_log_probability_of_the_labels(assignment):
    guide, x = tiny(assignment=assignment).guide, random_images(5)
    y = torch.tensor([0, 2, 1, 1, 0])
    log_q = guide.y_dist(x).logits.log_softmax(-1)
    expected = 4 * log_q[torch.arange(5), y].mean()
    batch = Batch(random_images(3))
    torch.testing.assert_close(Classification(4.0, x, y)(guide, batch), expected)
    flipped = guide.y_dist(x.flip(-1)).logits.log_softmax(-1)[torch.arange(5), y].mean()
    with_view = Classification(4.0, x, y, lambda x, generator: x.flip(-1))(guide, batch)
    torch.testing.assert_close(with_view, (expected + 4 * flipped) / 2)


def test_classification_takes_a_few_labelled_images_a_step():
    class Counting:
        sizes: ClassVar[list[int]] = []

        def y_dist(self, x):
            self.sizes.append(len(x))
            return torch.distributions.Categorical(logits=torch.zeros(len(x), K))

    guide = Counting()
    x, y = random_images(10), torch.zeros(10).long()
    for batch_size in (4, 10, 64):
        value = Classification(1.0, x, y, batch_size=batch_size)(guide, Batch(x))
        assert value.item() == pytest.approx(-math.log(K))
    assert guide.sizes == [8, 20, 20]
    many = random_images(70)
    Classification(1.0, many, torch.zeros(70).long())(guide, Batch(x))
    assert guide.sizes[-1] == 2 * 64


def test_classification_draws_its_images_with_its_generator_and_keeps_their_labels():
    guide, x = tiny().guide, random_images(9)
    y = torch.arange(9) % K
    before = torch.get_rng_state()
    generator = torch.Generator().manual_seed(4)
    term = Classification(
        2.0, x, y, lambda x, g: x + torch.rand(len(x), 1, 1, 1, generator=g), generator, 4
    )
    value = term(guide, Batch(x))
    assert torch.equal(torch.get_rng_state(), before)
    again = torch.Generator().manual_seed(4)
    rows = torch.randperm(9, generator=again)[:4]
    views = x[rows] + torch.rand(4, 1, 1, 1, generator=again)
    log_q = guide.y_dist(torch.cat([x[rows], views])).logits.log_softmax(-1)
    expected = 2 * log_q[torch.arange(8), y[rows].repeat(2)].mean()
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize(
    "term",
    [
        lambda x: Classification(1.0, x, torch.arange(5) % K),
        lambda x: MutualInformation(1.0, lambda x, generator: x.flip(-1)),
    ],
    ids=["classification", "mutual information"],
)
def test_the_network_of_q_of_y_learns_from_it_and_no_other(term):
    gmvae, x = tiny(), random_images(5)
    term(x)(gmvae.guide, Batch(x)).backward()
    moved = {n for n, p in gmvae.named_parameters() if p.grad is not None and p.grad.any()}
    assert {"guide.assigner.logits.weight", "guide.assigner.logits.bias"} <= moved
    assert all(name.startswith("guide.assigner.") for name in moved)


def test_the_views_draw_from_the_generator_of_mutual_information():
    guide, x = tiny().guide, random_images(20)

    def noisy(x, generator):
        return x + torch.rand(x.shape, generator=generator)

    before = torch.get_rng_state()
    value = MutualInformation(3.0, noisy, torch.Generator().manual_seed(2))(guide, Batch(x))
    assert torch.equal(torch.get_rng_state(), before)
    views = noisy(x, torch.Generator().manual_seed(2))
    expected = 3 * mutual_information(guide.y_dist(x).probs, guide.y_dist(views).probs)
    torch.testing.assert_close(value, expected)


def test_both_sides_of_the_mutual_information_learn():
    """Its gradient is that of both: neither images nor views count as given."""
    logits = torch.randn(2, 6, K, dtype=torch.float64, requires_grad=True)

    class Table:
        def y_dist(self, x):
            return torch.distributions.Categorical(logits=logits[int(x)])

    term = MutualInformation(1.0, lambda x, g: x + 1)
    term(Table(), Batch(torch.zeros(()))).backward()
    whole = logits.grad.clone()
    logits.grad = None
    mutual_information(*logits.softmax(-1)).backward()
    torch.testing.assert_close(whole, logits.grad)
    assert (whole.abs().sum((1, 2)) > 0).all()


class TestAgreement:
    def test_it_is_minus_the_cross_entropy_of_the_two_assignments(self):
        gmvae, x = tiny(), random_images(5)
        guide, prior = gmvae.guide, gmvae.model.prior
        torch.manual_seed(1)
        value = Agreement(3.0, prior, lambda x, generator: x.flip(-1))(guide, Batch(x))
        torch.manual_seed(1)
        z = guide.z_dist(x.flip(-1)).rsample()
        parts = zip(prior.means, prior.full_covariances, strict=True)
        density = torch.stack([log_normal(z, mean, covariance) for mean, covariance in parts], -1)
        joint = (prior.weights.log() + density).exp()
        p = joint / joint.sum(-1, keepdim=True)
        expected = 3 * (guide.y_dist(x).probs * p.log()).sum(-1).mean()
        torch.testing.assert_close(value, expected)

    def test_the_latent_learns_from_it_and_the_assignment_does_not(self):
        gmvae = tiny()
        Agreement(1.0, gmvae.model.prior)(gmvae.guide, Batch(random_images(5))).backward()
        moved = {n for n, p in gmvae.named_parameters() if p.grad is not None and p.grad.any()}
        assert any(name.startswith("guide.encoder") for name in moved)
        assert "model.prior.means" in moved
        assert not any(name.startswith(("guide.assigner", "model.decoder")) for name in moved)
        # The weights are the shares of the components, which the bound alone knows.
        assert "model.prior.logits" not in moved

    def test_its_views_come_of_its_generator_and_without_views_of_the_images(self):
        gmvae, x = tiny(), random_images(5)
        guide, prior = gmvae.guide, gmvae.model.prior

        def noisy(x, generator):
            return x + torch.rand(x.shape, generator=generator)

        def by_hand(images):
            z = guide.z_dist(images).rsample()
            log_p = prior.responsibilities(z).log()
            return (guide.y_dist(x).probs * log_p).sum(-1).mean()

        for view, images in (
            ([noisy], noisy(x, torch.Generator().manual_seed(6))),
            ([], x),
        ):
            torch.manual_seed(1)
            options = {"generator": torch.Generator().manual_seed(6)}
            value = Agreement(2.0, prior, *view, **options)(guide, Batch(x))
            torch.manual_seed(1)
            torch.testing.assert_close(value, 2 * by_hand(images))
