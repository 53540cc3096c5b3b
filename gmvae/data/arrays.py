"""Arrays of any layout and scale, checked and brought to `Images`."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gmvae.data.images import Array, Images, pixel_range
from gmvae.support.errors import ContentError

CHANNELS = (1, 3, 4)
# The largest pixel of 0-255 below which they are taken to be of another range: of 16 grey values,
# as scikit-learn's digits, or 64. Divided by 255 all would be black, and nothing would say so.
LEAST_WHITE = 64


def from_arrays(
    data: ArrayLike, labels: ArrayLike | None = None, *, name: str = "images"
) -> Images:
    """Return the `Images` that an array of pixels and an array of labels hold.

    ``data`` is ``(N, H, W)``, ``(N, C, H, W)`` with 1, 3 or 4 channels, or ``(N, H, W, C)`` where
    the second axis cannot be channels. Integers are 0-255, or 0 and 1 where 1 is the largest;
    floats are in [0, 1], or in 0-255. Of 0-255 the largest has to be 64 or more. Bytes stay bytes,
    and bytes or float32 in [0, 1] stay the memory map they may be.

    Args:
        data: pixels.
        labels: ``(N,)`` integers, none of them negative.
        name: what the images are called, also in the error messages.

    Raises:
        ContentError: ``data`` is empty, has another shape, holds no numbers, NaN, infinity or
            values outside the range; or ``labels`` are no integers, negative or of another length.

    Example:
        >>> images = from_arrays(np.full((2, 28, 28), 51.0), [1, 4])
        >>> images.shape, images.tensor().max()
        ((1, 28, 28), tensor(0.2000))
    """
    try:
        array = np.asanyarray(data)
    except ValueError as error:
        raise ContentError(
            f"`{name}` expected images of one shape; got a sequence of different ones ({error}). "
            "Bring them to one size."
        ) from error
    pixels = _scaled(_channels_first(array, name), name)
    return Images(pixels, None if labels is None else _classes(labels, len(pixels), name), name)


def _channels_first(data: Array, name: str) -> Array:
    """Return a view ``(N, C, H, W)`` of numbers."""
    if data.dtype.kind not in "buif":
        raise ContentError(
            f"`{name}` expected pixels that are numbers; got an array of {data.dtype}. "
            "Save one array of uint8 or float32."
        )
    if data.ndim in (3, 4) and data.size == 0:
        raise ContentError(
            f"`{name}` expected images; got an empty array of shape {data.shape}. Add images."
        )
    if data.ndim == 3:
        return data[:, None]
    if data.ndim == 4 and data.shape[1] in CHANNELS:
        return data
    if data.ndim == 4 and data.shape[3] in CHANNELS:
        return np.moveaxis(data, 3, 1)
    side = math.isqrt(data.shape[1]) if data.ndim == 2 else 0
    flat = side > 1 and side * side == data.shape[1]
    raise ContentError(
        f"`{name}` expected pixels of shape (N, H, W), (N, C, H, W) or (N, H, W, C), with C 1, 3 "
        f"or 4; got {data.shape}. "
        + (f"Reshape it to ({len(data)}, {side}, {side})." if flat else "Reshape or slice it.")
    )


def _scaled(pixels: Array, name: str) -> Array:
    """Return uint8 in 0-255 or float32 in [0, 1]: the array itself where it is that already."""
    low, high = pixel_range(pixels, name)
    if low < 0 or high > 255:
        raise ContentError(
            f"`{name}` expected pixels in 0-255 or in [0, 1]; got {low:g} to {high:g}. "
            "Rescale them to one of the two."
        )
    if 2 <= high < LEAST_WHITE:
        raise ContentError(
            f"`{name}` expected pixels in 0-255 or in [0, 1]; got {low:g} to {high:g}, of which "
            "255 would make black. Divide them by what is white."
        )
    if pixels.dtype.kind != "f":
        if high == 1:
            return np.where(pixels != 0, np.uint8(255), np.uint8(0))
        return pixels.astype(np.uint8, copy=False)
    if high <= 1:
        return pixels.astype(np.float32, copy=False)
    if high < 2:
        # Overshoot of [0, 1], and no 0-255: divided by 255 every image would be black.
        raise ContentError(
            f"`{name}` expected pixels in 0-255 or in [0, 1]; got floats from {low:g} to "
            f"{high:.9g}. Clip them to [0, 1]."
        )
    return np.divide(pixels, 255, dtype=np.float32)


def _classes(labels: ArrayLike, n: int, name: str) -> NDArray[np.int64]:
    """Return labels as int64, one for each of ``n`` images."""
    values: NDArray[Any] = np.asarray(labels)
    if values.shape != (n,):
        raise ContentError(
            f"`{name}` expected labels of shape ({n},), one an image; got {values.shape}. "
            "Give each image one label, or leave the labels out."
        )
    if values.dtype.kind not in "iu":
        raise ContentError(
            f"`{name}` expected labels that are integers; got {values.dtype}. "
            "Save them as integers, 0 or more."
        )
    # A negative number marks an unobserved label elsewhere, so it cannot be a class.
    if values.min() < 0:
        raise ContentError(
            f"`{name}` expected labels of 0 or more; got {values.min()}. "
            "Leave out the labels, or the images that have none."
        )
    if values.max() > np.iinfo(np.int64).max:
        raise ContentError(
            f"`{name}` expected labels below 2**63; got {values.max()}. Number the classes from 0."
        )
    return values.astype(np.int64)
