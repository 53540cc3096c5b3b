"""Modules that learn, and modules that only answer; and the modes of torch itself."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn


@contextmanager
def in_eval_mode(*modules: nn.Module) -> Iterator[None]:
    """Modules that do not learn, each of their parts afterwards in the mode that it was in."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def default_modes() -> Iterator[None]:
    """Use torch as it is before anyone changes a mode of it; afterwards as it was.

    Within this block, or a function that it decorates: new tensors are float32 on the CPU,
    gradients are recorded, nothing is cast to half precision.
    """
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in _kinds_of_device():
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        # Not where it is the CPU already: a context of a device looks at every call of torch.
        if torch.get_default_device().type != "cpu":
            stack.enter_context(torch.device("cpu"))
        # Of the process, unlike the others: not set where it need not be.
        if (dtype := torch.get_default_dtype()) != torch.float32:
            stack.callback(torch.set_default_dtype, dtype)
            torch.set_default_dtype(torch.float32)
        yield


def _kinds_of_device() -> list[str]:
    """The kinds of device that a process here may compute on."""
    accelerator = torch.accelerator.current_accelerator()
    return ["cpu", *([] if accelerator is None else [accelerator.type])]
