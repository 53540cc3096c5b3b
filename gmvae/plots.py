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
from gmvae.gmvae import GMVAE, component_name, component_title

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
# A top responsibility below this is worth a look.
SURE = 0.9
DPI = 150
# Of a picture of many images.
COLUMNS = 10


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
    """The encoded images, coloured by class, or by component where they have no labels.

    The limits are those of :func:`mixture`, so that the two can be laid over each other.
    """
    images = _thinned(images)
    z = gmvae.encode(images).numpy()
    plane = Plane.of(z)
    points = plane.project(z)
    if images.labels is None:
        kind, groups = "component", gmvae.classify(images).argmax(-1).numpy()
    else:
        kind, groups = "class", images.labels
    figure, axes = _latent_figure(
        plane,
        f"Latent space: {len(images):,} images, coloured by {kind}",
        _limits(points, *_gaussians(gmvae, plane)),
    )
    values = np.unique(groups)
    for i, value in enumerate(values):
        chosen = points[groups == value]
        _scatter(axes, chosen, 0.7, i, _size(images))
        _write(axes, np.median(chosen, axis=0), str(value))
    _legend(figure, axes, kind, [str(value) for value in values])
    return figure


def mixture(gmvae: GMVAE, images: Images) -> Figure:
    """The Gaussians as ellipses at one and two standard deviations, over the encoded images.

    A point has the colour of its most probable component and is fainter the less probable that
    is. Above two latent dimensions the ellipses are those of the projected Gaussians.
    """
    images = _thinned(images)
    n_components = gmvae.model.prior.n_components
    z = gmvae.encode(images).numpy()
    top, components = (found.numpy() for found in gmvae.classify(images).max(-1))
    plane = Plane.of(z)
    points = plane.project(z)
    means, covariances = _gaussians(gmvae, plane)
    figure, axes = _latent_figure(
        plane,
        f"Mixture: {len(images):,} images, coloured by their most probable component",
        _limits(points, means, covariances),
        "Gaussians at 1 (solid) and 2 standard deviations (dashed)",
    )
    for k in range(n_components):
        chosen = components == k
        _scatter(axes, points[chosen], _opacity(top[chosen], n_components), k, _size(images))
    for k in range(n_components):
        for sigmas in (1, 2):
            axes.add_patch(_ellipse(means[k], covariances[k], sigmas, _style(k)["color"]))
        _write(axes, means[k], _short_name(gmvae.component_classes, k))
    weights = _array(gmvae.model.prior.weights)
    _legend(
        figure,
        axes,
        "component",
        [
            f"{component_name(gmvae.component_classes, k)}, weight {weights[k]:.2f}"
            for k in range(n_components)
        ],
        _opacity_handles(n_components),
    )
    return figure


