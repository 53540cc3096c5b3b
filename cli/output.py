"""What a command says and writes."""

import json
import math
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmvae.support.errors import ArgumentError
from gmvae.support.files import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    announce,
    beside_its_folder,
    reason,
    replacing,
)
from gmvae.support.names import printable

if TYPE_CHECKING:
    from torch import Tensor

# Kinds of pictures that are written.
PICTURE_SUFFIXES = (".png", ".svg", ".pdf")


# Whether only what was asked for is printed: a table, JSON, an error.
_quiet = False


@contextmanager
def quietly(quiet: bool) -> Iterator[None]:
    """Within this block :func:`say` says nothing where ``quiet``; nor does what asks `is_quiet`."""
    global _quiet
    before, _quiet = _quiet, quiet
    try:
        yield
    finally:
        _quiet = before


def is_quiet() -> bool:
    """Whether progress and remarks are to be left out."""
    return _quiet


def say(line: str) -> None:
    """Print one line, or several, on standard output, at once; nothing where that is unwanted."""
    if not _quiet:
        answer(line)


def answer(line: str) -> None:
    """Print what a command was asked for."""
    print("\n".join(map(_shown, line.split("\n"))), flush=True)


def outcome(in_json: bool, record: Mapping[str, Any], lines: Iterable[str]) -> None:
    """What came of a command: in JSON where that was asked for, else in lines.

    Args:
        in_json: whether it was.
        record: of the outcome, ready for JSON.
        lines: for a person.
    """
    if in_json:
        answer(as_json(dict(record)))
    else:
        for line in lines:
            say(line)


def _shown(text: str) -> str:
    """``text`` as the terminal takes it: names of others may hold what it obeys or cannot show."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return printable(text).encode(encoding, "backslashreplace").decode(encoding)


def table(title: str, rows: Iterable[Sequence[str]], headings: Sequence[str] = ()) -> None:
    """Print names and values in columns: two, or as many as there are headings."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(
        title=Text(_shown(title)), show_header=False, title_justify="left", title_style="bold"
    )
    if headings:
        grid.show_header, grid.box, grid.padding = True, box.SIMPLE_HEAD, 0
    for i, heading in enumerate(headings or ("", "")):
        grid.add_column(
            Text(_shown(heading)), no_wrap=i == 0, justify="right" if headings and i else "left"
        )
    for row in rows:
        grid.add_row(*(Text(_shown(cell)) for cell in row))
    console = Console()
    if headings:
        # Figures are not cut to the width of the screen: one can make it wider, or turn to --json.
        needed = Console(width=10_000).measure(grid).maximum
        console = Console(width=max(console.width, needed))
    console.print(grid)


