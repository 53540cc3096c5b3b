"""Readers of files: NumPy's, IDX, and folders of pictures."""

import errno
import gzip
import lzma
import math
import os
import re
import struct
import zlib
from pathlib import Path
from tokenize import TokenError
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

import numpy as np

from gmvae.data import npy
from gmvae.data.archives import Layout, layout_of
from gmvae.data.arrays import from_arrays
from gmvae.data.folders import is_picture, read_folder, read_picture
from gmvae.data.images import Array, Images
from gmvae.data.shaping import Shaping
from gmvae.support.errors import ContentError
from gmvae.support.reading import IDX, check_regular

# What files of NumPy begin with; an .npz file is a zip archive.
NUMPY_MAGIC = {".npz": b"PK", ".npy": b"\x93NUMPY"}

# All that damage makes the readers of zip, gzip, bzip2 and LZMA raise, and NumPy's of a head;
# gzip and bzip2 raise an OSError without a number.
DAMAGE = (
    *(ValueError, TypeError, KeyError, IndexError, OverflowError, SyntaxError, AttributeError),
    *(RuntimeError, EOFError, TokenError, BadZipFile, zlib.error),
    *(lzma.LZMAError, struct.error, OSError),
)

# The third byte of an IDX file names the type of its values; all are big-endian.
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def is_readable(path: Path) -> bool:
    """Whether the name of ``path`` is that of something that :func:`read` reads."""
    return (
        os.path.isdir(path)  # False too for what no path can be
        or path.suffix.lower() in NUMPY_MAGIC
        or is_picture(path)
        or re.search(IDX, path.name.lower()) is not None
    )


def read(
    path: Path, part: str = "train", shaping: Shaping | None = None, strict: bool = False
) -> Images:
    """Read a folder of pictures or one of them, a file of NumPy's or an IDX file, by the name.

    Args:
        path: one that `is_readable`.
        part: "train", "test" or "val", of an archive that has it.
        shaping: what is done to each image.
        strict: whether a picture that cannot be read stops all.

    Raises:
        ContentError: what it holds does not fit.
        ArgumentError: a folder that holds a trained model.
    """
    shaping = shaping or Shaping()
    if os.path.isdir(path):
        return read_folder(path, shaping, strict)
    if is_picture(path):
        return read_picture(path, shaping)
    if path.suffix.lower() in NUMPY_MAGIC:
        return shaping.of_all(read_numpy(path, part))
    return shaping.of_all(read_idx(path))


def read_numpy(path: Path, part: str = "train") -> Images:
    """Read ``.npy``, as a memory map, or ``.npz`` with pixels and, maybe, labels.

    See :func:`gmvae.data.archives.layout_of` for the names that the arrays of an ``.npz`` may
    have. Of an archive with parts, one is read.

    Raises:
        ContentError: the file is damaged, needs unpickling, or lacks pixels; or its arrays do
            not fit (see `from_arrays`).
    """
    check_regular(path)
    try:
        if path.suffix.lower() == ".npy":
            pixels, labels = npy.mapped(path), None
        else:
            pixels, labels = _members(path, part)
    except ContentError:
        raise
    except DAMAGE as error:
        _check_damage(error)
        raise ContentError(
            f"`{path.name}` expected arrays of numbers; got {_fault(path, error)}"
        ) from error
    return from_arrays(pixels, labels, name=path.name)


def parts_of(path: Path) -> tuple[str, ...]:
    """The parts, "train", "test" and "val", that an ``.npz`` file holds; none of any other file.

    Raises:
        ContentError: arrays of names that no reader knows.
    """
    if path.suffix.lower() != ".npz" or not path.is_file():
        return ()
    try:
        with ZipFile(path) as archive:
            layout = _layout(path, archive)
    except DAMAGE:  # reading it says what is wrong
        return ()
    return tuple(part for part in ("train", "test", "val") if part in layout.pixels)


