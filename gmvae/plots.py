"""Pictures of a trained model.

Every function returns a new :class:`matplotlib.figure.Figure` that belongs to no backend and no
global state: ``figure.savefig("latent.png")`` writes it. Colours are told apart by people with
any kind of colour vision (M. A. Petroff, *Accessible color sequences for data visualization*,
2021), and classes and components are named in the picture too.

N images, K components, D latent dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from torch import Tensor

from gmvae.data import Images
from gmvae.gmvae import GMVAE

Array = NDArray[Any]

COLOURS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
# Beyond ten, the colours come again with another marker.
MARKERS = ("o", "s", "^", "D", "P", "X")
# More points than this hide each other: an even share of the images is drawn.
MOST_POINTS = 5_000
DPI = 150


def latent_space(gmvae: GMVAE, images: Images) -> Figure:
    """The encoded images, coloured by class, or by component where they have no labels."""
    images = _thinned(images)
    plane = Plane.of(gmvae, images)
    if images.labels is None:
        groups, kind = gmvae.classify(images).argmax(-1).numpy(), "component"
    else:
        groups, kind = images.labels, "class"
    figure, axes = _square(f"{len(images):,} images in the latent space, by {kind}")
    points = plane.project(gmvae.encode(images).numpy())
    for i, group in enumerate(np.unique(groups)):
        chosen = points[groups == group]
        axes.scatter(*chosen.T, s=14, alpha=0.75, linewidths=0, label=str(group), **_style(i))
        _write(axes, np.median(chosen, axis=0), str(group))
    plane.name(axes)
    _legend(axes, kind)
    return figure


def mixture(gmvae: GMVAE, images: Images) -> Figure:
    """The Gaussians' 1- and 2-sigma ellipses over the encoded images.

    A point has the colour of its most probable component, and is the fainter the less sure that
    is. Above two latent dimensions the ellipses are those of the projected Gaussians.
    """
    images = _thinned(images)
    plane = Plane.of(gmvae, images)
    prior = gmvae.model.prior
    top, components = gmvae.classify(images).max(-1)
    points = plane.project(gmvae.encode(images).numpy())
    figure, axes = _square("The mixture: ellipses at 1 and 2 standard deviations")
    means = plane.project(_array(prior.means))
    covariances = plane.project_covariances(_array(prior.full_covariances))
    weights = _array(prior.weights)
    for k in range(prior.n_components):
        style = _style(k)
        chosen = (components == k).numpy()
        axes.scatter(
            *points[chosen].T,
            s=14,
            alpha=_visibility(top.numpy()[chosen]),
            linewidths=0,
            label=f"{_component(gmvae.component_classes, k)}, weight {weights[k]:.2f}",
            **style,
        )
        for sigmas in (1, 2):
            axes.add_patch(_ellipse(means[k], covariances[k], sigmas, style["color"]))
        _write(axes, means[k], str(k))
    plane.name(axes)
    _legend(axes, "component")
    return figure
