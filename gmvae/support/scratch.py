"""Folders for what a run needs while it runs, none of which outlives it for long."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gmvae.support.locks import lock, unlock

PREFIX = "gmvae-scratch-"
# Seconds: between the making of a folder and its lock there is a moment in which it seems left.
_JUST_MADE = 60.0


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Yield a new folder among the system's temporary ones, which goes when the block ends.

    What ended without a word (SIGKILL) could not clear its own: the next one to call this does.
    Each living process holds a lock on its folder, which the system takes from a dead one.
    """
    clear_left_folders()
    with tempfile.TemporaryDirectory(prefix=PREFIX) as name:
        descriptor = _locked(Path(name))
        try:
            yield Path(name)
        finally:
            unlock(descriptor)


def clear_left_folders() -> None:
    """Delete the scratch folders of this user's processes that are dead."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # Another process may clear the same at the same time.
        with suppress(OSError):
            if not _may_be_left(folder):
                continue
            descriptor = _locked(folder)
            if descriptor is None:
                continue
            try:
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                unlock(descriptor)


def _may_be_left(folder: Path) -> bool:
    """Whether it is a folder of this user's, and not just made."""
    status = folder.lstat()
    mine = not hasattr(os, "getuid") or status.st_uid == os.getuid()
    old = time.time() - status.st_mtime > _JUST_MADE
    return mine and old and folder.is_dir() and not folder.is_symlink()


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock until closed; None where another one has it.

    None, too, where folders cannot be locked (Windows): nothing is cleared there.
    """
    with suppress(BlockingIOError):
        return lock(folder)
    return None
