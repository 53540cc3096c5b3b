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


@dataclass(frozen=True)
class Photograph(Affine):
    """A random view of each photograph: a part of it, mirrored or not, in other light and colours.

    As :class:`Affine`, mirrored left to right every other time and cut to a part of its sides; then
    its brightness, contrast and saturation change (as ``RandomResizedCrop``,
    ``RandomHorizontalFlip`` and ``ColorJitter`` of ``torchvision.transforms.v2``, each image on its
    own). A 6 that is mirrored is no 6, and where colours tell kinds apart these views hide them.

    Attributes:
        crop: the smallest part of each side that is kept, 0 to 1.
        jitter: the half-width of the uniform range around 1 of three factors: on the pixels, on
            their distance from the image's mean, and on that from their own grey.
    """

    rotation: float = 10.0
    shear: float = 0.0
    scaling: float = 0.1
    shift: float = 0.0
    crop: float = 0.6
    jitter: float = 0.4

    def __call__(self, x: Tensor, generator: Generator | None = None) -> Tensor:
        """Views (B, C, H, W) of images (B, C, H, W), one each, between 0 and 1."""
        moved = super().__call__(x, generator)
        u = torch.rand(3, len(x), 1, 1, 1, generator=generator).to(x) * 2 - 1
        brightness, contrast, saturation = 1 + self.jitter * u
        view = moved * brightness
        mean, grey = view.mean((1, 2, 3), keepdim=True), view.mean(1, keepdim=True)
        view = grey + saturation * (view - grey)
        spread: Tensor = mean + contrast * (view - mean)
        return spread.clamp(0, 1)

    def matrices(self, n: int, generator: Generator | None = None) -> Tensor:
        """Those of :class:`Affine` after a cut to a part of the image, mirrored or not."""
        of_affine = super().matrices(n, generator)
        u = torch.rand(n, 4, generator=generator)
        side = self.crop + (1 - self.crop) * u[:, 0]
        mirrored = torch.where(u[:, 1] < 0.5, -1.0, 1.0)
        # In coordinates of [-1, 1] a part of the sides has so much room on either hand.
        centre = (1 - side).unsqueeze(-1) * (2 * u[:, 2:] - 1)
        linear = of_affine[..., :2] * side[:, None, None]
        linear = linear * torch.stack([mirrored, torch.ones_like(mirrored)], -1)[:, None]
        return torch.cat([linear, of_affine[..., 2:] + centre.unsqueeze(-1)], dim=-1)


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


AUGMENTATIONS: dict[str, View] = {"affine": Affine(), "photo": Photograph(), "none": unchanged}


def kind_of_views(augment: str, image_shape: tuple[int, ...]) -> str:
    """The kind of views that was asked for, but none of images (C, H, W) of one row or column.

    Those are rows of numbers, of which no rotation, shear or shift is the same thing.
    """
    return "none" if min(image_shape[1:]) == 1 else augment
