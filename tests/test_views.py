"""Views are the affine maps they say they are."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from toys import tiny

from gmvae.data import Images
from gmvae.data.views import AUGMENTATIONS, Affine, OnceABatch, Photograph, unchanged
from gmvae.settings import Settings
from gmvae.training.fitting import fit
from gmvae.training.state import begin

STILL = Affine(rotation=0, shear=0, scaling=0, shift=0)


@pytest.mark.parametrize(
    ("shape", "augment"),
    [((1, 1, 13), "none"), ((3, 13, 1), "none"), ((1, 1, 1), "none"), ((1, 2, 2), "affine")],
)
def test_of_one_row_or_column_there_are_none(shape, augment):
    gmvae = tiny(image_shape=shape)
    state = begin(gmvae, Settings(augment="affine"), np.full(4, -1), None)
    assert state.augment == augment
    assert state.learns_from_views == (augment == "affine")
    x = torch.rand(4, *shape)
    assert torch.equal(state.view(x, seeded()), x) == (augment == "none")


@pytest.mark.usefixtures("quick")
def test_a_table_as_images_is_trained_without_views():
    rng = np.random.default_rng(0)
    classes = np.arange(90) % 3
    table = 0.1 * rng.random((90, 1, 1, 9))
    table[np.arange(90), 0, 0, classes + 3] = 0.9
    images = Images(table.astype(np.float32))
    settings = Settings(n_components=3, epochs=1, warmup_epochs=20)
    gmvae, plain = (
        fit(images, dataclasses.replace(settings, augment=augment)).gmvae.state_dict()
        for augment in ("affine", "none")
    )
    assert all(torch.equal(gmvae[name], plain[name]) for name in gmvae)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 9), (1, 28, 28)])
def test_no_change_is_the_identity(shape):
    x = torch.rand(4, *shape)
    torch.testing.assert_close(STILL(x), x, atol=1e-5, rtol=0)
    assert unchanged(x) is x


@pytest.mark.parametrize("view", AUGMENTATIONS.values(), ids=list(AUGMENTATIONS))
def test_views_are_images_again(view):
    x = torch.rand(50, 2, 9, 7)
    views = view(x, seeded())
    assert views.shape == x.shape
    assert views.min() >= 0
    assert views.max() <= 1
    torch.testing.assert_close(views, view(x, seeded()))


def test_each_image_has_its_own_view():
    x = torch.rand(1, 1, 9, 9).expand(5, -1, -1, -1)
    views = Affine()(x)
    assert all(not torch.equal(views[0], views[i]) for i in range(1, 5))
    assert not torch.equal(Affine()(x), views)


def test_a_generator_leaves_torchs_own_alone():
    before = torch.get_rng_state()
    Affine()(torch.rand(2, 1, 4, 4, generator=seeded()), seeded())
    assert torch.equal(before, torch.get_rng_state())


def test_matrices_are_within_their_ranges():
    m = Affine(10.0, 0.15, 0.1, 0.09).matrices(10_000, seeded())
    linear, shift = m[..., :2], m[..., 2]
    assert shift.abs().max() <= 2 * 0.09
    assert shift.abs().max() > 2 * 0.089
    areas = torch.linalg.det(linear)
    assert areas.min() >= 0.9**2
    assert areas.max() <= 1.1**2
    # The first column is a turned and scaled x axis.
    angles = torch.atan2(linear[:, 1, 0], linear[:, 0, 0])
    assert math.radians(9.9) < angles.abs().max() <= math.radians(10) + 1e-6
    assert m.mean(0).sub(torch.eye(2, 3)).abs().max() < 0.01


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (
            {"rotation": 90.0},
            lambda u, m: (m[:, :2] @ m[:, :2].mT - torch.eye(2)).abs().max() < 1e-6,
        ),
        ({"shear": 0.5}, lambda u, m: (torch.linalg.det(m[:, :2, :2]) - 1).abs().max() < 1e-6),
        ({"scaling": 0.5}, lambda u, m: (m[:, 0, 1].abs() + m[:, 1, 0].abs()).max() < 1e-6),
        ({"shift": 0.5}, lambda u, m: (m[..., :2] - torch.eye(2)).abs().max() < 1e-6),
    ],
    ids=["rotation", "shear", "scaling", "shift"],
)
def test_each_part_alone(only, expected):
    none = {"rotation": 0, "shear": 0, "scaling": 0, "shift": 0}
    m = Affine(**(none | only)).matrices(100)
    m = m[..., :2] if "rotation" in only else m
    assert expected(None, m)


def test_a_quarter_turn_is_a_quarter_turn():
    class Turn(Affine):
        def matrices(self, n, generator=None):
            return torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]).expand(n, 2, 3)

    x = torch.rand(2, 1, 6, 6)
    torch.testing.assert_close(Turn()(x), x.rot90(1, (2, 3)), atol=1e-5, rtol=0)


def test_a_shift_moves_pixels_and_the_border_goes_on():
    class Right(Affine):
        def matrices(self, n, generator=None):
            return torch.tensor([[1.0, 0.0, -2 / 5], [0.0, 1.0, 0.0]]).expand(n, 2, 3)

    x = torch.rand(2, 1, 5, 5)
    moved = Right()(x)
    torch.testing.assert_close(moved[..., 1:], x[..., :-1], atol=1e-5, rtol=0)
    torch.testing.assert_close(moved[..., 0], x[..., 0], atol=1e-5, rtol=0)


def test_of_an_image_of_one_colour_all_views_are_the_image():
    """So that no view is known by what lies outside of it."""
    x = torch.rand(6, 3, 1, 1).expand(-1, -1, 7, 9)
    strong = Affine(rotation=80, shear=0.5, scaling=0.5, shift=0.4)
    torch.testing.assert_close(strong(x, seeded()), x, atol=1e-6, rtol=0)
    for view in strong.fixed(x, 3):
        torch.testing.assert_close(view, x, atol=1e-6, rtol=0)


def test_views_of_a_batch_are_made_once():
    view, x, other = OnceABatch(Affine()), torch.rand(3, 1, 8, 8), torch.rand(3, 1, 8, 8)
    generator = torch.Generator().manual_seed(0)
    first = view(x, generator)
    assert view(x, generator) is first
    assert torch.equal(first, Affine()(x, torch.Generator().manual_seed(0)))
    second = view(other, generator)
    assert not torch.equal(second, Affine()(other, torch.Generator().manual_seed(0)))
    # The same pixels in another tensor are another batch.
    assert not torch.equal(view(x.clone(), generator), first)


# A photograph's view that changes nothing, but for what a test asks for.
PLAIN = {"rotation": 0.0, "scaling": 0.0, "crop": 1.0, "jitter": 0.0}


class TestPhotograph:
    def test_every_other_one_is_mirrored(self):
        x = torch.rand(1, 3, 6, 8).expand(400, -1, -1, -1)
        views = Photograph(**PLAIN)(x, seeded())
        mirrored = torch.isclose(views, x.flip(-1), atol=1e-5).flatten(1).all(1)
        as_it_is = torch.isclose(views, x, atol=1e-5).flatten(1).all(1)
        assert (mirrored ^ as_it_is).all()
        assert 0.4 < mirrored.float().mean() < 0.6

    def test_a_part_of_the_sides_is_kept_anywhere_within_the_image(self):
        matrices = Photograph(**(PLAIN | {"crop": 0.5})).matrices(10_000, seeded())
        side, centre = matrices[:, 1, 1], matrices[..., 2]
        torch.testing.assert_close(matrices[:, 0, 0].abs(), side)
        assert 0.5 <= side.min().item() < 0.51
        assert 0.99 < side.max().item() <= 1
        # From edge to edge, and no farther.
        assert (centre.abs() + side[:, None]).max().item() == pytest.approx(1, abs=1e-3)
        assert matrices[:, [0, 1], [1, 0]].abs().max() == 0
        assert centre.mean(0).abs().max() < 0.02

    def test_light_and_colours_change_by_their_factors(self):
        """Of one grey pixel value brightness alone; its range is that of the factor."""
        still = PLAIN | {"jitter": 0.4}
        grey = torch.full((4_000, 3, 2, 2), 0.5)
        bright = Photograph(**still)(grey, seeded()).flatten(1)
        assert (bright.max(1).values - bright.min(1).values).max() < 1e-6
        assert 0.3 <= bright.min().item() < 0.305
        assert 0.695 < bright.max().item() <= 0.7
        # Contrast spreads the pixels of a grey image around their mean, saturation does nothing.
        x = torch.tensor([0.4, 0.6]).reshape(1, 1, 1, 2).expand(4_000, 3, 1, 2)
        views = Photograph(**still)(x, seeded())
        assert (views[:, 0] - views[:, 2]).abs().max() < 1e-6
        ratio = (views[:, 0, 0, 0] - views[:, 0, 0, 1]).abs() / views[:, 0, 0].mean(-1) / 0.4
        assert 0.6 <= ratio.min().item() < 0.61
        assert 1.39 < ratio.max().item() <= 1.401
        # And saturation spreads the channels of one colour, whose contrast does so, too.
        x = torch.tensor([0.4, 0.5, 0.6]).reshape(1, 3, 1, 1).expand(4_000, -1, 2, 2)
        views = Photograph(**still)(x, seeded())[:, :, 0, 0]
        ratio = (views[:, 2] - views[:, 0]) / views[:, 1] / 0.4
        assert 0.36 <= ratio.min().item() < 0.4
        assert 1.9 < ratio.max().item() <= 1.961

    def test_fixed_views_are_of_place_alone(self):
        """So that a portable model, which knows no colours, has the same ones."""
        x = torch.full((2, 3, 5, 5), 0.3)
        for view in Photograph().fixed(x, 4):
            torch.testing.assert_close(view, x, atol=1e-6, rtol=0)
