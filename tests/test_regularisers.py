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


@pytest.mark.parametrize("sizes", [None, [0.5, 0.3, 0.2]])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_its_gradient_is_finite_where_a_component_is_empty(dtype, sizes):
    logits = torch.tensor([[200.0, 0.0, -200.0]] * 4, dtype=dtype).requires_grad_()
    q = logits.softmax(-1)
    mutual_information(q, q, sizes and torch.tensor(sizes, dtype=dtype)).backward()
    assert logits.grad.isfinite().all()


def entropy(shares):
    return -sum(share * math.log(share) for share in shares)


class TestSizesThatAreHeld:
    def test_by_a_sum_written_out(self):
        """Two images, the joint [[.355, .195], [.195, .255]], sizes of .8 and .2."""
        q = torch.tensor([[0.9, 0.1], [0.2, 0.8]], dtype=torch.float64)
        other = torch.tensor([[0.7, 0.3], [0.4, 0.6]], dtype=torch.float64)
        # (.9 + .2 + .7 + .4) / 4 and the rest.
        marginal = (0.55, 0.45)
        diagonal, beside = (0.355, 0.255), 0.195
        conditional = -(
            sum(p * math.log(p / m) for p, m in zip(diagonal, marginal, strict=True))
            + sum(beside * math.log(beside / m) for m in marginal)
        )
        # Two images, and two more of these sizes: m is (.55 + .8) / 2 in the divergence.
        divergence = 0.8 * math.log(0.8 / 0.675) + 0.2 * math.log(0.2 / 0.325)
        expected = entropy((0.8, 0.2)) - conditional - divergence
        sizes = torch.tensor([0.8, 0.2], dtype=torch.float64)
        assert mutual_information(q, other, sizes).item() == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize("counts", [(5, 5, 5), (12, 2, 1), (90, 9, 1)])
    def test_it_is_the_entropy_of_the_sizes_where_a_sure_batch_has_them(self, counts):
        """Its largest value there; no other sizes of a batch reach it."""
        n = sum(counts)
        sizes = torch.tensor(counts).double() / n
        sure = one_hot(np.repeat(range(3), counts))
        best = mutual_information(sure, sure, sizes).item()
        assert best == pytest.approx(entropy([c / n for c in counts]), abs=1e-9)
        for other in ((n - 2, 1, 1), (1, n - 2, 1), (n - 4, 2, 2), (n, 0, 0)):
            if other != counts:
                batch = one_hot(np.repeat(range(3), other))
                assert mutual_information(batch, batch, sizes).item() < best

    def test_where_the_shares_are_the_sizes_it_is_the_information_itself(self):
        q, other = torch.randn(2, 30, K, dtype=torch.float64).softmax(-1)
        marginal = (q.mean(0) + other.mean(0)) / 2
        torch.testing.assert_close(
            mutual_information(q, other, marginal), mutual_information(q, other)
        )

    def test_a_small_component_that_is_dropped_costs(self):
        """One of a hundred: without it H(y | y') stays 0, and the divergence is to be paid.

        Of a hundred images and two more, .02 are counted of the component and 1.98 of the sizes.
        """
        sizes = torch.tensor([0.99, 0.01], dtype=torch.float64)
        kept, dropped = (one_hot(np.repeat([0, 1], [100 - n, n]), 2) for n in (1, 0))
        small = 0.02 / 102
        divergence = 0.99 * math.log(0.99 / (1 - small)) + 0.01 * math.log(0.01 / small)
        best = entropy((0.99, 0.01))
        assert mutual_information(kept, kept, sizes).item() == pytest.approx(best, abs=1e-9)
        without = mutual_information(dropped, dropped, sizes).item()
        assert without == pytest.approx(best - divergence, abs=1e-9)
        # More than the reverse divergence: that is no more than minus the logarithm of .99.
        assert divergence > 2.5 * -math.log(0.99)

    def test_of_uneven_sizes_the_information_itself_prefers_even_ones(self):
        """That is what is mended: 9 : 1 held, 5 : 5 has the larger information."""
        uneven, even = (one_hot(np.repeat([0, 1], counts), 2) for counts in ((90, 10), (50, 50)))
        sizes = torch.tensor([0.9, 0.1], dtype=torch.float64)
        assert mutual_information(even, even) > mutual_information(uneven, uneven)
        assert mutual_information(even, even, sizes) < mutual_information(uneven, uneven, sizes)

    def test_a_guide_s_are_held_to_the_weights_which_learn_nothing_from_it(self):
        gmvae, x = tiny(), random_images(20)
        guide, prior = gmvae.guide, gmvae.model.prior
        term = MutualInformation(3.0, lambda x, generator: x.flip(-1), prior=prior)
        value = term(guide, Batch(x))
        q, of_view = guide.y_dist(x).probs, guide.y_dist(x.flip(-1)).probs
        expected = 3 * mutual_information(q, of_view, prior.weights.detach())
        torch.testing.assert_close(value, expected)
        value.backward()
        assert prior.logits.grad is None


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
