"""Tables of answers, a row an image, as CSV, JSON, Parquet or NumPy's arrays: by the suffix."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmvae.support.errors import ArgumentError
from gmvae.support.files import replacing

if TYPE_CHECKING:
    import numpy as np

    from gmvae import Images

SUFFIXES = (".csv", ".parquet", ".npz", ".json")
# Digits of a number in a text: of a probability behind the point, and of any other in all.
DECIMALS, DIGITS = 6, 7
# The column of a probability; the others hold numbers of any size.
PROBABILITY = "Probability"
# Rows that are read of a memory map at a time: of 784 pixels each that is 26 MB.
ROWS = 8_192
# Of zlib, from 1 to 9, and from which share of its size on an array is not compressed at all: of
# latents a tenth would be saved, in a twentieth of the time that the encoder takes.
LEVEL, WORTH_IT = 1, 0.8
# From the name of a column to its values, (N,) or (N, M); a matrix is as many columns.
Columns = Mapping[str, "np.ndarray"]


def check_suffix(path: Path) -> None:
    """Refuse, before any work, a file whose kind needs what is not installed.

    Raises:
        ArgumentError: a Parquet file, and no pyarrow.
    """
    if path.suffix.lower() == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError as error:
            raise ArgumentError(
                f"`--output` expected pyarrow for a Parquet file; got none installed, and {path}. "
                "Install it: pip install 'gmvae[parquet]', or write .csv."
            ) from error


def image_column(images: "Images") -> tuple[str, "np.ndarray"]:
    """What names an image in a table: its file, or its row from 0 where it came from no file."""
    import numpy as np

    if images.files is not None:
        return "File", images.files
    return "Row", np.arange(len(images))


def write_table(path: Path, columns: Columns) -> None:
    """Write columns to a file of the kind that its suffix says, whole or not at all."""
    with replacing(path) as draft:
        {
            ".csv": _write_csv,
            ".json": _write_json,
            ".npz": _write_npz,
            ".parquet": _write_parquet,
        }[path.suffix.lower()](draft, columns)


def flat(columns: Columns) -> dict[str, "np.ndarray"]:
    """The same, a matrix ``Q`` being columns ``Q_0``, ``Q_1`` and so on."""
    return {
        name: part
        for whole, values in columns.items()
        for name, part in (
            [(whole, values)]
            if values.ndim == 1
            else [(f"{whole}_{i}", values[:, i]) for i in range(values.shape[1])]
        )
    }


def parts(columns: Columns) -> Iterator[dict[str, "np.ndarray"]]:
    """Some rows of the columns at a time, so that a memory map is never held whole."""
    from gmvae.data.images import let_go

    n = len(next(iter(columns.values())))
    for start in range(0, n, ROWS):
        yield {name: values[start : start + ROWS] for name, values in columns.items()}
        for values in columns.values():
            let_go(values)


def _write_csv(path: Path, columns: Columns) -> None:
    # Names of files are bytes, of which not all are letters: they are written as they are.
    with path.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(flat(columns))
        for of_row in parts(flat(columns)):
            writer.writerows(zip(*map(_as_texts, of_row, of_row.values()), strict=True))


def _as_texts(name: str, values: "np.ndarray") -> Sequence[Any] | Iterator[str]:
    """A column's cells as they are written."""
    cells: list[Any] = values.tolist()
    if values.dtype.kind != "f":
        return cells
    how = f".{DECIMALS}f" if name == PROBABILITY else f".{DIGITS}g"
    return (format(cell, how) for cell in cells)


def _write_json(path: Path, columns: Columns) -> None:
    """As ``json.dump(rows, indent=1)`` writes them, a row at a time."""
    before = "["
    with path.open("w", encoding="utf-8") as file:
        for of_row in parts(flat(columns)):
            cells = (values.tolist() for values in of_row.values())
            for row in zip(*cells, strict=True):
                text = json.dumps(dict(zip(of_row, row, strict=True)), indent=1)
                file.write(f"{before}\n{text}".replace("\n", "\n "))
                before = ","
        file.write("\n]\n")


def _write_npz(path: Path, columns: Columns) -> None:
    import zlib
    from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

    from gmvae.data import npy

    with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=LEVEL) as archive:
        for name, values in columns.items():
            some = values[:ROWS].tobytes()
            small = len(zlib.compress(some, LEVEL)) < WORTH_IT * len(some)
            archive.compression = ZIP_DEFLATED if small else ZIP_STORED
            # Larger than 2 GB it may be, which has to be said first.
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                npy.write_head(file, values.dtype, values.shape)
                for part in parts({name: values}):
                    file.write(part[name].tobytes())


def _write_parquet(path: Path, columns: Columns) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    try:
        for of_row in parts(flat(columns)):
            arrays = [pa.array(_letters(v) if v.dtype.kind == "U" else v) for v in of_row.values()]
            table = pa.table(dict(zip(of_row, arrays, strict=True)))
            writer = pq.ParquetWriter(path, table.schema) if writer is None else writer
            writer.write_table(table)
    finally:
        if writer is not None:
            writer.close()


def _letters(words: "np.ndarray") -> list[str]:
    """Words as UTF-8 has them: what is no letter is written out."""
    return [word.encode("utf-8", "backslashreplace").decode("utf-8") for word in words.tolist()]
