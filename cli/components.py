"""Components: which one a word means, and what a set of images has of each."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gmvae.support.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np

    from gmvae import GMVAE, Images
    from gmvae.plots import Told

# More names than these make an error unreadable; `gmvae info` lists them all.
MOST_NAMED = 20
# Of a table that is read at a glance; the JSON has them all.
MOST_ROWS = 20
# The columns, and what stands in them, by the name in a record.
HEADINGS = ("component", "images", "share", "probability", "class", "purity")


def component_called(word: str, gmvae: "GMVAE", parameter: str, remedy: str) -> int:
    """The component of that number or name.

    A class without a word is called as messages call it, ``class 8``; a bare number is the
    component's.

    Args:
        word: the number or name.
        gmvae: the model.
        parameter: where it was typed, for the error message.
        remedy: what else to do, in the imperative, likewise.

    Raises:
        ArgumentError: there is none, or there are several of the name.
    """
    from gmvae.gmvae import class_title, component_name

    k, names = gmvae.config.n_components, gmvae.component_names
    if word.isdecimal() and int(word) < k:
        return int(word)
    titles = [None if name is None else class_title(name) for name in names or ()]
    numbers = [i for i, title in enumerate(titles) if title == word]
    if len(numbers) > 1:
        raise ArgumentError(
            f"{parameter} expected one component; got {word!r}, the name of {len(numbers)}. Give a "
            f"number: {', '.join(map(str, numbers))}."
        )
    if numbers:
        return numbers[0]
    few = names is not None and k <= MOST_NAMED
    listed = f" ({', '.join(component_name(names, i) for i in range(k))})" if few else ""
    raise ArgumentError(
        f"{parameter} expected a number from 0 to {k - 1} or a component's name{listed}; got "
        f"{word!r}. {remedy}"
    )


def component_records(
    gmvae: "GMVAE",
    images: "Images",
    components: "np.ndarray",
    probability: "np.ndarray | None" = None,
) -> list[dict[str, Any]]:
    """A record a component, ready for JSON.

    Args:
        gmvae: the model.
        images: N images.
        components: the most probable one of each, (N,).
        probability: how probable that is, (N,), 0 to 1; None where it was not asked.

    Returns:
        ``component``, its number; ``name``, a word or the number of a class, None without one;
        ``images``, how many; ``share`` of them all; ``probability``, the mean, None of no image
        and where it was not asked;
        with labels ``class``, the most frequent one in words, and ``purity``, its share, None of no
        image.
    """
    from gmvae.metrics import largest_class

    names = gmvae.component_names or (None,) * gmvae.config.n_components
    records: list[dict[str, Any]] = []
    for k, name in enumerate(names):
        chosen = components == k
        n = int(chosen.sum())
        record: dict[str, Any] = {"component": k, "name": name}
        record |= {"images": n, "share": n / len(components)}
        asked = None if probability is None or not n else probability[chosen]
        record["probability"] = None if asked is None else float(asked.mean())
        if images.labels is not None:
            value, purity = largest_class(images.labels[chosen]) if n else (None, None)
            word = None if value is None else images.class_names.get(value, str(value))
            record |= {"class": word, "purity": purity}
        records.append(record)
    return records


def records_of(told: "Told") -> list[dict[str, Any]]:
    """A record a component, by what a model says of the images that its pictures show."""
    return component_records(told.gmvae, told.images, told.components, told.probability)


def component_table(records: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The largest of them as lines in columns, by number."""
    from gmvae.gmvae import component_name

    names = tuple(record["name"] for record in records)
    largest = sorted(records, key=lambda record: -record["images"])[:MOST_ROWS]
    columns = HEADINGS if "class" in records[0] else HEADINGS[:4]
    rows: list[tuple[str, ...]] = [columns]
    for record in sorted(largest, key=lambda record: int(record["component"])):
        cells = {
            "component": component_name(names, record["component"]),
            "images": f"{record['images']:,}",
            "share": f"{record['share']:.1%}",
            "probability": _cell(record["probability"], ".3f"),
            "class": record.get("class") or "",
            "purity": _cell(record.get("purity"), ".1%"),
        }
        rows.append(tuple(cells[column] for column in columns))
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    for row in rows:
        first, *others = zip(row, widths, strict=True)
        shown = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
        yield "  ".join(shown).rstrip()
    if len(records) > len(largest):
        yield f"{len(records) - len(largest)} more, smaller ones: --json, or clusters.png."


def _cell(value: float | None, how: str) -> str:
    return "" if value is None else format(value, how)