def as_json(value: Any) -> str:
    """``value`` as indented JSON; a figure that is not finite, which JSON cannot hold, is null."""
    return json.dumps(_finite(value), indent=2, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` as JSON, whole or not at all."""
    write_text(path, as_json(value) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` in UTF-8, whole or not at all."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_images(path: Path, images: "Tensor", **arrays: Any) -> None:
    """Write images (N, C, H, W) to an .npz file as ``data``, (N, H, W) for one channel.

    Args:
        path: the file.
        images: with pixels in [0, 1].
        arrays: more arrays, by name.
    """
    import numpy as np

    data = images.numpy()
    data = data[:, 0] if data.shape[1] == 1 else data
    with replacing(path) as draft, draft.open("wb") as file:
        np.savez_compressed(file, data=data, **arrays)


def check_file(path: Path, force: bool, suffixes: Sequence[str], option: str = "--output") -> None:
    """Refuse, before any work, a file that must not or cannot be written.

    What lies there now is all that will be replaced (see :func:`gmvae.support.files.announce`). A
    name says what is in its file: it ends in one of ``suffixes``, the kinds that are written.
    ``option`` is where it was typed.

    Raises:
        ArgumentError: its name ends in something else, or it is a part of a model.
        FileExistsError: it exists and ``force`` is not given.
        IsADirectoryError: it is a folder.
        NotADirectoryError, PermissionError: its folder cannot be written.
    """
    place = beside_its_folder(path)
    if os.path.isdir(place):  # False too for a name that is too long
        raise IsADirectoryError(
            f"`{option}` expected a file; got the folder {path}. Name a file in it."
        )
    if path.suffix.lower() not in suffixes:
        raise ArgumentError(
            f"`{option}` expected a {' or '.join(suffixes)} file; got {path}. Rename it."
        )
    if os.path.exists(place) and not force:
        raise FileExistsError(f"{path} exists. Choose another {option}, or overwrite with --force.")
    parts = (CONFIG_FILE, WEIGHTS_FILE)
    if place.name in parts and all((place.parent / part).exists() for part in parts):
        raise ArgumentError(
            f"`{option}` expected a file of its own; got {path}, which a model is read from. "
            f"Choose another {option}."
        )
    _check_writable(path, option)
    announce(path)


def check_folder(
    path: Path, force: bool, replaceable: frozenset[str], option: str = "--output"
) -> None:
    """Refuse, before any work, a folder that must not or cannot be written.

    ``force`` replaces a folder whole, so it does so only where nothing but files named in
    ``replaceable`` lies in it. What lies there now is all that will be replaced (see
    :func:`gmvae.support.files.announce`). ``option`` is where it was typed.

    Raises:
        ArgumentError: it is the current folder, or one around it.
        FileExistsError: it holds something, and ``force`` is not given or would lose more.
        NotADirectoryError, PermissionError: it, or the folder around it, cannot be written.
    """
    if path.resolve() in (Path.cwd(), *Path.cwd().parents):
        raise ArgumentError(
            f"`{option}` expected a folder of its own; got '{path}'. Name a new one."
        )
    place = beside_its_folder(path)
    there = os.path.exists(place)  # False too for a name that is too long
    if there and not place.is_dir():
        raise NotADirectoryError(
            f"`{option}` expected a folder; got the file {path}. Choose another {option}."
        )
    entries = {entry.name for entry in place.iterdir()} if there else set()
    if entries and not force:
        # Of a folder in which nothing may be replaced --force is no way out.
        remedy = ", or overwrite with --force" if replaceable else ""
        raise FileExistsError(f"{path} exists. Choose another {option}{remedy}.")
    if entries - replaceable:
        raise FileExistsError(
            f"{path} holds what no run wrote ({min(entries - replaceable)}), which --force would "
            f"delete. Choose another {option}."
        )
    if there and (place.is_mount() or not os.access(place, os.W_OK)):
        why = "a mount point" if place.is_mount() else "which may not be written"
        raise PermissionError(
            f"`{option}` expected a folder that can be replaced; got {path}, {why}. Name a new "
            "folder, in it or elsewhere."
        )
    _check_writable(path, option)
    announce(path)


def _check_writable(path: Path, option: str) -> None:
    """Try to create a file of that name where the first missing folder of ``path`` would lie."""
    around = beside_its_folder(path).parent
    missing = [path.name]
    while not os.path.exists(around):
        missing.append(around.name)
        around = around.parent
    if not around.is_dir():
        raise NotADirectoryError(
            f"`{option}` expected to lie in a folder; got {path}, where {around} is a file. "
            f"Choose another {option}."
        )
    try:
        with tempfile.TemporaryDirectory(prefix=".gmvae-", dir=around) as workshop:
            # A name may be too long, or of letters that this file system cannot hold.
            for name in missing:
                (Path(workshop) / name).touch()
                (Path(workshop) / name).unlink()
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else f" ({error})"
        raise PermissionError(
            f"`{option}` expected to lie where one can write; got {path}, and {around} cannot be "
            f"written{why}. Choose another {option}."
        ) from error
