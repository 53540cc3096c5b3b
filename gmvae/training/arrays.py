"""The kinds of array that finding clusters is about, and how they are walked through."""

from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Indices: TypeAlias = NDArray[np.int64]
# Where all images lie: in single precision where they are many.
Floats: TypeAlias = NDArray[np.floating[Any]]

# Points at a time: of a hundred numbers each they are 7 MB. A multiple of the 256 that scikit-learn
# takes, so that its sums are those of all points at once.
_AT_ONCE = 8_192


class Points(Protocol):
    """Where N images lie, (N, W): the rows that are asked for, whatever holds them all."""

    def __len__(self) -> int:
        """N."""
        ...

    def __getitem__(self, rows: Any, /) -> Array:
        """Those rows, by a slice or by their numbers, (n, W)."""
        ...


def blocks(n: int) -> Iterator[slice]:
    """The rows of n points in turn, as many at a time as memory should hold."""
    for start in range(0, n, _AT_ONCE):
        yield slice(start, min(start + _AT_ONCE, n))
