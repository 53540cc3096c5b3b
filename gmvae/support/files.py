"""Files that are whole or absent."""

import ctypes
import errno
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

# The two that a saved model is made of.
CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"

# Of Linux' renameat2: fail where the target exists, and let the two change places.
NO_REPLACE, EXCHANGE = 1, 2
AT_CURRENT_FOLDER = -100
# What it answers where the system or the file system cannot.
CANNOT = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP)
# What a full or a failing disk answers, without the name of the file.
NAMELESS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
# In a workshop: what lay at the target, where the two cannot change places in one step.
REPLACED = "replaced"
# Of a target's name that long a workshop's name still fits: 255 bytes, of up to 4 a letter.
LONGEST_PREFIX = 50

# What lay at a path when its writing was announced (see `announce`), until it is written.
_announced: dict[Path, object] = {}


def beside_its_folder(path: str | Path) -> Path:
    """The same place with its folder's name in full: ``missing/../run`` lies in this folder."""
    path = Path(path)
    return path.parent.resolve() / path.name


def reason(error: OSError) -> str:
    """Why nothing can be made in a folder, in brackets, where the system says so."""
    # In /proc and its like what it says misleads: that the folder does not exist.
    return "" if isinstance(error, FileNotFoundError) else f" ({error.strerror})"


def announce(path: str | Path) -> None:
    """Remember what lies at ``path`` now: the next :func:`replacing` of it replaces nothing else.

    For a command that looks at its output first, works for hours and writes at the end.
    """
    path = beside_its_folder(path)
    _repair(path)
    _announced[path] = _seen(path)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path that becomes ``path`` when the block ends well.

    The caller creates a file or a folder there. It lies beside ``path``, on the same file
    system, so the final move is atomic: a file replaces a file, and two folders change places,
    where the system can. Where it cannot, the old folder is set aside first; if the process is
    killed in between, the next `replacing` or `announce` of ``path`` brings it back. What is
    moved is on the disk before (``fsync``).

    A block that fails leaves ``path`` as it was and nothing beside it. A folder that exists at
    ``path`` is replaced whole. What came to be at ``path`` since `announce`, or since the block
    began, is not replaced: the result is kept beside it. So it is where the last move fails.

    Raises:
        NotADirectoryError: what lies around ``path`` is a file.
        PermissionError: nothing can be made there.
        FileExistsError: something else came to be at ``path``; the message names the result.
        OSError: the last move failed; the message names the result.
    """
    path = beside_its_folder(path)
    if path.parent.exists() and not path.parent.is_dir():
        raise NotADirectoryError(f"{path.parent} is not a folder. Name a path inside one.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        workshop = Path(tempfile.mkdtemp(prefix=_prefix(path), dir=path.parent))
    except OSError as error:
        raise PermissionError(
            f"{path.parent} cannot be written{reason(error)}. Choose another folder."
        ) from error
    draft = workshop / path.name
    left_there = False
    try:
        _repair(path)
        before = _announced.pop(path) if path in _announced else _seen(path)
        yield draft
        _sync(draft)
        if not os.path.lexists(draft):
            raise FileNotFoundError(f"{path} was not written.")
        try:
            _move(draft, path, before)
        except OSError as error:
            result = _keep(draft, path)
            left_there = result == draft
            raise type(error)(
                f"{path} could not be written at the end ({error.strerror or error}). The result "
                f"is whole, in {result}: move it from there."
            ) from error
        _sync_folder(path.parent)
    except OSError as error:
        if error.errno in NAMELESS and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise
    finally:
        # What could not be brought to its place is not thrown away.
        if not (left_there or _set_aside(workshop, path)):
            shutil.rmtree(workshop, ignore_errors=True)


def workshops(path: Path) -> list[Path]:
    """The temporary folders in which ``path`` is being written, or was when a process ended."""
    return sorted(path.parent.glob(f"{glob.escape(_prefix(path))}*"))


def _prefix(path: Path) -> str:
    return f".{path.name[:LONGEST_PREFIX]}-"


def _set_aside(workshop: Path, path: Path) -> bool:
    return os.path.lexists(workshop / REPLACED / path.name) and not os.path.lexists(path)


def _repair(path: Path) -> None:
    """Bring back an old folder that a killed process had set aside."""
    for workshop in workshops(path):
        if _set_aside(workshop, path):
            (workshop / REPLACED / path.name).rename(path)


def _seen(path: Path) -> object:
    """What lies at ``path``, to be compared: nothing, this file, or a folder of these files."""
    try:
        about = path.lstat()
        if path.is_dir():
            with os.scandir(path) as entries:
                files = sorted((e.name, *_marks(e.stat(follow_symlinks=False))) for e in entries)
            # An empty folder is nothing that could be lost.
            return (about.st_dev, about.st_ino, files) if files else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _marks(about)


def _marks(about: os.stat_result) -> tuple[int, ...]:
    return about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns


def _move(draft: Path, path: Path, before: object) -> None:
    """Bring a draft to its place, where nothing lies but what lay there before."""
    if _seen(path) != before:
        raise FileExistsError(errno.EEXIST, "another made or changed it meanwhile")
    if draft.is_dir() and path.is_dir():
        _exchange(draft, path)
    elif before is not None or not _renamed(draft, path, NO_REPLACE):
        draft.replace(path)


def _exchange(draft: Path, path: Path) -> None:
    """Put a folder in the place of another one; at no time is there none of the two."""
    if _renamed(draft, path, EXCHANGE):
        return
    old = draft.parent / REPLACED / path.name
    old.parent.mkdir()
    try:
        path.rename(old)
        draft.replace(path)
    except BaseException:  # an interruption between the two as well
        if _set_aside(draft.parent, path):
            old.rename(path)
        raise


def _renamed(source: Path, target: Path, flag: int) -> bool:
    """Rename by Linux' renameat2; False where it is not to be had."""
    try:
        rename: Any = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):  # another system
        return False
    names = os.fsencode(source), os.fsencode(target)
    if rename(AT_CURRENT_FOLDER, names[0], AT_CURRENT_FOLDER, names[1], flag) == 0:
        return True
    code = ctypes.get_errno()
    if code in CANNOT:
        return False
    raise OSError(code, os.strerror(code), str(target))


def _keep(draft: Path, path: Path) -> Path:
    """Move a whole draft to a free name beside ``path``; if that fails too, leave it."""
    for number in count(1):
        beside = path.with_name(f"{path.stem}-{number}{path.suffix}")
        if os.path.lexists(beside):
            continue
        try:
            if not _renamed(draft, beside, NO_REPLACE):
                draft.rename(beside)
        except FileExistsError:
            continue
        except OSError:
            return draft
        return beside
    raise AssertionError("there is a free number")


def _sync(path: Path) -> None:
    """Have a file, or all of a folder, on the disk: no power cut leaves a name without content."""
    if path.is_dir():
        for entry in path.iterdir():
            _sync(entry)
        _sync_folder(path)
    elif path.is_file():
        # Windows wants to write what it is to keep.
        with path.open("rb+" if os.name == "nt" else "rb") as file:
            os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    # Not all systems can open a folder, and not all file systems keep it that way.
    with suppress(OSError):
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
