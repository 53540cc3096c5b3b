"""Devices: told by what they can do, and never asked for double precision."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toys import random_images, seeded, tiny

from gmvae.data import Images
from gmvae.diagnostics import nuts
from gmvae.diagnostics.draws import _draw
from gmvae.posterior import Effort
from gmvae.posterior.block import ROUTES
from gmvae.posterior.routes import Batch, Plan
from gmvae.posterior.target import points
from gmvae.probability.bayesian import variational_start
from gmvae.settings import Settings
from gmvae.support import checks
from gmvae.support.errors import ArgumentError
from gmvae.training import fitting
from gmvae.training.phases import PixelAxes
from gmvae.training.state import begin


@pytest.mark.parametrize("name", ["hpu", "privateuseone", "hip", "fpga", "vulkan", "opengl"])
def test_a_device_that_is_not_there_is_one_short_line(name):
    with pytest.raises(ArgumentError) as caught:
        checks.device(name)
    assert str(caught.value) == (
        "`device` expected a device that torch can compute on here, such as cpu or cuda; got "
        f"{name!r}. Name another, or leave it out."
    )


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (AssertionError("Torch not compiled. Ensure that"), " (Torch not compiled)"),
        (RuntimeError("No driver.\nMore"), " (No driver)"),
        (ModuleNotFoundError("No module named 'torch.hpu'"), ""),
        (ValueError("x" * 121), ""),
        (OSError("x" * 120), f" ({'x' * 120})"),
    ],
)
def test_whatever_torch_raises_is_a_refusal(error, why, monkeypatch):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(torch, "ones", refuse)
    with pytest.raises(ArgumentError) as caught:
        checks.device("mps")
    assert str(caught.value) == (
        "`device` expected a device that torch can compute on here, such as cpu or "
        f"cuda{why}; got 'mps'. Name another, or leave it out."
    )


def test_the_pixels_axes_need_nothing_of_the_device():
    """On ``meta`` nothing can be computed: what would be put there is lost."""
    images = Images(random_images(40, (1, 6, 5)).numpy())
    gmvae = tiny(image_shape=(1, 6, 5))
    state = begin(gmvae, Settings(), np.full(40, -1), None)
    expected = PixelAxes().run(state, images).pixels
    elsewhere = begin(gmvae.to("meta"), Settings(), np.full(40, -1), None)
    pixels = PixelAxes().run(elsewhere, images).pixels
    assert pixels.dtype == np.float64
    np.testing.assert_array_equal(pixels, expected)


class TestDoubles:
    """Made on the CPU alone: a device such as Apple's has none."""

    @pytest.fixture(autouse=True)
    def no_doubles_but_on_the_cpu(self, monkeypatch):
        """A tensor counts as on the CPU where ``cpu`` was asked for."""

        class OnTheCPU(torch.Tensor):
            pass

        def cpu(tensor):
            return tensor.as_subclass(OnTheCPU)

        def double(tensor):
            if not isinstance(tensor, OnTheCPU):
                raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
            return to_double(tensor).as_subclass(OnTheCPU)

        to_double = torch.Tensor.double
        monkeypatch.setattr(torch.Tensor, "cpu", cpu)
        monkeypatch.setattr(torch.Tensor, "double", double)

    def test_of_posterior_draws(self):
        gmvae = tiny()
        with torch.no_grad():
            _, _, log_weights, _, gap_y = _draw(gmvae.model, gmvae.guide, random_images(4), 3)
        assert (log_weights.dtype, gap_y.dtype) == (np.float64, np.float64)

    def test_of_a_posterior(self):
        gmvae = tiny()
        with torch.no_grad():
            shared = points(gmvae.model, (1, 3, 4), seeded())
            plan = Plan(50, Effort(), True)
            pair = gmvae.model, gmvae.guide
            block = Batch(*pair, random_images(4), shared, plan, seeded()).answer()
        assert block.mean.dtype == np.float64
        assert (block.route < ROUTES.index("unresolved")).all()

    def test_of_the_weights_of_draws_around_chains(self):
        gmvae = tiny()
        z = torch.randn(2, 10, 4, 2)
        with torch.no_grad():
            _, _, log_evidence, _ = nuts._weighted(
                gmvae.model, random_images(4), z, torch.ones(4, 2)
            )
        assert (log_evidence.shape, log_evidence.dtype) == ((4,), np.float64)

    def test_of_the_start_of_a_bayesian_mixture(self):
        weights, _, _ = variational_start(torch.randn(60, 2), 3, 0)
        assert weights.sum().item() == pytest.approx(1)


class TestGenerators:
    """A fake accelerator, whose module keeps a state as torch's do."""

    @pytest.mark.parametrize("kind", ["mps", "xpu"])
    def test_that_of_the_device_goes_on_from_where_it_was(self, kind, monkeypatch):
        asked = []
        module = SimpleNamespace(
            device_count=lambda: 1,
            is_available=lambda: True,
            get_rng_state=lambda device: asked.append(("get", str(device))) or torch.tensor([5]),
            set_rng_state=lambda state, device: asked.append((state.item(), str(device))),
        )
        monkeypatch.setattr(torch, kind, module)
        monkeypatch.setattr(torch, "manual_seed", lambda seed: asked.append(("seed", seed)))
        with fitting._seeded(3, torch.device(kind, 0)):
            pass
        assert asked == [("get", f"{kind}:0"), ("seed", 3), (5, f"{kind}:0")]

    def test_those_of_accelerators_are_left_alone_by_a_run_on_the_cpu(self, monkeypatch):
        monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("all are seeded"))
        before = torch.get_rng_state()
        with fitting._seeded(3, torch.device("cpu")):
            drawn = torch.rand(4)
        assert torch.equal(drawn, torch.rand(4, generator=torch.Generator().manual_seed(3)))
        assert torch.equal(torch.get_rng_state(), before)
