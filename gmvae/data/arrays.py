"""Arrays of any layout and scale, checked and brought to `Images`."""

import math

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from gmvae.data.classes import as_classes
from gmvae.data.images import Array, Images, pixel_range
from gmvae.support.errors import ContentError

# An axis of so many is taken for the channels: grey, colour, colour and transparency.
CHANNELS = (1, 3, 4)
# The largest pixel of 0-255 below which they are taken to be of another range: of 16 grey values,
# as scikit-learn's digits, or 64. Divided by 255 all would be black, and nothing would say so.
LEAST_WHITE = 64
# Likewise, a quarter, of the 65,535 of 16 bits: cameras that fill 12 or 14 of them stay below.
LEAST_WHITE_16 = 16_384


def from_arrays(
    data: ArrayLike, labels: ArrayLike | None = None, *, name: str = "images"
) -> Images:
    """Return the `Images` that an array of pixels and an array of labels hold.

    ``data`` is ``(N, H, W)``, ``(N, C, H, W)`` or ``(N, H, W, C)``. The channels are the second or
    the last axis: the one of length 1, 3 or 4, else the shorter one; the second where both are
    alike. Integers are 0-255, or 0 and 1 where 1 is the largest, or 0-65535 in uint16; floats are
    in [0, 1], or in 0-255. The largest has to be a quarter of what is white or more: 64 of 255.
    Bytes stay bytes, and bytes or float32 in [0, 1] stay the memory map they may be.

    Args:
        data: pixels.
        labels: ``(N,)`` or ``(N, 1)``: integers, none of them negative, or words, which are
            numbered in their natural order (`Images.class_names`).
        name: what the images are called, also in the error messages.

    Raises:
        ContentError: ``data`` is empty, has another shape, holds no numbers, NaN, infinity or
            values outside the range; or ``labels`` are neither integers nor words, negative or of
            another length.

    Example:
        >>> images = from_arrays(np.array([[[0, 51]], [[255, 0]]]), [1, 4])
        >>> images.shape, images.tensor(slice(0, 1)).max()
        ((1, 1, 2), tensor(0.2000))
    """
    try:
        array = np.asanyarray(data)
    except ValueError as error:
        raise ContentError(
            f"`{name}` expected images of one shape; got a sequence of different ones ({error}). "
            "Bring them to one size."
        ) from error
    array = _channels_first(array, name)
    pixels = scaled(array, white_of(array.dtype, *pixel_range(array, name), name))
    if labels is None:
        return Images(pixels, None, name)
    values, names = as_classes(labels, len(pixels), name)
    return Images(pixels, values, name, names)


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
    if data.ndim == 4:
        return np.moveaxis(data, 3, 1) if _channels_last(data.shape[1], data.shape[3]) else data
    side = math.isqrt(data.shape[1]) if data.ndim == 2 else 0
    flat = side > 1 and side * side == data.shape[1]
    raise ContentError(
        f"`{name}` expected pixels of shape (N, H, W), (N, C, H, W) or (N, H, W, C); got "
        f"{data.shape}. "
        + (
            f"Reshape it to ({len(data)}, {side}, {side})."
            if flat
            else "Rows of numbers that are no images are for gmvae.sklearn."
            if data.ndim == 2
            else "Reshape or slice it."
        )
    )


def _channels_last(second: int, last: int) -> bool:
    """Whether the last axis holds the channels, and not the second."""
    if second in CHANNELS or last in CHANNELS:
        return second not in CHANNELS
    return last < second


def white_of(dtype: DTypeLike, low: float, high: float, name: str) -> int:
    """What stands for white among pixels of that type and range: 1, 255 or 65,535.

    The one rule for pixels, whatever they came in.

    Args:
        dtype: of the pixels as they are stored.
        low: the smallest of all pixels.
        high: the largest.
        name: what holds them, for the error message.

    Raises:
        ContentError: the range is none of those, or so small a part of one that all were black.
    """
    dtype = np.dtype(dtype)
    if low >= 0 and high <= 65_535 and dtype == np.uint16 and high >= LEAST_WHITE_16:
        return 65_535
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
    if dtype.kind != "f":
        return 1 if high == 1 else 255
    if high <= 1:
        return 1
    if high < 2:
        # Overshoot of [0, 1], and no 0-255: divided by 255 every image would be black.
        raise ContentError(
            f"`{name}` expected pixels in 0-255 or in [0, 1]; got floats from {low:g} to "
            f"{high:.9g}. Clip them to [0, 1]."
        )
    return 255


def scaled(pixels: Array, white: int) -> Array:
    """Return uint8 in 0-255 or float32 in [0, 1]: the array itself where it is that already."""
    if pixels.dtype.kind != "f" and white == 1:
        return np.where(pixels != 0, np.uint8(255), np.uint8(0))
    if pixels.dtype.kind != "f" and white == 255:
        return pixels.astype(np.uint8, copy=False)
    if white == 1:
        return pixels.astype(np.float32, copy=False)
    return np.divide(pixels, white, dtype=np.float32)
