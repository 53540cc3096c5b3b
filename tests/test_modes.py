"""Whatever modes of torch the caller has set: a fit is the same, and leaves them as they were."""

from contextlib import contextmanager

import numpy as np
import pyro
import pytest
import torch
from conftest import shared_state
from pyro.infer import TraceEnum_ELBO
from torch import nn
from torch.overrides import _get_current_function_mode_stack
from toys import QUERIES, as_tensor, random_images, tiny

from gmvae.data import load
from gmvae.diagnostics.evaluation import evaluate
from gmvae.gmvae import GMVAE
from gmvae.networks import Encoder, MLPFeatures, default_modes
from gmvae.settings import Settings
from gmvae.support.errors import ArgumentError
from gmvae.training.fitting import fit

QUICK = Settings(n_components=3, epochs=2, warmup_epochs=2)


@contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


MODES = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu"),
    "default device": lambda: torch.device("meta"),
}
modes = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)


def all_modes():
    return {**shared_state(), "autocast": torch.is_autocast_enabled("cpu")}


@pytest.fixture(scope="module")
def digits():
    return load("digits", part="train").only([1, 4, 8]).subset(slice(0, 120))


@pytest.mark.usefixtures("quick")
class TestFit:
    @modes
    def test_is_the_same_and_leaves_the_mode_as_it_was(self, digits, mode):
        expected = fit(digits, QUICK).gmvae.state_dict()
        with mode():
            before = all_modes()
            weights = fit(digits, QUICK).gmvae.state_dict()
            assert all_modes() == before
        assert all(torch.equal(weights[name], expected[name]) for name in expected)
        assert not any(weight.is_inference() for weight in weights.values())

    def test_gives_the_mode_back_where_it_fails(self, digits):
        with default_dtype(torch.float64), torch.no_grad():
            with pytest.raises(ArgumentError):
                fit(digits, QUICK, observed=np.array([1]))
            assert (torch.get_default_dtype(), torch.is_grad_enabled()) == (torch.float64, False)

    def test_networks_of_another_precision_are_refused_in_one_line(self, digits):
        encoder = Encoder(MLPFeatures(digits.shape, (8,)), 2).double()
        with pytest.raises(ArgumentError) as caught:
            fit(digits, QUICK, encoder=encoder)
        assert str(caught.value) == (
            "`encoder` expected float32 parameters; got float64. Convert it with encoder.float()."
        )

    def test_networks_that_cannot_be_trained_are_refused_in_one_line(self, digits):
        with torch.inference_mode():
            decoder = nn.Sequential(nn.Linear(2, 64), nn.Unflatten(-1, (1, 8, 8)))
        with pytest.raises(
            ArgumentError, match="`decoder` expected parameters that can be trained"
        ):
            fit(digits, QUICK, decoder=decoder)


@modes
def test_queries_answer_the_same(mode):
    gmvae, x = tiny(), random_images(5)

    def answers():
        generator = torch.Generator().manual_seed(1)
        images, components = gmvae.sample(4, generator=generator)
        of_images = [getattr(gmvae, name)(x) for name in QUERIES]
        return [*of_images, gmvae.elbo(x, generator=generator).elbo, images, components]

    expected = answers()
    with mode():
        said = answers()
    for one, other in zip(said, expected, strict=True):
        torch.testing.assert_close(as_tensor(one), as_tensor(other), rtol=0, atol=0)


@modes
def test_a_model_is_read_as_it_was_written(mode, tmp_path):
    gmvae = tiny()
    gmvae.save(tmp_path)
    with mode():
        loaded = GMVAE.load(tmp_path)
    for name, weight in gmvae.state_dict().items():
        other = loaded.state_dict()[name]
        assert (other.dtype, other.is_inference()) == (weight.dtype, False)
        assert torch.equal(other, weight)


def test_an_evaluation_is_the_same_under_autocast(digits):
    gmvae = tiny(image_shape=digits.shape)
    expected = evaluate(gmvae, digits, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu"):
        said = evaluate(gmvae, digits, generator=torch.Generator().manual_seed(0))
    assert said == expected


def test_nothing_is_entered_where_all_is_as_it_comes(monkeypatch):
    """A context of a device would look at every call of torch, the type is the process's."""
    monkeypatch.setattr(torch, "set_default_dtype", lambda _: pytest.fail("was set"))
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: pytest.fail("was entered"))
    with default_modes():
        assert _get_current_function_mode_stack() == []


class TestStep:
    """Of Pyro's own SVI, on images as they should not be."""

    def step(self, x, **changes):
        gmvae = tiny(**changes)
        svi = gmvae.svi(pyro.optim.Adam({"lr": 1e-3}), TraceEnum_ELBO(max_plate_nesting=1))
        return svi.step(x)

    def test_images_of_another_precision_are_refused_in_one_line(self):
        with pytest.raises(ArgumentError) as caught:
            self.step(random_images(4, dtype=torch.float64))
        # Below it Pyro lists the sites of the trace.
        assert str(caught.value).splitlines()[0] == (
            "`x` expected float32 on cpu, as the parameters; got float64 on cpu. Convert it with "
            "x.to('cpu', torch.float32)."
        )

    def test_images_on_another_device_are_refused_in_one_line(self):
        with pytest.raises(ArgumentError, match=r"expected float32 on cpu.* got float32 on meta"):
            self.step(random_images(4).to("meta"))

    def test_what_an_autocast_brings_together_is_taken(self):
        gmvae, x = tiny(), random_images(4).bfloat16()
        with torch.autocast("cpu"):
            pyro.poutine.trace(gmvae.guide).get_trace(x)
        with pytest.raises(ArgumentError, match="got bfloat16 on cpu"):
            pyro.poutine.trace(gmvae.guide).get_trace(x)
