"""Images beside their reconstructions, the least certain ones, and samples."""

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from gmvae.data import Images
from gmvae.gmvae import GMVAE, Names, component_title
from gmvae.plots.groups import Told, class_word, component_of_class
from gmvae.plots.mosaic import filled, mosaic, show
from gmvae.plots.style import DPI, long_name, percent, plain, spread
from gmvae.support.names import printable

# Of a picture of many images.
COLUMNS = 10
# A top probability below this is worth a look.
SURE = 0.9
# Letters of a file's name below an image.
LONGEST_FILE = 24
# Of the frame around what is wrong: dark enough to be seen without colour.
WRONG = "#bd1f01"


def reconstructions(gmvae: GMVAE, images: Images, n: int = 20) -> Figure:
    """Images above their reconstructions, from all classes alike where there are labels.

    Args:
        gmvae: the model.
        images: to choose from.
        n: how many, at least 1.
    """
    rows = spread(images, n)
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
        show(axes, mosaic(torch.cat([filled(above, COLUMNS), filled(below, COLUMNS)]), COLUMNS))
        axes.set_yticks([height / 2, height + 1 + height / 2], ["image", "reconstruction"])
        axes.tick_params(length=0)
        if images.labels is not None:
            labels = images.labels[rows[i * COLUMNS : (i + 1) * COLUMNS]]
            middles = [j * (width + 1) + width / 2 - 0.5 for j in range(len(labels))]
            axes.xaxis.tick_top()
            axes.set_xticks(middles, [_titled(images, value) for value in labels.tolist()], size=9)
            axes.tick_params(length=0)
    return figure


def ambiguous(gmvae: GMVAE, images: Images, n: int = 12, told: Told | None = None) -> Figure:
    """The images that the model is least sure of, with their component and the likeliest other.

    By the honest probability, as `gmvae classify` writes it (see
    :func:`gmvae.answers.probability_of_components`), and not by q(y | x), which is sharp by design.
    A frame marks those whose component stands for another class than theirs.

    Args:
        gmvae: the model.
        images: to choose from.
        n: how many, at least 1.
        told: what the model says of the images, where other pictures have asked it too.
    """
    told = told or Told(gmvae, images)
    probabilities = torch.as_tensor(told.honest, dtype=torch.float64)
    # What the other components have together: near certainty one minus the top rounds to zero.
    others = torch.arange(probabilities.shape[1]) != torch.as_tensor(told.components)[:, None]
    doubts = (probabilities * others).sum(-1)
    wrong = _wrong(gmvae, images, told)
    rows = doubts.argsort(descending=True, stable=True)[:n].numpy()
    columns = min(6, len(rows))
    n_rows = -(-len(rows) // columns)
    _, height, width = images.shape
    lines = 0.6 if images.files is None else 0.75
    figure = Figure(
        figsize=(max(1.6 * columns + 0.2, 5.8), 0.7 + (1.57 * height / width + lines) * n_rows),
        dpi=DPI,
        layout="constrained",
    )
    figure.suptitle(
        f"The {len(rows)} least certain images, their component and the likeliest other",
        x=0.01,
        ha="left",
        weight="bold",
    )
    body = figure.add_subfigure(figure.add_gridspec(1, 1)[0])
    n_unsure = int((doubts > 1 - SURE).sum())
    body.suptitle(
        f"Probability below {SURE:g}: {n_unsure:,} of {len(images):,} images"
        + (f"; wrong, in a frame: {int(wrong.sum()):,}" if images.labels is not None else ""),
        x=0.01,
        ha="left",
        size=10,
    )
    cells = body.subplots(n_rows, columns, squeeze=False).ravel()
    for cell, row in zip(cells, rows, strict=False):
        show(cell, mosaic(images.tensor(rows[rows == row]), 1))
        title = _candidates(probabilities[row], int(told.components[row]), gmvae.component_names)
        cell.set_title(title, fontsize=8)
        words = [] if images.files is None else [_file(str(images.files[row]))]
        if images.labels is not None:
            label = class_word(images, int(images.labels[row]))
            words.append(f"labelled {label}{': wrong' * bool(wrong[row])}")
        cell.set_xlabel("\n".join(words), fontsize=8)
        if wrong[row]:
            cell.spines[:].set(visible=True, color=WRONG, linewidth=2)
    for cell in cells[len(rows) :]:
        cell.set_axis_off()
    return figure


def samples(images: Tensor, components: Tensor, component_names: Names | None = None) -> Figure:
    """Images drawn from the model, in rows by component.

    Args:
        images: (N, C, H, W) in [0, 1], as :meth:`~gmvae.GMVAE.sample` draws them.
        components: (N,), their components.
        component_names: what the components are called; None where they have no names.
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
    whose = (
        plain(component_title(component_names, drawn[0])) if alone else "the mixture, by component"
    )
    figure.suptitle(f"{len(images):,} samples of {whose}", x=0.01, ha="left", weight="bold")
    cells = figure.subplots(len(groups), 1, squeeze=False, gridspec_kw={"height_ratios": heights})
    for axes, k, group in zip(cells[:, 0], drawn, groups, strict=True):
        picture = mosaic(filled(group, columns), columns)
        show(axes, picture)
        axes.set_yticks([picture.shape[0] / 2], [long_name(component_names, k)])
        axes.tick_params(length=0)
    return figure


def _wrong(gmvae: GMVAE, images: Images, told: Told) -> NDArray[np.bool_]:
    """Whether an image's component stands for another class than its own, (N,)."""
    if images.labels is None:
        return np.zeros(len(images), bool)
    places = component_of_class(gmvae, images, told.components)
    of_class: NDArray[np.int64] = np.array([places[value] for value in images.labels.tolist()])
    wrong: NDArray[np.bool_] = of_class != told.components
    return wrong


def _file(name: str) -> str:
    """The last part of a file's name, as far as there is room below its image."""
    return plain(printable(name.rpartition("/")[2], LONGEST_FILE))


def _titled(images: Images, value: int) -> str:
    """``class 8``, or a class's word."""
    return plain(images.class_names.get(value, f"class {value}"))


def _candidates(probabilities: Tensor, component: int, names: Names | None) -> str:
    """The component of an image and the likeliest other one, with their probabilities."""
    others = probabilities.clone()
    others[component] = -1
    shown = [component, *([int(others.argmax())] if len(others) > 1 else [])]
    return "\n".join(f"{long_name(names, k)} ({percent(float(probabilities[k]))})" for k in shown)


def interpolation(
    gmvae: GMVAE, start: Tensor, end: Tensor, n: int, names: tuple[str, str]
) -> Figure:
    """What is decoded on the straight way from one latent to another, as a strip.

    Args:
        gmvae: the model.
        start: (D,).
        end: (D,).
        n: how many, at least 2.
        names: of the two ends.
    """
    shares = torch.linspace(0, 1, n)[:, None]
    decoded = gmvae.decode(start + shares * (end - start))
    _, _, height, width = decoded.shape
    figure = Figure(figsize=(9.2, 0.9 + 9.0 / n * height / width), dpi=DPI, layout="constrained")
    figure.suptitle(
        f"From {plain(names[0])} to {plain(names[1])}", x=0.01, ha="left", weight="bold"
    )
    axes = figure.add_subplot()
    show(axes, mosaic(decoded, n))
    middles = [j * (width + 1) + width / 2 - 0.5 for j in range(n)]
    axes.set_xticks(middles, [f"{share:.2f}" for share in shares[:, 0].tolist()], size=7)
    axes.tick_params(length=0)
    return figure
