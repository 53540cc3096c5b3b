"""What the clusters are looked for in: a learned representation, and the pixels beside it.

Shapes: N images, P pixels, A principal axes of them, W dimensions of the learned part.
"""

import numpy as np
from sklearn.decomposition import PCA

from gmvae.training.arrays import Array

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


def beside(representation: Array, pixels: Array, share: float = PIXEL_SHARE) -> Array:
    """A learned representation beside what the pixels say, (N, W) and (N, A) to (N, W + A).

    What is learned from views is blind to what they change, and so now and then to what tells two
    kinds of image apart: a crossed 7, sheared, may pass for a 2. The pixels are not. Their
    standard deviation is ``share`` of the learned part's: half of it is enough to part what that
    one lays together, and too little to part what it holds together.
    """
    scales = _scale(representation), _scale(pixels)
    n, width = representation.shape
    both = np.empty((n, width + pixels.shape[1]))
    # In place: of a million images each copy of the two would be another half gigabyte.
    np.divide(representation, scales[0], out=both[:, :width])
    np.divide(pixels, scales[1], out=both[:, width:])
    both[:, width:] *= share
    return both


def _scale(points: Array) -> float:
    """The standard deviation around their mean; 1 if all are the same."""
    deviation = float(np.sqrt(points.var(0).sum()))
    return deviation if deviation > 0 else 1.0
