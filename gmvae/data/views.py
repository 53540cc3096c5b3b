"""Transformed views of images: other pictures of the same thing."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

View = Callable[[Tensor, Generator | None], Tensor]


@dataclass(frozen=True)
class Affine:
    """A random affine view of each image: small rotation, shear, scaling and shift.

    Each number is the half-width of a uniform range around no change; pixels from outside the
    image are the nearest of its border, as a background goes on, and the rest is interpolated
    bilinearly. Black ones give a view away wherever the background is not black: of 2,500 of MNIST
    on gradients of grey .53 were right at the start, and .71 are; of the digits in black on white
    .88 and .93. The defaults are a convention: a digit moved so far is still read as the same. Half
    as much is better for MNIST's ten classes (.975 of 6,000, not .966) and worse for 4,800, 960 and
    240 of its 1, 4 and 8, where the slanted 1s stay apart (.82, not .997; one seed each).

    Attributes:
        rotation: degrees.
        shear: horizontal displacement per height.
        scaling: relative, of each side on its own.
        shift: fraction of the side, of each side on its own.
    """

    rotation: float = 20.0
    shear: float = 0.3
    scaling: float = 0.2
    shift: float = 0.09

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Views (B, C, H, W) of images (B, C, H, W), one each.

        Args:
            x: the images.
            generator: the source of the draws, on the CPU; torch's own by default.
        """
        grid = F.affine_grid(self.matrices(len(x), generator).to(x), list(x.shape), False)
        return sampled(x, grid)

    def fixed(self, x: Tensor, n: int) -> list[Tensor]:
        """N views of all images (B, C, H, W), the same ones of every image, whenever it is asked.

        Args:
            x: the images.
            n: how many views.
        """
        height, width = x.shape[-2:]
        grid = F.affine_grid(self.fixed_matrices(n).to(x), [n, 1, height, width], False)
        # The images as channels of one: where a pixel comes from is worked out once a view, and
        # not once an image, which would take five times as long.
        planes = x.reshape(1, -1, height, width).expand(n, -1, height, width)
        views = sampled(planes, grid)
        return list(views.reshape(n, *x.shape))

    def fixed_matrices(self, n: int) -> Tensor:
        """The maps (n, 2, 3) of these views."""
        return self.matrices(n, Generator().manual_seed(0))

    def matrices(self, n: int, generator: Generator | None = None) -> Tensor:
        """Random maps (n, 2, 3) from places in the view to places in the image, in [-1, 1]."""
        u = torch.rand(n, 6, generator=generator) * 2 - 1
        angle = u[:, 0] * math.radians(self.rotation)
        shear = u[:, 1] * self.shear
        width, height = 1 + self.scaling * u[:, 2], 1 + self.scaling * u[:, 3]
        cos, sin = angle.cos(), angle.sin()
        # rotation @ [[1, shear], [0, 1]] @ diag(width, height); coordinates span 2 sides.
        linear = torch.stack(
            [
                torch.stack([cos * width, (cos * shear - sin) * height], -1),
                torch.stack([sin * width, (sin * shear + cos) * height], -1),
            ],
            dim=1,
        )
        return torch.cat([linear, 2 * self.shift * u[:, 4:].unsqueeze(-1)], dim=-1)


def sampled(x: Tensor, grid: Tensor) -> Tensor:
    """The pixels (B, C, H', W') of images (B, C, H, W) at places (B, H', W', 2) of them."""
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def unchanged(x: Tensor, generator: Generator | None = None) -> Tensor:
    """The images themselves."""
    return x


class OnceABatch:
    """Views that are made once of a batch, and given again whoever asks of the same tensor."""

    def __init__(self, view: View) -> None:
        self.view = view
        self._last: tuple[Tensor, Tensor] | None = None

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Views (B, C, H, W) of images (B, C, H, W), one each."""
        if self._last is None or self._last[0] is not x:
            self._last = x, self.view(x, generator)
        return self._last[1]


AUGMENTATIONS: dict[str, View] = {"affine": Affine(), "none": unchanged}


def kind_of_views(augment: str, image_shape: tuple[int, ...]) -> str:
    """The kind of views that was asked for, but none of images (C, H, W) of one row or column.

    Those are rows of numbers, of which no rotation, shear or shift is the same thing.
    """
    return "none" if min(image_shape[1:]) == 1 else augment
