"""Files, looked at before they are read: of the right kind, and no larger than expected."""

import json
import os
import re
from pathlib import Path
from typing import Any

from gmvae.support.choices import NAMED
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.support.names import printable

# A configuration takes some kilobytes; the names of a million components take 10 MB.
LARGEST_TEXT = 2**24
# As Linux has it; what is longer is no path.
LONGEST_PATH = 4096
# What images are read from.
KINDS = "the path of an .npz, .npy or IDX file, of a picture or of a folder of them"
# In the name of an IDX file.
IDX = "idx|ubyte"


def check_source(source: str | Path) -> None:
    """Refuse what is neither the name of a set of images nor a path that exists.

    Imports nothing heavy: a slip of the pen is answered at once.

    Raises:
        ArgumentError: a bare word that is no name.
        FileNotFoundError: no such path.
    """
    path = Path(source)
    if source in NAMED or os.path.exists(path):  # False too for what no path can be
        return
    shown = printable(repr(str(source)), LONGEST_PATH)
    # A bare word that is no file was meant as a name.
    if str(source) == path.stem and not re.search(IDX, path.name.lower()):
        raise ArgumentError(
            f"`source` expected {', '.join(NAMED)}, or {KINDS}; got {shown}. Check the name."
        )
    raise FileNotFoundError(
        f"`source` expected a path that exists; got {shown}. Check the path, or name one "
        f"of {', '.join(NAMED)}."
    )


def check_regular(path: Path) -> None:
    """Refuse a pipe, a device and the like, of which reading may never end.

    Raises:
        ContentError: ``path`` exists and is no regular file.
    """
    if path.exists() and not path.is_file():
        raise ContentError(
            f"{path} expected a regular file; got a folder, a pipe or a device. Copy what it holds "
            "to a file."
        )


def read_text(path: Path, most: int = LARGEST_TEXT) -> str:
    """What a UTF-8 file of at most ``most`` bytes holds.

    Raises:
        ContentError: it is larger, or no regular file.
        UnicodeDecodeError: it is no UTF-8.
    """
    check_regular(path)
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ContentError(
            f"{path} expected at most {most:,} bytes; got more. Restore it, or write it again."
        )
    return content.decode("utf-8")


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ContentError: it is larger than expected, no regular file, or no JSON in UTF-8.
    """
    try:
        return json.loads(read_text(path))
    except ContentError:
        raise
    # RecursionError: brackets within brackets, thousands deep.
    except (ValueError, RecursionError) as error:
        raise ContentError(
            f"{path} expected JSON; got: {printable(str(error), 100)}. Restore it, or train again."
        ) from error
