"""The plane of a latent space, and what is drawn on it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from matplotlib.patheffects import withStroke
from scipy.linalg import eigh

from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.plots.style import DPI, Array, array, style

# Of the parting: an axis with less of it parts nothing.
_NOTHING = 1e-6


@dataclass(frozen=True)
class Plane:
    """Where a latent of any dimension meets the paper: itself in two, else a plane of it.

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
        # Of fewer images than dimensions the axes along which they do not vary are there, too.
        _, singular, axes = np.linalg.svd(z - origin, full_matrices=len(z) < d)
        variances = np.pad(singular**2, (0, d - len(singular)))
        shares = variances / max(variances.sum(), np.finfo(float).tiny)
        first, second = (
            f"principal axis {i + 1} ({shares[i]:.0%} of the variance)" for i in range(2)
        )
        plane = f"in the plane of the 2 leading principal axes of its {d} dimensions"
        return cls(origin, axes[:2], (first, second), plane)

    @classmethod
    def parting(cls, gmvae: GMVAE, z: Array) -> "Plane":
        r"""The plane in which the components lie apart most.

        Its axes are those of the linear discriminants of the mixture: the leading directions of

        .. math:: W^{-1} B,\quad W = \sum_y \pi_y \Sigma_y,\quad
            B = \sum_y \pi_y (\mu_y - \mu)(\mu_y - \mu)^\top

        made orthonormal. Two components part along one; the other is then the leading principal
        axis of what is left of the latents z (N, D).
        """
        d = z.shape[1]
        prior = gmvae.model.prior
        weights, means = array(prior.weights).astype(float), array(prior.means).astype(float)
        centred = means - weights @ means
        between = (weights[:, None] * centred).T @ centred
        if d <= 2 or np.trace(between) <= np.finfo(np.float32).eps:
            return cls.of(z)
        within = np.einsum("k,kde->de", weights, array(prior.full_covariances).astype(float))
        values, directions = eigh(between, within)
        shares = np.maximum(values[::-1], 0) / values.clip(0).sum()
        first = directions[:, -1] / np.linalg.norm(directions[:, -1])
        second = directions[:, -2] if shares[1] > _NOTHING else _leading(z, first)
        second = second - (second @ first) * first
        axes = np.stack([first, second / np.linalg.norm(second)])
        names = [f"discriminant axis {i + 1} ({shares[i]:.0%} of the parting)" for i in range(2)]
        if shares[1] <= _NOTHING:
            names[1] = "principal axis of the rest"
        plane = f"in the plane of its {d} dimensions in which the components part most"
        return cls(z.mean(0), axes, (names[0], names[1]), plane)

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


def _leading(z: Array, apart: Array) -> Array:
    """The leading principal axis of latents (N, D), (D,), of what is orthogonal to ``apart``."""
    rest = z - z.mean(0)
    rest = rest - (rest @ apart)[:, None] * apart
    axis: Array = np.linalg.svd(rest, full_matrices=len(z) < z.shape[1])[2][0]
    return axis


def gaussians(gmvae: GMVAE, plane: Plane) -> tuple[Array, Array]:
    """Means (K, 2) and covariances (K, 2, 2) of the mixture in the plane."""
    prior = gmvae.model.prior
    covariances = plane.project_covariances(array(prior.full_covariances))
    return plane.project(array(prior.means)), covariances


def limits(points: Array, means: Array, covariances: Array) -> Array:
    """The lowest and highest corner of the plane that shows points and ellipses whole, (2, 2)."""
    reach = 2 * np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    shown = np.concatenate([points, means - reach, means + reach])
    low, high = shown.min(0), shown.max(0)
    # A line, as of one latent dimension, has a height on paper all the same.
    half = np.maximum(high - low, 0.25 * (high - low).max()) / 2 * 1.06
    return np.stack([(low + high) / 2 - half, (low + high) / 2 + half])


def latent_figure(
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


def size(images: Images) -> float:
    """Of a point, in points squared: smaller where there are many."""
    return 16 if len(images) <= 1_000 else 7


def scatter(axes: Axes, points: Array, opacity: Any, i: int, size: float) -> None:
    """Points (N, 2) of the i-th class or component, maybe none; one opacity, or (N,)."""
    if len(points):
        x, y = points.T
        axes.scatter(x, y, s=size, alpha=opacity, linewidths=0, **style(i))


def write(axes: Axes, place: Array, text: str) -> None:
    """Text that can be read on points of any colour."""
    halo = [withStroke(linewidth=3, foreground="white", alpha=0.7)]
    x, y = place
    axes.text(
        x, y, text, size=13, weight="bold", ha="center", va="center", path_effects=halo, zorder=5
    )


def write_apart(axes: Axes, places: Sequence[Array], texts: Sequence[str]) -> None:
    """Texts at places (2,), the first ones first, but for those that would lie on one before.

    All of them stand in the legend.
    """
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    written: list[tuple[Array, int]] = []
    for place, text in zip(places, texts, strict=True):
        at = (place - low) / (high - low)
        # A letter takes some fiftieth of the width; a line twice as much of the height.
        if all(
            abs(at[0] - other[0]) > 0.011 * (len(text) + n) or abs(at[1] - other[1]) > 0.04
            for other, n in written
        ):
            write(axes, place, text)
            written.append((at, len(text)))


def legend(
    figure: Figure,
    axes: Axes,
    title: str,
    labels: Sequence[str],
    more: Sequence[Line2D] = (),
    styles: Sequence[int] | None = None,
) -> None:
    """What the colours mean, beside the axes, with more handles below.

    Args:
        figure: of the axes.
        axes: beside which it stands.
        title: above it.
        labels: a line each.
        more: lines below.
        styles: which colour and marker each line has; by default one after the other.
    """
    numbers = range(len(labels)) if styles is None else styles
    handles = [
        Line2D([], [], linestyle="", label=t, **style(i))
        for i, t in zip(numbers, labels, strict=True)
    ]
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


def opacity(top: Array, n_components: int) -> Array:
    """From 0.1 where all components are alike to 0.9 where one is certain."""
    least = 1 / n_components
    return 0.1 + 0.8 * np.clip((top - least) / max(1 - least, 1e-9), 0, 1)


def opacity_handles(n_components: int) -> list[Line2D]:
    """What the opacity of a point means, for a legend."""
    tops = np.linspace(1 / n_components, 1, 3) if n_components > 1 else np.ones(1)
    signs = [
        Line2D([], [], linestyle="", marker="o", color="black", alpha=float(a), label=f"{p:.2f}")
        for p, a in zip(tops, opacity(tops, n_components), strict=True)
    ]
    return [_heading(""), _heading("top probability"), *signs]


def ellipse(mean: Array, covariance: Array, sigmas: int, colour: str) -> Ellipse:
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
