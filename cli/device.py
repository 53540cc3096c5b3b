"""``--device``."""


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
