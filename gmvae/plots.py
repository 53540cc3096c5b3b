"""Pictures of a trained model.

Every function returns a new :class:`matplotlib.figure.Figure`, which belongs to no window and
no global state: ``figure.savefig("latent.png")`` writes it. The colours can be told apart with
any kind of colour vision, and whatever a colour means is written beside it too.

Reference: Petroff, *Accessible color sequences for data visualization*, 2021.

N images (C, H, W), K components, D latent dimensions.
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
from matplotlib.ticker import AutoLocator
from numpy.typing import NDArray
from torch import Tensor

from gmvae.data import Images
from gmvae.gmvae import GMVAE

Array = NDArray[Any]
ComponentClasses = tuple[int | None, ...] | None

COLOURS = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#832db6",
    "#94a4a2",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
# Beyond ten, the colours come again with the next marker.
MARKERS = ("o", "s", "^", "D", "P", "X")
# More points than these only hide each other.
MOST_POINTS = 5_000
DPI = 150


@dataclass(frozen=True)
class Plane:
    """Where a latent of any dimension meets the paper: itself in two, else two principal axes.

    Attributes:
        origin: (D,).
        axes: (2, D), orthonormal; the second is zero where D is 1.
        names: of the two axes.
        description: of the plane, for a title; empty where it is the latent space itself.
    """

    origin: Array
    axes: Array
    names: tuple[str, str]
    description: str = ""

    @classmethod
    def of(cls, z: Array) -> "Plane":
        """The plane that shows latents (N, D) best."""
        d = z.shape[1]
        if d <= 2:
            return cls(np.zeros(d), np.eye(2, d), ("latent 1", "latent 2" if d == 2 else ""))
        origin = z.mean(0)
        _, singular, axes = np.linalg.svd(z - origin, full_matrices=False)
        shares = singular**2 / max(np.sum(singular**2), np.finfo(float).tiny)
        first, second = (
            f"principal axis {i + 1} ({shares[i]:.0%} of the variance)" for i in range(2)
        )
        plane = f"in the plane of the 2 leading principal axes of its {d} dimensions"
        return cls(origin, axes[:2], (first, second), plane)

    def project(self, z: Array) -> Array:
        """(N, D) to (N, 2)."""
        points: Array = (z - self.origin) @ self.axes.T
        return points

    def project_covariances(self, covariances: Array) -> Array:
        """(K, D, D) to (K, 2, 2), those of the projected Gaussians."""
        projected: Array = self.axes @ covariances @ self.axes.T
        return projected

    def lift(self, points: Array) -> Array:
        """(N, 2) to the latents (N, D) that lie there in the plane."""
        latents: Array = self.origin + points @ self.axes
        return latents


def latent_space(gmvae: GMVAE, images: Images) -> Figure:
    """The encoded images, coloured by class, or by component where they have no labels."""
    images = _thinned(images)
    z = gmvae.encode(images).numpy()
    plane = Plane.of(z)
    points = plane.project(z)
    if images.labels is None:
        kind, groups = "component", gmvae.classify(images).argmax(-1).numpy()
    else:
        kind, groups = "class", images.labels
    figure, axes = _latent_figure(plane, f"Latent space: {len(images):,} images by {kind}")
    values = np.unique(groups)
    for i, value in enumerate(values):
        chosen = points[groups == value]
        _scatter(axes, chosen, 0.7, i, _size(images))
        _write(axes, np.median(chosen, axis=0), str(value))
    _legend(figure, kind, [str(value) for value in values])
    return figure


def mixture(gmvae: GMVAE, images: Images) -> Figure:
    """The Gaussians as ellipses at one and two standard deviations, over the encoded images.

    A point has the colour of its most probable component and is fainter the less probable that
    is. Above two latent dimensions the ellipses are those of the projected Gaussians.
    """
    images = _thinned(images)
    prior = gmvae.model.prior
    z = gmvae.encode(images).numpy()
    top, components = (found.numpy() for found in gmvae.classify(images).max(-1))
    plane = Plane.of(z)
    points = plane.project(z)
    means = plane.project(_array(prior.means))
    covariances = plane.project_covariances(_array(prior.full_covariances))
    figure, axes = _latent_figure(
        plane, "The mixture at 1 and 2 standard deviations in the latent space"
    )
    for k in range(prior.n_components):
        chosen = components == k
        opacity = _opacity(top[chosen], prior.n_components)
        _scatter(axes, points[chosen], opacity, k, _size(images))
    for k in range(prior.n_components):
        for sigmas in (1, 2):
            axes.add_patch(_ellipse(means[k], covariances[k], sigmas, _style(k)["color"]))
        _write(axes, means[k], str(k))
    axes.autoscale_view()
    weights = _array(prior.weights)
    _legend(
        figure,
        "component",
        [
            f"{_name(gmvae.component_classes, k)}, weight {weights[k]:.2f}"
            for k in range(prior.n_components)
        ],
    )
    _opacity_legend(figure, prior.n_components)
    return figure


def reconstructions(gmvae: GMVAE, images: Images, n: int = 20) -> Figure:
    """Images above their reconstructions, from all classes alike where there are labels.

    Args:
        gmvae: the model.
        images: to choose from.
        n: how many, at least 1.
    """
    columns = 10
    shown = images.tensor(_spread(images, n))
    pairs = list(zip(shown.split(columns), gmvae.reconstruct(shown).split(columns), strict=True))
    _, height, width = images.shape
    figure = Figure(
        figsize=(9.0, 0.6 + 1.85 * len(pairs) * height / width), dpi=DPI, layout="constrained"
    )
    figure.suptitle("Images and their reconstructions", x=0.01, ha="left", weight="bold")
    for axes, (above, below) in zip(
        figure.subplots(len(pairs), 1, squeeze=False)[:, 0], pairs, strict=True
    ):
        _show(axes, _mosaic(torch.cat([_filled(above, columns), _filled(below, columns)]), columns))
        axes.set_yticks([height / 2, height + 1 + height / 2], ["image", "reconstruction"])
        axes.tick_params(length=0)
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
    z = gmvae.encode(_thinned(images)).numpy()
    plane = Plane.of(z)
    low, high = np.quantile(plane.project(z), (0.01, 0.99), axis=0)
    n_rows = side if z.shape[1] > 1 else 1
    columns = np.linspace(low[0], high[0], side)
    rows = np.linspace(high[1], low[1], n_rows)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    decoded = gmvae.decode(torch.as_tensor(plane.lift(grid), dtype=torch.float32))
    figure, axes = _latent_figure(
        plane, "What the model decodes on a grid in the latent space", 6.5
    )
    step = (high - low) / np.maximum((side - 1, n_rows - 1), 1) + (high == low)
    (left, bottom), (right, top) = low - step / 2, high + step / 2
    # Square pixels, whatever the units of the two axes.
    mosaic = _mosaic(decoded, side)
    aspect = (right - left) / (top - bottom) * mosaic.shape[0] / mosaic.shape[1]
    _show(axes, mosaic, extent=(left, right, bottom, top), aspect=aspect)
    axes.set_adjustable("box")
    axes.xaxis.set_major_locator(AutoLocator())
    axes.yaxis.set_major_locator(AutoLocator())
    return figure


def ambiguous(gmvae: GMVAE, images: Images, n: int = 12) -> Figure:
    """The images with the lowest top responsibility, with their two most probable components.

    Args:
        gmvae: the model.
        images: to choose from.
        n: how many, at least 1.
    """
    responsibilities = gmvae.classify(images)
    rows = responsibilities.max(-1).values.argsort()[:n].numpy()
    columns = min(6, len(rows))
    n_rows = -(-len(rows) // columns)
    figure = Figure(
        figsize=(1.6 * columns + 0.4, 0.5 + 2.15 * n_rows), dpi=DPI, layout="constrained"
    )
    figure.suptitle(
        "The least certain images and their likeliest components", x=0.01, ha="left", weight="bold"
    )
    cells = figure.subplots(n_rows, columns, squeeze=False).ravel()
    for cell, row in zip(cells, rows, strict=False):
        _show(cell, _mosaic(images.tensor(rows[rows == row]), 1))
        cell.set_title(_candidates(responsibilities[row], gmvae.component_classes), fontsize=8)
        if images.labels is not None:
            cell.set_xlabel(f"labelled {images.labels[row]}", fontsize=8)
    for cell in cells[len(rows) :]:
        cell.set_axis_off()
    return figure


def samples(
    images: Tensor, components: Tensor, component_classes: ComponentClasses = None
) -> Figure:
    """Images drawn from the model, in rows by component.

    Args:
        images: (N, C, H, W) in [0, 1], as :meth:`~gmvae.gmvae.GMVAE.sample` draws them.
        components: (N,), their components.
        component_classes: the classes that name the components; None where they have no names.
    """
    columns = int(np.clip(np.ceil(np.sqrt(2 * len(images))), 5, 40))
    drawn = components.unique().tolist()
    groups = [images[components == k] for k in drawn]
    heights = [-(-len(group) // columns) for group in groups]
    _, _, height, width = images.shape
    figure = Figure(
        figsize=(9.0, 0.6 + 8.0 / columns * height / width * sum(heights) + 0.1 * len(groups)),
        dpi=DPI,
        layout="constrained",
    )
    figure.suptitle(
        f"{len(images):,} samples, a row of pictures a component", x=0.01, ha="left", weight="bold"
    )
    cells = figure.subplots(len(groups), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes, k, group in zip(cells[:, 0], drawn, groups, strict=True):
        mosaic = _mosaic(_filled(group, columns), columns)
        _show(axes, mosaic)
        axes.set_yticks([mosaic.shape[0] / 2], [_name(component_classes, k)])
        axes.tick_params(length=0)
    return figure


def _latent_figure(plane: Plane, title: str, width: float = 8.0) -> tuple[Figure, Axes]:
    """A figure whose axes are those of the plane, to one scale."""
    figure = Figure(figsize=(width, 6.5), dpi=DPI, layout="constrained")
    axes: Axes = figure.add_subplot()
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    axes.set_title(plane.description, loc="left", size=10)
    axes.set_xlabel(plane.names[0])
    axes.set_ylabel(plane.names[1])
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_aspect("equal", adjustable="datalim")
    return figure, axes


def _style(i: int) -> dict[str, Any]:
    """Colour and marker of the i-th class or component."""
    rounds, place = divmod(i, len(COLOURS))
    return {"color": COLOURS[place], "marker": MARKERS[rounds % len(MARKERS)]}


def _size(images: Images) -> float:
    """Of a point, in points squared: smaller where there are many."""
    return 16 if len(images) <= 1_000 else 7


def _scatter(axes: Axes, points: Array, opacity: Any, i: int, size: float) -> None:
    """Points (N, 2) of the i-th class or component, maybe none; one opacity, or (N,)."""
    if len(points):
        x, y = points.T
        axes.scatter(x, y, s=size, alpha=opacity, linewidths=0, **_style(i))


def _write(axes: Axes, place: Array, text: str) -> None:
    """Text that can be read on points of any colour."""
    halo = [withStroke(linewidth=3, foreground="white")]
    x, y = place
    axes.text(
        x, y, text, size=13, weight="bold", ha="center", va="center", path_effects=halo, zorder=5
    )


def _legend(figure: Figure, title: str, labels: Sequence[str]) -> None:
    """What the colours mean, beside the axes."""
    handles = [Line2D([], [], linestyle="", label=t, **_style(i)) for i, t in enumerate(labels)]
    figure.legend(
        handles=handles,
        title=title,
        loc="outside right center",
        frameon=False,
        alignment="left",
        handletextpad=0.2,
        ncols=1 + (len(labels) - 1) // 20,
    )


def _opacity(top: Array, n_components: int) -> Array:
    """From 0.1 where all components are alike to 0.9 where one is certain."""
    least = 1 / n_components
    return 0.1 + 0.8 * np.clip((top - least) / max(1 - least, 1e-9), 0, 1)


def _opacity_legend(figure: Figure, n_components: int) -> None:
    """What the opacity of a point means."""
    tops = np.linspace(1 / n_components, 1, 3) if n_components > 1 else np.ones(1)
    handles = [
        Line2D([], [], linestyle="", marker="o", color="black", alpha=float(a), label=f"{p:.2f}")
        for p, a in zip(tops, _opacity(tops, n_components), strict=True)
    ]
    figure.legend(
        handles=handles,
        title="top responsibility",
        loc="outside right lower",
        frameon=False,
        alignment="left",
        handletextpad=0.2,
    )


def _ellipse(mean: Array, covariance: Array, sigmas: int, colour: str) -> Ellipse:
    """Where a Gaussian lies at so many standard deviations from its mean."""
    variances, directions = np.linalg.eigh(covariance)
    width, height = 2 * sigmas * np.sqrt(np.maximum(variances, 0))
    angle = float(np.degrees(np.arctan2(directions[1, 0], directions[0, 0])))
    return Ellipse(
        (mean[0], mean[1]),
        width,
        height,
        angle=angle,
        fill=False,
        edgecolor=colour,
        linewidth=2 if sigmas == 1 else 1.2,
        linestyle="-" if sigmas == 1 else "--",
        zorder=4,
    )


def _mosaic(images: Tensor, columns: int) -> Array:
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


def _filled(images: Tensor, columns: int) -> Tensor:
    """The images and as many white ones as fill their last row."""
    missing = -len(images) % columns
    return torch.cat([images, images.new_ones(missing, *images.shape[1:])])


def _show(axes: Axes, picture: Array, **placing: Any) -> None:
    """A picture, black to white, with nothing drawn around it."""
    axes.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest", **placing)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)


def _name(component_classes: ComponentClasses, k: int) -> str:
    """``2: class 8``, or the bare number of a component without a name."""
    name = None if component_classes is None else component_classes[k]
    return f"component {k}" if name is None else f"{k}: class {name}"


def _candidates(responsibilities: Tensor, component_classes: ComponentClasses) -> str:
    """The two most probable components of an image and their probabilities, a line each."""
    top, components = responsibilities.topk(min(2, len(responsibilities)))
    return "\n".join(
        f"{_name(component_classes, k)} ({p:.0%})"
        for p, k in zip(top.tolist(), components.tolist(), strict=True)
    )


def _spread(images: Images, n: int) -> NDArray[np.int64]:
    """``n`` rows, from all classes alike where there are labels, else from the whole set."""
    if images.labels is None:
        return np.unique(np.linspace(0, len(images) - 1, n).astype(np.int64))
    each = -(-n // len(images.classes))
    of_class = [np.flatnonzero(images.labels == value)[:each] for value in images.classes]
    return np.concatenate(of_class)[:n]


def _thinned(images: Images) -> Images:
    """An even share of the images where there are too many to draw."""
    if len(images) <= MOST_POINTS:
        return images
    return images.subset(np.linspace(0, len(images) - 1, MOST_POINTS).astype(np.int64))


def _array(values: Tensor) -> Array:
    array: Array = values.detach().cpu().numpy()
    return array
