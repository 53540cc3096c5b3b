"""The latent space: where the images lie, the mixture over them, what is decoded there."""

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator

from gmvae.data import Images
from gmvae.gmvae import GMVAE, component_name
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
    write,
)
from gmvae.plots.style import array, short_name, style, thinned


def latent_space(gmvae: GMVAE, images: Images) -> Figure:
    """The encoded images, coloured by class, or by component where they have no labels.

    The limits are those of :func:`mixture`, so that the two can be laid over each other.
    """
    images = thinned(images)
    z = gmvae.encode(images).numpy()
    plane = Plane.of(z)
    points = plane.project(z)
    if images.labels is None:
        kind, groups = "component", gmvae.classify(images).argmax(-1).numpy()
    else:
        kind, groups = "class", images.labels
    figure, axes = latent_figure(
        plane,
        f"Latent space: {len(images):,} images, coloured by {kind}",
        limits(points, *gaussians(gmvae, plane)),
        subtitle=f"in bold, in the middle of its images: the {kind}",
    )
    values = np.unique(groups)
    for i, value in enumerate(values):
        chosen = points[groups == value]
        scatter(axes, chosen, 0.7, i, size(images))
        write(axes, np.median(chosen, axis=0), str(value))
    legend(figure, axes, kind, [str(value) for value in values])
    return figure


def mixture(gmvae: GMVAE, images: Images) -> Figure:
    """The Gaussians as ellipses at one and two standard deviations, over the encoded images.

    A point has the colour of its most probable component and is fainter the less probable that
    is. Above two latent dimensions the ellipses are those of the projected Gaussians.
    """
    images = thinned(images)
    n_components = gmvae.model.prior.n_components
    z = gmvae.encode(images).numpy()
    top, components = (part.numpy() for part in gmvae.classify(images).max(-1))
    plane = Plane.of(z)
    points = plane.project(z)
    means, covariances = gaussians(gmvae, plane)
    figure, axes = latent_figure(
        plane,
        f"Mixture: {len(images):,} images, coloured by their most probable component",
        limits(points, means, covariances),
        "Gaussians at 1 (solid) and 2 standard deviations (dashed)",
    )
    for k in range(n_components):
        chosen = components == k
        scatter(axes, points[chosen], opacity(top[chosen], n_components), k, size(images))
    for k in range(n_components):
        for sigmas in (1, 2):
            axes.add_patch(ellipse(means[k], covariances[k], sigmas, style(k)["color"]))
        write(axes, means[k], short_name(gmvae.component_names, k))
    weights = array(gmvae.model.prior.weights)
    legend(
        figure,
        axes,
        "component",
        [
            f"{component_name(gmvae.component_names, k)}, weight {weights[k]:.2f}"
            for k in range(n_components)
        ],
        opacity_handles(n_components),
    )
    return figure


def manifold(gmvae: GMVAE, images: Images, side: int = 16) -> Figure:
    """What the model decodes on a grid of latents, over the range of the encoded images.

    The grid lies in the latent space itself, or above two dimensions in the plane of the two
    leading principal axes of the encoded images, from the first to the last percentile.

    Args:
        gmvae: the model.
        images: whose latents give the range.
        side: grid points along each axis, at least 2.
    """
    z = gmvae.encode(thinned(images)).numpy()
    plane = Plane.of(z)
    low, high = np.quantile(plane.project(z), (0.01, 0.99), axis=0)
    n_rows = side if z.shape[1] > 1 else 1
    columns = np.linspace(low[0], high[0], side)
    rows = np.linspace(high[1], low[1], n_rows)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    decoded = gmvae.decode(torch.as_tensor(plane.lift(grid), dtype=torch.float32))
    step = (high - low) / np.maximum((side - 1, n_rows - 1), 1) + (high == low)
    limits = np.stack([low - step / 2, high + step / 2])
    # Square pixels, whatever the units of the two axes.
    picture = mosaic(decoded, side)
    shape = picture.shape[0] / picture.shape[1]
    figure, axes = latent_figure(
        plane,
        "What the model decodes on a grid in the latent space",
        limits,
        "from the first to the last percentile of the encoded images, along each axis",
        shape=shape,
    )
    width, height = limits[1] - limits[0]
    show(axes, picture, extent=tuple(limits.T.ravel()), aspect=width / height * shape)
    axes.xaxis.set_major_locator(AutoLocator())
    if plane.names[1]:
        axes.yaxis.set_major_locator(AutoLocator())
    return figure