def reconstructions(gmvae: GMVAE, images: Images, n: int = 20) -> Figure:
    """Images above their reconstructions, from all classes alike where there are labels.

    Args:
        gmvae: the model.
        images: to choose from.
        n: how many, at least 1.
    """
    rows = _spread(images, n)
    shown = images.tensor(rows)
    pairs = list(zip(shown.split(COLUMNS), gmvae.reconstruct(shown).split(COLUMNS), strict=True))
    _, height, width = images.shape
    captions = 0.0 if images.labels is None else 0.2
    figure = Figure(
        # Beside the pictures is room for "reconstruction", and above them for the title.
        figsize=(9.2, 0.4 + len(pairs) * (2 * 0.81 * height / width + captions + 0.1)),
        dpi=DPI,
        layout="constrained",
    )
    figure.suptitle("Images and their reconstructions", x=0.01, ha="left", weight="bold")
    for i, (axes, (above, below)) in enumerate(
        zip(figure.subplots(len(pairs), 1, squeeze=False)[:, 0], pairs, strict=True)
    ):
        _show(axes, _mosaic(torch.cat([_filled(above, COLUMNS), _filled(below, COLUMNS)]), COLUMNS))
        axes.set_yticks([height / 2, height + 1 + height / 2], ["image", "reconstruction"])
        axes.tick_params(length=0)
        if images.labels is not None:
            labels = images.labels[rows[i * COLUMNS : (i + 1) * COLUMNS]]
            middles = [j * (width + 1) + width / 2 - 0.5 for j in range(len(labels))]
            axes.xaxis.tick_top()
            axes.set_xticks(middles, [f"class {label}" for label in labels], size=9)
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
    step = (high - low) / np.maximum((side - 1, n_rows - 1), 1) + (high == low)
    limits = np.stack([low - step / 2, high + step / 2])
    # Square pixels, whatever the units of the two axes.
    mosaic = _mosaic(decoded, side)
    shape = mosaic.shape[0] / mosaic.shape[1]
    figure, axes = _latent_figure(
        plane, "What the model decodes on a grid in the latent space", limits, shape=shape
    )
    width, height = limits[1] - limits[0]
    _show(axes, mosaic, extent=tuple(limits.T.ravel()), aspect=width / height * shape)
    axes.xaxis.set_major_locator(AutoLocator())
    if plane.names[1]:
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
    # What the other components have together: near certainty one minus the top rounds to zero.
    doubts = responsibilities.sort(-1).values[:, :-1].sum(-1)
    rows = doubts.argsort(descending=True, stable=True)[:n].numpy()
    columns = min(6, len(rows))
    n_rows = -(-len(rows) // columns)
    _, height, width = images.shape
    figure = Figure(
        figsize=(max(1.6 * columns + 0.2, 5.8), 0.7 + (1.57 * height / width + 0.6) * n_rows),
        dpi=DPI,
        layout="constrained",
    )
    figure.suptitle(
        f"The {len(rows)} least certain images and their likeliest components",
        x=0.01,
        ha="left",
        weight="bold",
    )
    body = figure.add_subfigure(figure.add_gridspec(1, 1)[0])
    n_unsure = int((doubts > 1 - SURE).sum())
    body.suptitle(
        f"Top responsibility below {SURE:g}: {n_unsure:,} of {len(images):,} images",
        x=0.01,
        ha="left",
        size=10,
    )
    cells = body.subplots(n_rows, columns, squeeze=False).ravel()
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
    drawn = components.unique().tolist()
    # Hundreds of images fit on a page where they are smaller.
    columns = COLUMNS if len(images) <= 200 else 3 * COLUMNS
    groups = [images[components == k] for k in drawn]
    heights = [-(-len(group) // columns) for group in groups]
    _, _, height, width = images.shape
    figure = Figure(
        figsize=(9.2, 0.5 + 8.1 / columns * height / width * sum(heights) + 0.1 * len(groups)),
        dpi=DPI,
        layout="constrained",
    )
    alone = len(drawn) == 1
    whose = component_title(component_classes, drawn[0]) if alone else "the mixture, by component"
    figure.suptitle(f"{len(images):,} samples of {whose}", x=0.01, ha="left", weight="bold")
    cells = figure.subplots(len(groups), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes, k, group in zip(cells[:, 0], drawn, groups, strict=True):
        mosaic = _mosaic(_filled(group, columns), columns)
        _show(axes, mosaic)
        axes.set_yticks([mosaic.shape[0] / 2], [component_name(component_classes, k)])
        axes.tick_params(length=0)
    return figure


def _gaussians(gmvae: GMVAE, plane: Plane) -> tuple[Array, Array]:
    """Means (K, 2) and covariances (K, 2, 2) of the mixture in the plane."""
    prior = gmvae.model.prior
    covariances = plane.project_covariances(_array(prior.full_covariances))
    return plane.project(_array(prior.means)), covariances


def _limits(points: Array, means: Array, covariances: Array) -> Array:
    """The lowest and highest corner of the plane that shows points and ellipses whole, (2, 2)."""
    reach = 2 * np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    shown = np.concatenate([points, means - reach, means + reach])
    low, high = shown.min(0), shown.max(0)
    # A line, as of one latent dimension, has a height on paper all the same.
    half = np.maximum(high - low, 0.25 * (high - low).max()) / 2 * 1.06
    return np.stack([(low + high) / 2 - half, (low + high) / 2 + half])


def candidates(
    numbers: Sequence[int],
    log_likelihoods: Sequence[Sequence[float]],
    standard_errors: Sequence[float],
    stabilities: Sequence[float | None],
) -> Figure:
    """What speaks for each number of components: stability above, likelihood below.

    Args:
        numbers: the numbers of components, rising.
        log_likelihoods: for each, those of its runs, in nats an image.
        standard_errors: for each, that of the mean over images, in nats.
        stabilities: for each, the mean adjusted Rand index of its runs; None for one run.
    """
    figure = Figure(figsize=(7.0, 6.0), dpi=DPI, layout="constrained")
    figure.suptitle("Numbers of components, on held-out images", x=0.01, ha="left", weight="bold")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(numbers, [np.nan if s is None else s for s in stabilities], "o-", color=COLOURS[0])
    above.set_ylabel("stability (adjusted Rand index)")
    above.set_ylim(top=1.02)
    means = [float(np.mean(found)) for found in log_likelihoods]
    below.errorbar(numbers, means, standard_errors, fmt="-", capsize=3, color=COLOURS[1])
    for number, found in zip(numbers, log_likelihoods, strict=True):
        below.plot([number] * len(found), found, "o", color=COLOURS[1], alpha=0.6)
    below.set_ylabel("log-likelihood (nats an image)")
    below.set_xlabel("components")
    below.set_xticks(list(numbers))
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.92", linewidth=0.8)
    return figure


def _latent_figure(
    plane: Plane, title: str, limits: Array, subtitle: str = "", shape: float | None = None
) -> tuple[Figure, Axes]:
    """A figure whose axes are those of the plane, to one scale, and no larger than they need.

    Args:
        plane: whose axes they are.
        title: of the figure.
        limits: of the axes, the lowest and the highest corner (2, 2).
        subtitle: what else to know, above the plane's description.
        shape: height over width on paper; by default that of the limits.
    """
    spans = limits[1] - limits[0]
    shape = float(spans[1] / spans[0]) if shape is None else shape
    width = min(6.0, 7.5 / shape)
    figure = Figure(figsize=(width + 1.0, width * shape + 1.2), dpi=DPI, layout="constrained")
    axes: Axes = figure.add_subplot()
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    axes.set_title("\n".join(filter(None, (subtitle, plane.description))), loc="left", size=10)
    axes.set_xlabel(plane.names[0])
    axes.set_ylabel(plane.names[1])
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_aspect("equal", adjustable="box", anchor="NW")
    axes.set_xlim(*limits[:, 0])
    axes.set_ylim(*limits[:, 1])
    if not plane.names[1]:
        axes.set_yticks([])
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


def _legend(
    figure: Figure, axes: Axes, title: str, labels: Sequence[str], more: Sequence[Line2D] = ()
) -> None:
    """What the colours mean, beside the axes, with more handles below."""
    handles = [Line2D([], [], linestyle="", label=t, **_style(i)) for i, t in enumerate(labels)]
    lines = [_heading(title), *handles, *more]
    columns = 1 + (len(labels) - 1) // 20
    axes.legend(
        handles=lines,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0,
        frameon=False,
        handletextpad=0.2,
        ncols=columns,
    )
    # The layout takes a legend's room from the axes, so the figure grows by as much: letters
    # are some 0.09 inches wide, lines 0.22 high.
    longest = max(len(str(line.get_label())) for line in lines)
    width, height = figure.get_size_inches()
    figure.set_size_inches(
        width + 0.2 + columns * (0.35 + 0.085 * longest),
        max(height, 0.8 + 0.22 * len(lines) / columns),
    )


def _heading(text: str) -> Line2D:
    """A line of a legend without a sign of its own."""
    return Line2D([], [], linestyle="", label=text)


def _opacity(top: Array, n_components: int) -> Array:
    """From 0.1 where all components are alike to 0.9 where one is certain."""
    least = 1 / n_components
    return 0.1 + 0.8 * np.clip((top - least) / max(1 - least, 1e-9), 0, 1)


def _opacity_handles(n_components: int) -> list[Line2D]:
    """What the opacity of a point means, for a legend."""
    tops = np.linspace(1 / n_components, 1, 3) if n_components > 1 else np.ones(1)
    signs = [
        Line2D([], [], linestyle="", marker="o", color="black", alpha=float(a), label=f"{p:.2f}")
        for p, a in zip(tops, _opacity(tops, n_components), strict=True)
    ]
    return [_heading(""), _heading("top responsibility"), *signs]


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


def _short_name(component_classes: ComponentClasses, k: int) -> str:
    """``class 8``, or the bare number of a component without a name."""
    name = None if component_classes is None else component_classes[k]
    return str(k) if name is None else f"class {name}"


def _candidates(responsibilities: Tensor, component_classes: ComponentClasses) -> str:
    """The two most probable components of an image and their probabilities, a line each."""
    top, components = responsibilities.topk(min(2, len(responsibilities)))
    return "\n".join(
        f"{component_name(component_classes, k)} ({_percent(p)})"
        for p, k in zip(top.tolist(), components.tolist(), strict=True)
    )


def _percent(p: float) -> str:
    """A probability that is never rounded to certainty: 47%, 99.6%, >99.9%."""
    if p > 0.999:
        return ">99.9%"
    if p < 0.001:
        return "<0.1%"
    return f"{p:.1%}" if p >= 0.995 or p < 0.005 else f"{p:.0%}"


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
