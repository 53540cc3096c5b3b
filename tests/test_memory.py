"""What is held at a time follows the pixels, and grows little with the number of images."""

import gc
import tracemalloc

import numpy as np
import pytest
import torch
from toys import random_images, tiny

from gmvae.data import Images, images, load
from gmvae.data.images import rows_at_once
from gmvae.probability.likelihood import Gaussian
from gmvae.settings import Settings
from gmvae.training.fitting import fit
from gmvae.training.held_out import hold_out
from gmvae.training.outcome import figures, independent_pixels
from gmvae.training.phases import (
    Assignment,
    Cells,
    Covering,
    Joint,
    Length,
    PixelAxes,
    Placing,
    Start,
    WarmUp,
)
from gmvae.training.phases.sharpening import Sharpening
from gmvae.training.recipe import recipe
from gmvae.training.state import begin

SHAPE = (1, 3, 4)


@pytest.mark.parametrize(
    ("shape", "most", "rows"),
    [
        ((1, 28, 28), 2_500, 2_500),
        ((3, 32, 32), 2_500, 2_500),
        ((3, 64, 64), 512, 512),
        ((3, 128, 128), 512, 170),
        ((3, 256, 256), 512, 42),
        ((3, 256, 256), 5, 5),
        ((3, 2_000, 2_000), 512, 1),
    ],
)
def test_eight_million_pixel_values_at_once(shape, most, rows):
    assert rows_at_once(shape, most) == rows


@pytest.mark.parametrize(
    ("shape", "batch_size", "bounded", "expected", "epochs"),
    [
        ((3, 64, 64), 512, True, 512, 270),
        ((3, 256, 256), 512, True, 42, 39),
        ((3, 2_000, 2_000), 512, True, 8, 9),
        ((3, 2_000, 2_000), 4, True, 4, 8),
        ((3, 256, 256), 512, False, 512, 270),
    ],
)
def test_a_phase_takes_large_images_in_smaller_batches(
    shape, batch_size, bounded, expected, epochs
):
    """Of 256 images 42 at a time are 7 steps an epoch, and 39 epochs are the 270 steps."""
    length = Length(8, 270, batch_size, lr=1e-3, most_epochs=300, bounded=bounded)
    schedule = length.schedule(256, shape)
    assert (schedule.batch_size, schedule.epochs) == (expected, epochs)


def test_only_the_batch_that_is_a_setting_is_not_made_smaller():
    phases = recipe(Settings(batch_size=99))
    bounded = {type(phase): phase.length.bounded for phase in phases if hasattr(phase, "length")}
    assert bounded == {
        WarmUp: True,
        Assignment: True,
        Sharpening: True,
        Placing: True,
        Joint: False,
        Covering: True,
    }


class TestBlocks:
    """Of pixels a few at a time the answers are those of all at once."""

    def few_at_once(self, monkeypatch):
        monkeypatch.setattr(images, "MOST_PIXELS", 5 * 12)

    def state(self, held_out=None):
        return begin(tiny(), Settings(n_components=3), np.full(40, -1), held_out)

    def test_the_axes_of_the_pixels(self, monkeypatch):
        some = Images(random_images(40).numpy())
        expected = PixelAxes().run(self.state(), some).pixels
        self.few_at_once(monkeypatch)
        pixels = PixelAxes().run(self.state(), some).pixels
        np.testing.assert_allclose(pixels, expected, rtol=0, atol=1e-12)

    @pytest.mark.parametrize("likelihood", [tiny().model.likelihood, Gaussian()])
    def test_the_baseline_of_the_bound(self, likelihood, monkeypatch):
        some, others = (Images(random_images(n).numpy()) for n in (40, 23))
        expected = independent_pixels(likelihood, some, others)
        self.few_at_once(monkeypatch)
        assert independent_pixels(likelihood, some, others) == pytest.approx(expected, rel=1e-6)

    def test_queries_and_figures(self, monkeypatch):
        """No network is asked of more than five images; log p(x) decodes as many latents."""
        some = Images(random_images(23).numpy())
        state = self.state(held_out=some)
        expected = state.gmvae.classify(some)
        self.few_at_once(monkeypatch)
        seen = []
        for network in (state.gmvae.guide.encoder, state.gmvae.model.decoder, state.assigner):
            network.register_forward_hook(
                lambda _, arguments, __: seen.append(arguments[0].shape[:-3].numel())
            )
        torch.testing.assert_close(state.gmvae.classify(some), expected)
        figures(state, some)
        assert max(seen) == 5


# One step of some images.
STEP = Length(epochs=1, steps=1, batch_size=64, lr=1e-3, images=64)
PHASES = (
    PixelAxes(),
    WarmUp(STEP),
    Cells(STEP),
    Start(pixel_share=0),
    Assignment(length=STEP),
    Sharpening(length=STEP),
    Placing(STEP),
    Joint(length=STEP),
)


def peak_of_training(folder, n):
    """Bytes that Python and NumPy hold at most while they train on a memory map of n images."""
    path = folder / f"{n}.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (n, 8, 8), np.uint8))
    settings = Settings(n_components=3, network="mlp", held_out=0.1, effort="quick")
    some = load(path)
    gc.collect()
    tracemalloc.start()
    try:
        fit(some, settings, phases=PHASES, checkpoint=folder / str(n))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_an_image_more_costs_training_few_numbers(tmp_path, monkeypatch):
    """Its place on 50 axes of the pixels, 200 bytes, what was learned of it, and some numbers: 307.

    With places in double precision 602; with these once more, side by side, and a copy of the image
    839, on images of 64 bytes.
    """
    monkeypatch.setattr("gmvae.training.phases.phase._IN_DOUBLE", 0)
    # Its square is memory, too, but not more of more images.
    monkeypatch.setattr("gmvae.training.clustering.N_CLUSTERED", 200)
    small, large = (peak_of_training(tmp_path, n) for n in (10_000, 30_000))
    assert (large - small) / 20_000 < 450


def test_a_held_out_part_is_not_held_twice():
    """Of what is trained on and held out nothing is copied, of a memory map or of an array."""
    pixels = np.zeros((4_000, 1, 32, 32), np.uint8)
    tracemalloc.start()
    try:
        train, _, held_out = hold_out(Images(pixels), Settings(held_out=0.25))
        assert (len(train), len(held_out)) == (3_000, 1_000)
        assert tracemalloc.get_traced_memory()[1] < pixels.nbytes / 10
    finally:
        tracemalloc.stop()
