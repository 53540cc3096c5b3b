"""The same seed for every test, and a guard over what the whole process shares."""

import os

# Before torch is imported. Tests work on small tensors, several files at a time: a second thread
# would only wait for the first.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pyro
import pytest
import torch
from cli_toys import digits, elsewhere, named_run, trained_run, unnamed_run  # noqa: F401 (fixtures)

from gmvae.training.recipe import EFFORTS

pyro.enable_validation(True)


def shared_state():
    return {
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "grad mode": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "number of threads": torch.get_num_threads(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        **pyro.settings.get(),
    }


@pytest.fixture(autouse=True)
def guarded():
    """Seed everything before a test; fail it if it changed the state that others see."""
    pyro.set_rng_seed(0)
    before = shared_state()
    yield
    pyro.clear_param_store()
    after = shared_state()
    torch.set_default_dtype(before["default dtype"])
    torch.set_grad_enabled(before["grad mode"])
    torch.set_num_threads(before["number of threads"])
    pyro.settings.set(**{name: before[name] for name in pyro.settings.get()})
    changed = {name: (before[name], after[name]) for name in before if before[name] != after[name]}
    assert not changed, f"the test changed global state (before, after): {changed}"


@pytest.fixture
def quick(monkeypatch):
    """Phases of a few epochs, for what does not depend on their length."""
    monkeypatch.setitem(EFFORTS, "standard", 0.01)
