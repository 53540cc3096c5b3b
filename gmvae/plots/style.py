"""Colours, markers and words that all pictures share."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gmvae.data import Images
from gmvae.gmvae import Names, component_name, component_word
from gmvae.support.names import printable

Array = NDArray[Any]

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
DPI = 150
# More points than these only hide each other.
MOST_POINTS = 5_000


def style(i: int) -> dict[str, Any]:
    """Colour and marker of the i-th class or component."""
    rounds, place = divmod(i, len(COLOURS))
    return {"color": COLOURS[place], "marker": MARKERS[rounds % len(MARKERS)]}


def even_share(n: int, most: int | None = None) -> NDArray[np.int64]:
    """Rows of ``n`` images: all, or an even share where there are more than 5,000 or so many."""
    return np.linspace(0, n - 1, min(n, MOST_POINTS if most is None else most)).astype(np.int64)


def thinned(images: Images) -> Images:
    """An even share of the images where there are too many to draw."""
    rows = even_share(len(images))
    return images if len(rows) == len(images) else images.subset(rows)


def spread(images: Images, n: int) -> NDArray[np.int64]:
    """``n`` rows, from all classes alike where there are labels, else from the whole set."""
    if images.labels is None:
        return np.unique(np.linspace(0, len(images) - 1, n).astype(np.int64))
    # The first classes get the ones that are left over: no class is cut away for it.
    fewest, left_over = divmod(n, len(images.classes))
    return np.concatenate(
        [
            np.flatnonzero(images.labels == value)[: fewest + (i < left_over)]
            for i, value in enumerate(images.classes)
        ]
    )


def array(values: Tensor) -> Array:
    """Numbers for matplotlib, wherever and whatever the tensor is."""
    numbers: Array = values.detach().cpu().numpy()
    return numbers


def plain(word: str) -> str:
    r"""A word of others as matplotlib shows it letter by letter: a dollar begins no formula.

    Example:
        >>> print(plain("a$b$"))
        a\$b\$
    """
    return printable(word).replace("$", r"\$")


def short_name(names: Names | None, k: int) -> str:
    """``class 8``, ``cat``, or the bare number of a component without a name."""
    return plain(component_word(names, k))


def long_name(names: Names | None, k: int) -> str:
    """``2: class 8``, ``2: cat``, or ``component 2`` without a name."""
    return plain(component_name(names, k))


def percent(p: float) -> str:
    """A probability that is never rounded to certainty: 47%, 99.6%, >99.9%."""
    if p > 0.999:
        return ">99.9%"
    if p < 0.001:
        return "<0.1%"
    return f"{p:.1%}" if p >= 0.995 or p < 0.005 else f"{p:.0%}"
