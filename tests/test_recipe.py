"""The list of phases, by settings."""

from dataclasses import replace

import pytest

from gmvae.settings import Settings
from gmvae.training.phases import (
    Assignment,
    Cells,
    Covering,
    Joint,
    Length,
    PixelAxes,
    Placing,
    Sharpening,
    Start,
    Trial,
    WarmUp,
)
from gmvae.training.recipe import recipe


def test_the_standard_recipe():
    assert recipe() == [
        PixelAxes(n_views=10),
        WarmUp(share=0.25),
        Start(),
        Trial(),
        Assignment(),
        Sharpening(),
        Placing(),
        Joint(length=replace(Joint.length, patience=50)),
        Covering(),
    ]


def test_the_lengths_of_the_standard_phases():
    """Chosen by measurement: a change of one is a change of every figure."""
    assert WarmUp().length == Length(3, 270, 512, 2e-3, most_epochs=300)
    assert Assignment().length == Length(1, 100, 512, 1e-3)
    assert Sharpening().length == Length(12, 150, 512, 1e-3)
    assert Placing().length == Length(1, 120, 256, 1e-3)
    assert Placing().kl_weight == 100.0
    assert Joint().length == Length(9, 1_500, 128, 2e-3, most_epochs=120, bounded=False)
    assert (PixelAxes().side, PixelAxes().n_images) == (32, 4_000)
    assert (WarmUp().embedding_dim, Assignment().smoothing, Placing().gap) == (32, 0.1, 5.0)
    assert (Sharpening().sharp, Sharpening().classification_weight) == (0.95, 1.0)
    assert Cells().length == Length(1, 100, 512, 1e-3)
    assert Covering().length == Length(1, 750, 16, 3e-3, patience=10_000, images=8_000)
    assert (Covering().n_simulated, Covering().n_draws, Covering().widening) == (8, 4, 1.15)
    many = Length(4, 1_000, 64, 2e-3, patience=10_000, images=16_000)
    assert Covering.of_many() == Covering(many, n_simulated=2, mixed=False)
    assert (WarmUp().share, Cells().n_views, Cells().n_neighbors) == (0.5, 2, 5)
    assert (Cells().smoothing, Cells().pixel_share, Start().pixel_share) == (0.1, 0.5, 0.5)
    assert Trial() == Trial(Assignment.length, Sharpening.length.scaled(0.5), n_views=8)


@pytest.mark.parametrize("n_images", [2_000, 60_000])
def test_of_two_thousand_images_or_more_cells_come_before_the_start(n_images):
    """The start then looks at what was learned from them alone: the pixels are in the cells.

    Of fewer a trial follows it. The encoder learns to cover the posterior from the images as they
    are.
    """
    few, many = recipe(n_images=1_999), recipe(n_images=n_images)
    assert few == recipe()
    assert many == [
        PixelAxes(),
        WarmUp(),
        Cells(),
        Start(pixel_share=0),
        *few[4:-1],
        Covering.of_many(),
    ]


def test_what_a_user_asks_for_reaches_its_phase():
    settings = Settings(
        epochs=7,
        warmup_epochs=3,
        batch_size=32,
        lr=0.01,
        patience=4,
        information_weight=1.0,
        agreement_weight=2.0,
        classification_weight=3.0,
    )
    _, warm_up, *_, joint, _ = recipe(settings)
    assert warm_up == WarmUp(replace(WarmUp.length, exactly=3), share=0.25)
    length = replace(Joint.length, exactly=7, batch_size=32, lr=0.01, patience=4)
    assert joint == Joint(
        information_weight=1.0, agreement_weight=2.0, classification_weight=3.0, length=length
    )


@pytest.mark.parametrize(
    ("rounds", "n_images", "labels_lead", "expected"),
    [
        (None, 4_000, True, 1),
        (None, 4_001, True, 2),
        (None, 4_001, False, 1),
        (1, 4_001, True, 1),
        (3, 10, False, 3),
    ],
)
def test_rounds(rounds, n_images, labels_lead, expected):
    phases = recipe(Settings(rounds=rounds), n_images, labels_lead=labels_lead)
    assert [p.round for p in phases if isinstance(p, Assignment)] == [*range(1, expected + 1)]
    assert [p.round for p in phases if isinstance(p, Sharpening)] == [*range(1, expected + 1)]


def test_the_last_of_several_rounds_lasts_longest():
    *_, first, sharp, second, sharper, _, _, _ = recipe(Settings(rounds=2))
    assert (first, second) == (Assignment(), Assignment(2, Assignment.length.scaled(2)))
    assert sharp == Sharpening(1, replace(Sharpening.length, epochs=2))
    assert sharper == Sharpening(2)


def test_a_thorough_run_is_three_times_as_long():
    settings = Settings(rounds=2)
    standard, thorough = (
        recipe(changed, 2_000) for changed in (settings, replace(settings, effort="thorough"))
    )
    for phase, other in zip(standard, thorough, strict=True):
        if hasattr(phase, "length"):
            assert other == replace(phase, length=phase.length.scaled(3))
        else:
            assert other == phase


@pytest.mark.parametrize("n_images", [1_999, 2_000])
def test_a_quick_run_spends_its_time_on_what_decides(n_images):
    """No cells, a warm-up of four tenths, assignments of five; the rest a tenth."""
    few, tenth = n_images < 2_000, Sharpening.length.scaled(0.1)
    learning = Assignment.length.scaled(5).scaled(0.1)
    trial = Trial(learning, Trial.sharpening.scaled(0.1))
    assert recipe(Settings(effort="quick", rounds=2), n_images) == [
        PixelAxes(n_views=10 if few else 0),
        WarmUp(WarmUp.length.scaled(4).scaled(0.1), share=0.25 if few else 0.5),
        Start(),
        *([trial] if few else []),
        Assignment(1, learning),
        Sharpening(1, replace(Sharpening.length, epochs=2).scaled(0.1)),
        Assignment(2, Assignment.length.scaled(5).scaled(2).scaled(0.1)),
        Sharpening(2, tenth),
        Placing(Placing.length.scaled(0.1)),
        Joint(length=replace(Joint.length.scaled(0.1), patience=50)),
    ]


def test_epochs_win_over_effort():
    _, warm_up, *_, joint = recipe(Settings(effort="quick", epochs=40, warmup_epochs=30))
    assert warm_up.length.schedule(100).epochs == 30
    assert joint.length.schedule(100).epochs == 40
