"""Many small images as a few large pictures."""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from PIL import Image

from gmvae.data import Images
from gmvae.data.images import rows_at_once
from gmvae.report.pictures import Picture, as_picture

# Values of all images together, a byte each before they are compressed: 20,000 of 28 x 28 fit, and
# a page of them stays below 12 MB. Of more each image is made smaller.
MOST_VALUES = 2**24
# Pixels to a side of a sheet: what every browser and telephone can hold at once.
LARGEST_SHEET = 2_048


@dataclass(frozen=True)
class Sheets:
    """N images in rows, on sheets of the same number of rows and columns but for the last.

    Attributes:
        addresses: of the sheets, as data.
        columns: images in a row.
        rows: rows of a sheet.
        width: of an image, in pixels.
        height: of an image, in pixels.
    """

    addresses: tuple[str, ...]
    columns: int
    rows: int
    width: int
    height: int


def sheets(images: Images) -> Sheets:
    """N images (C, H, W), in their order."""
    channels, height, width = images.shape
    share = math.sqrt(MOST_VALUES / (len(images) * channels * height * width))
    if share < 1:
        height, width = (max(1, int(side * share)) for side in (height, width))
    height, width = (min(side, LARGEST_SHEET) for side in (height, width))
    # No wider than the images are many.
    columns = min(LARGEST_SHEET // width, math.ceil(math.sqrt(len(images))))
    rows = LARGEST_SHEET // height
    pictures = _pictures(images, (width, height))
    n_sheets = math.ceil(len(images) / (columns * rows))
    addresses = tuple(
        _sheet(list(islice(pictures, columns * rows)), columns) for _ in range(n_sheets)
    )
    return Sheets(addresses, columns, rows, width, height)


def _pictures(images: Images, size: tuple[int, int]) -> Iterator[Image.Image]:
    """Each image as a picture of that width and height; a few of them are held at a time."""
    step = rows_at_once(images.shape, 1_024)
    for start in range(0, len(images), step):
        for image in images.tensor(slice(start, start + step)):
            picture = as_picture(image)
            yield picture if picture.size == size else picture.resize(size)


def _sheet(pictures: list[Image.Image], columns: int) -> str:
    """Pictures of one size and mode on a sheet, row by row; its address."""
    width, height = pictures[0].size
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new(pictures[0].mode, (columns * width, rows * height))
    for i, picture in enumerate(pictures):
        row, column = divmod(i, columns)
        sheet.paste(picture, (column * width, row * height))
    file = io.BytesIO()
    sheet.save(file, format="png")
    return Picture(file.getvalue(), "").address
