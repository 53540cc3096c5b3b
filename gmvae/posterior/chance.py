"""Random numbers from the generator of the caller, on the CPU."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Generator, Tensor


def normal(shape: Sequence[int], like: Tensor, generator: Generator | None) -> Tensor:
    """Standard normal numbers, of the kind of ``like``."""
    return torch.randn(tuple(shape), generator=generator, dtype=like.dtype, device=like.device)


def uniform(like: Tensor, generator: Generator | None) -> Tensor:
    """Numbers between 0 and 1, in the shape of ``like``."""
    return torch.rand(like.shape, generator=generator, dtype=like.dtype, device=like.device)


def seed_of(generator: Generator | None) -> int:
    """A seed, drawn: for what takes no generator of torch's."""
    return int(torch.randint(2**62, (), generator=generator))


def numpy_generator(generator: Generator | None) -> np.random.Generator:
    """A source of chance for NumPy, seeded by torch's."""
    return np.random.default_rng(seed_of(generator))
