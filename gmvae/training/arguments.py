"""What is refused of the arguments of a run, before it begins."""

import torch
from torch import nn

from gmvae.support import checks
from gmvae.support.errors import ArgumentError


def check_modules(**modules: nn.Module | None) -> None:
    """Refuse networks of the user's own whose parameters cannot be trained beside ours.

    Raises:
        ArgumentError: parameters of another precision than float32, or of inference mode.
    """
    for name, module in modules.items():
        for parameter in module.parameters() if isinstance(module, nn.Module) else ():
            if parameter.is_inference():
                raise ArgumentError(
                    f"`{name}` expected parameters that can be trained; got some made under "
                    "torch.inference_mode. Make it outside."
                )
            if parameter.is_floating_point() and parameter.dtype != torch.float32:
                raise ArgumentError(
                    f"`{name}` expected float32 parameters; got {checks.precision(parameter)}. "
                    f"Convert it with {name}.float()."
                )


def check_alone(**modules: nn.Module | None) -> None:
    """Refuse networks beside those of a model to start from.

    Raises:
        ArgumentError: there is one.
    """
    for name, module in modules.items():
        if module is not None:
            raise ArgumentError(
                f"`{name}` expected None beside `start`, which brings its own; got a module. Leave "
                "one of the two out."
            )


def check_callback(callback: object) -> None:
    """Refuse what cannot be told of progress.

    Raises:
        ArgumentError: neither a function nor None.
    """
    if callback is not None and not callable(callback):
        raise ArgumentError(
            f"`callback` expected a function; got {checks.shown(callback)}. Give one that takes a "
            "gmvae.training.loop.Progress."
        )