def _members(path: Path, part: str) -> tuple[Array, Array | None]:
    """The pixels and labels of a part of an archive."""
    with ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        layout = _layout(path, archive)
        part = part if part in layout.pixels else next(iter(layout.pixels))
        pixels = npy.member(archive, members[layout.pixels[part]])
        if part not in layout.labels:
            return pixels, None
        try:
            return pixels, npy.member(archive, members[layout.labels[part]])
        except npy.ObjectsError as error:
            raise ContentError(
                f"`{path.name}` expected labels that are integers or words; got Python objects, as "
                "words in a table are. Save them as words, labels.astype(str), or as integers from "
                "0."
            ) from error


def _layout(path: Path, archive: ZipFile) -> Layout:
    """Which of the arrays are pixels, and which labels."""
    return layout_of([info.filename.removesuffix(".npy") for info in archive.infolist()], path.name)


def _check_damage(error: BaseException) -> None:
    """Raise again what the system says of a file, and not a reader of what is in it."""
    # An offset before the start of an archive is an invalid argument.
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        raise error


def _fault(path: Path, error: BaseException) -> str:
    """Why a file cannot be read, and what to do."""
    kind = path.suffix.lower()
    with path.open("rb") as file:
        if not file.read(6).startswith(NUMPY_MAGIC[kind]):
            how = "save(path, pixels)" if kind == ".npy" else "savez(path, data=..., labels=...)"
            return f"a file that is no {kind}, whatever its name. Save it with numpy.{how}."
    if isinstance(error, npy.ObjectsError):
        return "Python objects. Save the pixels as one array of uint8 or float32."
    return "a damaged or incomplete file. Copy it or save it again."


def read_idx(path: Path) -> Images:
    """Read an IDX file, gzipped or not, and the labels in its sibling where there is one.

    The sibling of ``train-images-idx3-ubyte.gz`` is ``train-labels-idx1-ubyte``, gzipped or not.

    Raises:
        ContentError: a file is no IDX file, is damaged, or does not fit (see `from_arrays`).
    """
    labels = None
    if "images" in path.name:
        stem = path.name.removesuffix(".gz").replace("images", "labels")
        sibling = path.with_name(re.sub(r"idx\d", "idx1", stem))
        siblings = [p for p in (sibling, Path(f"{sibling}.gz")) if p.exists()]
        labels = idx_array(siblings[0]) if siblings else None
    return from_arrays(idx_array(path), labels, name=path.name)


def idx_array(path: Path) -> Array:
    """Return the array of an IDX file: a memory map, or in memory where it is gzipped.

    Raises:
        ContentError: it is no IDX file, or not as long as its head says.
    """
    check_regular(path)
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                return _idx_values(file, npy.MOST_INFLATED[ZIP_DEFLATED] * path.stat().st_size)
        with path.open("rb") as file:
            return _idx_values(file, path.stat().st_size)
    except DAMAGE as error:
        _check_damage(error)
        raise ContentError(
            f"`{path.name}` expected an IDX file; got other or damaged content. "
            "Fetch it again, or save it as .npz."
        ) from error


def _idx_values(file: BinaryIO | gzip.GzipFile, most: int) -> Array:
    """What an IDX file of at most ``most`` bytes holds: its head is read, then what it declares."""
    head = file.read(4)
    head += file.read(4 * head[3])
    dtype = np.dtype(IDX_TYPES[head[2]])
    shape = tuple(np.frombuffer(head, ">u4", offset=4).tolist())
    n_bytes = math.prod(shape) * dtype.itemsize
    if head[:2] != b"\0\0" or len(shape) != head[3] or len(head) + n_bytes > most:
        raise ValueError(f"{most} bytes do not hold {shape} of {dtype}")
    if isinstance(file, gzip.GzipFile) or not n_bytes:
        return npy.exactly(file, n_bytes).view(dtype).reshape(shape)
    if len(head) + n_bytes != most:
        raise ValueError(f"{most} bytes are not {shape} of {dtype}")
    return np.memmap(file, dtype, "r", len(head), shape)
