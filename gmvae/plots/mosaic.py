"""Images side by side."""

from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from torch import Tensor

from gmvae.plots.style import Array


def mosaic(images: Tensor, columns: int) -> Array:
    """Images (N, C, H, W) in rows of ``columns``, white between: (H', W') or (H', W', 3 or 4)."""
    if images.shape[1] not in (1, 3, 4):
        images = images.mean(1, keepdim=True)
    tiles = images.clamp(0, 1).permute(0, 2, 3, 1).numpy()
    _, height, width, channels = tiles.shape
    gap = 1
    n_rows = -(-len(tiles) // columns)
    canvas = np.ones((n_rows * (height + gap), columns * (width + gap), channels), np.float32)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (height + gap), (i % columns) * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    whole = canvas[: canvas.shape[0] - gap, : canvas.shape[1] - gap]
    return whole[..., 0] if channels == 1 else whole


def filled(images: Tensor, columns: int) -> Tensor:
    """The images and as many white ones as fill their last row."""
    missing = -len(images) % columns
    return torch.cat([images, images.new_ones(missing, *images.shape[1:])])


def show(axes: Axes, picture: Array, **placing: Any) -> None:
    """A picture, black to white, with nothing drawn around it."""
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest", **placing)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
