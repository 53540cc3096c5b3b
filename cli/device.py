"""``--device``."""

import os

from .processes import n_processes


def named_device(name: str) -> str:
    """A device of torch that works here; ``auto`` is CUDA where there is one, else the CPU.

    Raises:
        ArgumentError: torch does not know the device, or cannot reach it.
    """
    import torch

    from gmvae.support import checks

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return str(checks.device(name))


def own_device(name: str) -> str:
    """The same for this process: of several each takes a graphics card of its own.

    Raises:
        ArgumentError: torch does not know the device, or cannot reach it.
    """
    if n_processes() == 1:
        return name
    kind = named_device(name).partition(":")[0]
    return f"{kind}:{os.environ['LOCAL_RANK']}" if kind == "cuda" else kind
