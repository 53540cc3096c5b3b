"""What each component holds: images of it, and the classes in it."""

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.metrics import largest_class
from gmvae.plots.groups import Told, class_word
from gmvae.plots.mosaic import filled, mosaic, show
from gmvae.plots.style import DPI, Array, array, long_name
from gmvae.support.names import counted

# Images a component: those nearest its mean, some at random, and the oddest.
NEAREST, RANDOM, ODDEST = 8, 4, 4
HEADINGS = ("nearest its mean", "at random", "oddest")
# White between the three groups, in images.
GAP = 0.5
# More components than these, the largest, make a picture that nobody looks through.
MOST_SHOWN = 60
# More classes than these, and the numbers in a table can be read no more.
MOST_NUMBERS = 25


def clusters(gmvae: GMVAE, images: Images, seed: int = 0, told: Told | None = None) -> Figure:
    """For each component the images nearest its mean, some at random, and the oddest.

    Near is what has a small Mahalanobis distance from the mean, in the latent; odd are those of
    which the component is least probable. Beside them stand how many images the component has, and
    the share of the largest class where there are labels.

    Args:
        gmvae: the model.
        images: to choose from.
        seed: of those at random.
        told: what the model says of the images, where other pictures have asked it too.
    """
    told = told or Told(gmvae, images)
    sizes = np.bincount(told.components, minlength=gmvae.config.n_components)
    shown = np.sort(np.argsort(-sizes, kind="stable")[:MOST_SHOWN])
    _, height, width = images.shape
    row_height = min(1.2, max(0.42, 7.0 / (NEAREST + RANDOM + ODDEST) * height / width))
    figure = Figure(figsize=(9.2, 0.8 + len(shown) * (row_height + 0.06)), dpi=DPI)
    figure.set_layout_engine("constrained")
    title = f"Clusters: {len(images):,} images in {len(sizes)} components"
    figure.suptitle(title, x=0.01, ha="left", weight="bold")
    rng = np.random.default_rng(seed)
    cells = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    for i, (axes, k) in enumerate(zip(cells, shown.tolist(), strict=True)):
        groups = chosen(gmvae, told, k, rng)
        picture, middles = _strip(images, groups)
        show(axes, picture)
        axes.set_anchor("W")
        name = long_name(gmvae.component_names, k)
        axes.set_yticks([picture.shape[0] / 2], [f"{name}\n{_size(images, told.components, k)}"])
        axes.tick_params(length=0, labelsize=8)
        if i == 0:
            axes.xaxis.tick_top()
            axes.set_xticks(middles, HEADINGS, size=9)
    return figure


def chosen(
    gmvae: GMVAE, told: Told, k: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Rows of a component's images: nearest its mean, at random, and oddest; no row twice.

    Where it has few, the nearest come first.
    """
    rows = np.flatnonzero(told.components == k)
    prior = gmvae.model.prior
    shift = told.latents[rows] - array(prior.means)[k]
    precision = np.linalg.inv(array(prior.full_covariances)[k])
    distances = np.einsum("nd,de,ne->n", shift, precision, shift)
    nearest = rows[np.argsort(distances, kind="stable")[:NEAREST]]
    rest = rows[~np.isin(rows, nearest)]
    # Where many are as improbable, the farthest of them.
    farthest = dict(zip(rows.tolist(), distances.tolist(), strict=True))
    odd = sorted(rest.tolist(), key=lambda row: (told.honest[row, k], -farthest[row]))
    oddest = np.array(odd[:ODDEST], dtype=np.int64)
    rest = rest[~np.isin(rest, oddest)]
    random = np.sort(rng.choice(rest, min(RANDOM, len(rest)), replace=False))
    return nearest, random, oddest


def class_table(gmvae: GMVAE, images: Images, told: Told | None = None) -> Figure:
    """How many images of each class are in each component, as a share of the class.

    Args:
        gmvae: the model.
        images: with labels.
        told: what the model says of them, where other pictures have asked it too.
    """
    assert images.labels is not None
    components = (told or Told(gmvae, images)).components
    k = gmvae.config.n_components
    counts = np.stack(
        [np.bincount(components[images.labels == v], minlength=k) for v in images.classes]
    )
    shares = counts / counts.sum(1, keepdims=True)
    side = 0.42 if k <= MOST_NUMBERS else 0.2
    figure = Figure(
        figsize=(max(4.5, 1.8 + side * k), max(2.6, 1.6 + side * len(counts))),
        dpi=DPI,
        layout="constrained",
    )
    figure.suptitle("Classes and components", x=0.01, ha="left", weight="bold")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    names = [long_name(gmvae.component_names, i) for i in range(k)]
    axes.set_xticks(range(k), names, rotation=90, size=8)
    axes.set_yticks(
        range(len(counts)), [class_word(images, value) for value in images.classes], size=8
    )
    axes.set_xlabel("component (most probable)")
    axes.set_ylabel("class")
    axes.tick_params(length=0)
    axes.set_title("the darker, the more of the class", loc="left", size=9)
    if max(counts.shape) <= MOST_NUMBERS:
        for (row, column), count in np.ndenumerate(counts):
            if count:
                colour = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, f"{count}", ha="center", va="center", size=7, color=colour)
    return figure


def _size(images: Images, components: NDArray[np.int64], k: int) -> str:
    """``120 images, 98% cat``."""
    of_component = components == k
    n = int(of_component.sum())
    words = counted(n, "image")
    if images.labels is None or not n:
        return words
    value, purity = largest_class(images.labels[of_component])
    return f"{words}, {purity:.0%} {class_word(images, value)}"


def _strip(images: Images, groups: tuple[NDArray[np.int64], ...]) -> tuple[Array, list[float]]:
    """The groups side by side, white between, and where the middle of each is, in pixels."""
    _, _, width = images.shape
    parts: list[Array] = []
    middles: list[float] = []
    at = 0
    for rows, columns in zip(groups, (NEAREST, RANDOM, ODDEST), strict=True):
        shown = images.tensor(rows)
        # Without any the images are still of this shape.
        part = mosaic(filled(shown, columns) if len(rows) else _white(images, columns), columns)
        if parts:
            gap = np.ones((part.shape[0], round(GAP * width) + 1, *part.shape[2:]), np.float32)
            parts.append(gap)
            at += gap.shape[1]
        middles.append(at + part.shape[1] / 2)
        parts.append(part)
        at += part.shape[1]
    return np.concatenate(parts, axis=1), middles


def _white(images: Images, n: int) -> torch.Tensor:
    return torch.ones(n, *images.shape)
