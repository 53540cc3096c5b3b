"""Files that are whole or absent."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def beside_its_folder(path: str | Path) -> Path:
    """The same place with its folder's name in full: ``missing/../run`` lies in this folder."""
    path = Path(path)
    return path.parent.resolve() / path.name


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block ends well.

    The caller creates a file or a folder there. It lies beside ``path``, on the same file
    system, so the final move is atomic for a file. A block that fails leaves ``path`` as it
    was and nothing beside it. A folder that exists at ``path`` is replaced whole.

    Raises:
        NotADirectoryError, PermissionError: the folder around ``path`` cannot be written.
    """
    path = beside_its_folder(path)
    if path.parent.exists() and not path.parent.is_dir():
        raise NotADirectoryError(f"{path.parent} is not a folder. Name a path inside one.")
    path.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        draft = workshop / path.name
        yield draft
        if draft.is_dir() and path.is_dir():
            path.rename(workshop / f"{path.name}.replaced")
        draft.replace(path)
    finally:
        shutil.rmtree(workshop)
