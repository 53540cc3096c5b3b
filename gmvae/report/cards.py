"""What each cluster holds: its images, its size, its name and its doubtful members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gmvae.data import Images
from gmvae.gmvae import component_name
from gmvae.plots import Told
from gmvae.plots.clusters import MOST_NUMBERS, chosen
from gmvae.plots.style import percent
from gmvae.report.pictures import Picture, thumbnail
from gmvae.support.names import LONGEST, printable

# The largest of more: sixteen images of each make a page of a few MB.
MOST_CARDS = 40
# Of images in a card, and what they are.
HEADINGS = ("Nearest its mean", "At random", "Doubtful")


@dataclass(frozen=True)
class Member:
    """An image of a cluster.

    Attributes:
        picture: of it, with its file or its row in words.
        name: its file or its row.
        probability: how probable its component is, as 47%.
        label: its class, where it has one.
    """

    picture: Picture
    name: str
    probability: str
    label: str | None


@dataclass(frozen=True)
class Card:
    """A cluster.

    Attributes:
        title: ``2: cat``, or ``component 2``.
        record: of the component, as it came.
        groups: a heading and the images below it; the doubtful ones last.
    """

    title: str
    record: Mapping[str, Any]
    groups: tuple[tuple[str, tuple[Member, ...]], ...]


def gallery(told: Told, records: Sequence[Mapping[str, Any]], seed: int = 0) -> tuple[Card, ...]:
    """A card a component, the largest of many, by number.

    Args:
        told: what the model says of N images.
        records: a record a component, in their order, with ``images``, how many it has.
        seed: of the images at random.
    """
    rng = np.random.default_rng(seed)
    largest = sorted(range(len(records)), key=lambda k: -records[k]["images"])[:MOST_CARDS]
    names = told.gmvae.component_names
    return tuple(
        Card(component_name(names, k), records[k], _groups(told, k, rng)) for k in sorted(largest)
    )


def _groups(
    told: Told, k: int, rng: np.random.Generator
) -> tuple[tuple[str, tuple[Member, ...]], ...]:
    groups = zip(HEADINGS, chosen(told.gmvae, told, k, rng), strict=True)
    return tuple(
        (heading, tuple(_member(told, row, k) for row in rows.tolist()))
        for heading, rows in groups
        if len(rows)
    )


def _member(told: Told, row: int, k: int) -> Member:
    images = told.images
    name = f"row {row}" if images.files is None else str(images.files[row])
    label = None if images.labels is None else class_of(images, int(images.labels[row]))
    image = images.tensor(slice(row, row + 1))[0]
    probability = percent(float(told.honest[row, k]))
    return Member(thumbnail(image, name), printable(name, LONGEST), probability, label)


def class_of(images: Images, value: int) -> str:
    """``cat``, or ``8`` for a class without a word."""
    return images.class_names.get(value, str(value))


@dataclass(frozen=True)
class ClassTable:
    """How many images of each class are in each component.

    Attributes:
        components: their names, K.
        rows: a class and, a component, the number of its images and their share of the class.
    """

    components: tuple[str, ...]
    rows: tuple[tuple[str, tuple[tuple[int, float], ...]], ...]


def class_table(told: Told) -> ClassTable | None:
    """The table of classes and components; None without labels, or of too many to read."""
    images, k = told.images, told.gmvae.config.n_components
    if images.labels is None or max(k, len(images.classes)) > MOST_NUMBERS:
        return None
    rows = []
    for value in images.classes:
        counts = np.bincount(told.components[images.labels == value], minlength=k)
        shares = counts / counts.sum()
        cells = tuple(zip(counts.tolist(), shares.tolist(), strict=True))
        rows.append((class_of(images, value), cells))
    names = told.gmvae.component_names
    return ClassTable(tuple(component_name(names, i) for i in range(k)), tuple(rows))
