"""``--device``."""

from gmvae.errors import ArgumentError


def named_device(name: str) -> str:
    """A device of torch that works here; ``auto`` is CUDA where there is one, else the CPU.

    Raises:
        ArgumentError: torch does not know the device, or cannot reach it.
    """
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name).item()
    except Exception as error:
        reason = str(error).splitlines()[0]
        # To a word that is no device torch answers with the list of all that it was ever built for.
        why = "" if reason.startswith("Expected one of") else f" ({reason})"
        raise ArgumentError(
            f"`--device` expected auto, cpu, cuda or another device that torch can reach; got "
            f"{name!r}{why}. Leave it out for auto."
        ) from error
    return name
