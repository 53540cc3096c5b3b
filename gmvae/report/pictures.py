"""Pictures inside a page: PNG, written out in the address of the image."""

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor

# Pixels to a side of an image among others: what it shows can be told, and some hundred of them in
# colour take 2 MB.
LARGEST_SIDE = 48


@dataclass(frozen=True)
class Picture:
    """A picture on a page.

    Attributes:
        png: the bytes of the file.
        words: what it shows, for who does not see it.
    """

    png: bytes
    words: str

    @property
    def address(self) -> str:
        """All of it as a data address."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode('ascii')}"


def png(figure: "Figure") -> bytes:
    """A figure as the bytes of a PNG file."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def as_picture(image: "Tensor") -> Image.Image:
    """An image (C, H, W) in [0, 1]: grey, or in colour where it has three channels or four."""
    pixels = np.moveaxis(image.numpy(), 0, 2)
    if pixels.shape[2] not in (1, 3, 4):
        pixels = pixels.mean(axis=2, keepdims=True)
    shown = np.rint(pixels * 255).astype(np.uint8)
    return Image.fromarray(shown[:, :, 0] if shown.shape[2] == 1 else shown)


def thumbnail(image: "Tensor", words: str) -> Picture:
    """An image (C, H, W) in [0, 1] among others; a large one is made smaller."""
    picture = as_picture(image)
    picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    file = io.BytesIO()
    picture.save(file, format="png")
    return Picture(file.getvalue(), words)
