"""The contrast against a loop by hand; the pairs against who is near whom."""

import math

import numpy as np
import pytest
import torch
from toys import random_images

from gmvae.data import Images
from gmvae.data.views import Affine, unchanged
from gmvae.training.contrast import contrastive_loss, pairs_of


@pytest.mark.parametrize(("tau", "given"), [(0.2, [0.2]), (0.5, [])], ids=["given", "default"])
def test_the_loss_is_the_sum_by_hand(tau, given):
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    rows = [row / row.norm() for row in (*a, *b)]
    losses = []
    for i, u in enumerate(rows):
        others = [math.exp(u @ v / tau) for j, v in enumerate(rows) if j != i]
        partner = math.exp(u @ rows[(i + 5) % 10] / tau)
        losses.append(-math.log(partner / sum(others)))
    assert contrastive_loss(a, b, *given).item() == pytest.approx(np.mean(losses), abs=1e-12)


def test_pairs_told_apart_and_pairs_that_are_all_one():
    """Partners alike and others orthogonal: ln(1 + 2 e^-1/tau); all alike: ln 3."""
    a = torch.eye(2, dtype=torch.float64)
    apart = math.log(1 + 2 * math.exp(-1 / 0.25))
    assert contrastive_loss(a, a, 0.25).item() == pytest.approx(apart, abs=1e-12)
    assert contrastive_loss(7 * a, a, 0.25).item() == pytest.approx(apart, abs=1e-12)
    same = torch.ones(2, 3, dtype=torch.float64)
    assert contrastive_loss(same, same, 0.25).item() == pytest.approx(math.log(3), abs=1e-12)


def test_views_are_two_different_ones_of_the_same_images():
    images = Images(random_images(4).float().numpy())
    x, near = images.tensor(), np.array([[1], [2], [3], [0]])
    generator = torch.Generator().manual_seed(3)
    a, b = pairs_of(images, near, 0.0, Affine(), generator)(x, torch.arange(4))
    again = torch.Generator().manual_seed(3)
    torch.randint(1, (4,), generator=again)
    torch.rand(4, generator=again)
    assert torch.equal(a, Affine()(x, again))
    assert torch.equal(b, Affine()(x, again))
    assert not torch.equal(a, b)


def test_partners_are_drawn_from_the_neighbours():
    images = Images(random_images(6).float().numpy())
    near = np.array([[1, 2], [2, 0], [0, 1], [4, 5], [5, 3], [3, 4]])
    pairs = pairs_of(images, near, 1.0, unchanged, torch.Generator().manual_seed(0))
    rows = torch.tensor([5, 0, 3])
    x = images.tensor(rows.numpy())
    drawn = set()
    for _ in range(50):
        same, partners = pairs(x, rows)
        assert torch.equal(same, x)
        for row, partner in zip(rows.tolist(), partners, strict=True):
            (other,) = (i for i in range(6) if torch.equal(images.tensor([i])[0], partner))
            drawn.add((row, other))
    assert drawn == {(row, other) for row in (5, 0, 3) for other in near[row].tolist()}


def test_so_many_pairs_are_of_two_images():
    """A quarter of 4,000: within four standard errors, .007 each."""
    images = Images(random_images(2).float().numpy())
    rows = torch.zeros(4_000, dtype=torch.int64)
    x = images.tensor(rows.numpy())
    near = np.array([[1], [0]])
    _, partners = pairs_of(images, near, 0.25, unchanged, torch.Generator().manual_seed(0))(x, rows)
    of_two = (partners != x).flatten(1).any(1)
    assert torch.equal(partners[of_two][0], images.tensor([1])[0])
    assert of_two.float().mean() == pytest.approx(0.25, abs=0.028)


def test_both_of_a_pair_are_views():
    images = Images(random_images(6).float().numpy())
    near = np.array([[1], [2], [3], [4], [5], [0]])
    darker = pairs_of(images, near, 1.0, lambda x, generator: x / 2)
    x, rows = images.tensor(), torch.arange(6)
    own, partners = darker(x, rows)
    assert torch.equal(own, x / 2)
    assert torch.equal(partners, x.roll(-1, 0) / 2)


def test_the_generator_decides_the_partners():
    """A draw of a column of neighbours an image: with torch's own generator left alone."""
    images = Images(random_images(6).float().numpy())
    near = np.array([[1, 2, 3], [2, 0, 3], [0, 1, 4], [4, 5, 1], [5, 3, 0], [3, 4, 1]])
    rows = torch.tensor([4, 1, 1, 0, 2, 5, 3])
    before = torch.get_rng_state()
    pairs = pairs_of(images, near, 1.0, unchanged, torch.Generator().manual_seed(8))
    x = images.tensor(rows.numpy()).double()
    _, partners = pairs(x, rows)
    assert torch.equal(torch.get_rng_state(), before)
    columns = torch.randint(3, (7,), generator=torch.Generator().manual_seed(8))
    expected = images.tensor(near[rows.numpy(), columns.numpy()])
    assert partners.dtype == torch.float64
    assert torch.equal(partners.float(), expected)
