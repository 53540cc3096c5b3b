"""The latent space: where the images lie, the mixture over them, what is decoded there."""

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator

from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.plots.groups import Told, class_word, component_of_class
from gmvae.plots.mosaic import mosaic, show
from gmvae.plots.plane import (
    Plane,
    ellipse,
    gaussians,
    latent_figure,
    legend,
    limits,
    opacity,
    opacity_handles,
    scatter,
    size,
    write_apart,
)
from gmvae.plots.style import array, long_name, short_name, style, thinned

# Of what is decoded where no image lies: how much of it is seen.
FAINT = 0.25


def latent_space(gmvae: GMVAE, images: Images, told: Told | None = None) -> Figure:
    """The encoded images, coloured by class, or by component where they have no labels.

    A class has the colour that its component has in :func:`mixture`, whose limits these are: the
    two can be laid over each other.

    Args:
        gmvae: the model.
        images: to draw.
        told: what the model says of them, where other pictures have asked it too.
    """
    told = _thinned(gmvae, images, told)
    images = told.images
    plane = Plane.parting(gmvae, told.latents)
    points = plane.project(told.latents)
    if images.labels is None:
        kind, groups = "component", told.components
        values = np.unique(groups).tolist()
        styles, words = values, [short_name(gmvae.component_names, k) for k in values]
    else:
        kind, groups = "class", images.labels
        places = component_of_class(gmvae, images, told.components)
        values = list(images.classes)
        styles, words = list(places.values()), [class_word(images, value) for value in values]
    figure, axes = latent_figure(
        plane,
        f"Latent space: {len(images):,} images, coloured by {kind}",
        limits(points, *gaussians(gmvae, plane)),
        subtitle=f"in bold, in the middle of its images: the {kind}",
    )
    chosen = [points[groups == value] for value in values]
    for of_value, i in zip(chosen, styles, strict=True):
        scatter(axes, of_value, 0.7, i, size(images))
    largest = sorted(range(len(values)), key=lambda i: -len(chosen[i]))
    middles = [np.median(chosen[i], axis=0) for i in largest]
    write_apart(axes, middles, [words[i] for i in largest])
    legend(figure, axes, kind, words, styles=styles)
    return figure


def mixture(gmvae: GMVAE, images: Images, told: Told | None = None) -> Figure:
    """The Gaussians as ellipses at one and two standard deviations, over the encoded images.

    A point has the colour of its most probable component and is fainter the less probable that
    is. Above two latent dimensions the ellipses are those of the projected Gaussians.

    Args:
        gmvae: the model.
        images: to draw.
        told: what the model says of them, where other pictures have asked it too.
    """
    n_components = gmvae.model.prior.n_components
    told = _thinned(gmvae, images, told)
    images = told.images
    top, components = told.sharp.max(1), told.components
    plane = Plane.parting(gmvae, told.latents)
    points = plane.project(told.latents)
    means, covariances = gaussians(gmvae, plane)
    figure, axes = latent_figure(
        plane,
        f"Mixture: {len(images):,} images, coloured by their most probable component",
        limits(points, means, covariances),
        "Gaussians at 1 (solid) and 2 standard deviations (dashed)" + _overlap(gmvae),
    )
    for k in range(n_components):
        chosen = components == k
        scatter(axes, points[chosen], opacity(top[chosen], n_components), k, size(images))
    for k in range(n_components):
        for sigmas in (1, 2):
            axes.add_patch(ellipse(means[k], covariances[k], sigmas, style(k)["color"]))
    weights = array(gmvae.model.prior.weights)
    largest = np.argsort(-weights, kind="stable").tolist()
    write_apart(
        axes, [means[k] for k in largest], [short_name(gmvae.component_names, k) for k in largest]
    )
    legend(
        figure,
        axes,
        "component",
        [
            f"{long_name(gmvae.component_names, k)}, weight {weights[k]:.2f}"
            for k in range(n_components)
        ],
        opacity_handles(n_components),
    )
    return figure


def _thinned(gmvae: GMVAE, images: Images, told: Told | None) -> Told:
    """Of so many images as can be drawn what the model says; no others are asked for it."""
    return Told(gmvae, thinned(images)) if told is None else told.thinned()


def _overlap(gmvae: GMVAE) -> str:
    """The two components whose Gaussians overlap most, and how much."""
    overlap = np.tril(array(gmvae.model.prior.overlap()), -1)
    if len(overlap) < 2:
        return ""
    one, other = np.unravel_index(overlap.argmax(), overlap.shape)
    names = (long_name(gmvae.component_names, int(k)) for k in (other, one))
    return (
        f"\nlargest overlap (Bhattacharyya coefficient): {overlap.max():.2f}, of "
        f"{' and '.join(names)}"
    )


def manifold(gmvae: GMVAE, images: Images, side: int = 16, told: Told | None = None) -> Figure:
    """What the model decodes on a grid of latents, over the range of the encoded images.

    The grid lies in the latent space itself, or above two dimensions in the plane of the two
    axes that part the components most, from the first to the last percentile. What is decoded
    where no image lies is faint, and the means of the components are named.

    Args:
        gmvae: the model.
        images: whose latents give the range.
        side: grid points along each axis, at least 2.
        told: what the model says of the images, where other pictures have asked it too.
    """
    z = _thinned(gmvae, images, told).latents
    plane = Plane.parting(gmvae, z)
    points = plane.project(z)
    low, high = np.quantile(points, (0.01, 0.99), axis=0)
    n_rows = side if z.shape[1] > 1 else 1
    columns = np.linspace(low[0], high[0], side)
    rows = np.linspace(high[1], low[1], n_rows)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    decoded = gmvae.decode(torch.as_tensor(plane.lift(grid), dtype=torch.float32))
    step = (high - low) / np.maximum((side - 1, n_rows - 1), 1) + (high == low)
    limits = np.stack([low - step / 2, high + step / 2])
    # Of two steps to any side: an image of the set is as near as the next but one on the grid.
    near = np.abs((grid[:, None] - points[None]) / step).max(-1).min(1) <= 2
    shade = torch.where(torch.as_tensor(near), 1.0, FAINT)[:, None, None, None]
    decoded = decoded * shade + (1 - shade)
    # Square pixels, whatever the units of the two axes.
    picture = mosaic(decoded, side)
    shape = picture.shape[0] / picture.shape[1]
    figure, axes = latent_figure(
        plane,
        "What the model decodes on a grid in the latent space",
        limits,
        "from the first to the last percentile of the encoded images, along each axis; pale where "
        "none lies",
        shape=shape,
    )
    means, _ = gaussians(gmvae, plane)
    inside = np.flatnonzero(((means >= limits[0]) & (means <= limits[1])).all(1)).tolist()
    width, height = limits[1] - limits[0]
    show(axes, picture, extent=tuple(limits.T.ravel()), aspect=width / height * shape)
    axes.xaxis.set_major_locator(AutoLocator())
    if plane.names[1]:
        axes.yaxis.set_major_locator(AutoLocator())
    write_apart(
        axes, [means[k] for k in inside], [short_name(gmvae.component_names, k) for k in inside]
    )
    return figure
