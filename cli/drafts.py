"""A draft of answers: an .npy file a column, which grows by rows, and how many of them are there.

N rows in all; a process that ends leaves a draft of which the rows that were saved can be kept.
"""

import json
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from gmvae.support.errors import ArgumentError
from gmvae.support.files import replacing
from gmvae.support.locks import lock, unlock
from gmvae.support.reading import read_text

from .output import write_json

if TYPE_CHECKING:
    import numpy as np

SAVED = "saved.json"


class Draft:
    """Columns of N rows in a folder of their own, which no other process writes to meanwhile.

    Args:
        folder: made where it does not exist.
        n_rows: N.

    Attributes:
        rows: that are there, from the first on.
        note: what is saved beside them: of the last rows that were added.

    Raises:
        FileExistsError: another process writes to the folder.
    """

    def __init__(self, folder: Path, n_rows: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.n_rows = folder, n_rows
        self.rows, self.note = 0, ""
        self._names: list[str] = []
        self._files: dict[str, BinaryIO] = {}
        self._lock = _locked(folder)

    def clear(self) -> None:
        """Forget what another scoring has left here."""
        for path in self.folder.iterdir():
            if path.is_dir():  # of a saving that was killed
                shutil.rmtree(path)
            else:
                path.unlink()

    def take_up(self, record: Mapping[str, Any]) -> None:
        """Go on after the rows that were saved, of a draft of the same record.

        Raises:
            ArgumentError: another record, or spoilt files.
        """
        from gmvae.data import npy

        try:
            saved = json.loads(read_text(self.folder / SAVED))
            others = [name for name in record if saved["record"].get(name) != record[name]]
            rows, self.note = int(saved["rows"]), str(saved["note"])
            for name in () if others else saved["columns"]:
                path = self.path(name)
                with path.open("rb") as file:
                    head = npy.read_head(file)
                length = head.length + head.n_bytes // max(1, self.n_rows) * rows
                if head.shape[0] != self.n_rows or path.stat().st_size < length:
                    raise ValueError(f"{path.name} is too short")
                os.truncate(path, length)
                self._opened(name, path.open("ab"))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ArgumentError(
                f"`--resume` expected a scoring that can go on; got {self.folder}, which is spoilt "
                f"({error}). Begin anew without --resume."
            ) from error
        if others:
            raise ArgumentError(
                f"`--resume` expected the same {' and '.join(record)} as before; got another "
                f"{others[0]}. Give what was given then, or begin anew without --resume."
            )
        self.rows = rows

    def add(self, columns: "Mapping[str, np.ndarray]", note: str = "") -> None:
        """Add the next rows, (B,) or (B, ...) of each column."""
        for name, values in columns.items():
            if name not in self._files:
                self._opened(name, self._begun(name, values))
            self._files[name].write(values.tobytes())
        self.rows += len(next(iter(columns.values())))
        self.note = note

    def save(self, record: Mapping[str, Any]) -> None:
        """Have the rows on the disk, and that they are there."""
        for file in self._files.values():
            file.flush()
        saved = {"rows": self.rows, "columns": self._names, "note": self.note, "record": record}
        write_json(self.folder / SAVED, saved)

    def columns(self) -> "dict[str, np.ndarray]":
        """All rows, as memory maps; nothing can be added any more."""
        from gmvae.data import npy

        self.close()
        return {name: npy.mapped(self.path(name)) for name in self._names}

    def path(self, name: str) -> Path:
        """The file of a column."""
        return self.folder / f"{name}.npy"

    def move(self, name: str, output: Path) -> None:
        """Make the file of a column the output, whole or not at all; no row is left here."""
        self.close()
        with replacing(output) as new:
            self.rows, self._names = 0, []
            self.path(name).replace(new)

    def close(self) -> None:
        """Let go of the files; of a full disk this was said before."""
        for file in self._files.values():
            with suppress(OSError):
                file.close()
        self._files.clear()

    def unlock(self) -> None:
        """Let other processes write to the folder."""
        unlock(self._lock)
        self._lock = None

    def _opened(self, name: str, file: BinaryIO) -> None:
        self._names.append(name)
        self._files[name] = file

    def _begun(self, name: str, values: "np.ndarray") -> BinaryIO:
        from gmvae.data import npy

        file = self.path(name).open("wb")
        npy.write_head(file, values.dtype, (self.n_rows, *values.shape[1:]))
        return file


def _locked(folder: Path) -> int | None:
    """A descriptor that holds the folder until closed; None where folders cannot be locked."""
    try:
        return lock(folder)
    except BlockingIOError as error:
        raise FileExistsError(
            f"`--output` expected a file that no other process is writing; got one that is being "
            f"written, by way of {folder}. Choose another --output."
        ) from error
