"""One file of pictures: what Pillow makes of it, as arrays of the type that the file holds."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gmvae.data.images import Array
from gmvae.support.errors import ContentError
from gmvae.support.names import printable
from gmvae.support.reading import check_regular

if TYPE_CHECKING:
    from PIL import Image

# Pillow's formats and the endings of their names. It opens a file by what it holds, whatever its
# name, and knows formats that start other programs, as EPS does: no others than these.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
PICTURES = {
    *(".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
}
# Pictures too, of which nothing here can be sure to read them.
OTHER_PICTURES = {".avif", ".heic", ".heif", ".jp2", ".jxl"}
# The tag of a TIFF's page that says what it is, and the bit of a smaller copy of another page.
SUBFILE_TYPE, REDUCED = 254, 1
# Pillow's modes whose numbers are no bytes: 16 and 32 bits, and floats.
NUMBERS = ("I", "F")
# Formats that have no more than 16 bits: older versions of Pillow hold those in 32.
OF_16_BITS = ("PNG", "PPM")


def read_pictures(path: Path) -> list[Array]:
    """The pictures in a file, one a page, ``(H, W, C)`` with 1 or 3 channels.

    Bytes come as uint8, 16 bits as uint16, 32 as int32 and floats as float32: what is white among
    them is left to :func:`gmvae.data.arrays.white_of`. Of photographs the orientation is that of
    their EXIF data; what is transparent lies over white; palettes and other colour spaces become
    red, green and blue. Of a JPEG the first picture is read, and of a TIFF no reduced copies.

    Raises:
        ContentError: no picture in one of the formats promised, a damaged one, a pipe or a device,
            or NaN among its floats.
    """
    from PIL import Image

    shown = printable(f"{path.parent.name}/{path.name}")
    check_regular(path)
    try:
        # Of a path Pillow maps an uncompressed TIFF into memory, a turned one at a wrong width.
        with _quiet(), path.open("rb") as file, Image.open(file, formats=FORMATS) as image:
            pages = list(_pages(image))
    except (MemoryError, PermissionError):
        raise
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ContentError(
            f"`{shown}` expected a picture of at most {most:,} pixels; got a larger one. Scale it "
            "down, as all of them."
        ) from error
    # Of damage Pillow's readers raise what their parsing meets: struct.error, KeyError, ...
    except Exception as error:
        raise ContentError(
            f"`{shown}` expected a picture; got a file that Pillow cannot read as one of "
            f"{', '.join(FORMATS)}. Repair or remove it."
        ) from error
    if not all(np.isfinite(page).all() for page in pages):
        raise ContentError(
            f"`{shown}` expected finite pixels; got NaN or infinity. Repair or remove it."
        )
    return pages


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of Pillow's on the screen; whoever set up logging still gets its records.

    It warns of odd metadata, and of half of the number of pixels that it refuses.
    """
    logger, handler = logging.getLogger("PIL"), logging.NullHandler()
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.removeHandler(handler)


def _pages(image: "Image.Image") -> Iterator[Array]:
    """The pictures of an open file in turn."""
    # What follows the first picture of a JPEG are previews and the like.
    n_pages = 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
    for page in range(n_pages):
        if page:
            image.seek(page)
        tags = getattr(image, "tag_v2", {})
        if page == 0 or not tags.get(SUBFILE_TYPE, 0) & REDUCED:
            yield _pixels(image)


def _pixels(image: "Image.Image") -> Array:
    """One picture, as it is to be looked at."""
    from PIL import ImageOps

    # Newer versions of Pillow turn a TIFF while they load it, and the note of its orientation goes.
    image.load()
    in_16_bits = image.mode == "I" and image.format in OF_16_BITS
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith(NUMBERS):
        values = np.asarray(image, np.uint16 if in_16_bits else None)
        return values.astype(values.dtype.newbyteorder("="))[:, :, None]
    is_grey = image.mode in ("1", "L", "LA", "La")
    if image.mode == "1":
        image = image.convert("L")
    if image.has_transparency_data:
        return _over_white(np.asarray(image.convert("LA" if is_grey else "RGBA")))
    pixels = np.asarray(image.convert("L" if is_grey else "RGB"))
    return pixels.reshape(image.height, image.width, -1)


def _over_white(pixels: Array) -> Array:
    """Colour and transparency (H, W, 2 or 4) as it looks on white paper, (H, W, 1 or 3)."""
    colour, opacity = pixels[:, :, :-1].astype(np.float32), pixels[:, :, -1:] / np.float32(255)
    return np.rint(colour * opacity + 255 * (1 - opacity)).astype(np.uint8)
