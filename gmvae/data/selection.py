"""Some rows of stored pixels, which nobody has copied."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Selection:
    """Rows of an array, read when they are asked for: a part of it that takes no memory.

    What is asked for comes as an array of its own, as NumPy's indexing by numbers does.

    Attributes:
        stored: N rows, which may be a memory map.
        rows: which of them, and in which order, (n,).
    """

    stored: NDArray[Any]
    rows: NDArray[np.int64]

    @property
    def shape(self) -> tuple[int, ...]:
        """As that of an array of these rows."""
        return len(self), *self.stored.shape[1:]

    @property
    def dtype(self) -> np.dtype[Any]:
        """That of the array."""
        return self.stored.dtype

    @property
    def ndim(self) -> int:
        """That of the array."""
        return self.stored.ndim

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any, /) -> NDArray[Any]:
        """Those of the rows: by a slice, by their numbers, by a mask, or by a single number."""
        return np.asarray(self.stored[self.rows[rows]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All of them, for NumPy's functions: a copy."""
        if copy is False:
            raise ValueError("rows of an array that is not copied are no array")
        return np.asarray(self[:], dtype)

    def of(self, rows: slice) -> "Selection":
        """A part of these rows, not copied either."""
        return Selection(self.stored, self.rows[rows])
