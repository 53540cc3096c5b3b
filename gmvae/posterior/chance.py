"""Random numbers from the generator of the caller, of the kind of a tensor."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor


def normal(shape: Sequence[int], like: Tensor, generator: Generator | None) -> Tensor:
    """Standard normal numbers, where and as ``like`` is."""
    return torch.randn(tuple(shape), generator=generator, dtype=like.dtype, device=like.device)


def uniform(like: Tensor, generator: Generator | None) -> Tensor:
    """Numbers between 0 and 1, in the shape of ``like``."""
    return torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)


def seed_of(generator: Generator | None, device: torch.device) -> int:
    """A seed, drawn: for what takes no generator of torch's."""
    return int(torch.randint(2**62, (), generator=generator, device=device))


def numpy_generator(generator: Generator | None, device: torch.device) -> np.random.Generator:
    """A source of chance for NumPy, seeded by torch's."""
    return np.random.default_rng(seed_of(generator, device))
