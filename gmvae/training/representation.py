"""What the clusters are looked for in: a learned representation, and the pixels beside it.

Shapes: N images, P pixels, A principal axes of them, W dimensions of the learned part.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from gmvae.training.arrays import Array, Points, blocks

# As many as scikit-learn advises before t-SNE, by convention: most of what tells images apart, and
# little of the noise.
N_PIXEL_AXES = 50


def principal_axes(pixels: Array) -> tuple[Array, Array]:
    """The mean (P,) of images' pixels (N, P), and up to 50 principal axes, (A, P)."""
    pca = PCA(min(N_PIXEL_AXES, *pixels.shape), svd_solver="full").fit(pixels)
    return pca.mean_, pca.components_


# The axes of a few thousand are those of all.
N_AXES_OF = 4_000
# Measured on a validation part of MNIST's train part, two seeds: with the pixels the start has .953
# where it had .92 to .94 without. scikit-learn's digits lose by as many pixels as learned (.89, not
# .91).
PIXEL_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Beside:
    """Points of several parts side by side, each in a unit of its own: worked out where asked for.

    Of a million images all of them in double precision, in which clusters are looked for, would be
    a gigabyte. What is held are the parts, in whatever precision they came.

    Attributes:
        parts: (N, W) each.
        units: what each part is divided by.
    """

    parts: tuple[Points, ...]
    units: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.parts[0])

    def __getitem__(self, rows: Any, /) -> Array:
        """Those rows, by a slice or by their numbers, in float64."""
        pairs = zip(self.parts, self.units, strict=True)
        return np.concatenate([_double(part[rows]) / unit for part, unit in pairs], axis=1)


def alone(points: Points) -> Beside:
    """The points themselves, in float64 where asked for."""
    return Beside((points,), (1.0,))


def beside(representation: Points, pixels: Points, share: float = PIXEL_SHARE) -> Beside:
    """A learned representation beside what the pixels say, (N, W) and (N, A) to (N, W + A).

    What is learned from views is blind to what they change, and so now and then to what tells two
    kinds of image apart: a crossed 7, sheared, may pass for a 2. The pixels are not. Their
    standard deviation is ``share`` of the learned part's: half of it is enough to part what that
    one lays together, and too little to part what it holds together.
    """
    return Beside((representation, pixels), (_scale(representation), _scale(pixels) / share))


def _scale(points: Points) -> float:
    """The standard deviation around their mean; 1 if all are the same."""
    n = len(points)
    mean = sum(_double(points[rows]).sum(0) for rows in blocks(n)) / n
    squares = sum(((_double(points[rows]) - mean) ** 2).sum(0) for rows in blocks(n))
    deviation = float(np.sqrt(np.sum(squares / n)))
    return deviation if deviation > 0 else 1.0


def _double(points: NDArray[Any]) -> Array:
    return points.astype(np.float64, copy=False)
