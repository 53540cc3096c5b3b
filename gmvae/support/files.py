"""Files that are whole or absent."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The two that a saved model is made of.
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"


def beside_its_folder(path: str | Path) -> Path:
    """The same place with its folder's name in full: ``missing/../run`` lies in this folder."""
    path = Path(path)
    return path.parent.resolve() / path.name


def reason(error: OSError) -> str:
    """Why nothing can be made in a folder, in brackets, where the system says so."""
    # In /proc and its like what it says misleads: that the folder does not exist.
    return "" if isinstance(error, FileNotFoundError) else f" ({error.strerror})"


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block ends well.

    The caller creates a file or a folder there. It lies beside ``path``, on the same file
    system, so the final move is atomic for a file. A block that fails leaves ``path`` as it
    was and nothing beside it. A folder that exists at ``path`` is replaced whole.

    Raises:
        NotADirectoryError: what lies around ``path`` is a file.
        PermissionError: nothing can be made there.
    """
    path = beside_its_folder(path)
    if path.parent.exists() and not path.parent.is_dir():
        raise NotADirectoryError(f"{path.parent} is not a folder. Name a path inside one.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except (FileNotFoundError, PermissionError) as error:
        raise PermissionError(
            f"{path.parent} cannot be written{reason(error)}. Choose another folder."
        ) from error
    try:
        draft = workshop / path.name
        yield draft
        old = workshop / f"{path.name}.replaced"
        if draft.is_dir() and path.is_dir():
            path.rename(old)
        try:
            draft.replace(path)
        except BaseException:
            if old.exists():
                old.rename(path)
            raise
    finally:
        shutil.rmtree(workshop)
