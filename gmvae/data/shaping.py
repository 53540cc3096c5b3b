"""Images brought to one size and one number of channels."""

from dataclasses import dataclass, replace

import numpy as np

from gmvae.data.images import Array, Images
from gmvae.support import checks
from gmvae.support.errors import ContentError

# Of red, green and blue in the light that we see: ITU-R BT.601, as Pillow has it for its "L".
LUMA = (0.299, 0.587, 0.114)
# Larger images no network here is made for.
LARGEST_SIDE = 4_096


@dataclass(frozen=True)
class Shaping:
    """What is done to each image after it is read.

    Attributes:
        resize: the side of the square that each image becomes: its middle square, scaled by
            bilinear interpolation, over all pixels that fall on one where it becomes smaller; None
            to leave the sizes as they are.
        grey: whether colour becomes grey.

    Raises:
        ArgumentError: a side that is no whole number from 1 to 4,096.
    """

    resize: int | None = None
    grey: bool = False

    def __post_init__(self) -> None:
        if self.resize is not None:
            checks.whole("resize", self.resize, least=1, most=LARGEST_SIDE)

    def __call__(self, pixels: Array, name: str) -> Array:
        """One image (H, W, C), shaped.

        Raises:
            ContentError: neither 1 nor 3 channels, where it is to become grey.
        """
        if self.grey:
            pixels = greyed(pixels, name)
        return pixels if self.resize is None else resized(pixels, self.resize)

    def of_all(self, images: Images) -> Images:
        """All images of a set, shaped."""
        if self == Shaping():
            return images
        rows = [self(np.moveaxis(image, 0, 2), images.name) for image in np.asarray(images.pixels)]
        return replace(images, pixels=np.ascontiguousarray(np.moveaxis(np.stack(rows), 3, 1)))


def greyed(pixels: Array, name: str) -> Array:
    """Red, green and blue (H, W, 3) weighed to one channel (H, W, 1), of the same type.

    Raises:
        ContentError: another number of channels than 1 and 3.
    """
    if pixels.shape[2] == 1:
        return pixels
    if pixels.shape[2] != 3:
        raise ContentError(
            f"`{name}` expected images of 1 or 3 channels to make grey; got {pixels.shape[2]}. "
            "Choose the channels yourself, or leave grey out."
        )
    grey = (pixels @ np.array(LUMA, np.float32))[:, :, None]
    whole = pixels.dtype.kind in "iu"
    return (np.rint(grey) if whole else grey).astype(pixels.dtype)


def resized(pixels: Array, side: int) -> Array:
    """The middle square of an image (H, W, C), scaled to (side, side, C).

    Bytes stay bytes; anything else becomes float32.
    """
    from PIL import Image

    height, width, _ = pixels.shape
    if height == width == side:
        return pixels
    square = min(height, width)
    left, top = (width - square) / 2, (height - square) / 2
    box = (left, top, left + square, top + square)
    kind = np.uint8 if pixels.dtype == np.uint8 else np.float32
    channels = [
        Image.fromarray(np.ascontiguousarray(channel, dtype=kind)).resize(
            (side, side), Image.Resampling.BILINEAR, box
        )
        for channel in np.moveaxis(pixels, 2, 0)
    ]
    return np.stack([np.asarray(channel) for channel in channels], axis=2)
