"""A table of labels, a row an image, for some or all images of a set."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gmvae.data.classes import class_values, names_of
from gmvae.data.images import Images
from gmvae.support.errors import ContentError
from gmvae.support.names import listed, printable
from gmvae.support.reading import read_text

# Of a table; a hundred bytes for each of ten million images.
LARGEST_TABLE = 10**9
# What the first column may be called, in the first row, where it is no image.
HEADINGS = ("file", "filename", "image", "name", "path", "picture", "row", "id")
UNSEEN = -1


def read_labels(path: Path, images: Images) -> tuple[NDArray[np.int64], dict[int, str]]:
    """The class of each image that a CSV file names, and what the classes stand for.

    A row has the file of an image, as `Images.files` has it or its last part where that is
    unique, or its number from 0 where the images come from no files; then, in the second column or
    the one called label, its class: a word or a number. A row without a class says nothing.

    Args:
        path: the table; its first row may name the columns.
        images: what it labels, all of them or some.

    Returns:
        Classes (N,), -1 where the table has none; and words by class, where they are words. They
        are those of the images where these have classes of their own.

    Raises:
        ContentError: no such table, an image named twice with different classes or that is not
            there nor was skipped, no label at all, or classes that are none of the images' own.
        FileNotFoundError: there is no such file.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"`labels_from` expected a CSV file of file and label; got {printable(str(path))}, "
            "which does not exist. Check the path."
        )
    words: dict[int, str] = {}
    rows = _rows_of(images)
    skipped = _skipped(images)
    strange: list[str] = []
    for image, word in _pairs(path):
        row = rows.get(image)
        if row is None:
            strange += [] if image in skipped else [image]
        elif word and words.setdefault(row, word) != word:
            raise ContentError(
                f"`{path.name}` expected one class an image; got {words[row]} and {word} for "
                f"{printable(image)}. Remove one."
            )
    if strange:
        place = "files" if images.files is not None else "rows"
        raise ContentError(
            f"`{path.name}` expected {place} of {images.name}; got {listed(strange)}. Write them "
            f"as gmvae classify does, as {next(iter(rows))}."
        )
    if not words:
        raise ContentError(
            f"`{path.name}` expected the class of an image or more; got none. Write file,label."
        )
    values, names = _values(words.values(), images, path.name)
    observed = np.full(len(images), UNSEEN, np.int64)
    for row, word in words.items():
        observed[row] = values[word]
    return observed, names


def _values(
    words: Iterable[str], images: Images, name: str
) -> tuple[dict[str, int], dict[int, str]]:
    """From each word to its class, and what the classes stand for."""
    values = class_values(words, name)
    if not images.classes:
        return values, names_of(values)
    own = {images.class_names.get(value, str(value)): value for value in images.classes}
    if strange := [word for word in values if word not in own]:
        raise ContentError(
            f"`{name}` expected the classes of {images.name}, {listed(own)}; got "
            f"{listed(strange)}. Name them alike."
        )
    return own, dict(images.class_names)


def _rows_of(images: Images) -> dict[str, int]:
    """From what a table may call an image to its row."""
    if images.files is None:
        return {str(row): row for row in range(len(images))}
    files = images.files.tolist()
    last = [file.rpartition("/")[2] for file in files]
    counts = Counter(last)
    short = {name: row for row, name in enumerate(last) if counts[name] == 1}
    return {file: row for row, file in enumerate(files)} | {
        name: row for name, row in short.items() if name not in files
    }


def _skipped(images: Images) -> set[str]:
    """What a table may call the files that could not be read."""
    files = {line.rpartition(": ")[0] for line in images.skipped}
    return files | {file.rpartition("/")[2] for file in files}


def _pairs(path: Path) -> Iterator[tuple[str, str]]:
    """What names an image, and its class, row after row."""
    try:
        text = read_text(path, LARGEST_TABLE).removeprefix("\ufeff")
        table = [[cell.strip() for cell in row] for row in csv.reader(io.StringIO(text)) if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ContentError(
            f"`{path.name}` expected a CSV file of file and label; got another ({error}). Save it "
            "as CSV, in UTF-8."
        ) from error
    column = 1
    if table and table[0][0].lower() in HEADINGS:
        heading = [cell.lower() for cell in table.pop(0)]
        named = [heading.index(word) for word in ("label", "class") if word in heading]
        if not named and len(heading) > 2:
            # Such as what `gmvae classify` writes: what it predicts was not observed.
            raise ContentError(
                f"`{path.name}` expected a column label among more than two; got "
                f"{listed(heading)}. Name the one that holds the labels so."
            )
        column = named[0] if named else 1
    for number, row in enumerate(table, start=1):
        if len(row) <= column:
            raise ContentError(
                f"`{path.name}` expected {column + 1} columns or more, file and label; got "
                f"{len(row)} in row {number}. Write file,label."
            )
        # As some write paths.
        yield row[0].replace("\\", "/").removeprefix("./"), row[column]
