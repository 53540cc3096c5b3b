"""Arrays as a page carries them: their bytes, little end first, written as base64."""

import base64

import numpy as np
from numpy.typing import ArrayLike


def packed(values: ArrayLike, kind: str) -> str:
    """The bytes of an array in C order.

    Args:
        values: of any shape.
        kind: of its numbers: ``f4``, ``f8``, ``u2`` or ``u4``.

    Example:
        >>> packed([1, 258], "u2")
        'AQACAQ=='
    """
    return base64.b64encode(np.asarray(values, dtype=f"<{kind}").tobytes()).decode("ascii")
