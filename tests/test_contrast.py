"""The contrast against a loop by hand; the pairs against who is near whom."""

import math

import numpy as np
import pytest
import torch
from toys import random_images

from gmvae.data import Images
from gmvae.data.views import Affine
from gmvae.training.contrast import contrastive_loss, pairs_of_neighbours, pairs_of_views


def test_the_loss_is_the_sum_by_hand():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    rows = [row / row.norm() for row in (*a, *b)]
    losses = []
    for i, u in enumerate(rows):
        others = [math.exp(u @ v / 0.2) for j, v in enumerate(rows) if j != i]
        partner = math.exp(u @ rows[(i + 5) % 10] / 0.2)
        losses.append(-math.log(partner / sum(others)))
    assert contrastive_loss(a, b, 0.2).item() == pytest.approx(np.mean(losses), abs=1e-12)


def test_views_are_two_different_ones_of_the_same_images():
    x = random_images(4)
    generator = torch.Generator().manual_seed(3)
    a, b = pairs_of_views(Affine(), generator)(x, torch.arange(4))
    again = torch.Generator().manual_seed(3)
    assert torch.equal(a, Affine()(x, again))
    assert torch.equal(b, Affine()(x, again))
    assert not torch.equal(a, b)


def test_partners_are_drawn_from_the_neighbours():
    images = Images(random_images(6).float().numpy())
    near = np.array([[1, 2], [2, 0], [0, 1], [4, 5], [5, 3], [3, 4]])
    pairs = pairs_of_neighbours(images, near, torch.Generator().manual_seed(0))
    rows = torch.tensor([5, 0, 3])
    x = images.tensor(rows.numpy())
    drawn = set()
    for _ in range(50):
        same, partners = pairs(x, rows)
        assert torch.equal(same, x)
        for row, partner in zip(rows.tolist(), partners, strict=True):
            (which,) = (i for i in range(6) if torch.equal(images.tensor([i])[0], partner))
            drawn.add((row, which))
    assert drawn == {(row, which) for row in (5, 0, 3) for which in near[row].tolist()}
