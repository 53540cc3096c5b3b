"""Folders that one process alone writes to at a time."""

import os
from pathlib import Path


def lock(folder: Path) -> int | None:
    """A descriptor that holds the folder until it is closed, or the process ends.

    None where folders cannot be locked: on Windows, and on some network file systems.

    Raises:
        BlockingIOError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def unlock(descriptor: int | None) -> None:
    """Let other processes write to the folder."""
    if descriptor is not None:
        os.close(descriptor)
