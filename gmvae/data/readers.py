"""Readers of files: NumPy's, IDX, and folders of pictures."""

import gzip
import math
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile

from gmvae.data.arrays import from_arrays
from gmvae.data.images import Array, Images
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.support.files import CONFIG_FILE, WEIGHTS_FILE

PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}

# What files of NumPy begin with; an .npz file is a zip archive.
NUMPY_MAGIC = {".npz": b"PK", ".npy": b"\x93NUMPY"}

# The third byte of an IDX file names the type of its values; all are big-endian.
IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def reader_of(path: Path) -> Callable[[Path], Images] | None:
    """Return the function that reads ``path``, by its name; None where none does."""
    if path.is_dir():
        return read_folder
    if path.suffix.lower() in (".npz", ".npy"):
        return read_numpy
    if re.search("idx|ubyte", path.name.lower()):
        return read_idx
    return None


def read_numpy(path: Path) -> Images:
    """Read ``.npy``, as a memory map, or ``.npz`` with ``data`` and optional ``labels``.

    Raises:
        ContentError: the file is damaged, needs unpickling, or lacks ``data``; or its arrays do
            not fit (see `from_arrays`).
    """
    names = ["data"]
    try:
        if path.suffix.lower() == ".npy":
            arrays = {"data": np.load(path, mmap_mode="r", allow_pickle=False)}
        else:
            # Opened here, because numpy.load leaves a damaged archive open.
            with path.open("rb") as file, NpzFile(file, allow_pickle=False) as stored:
                names = stored.files
                arrays = {name: stored[name] for name in ("data", "labels") if name in names}
    # All that damage raises; NumPy's own words on it, and on objects, recommend unpickling.
    except (ValueError, RuntimeError, EOFError, TokenError, BadZipFile, zlib.error) as error:
        raise ContentError(
            f"`{path.name}` expected arrays of numbers; got {_fault(path, error)}"
        ) from error
    if "label" in names and "labels" not in names:
        raise ContentError(
            f"`{path.name}` expected its classes under the name `labels`; got `label`. Rename it."
        )
    if "data" not in arrays:
        raise ContentError(
            f"`{path.name}` expected an array `data` (and maybe `labels`); got "
            f"{', '.join(names) or 'none'}. Save it with numpy.savez(path, data=..., labels=...)."
        )
    return from_arrays(arrays["data"], arrays.get("labels"), name=path.name)


def _fault(path: Path, error: Exception) -> str:
    """Why NumPy cannot read a file, and what to do."""
    kind = path.suffix.lower()
    with path.open("rb") as file:
        if not file.read(6).startswith(NUMPY_MAGIC[kind]):
            how = "save(path, pixels)" if kind == ".npy" else "savez(path, data=..., labels=...)"
            return f"a file that is no {kind}, whatever its name. Save it with numpy.{how}."
    if re.search("allow_pickle|Python objects", str(error)):
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
    """Return the array of an IDX file: a memory map, or in memory where it is gzipped."""
    try:
        if path.suffix == ".gz":
            content: Any = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8)
        else:
            content = np.memmap(path, np.uint8, "r")
        head = content[: 4 + 4 * int(content[3])].tobytes()
        dtype = np.dtype(IDX_TYPES[head[2]])
        shape = tuple(np.frombuffer(head, ">u4", offset=4).tolist())
        # Also the check that the file is as long as its head says.
        if head[:2] != b"\0\0" or len(content) - len(head) != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{len(content)} bytes do not hold {shape} of {dtype}")
        values: Array = content[len(head) :].view(dtype).reshape(shape)
        return values
    except (gzip.BadGzipFile, EOFError, zlib.error, IndexError, KeyError, ValueError) as error:
        raise ContentError(
            f"`{path.name}` expected an IDX file; got other or damaged content. "
            "Fetch it again, or save it as .npz."
        ) from error


def read_folder(folder: Path) -> Images:
    """Read a folder of pictures of one size; its subfolders, if any, are the classes.

    A class is the number that the subfolder's name is, where all names are numbers, and
    otherwise its place among the sorted names, which `Images.class_names` keeps. Hidden files and
    other files are passed over.

    Raises:
        ContentError: there are no pictures, there are pictures both beside and in subfolders,
            one cannot be read, or their sizes or modes differ.
        ArgumentError: the folder holds a trained model.
    """
    name = folder.resolve().name  # also of "."
    subfolders = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    numeric = all(p.name.isdecimal() and len(p.name) < 19 for p in subfolders)
    if numeric and len({int(p.name) for p in subfolders}) < len(subfolders):
        raise ContentError(
            f"`{name}` expected a subfolder a class; got two of the same number, as 1 and 01. "
            "Join them."
        )
    if all((folder / file).is_file() for file in (CONFIG_FILE, WEIGHTS_FILE)):
        raise ArgumentError(
            f"`source` expected images; got {str(folder)!r}, a model's folder. Read it with "
            "gmvae.GMVAE.load, or name it with --model."
        )
    beside = _pictures(folder)
    within = [
        (path, int(subfolder.name) if numeric else place)
        for place, subfolder in enumerate(subfolders)
        for path in _pictures(subfolder)
    ]
    if bool(beside) == bool(within):
        raise ContentError(
            f"`{name}` expected pictures (png, jpg, ...), either in the folder or in one "
            f"subfolder a class; got {'both' if beside else 'none'}. Check the path."
        )
    paths = beside or [path for path, _ in within]
    first = _picture(paths[0])
    data = np.empty((len(paths), *first.shape), dtype=np.uint8)
    for row, path in enumerate(paths):
        picture = _picture(path)
        if picture.shape != first.shape:
            raise ContentError(
                f"`{name}` expected pictures of one size and mode, (H, W, C) "
                f"{first.shape} as {paths[0].relative_to(folder)}; got {picture.shape} in "
                f"{path.relative_to(folder)}. "
                "Convert them to one."
            )
        data[row] = picture
    labels = np.array([label for _, label in within], dtype=np.int64) if within else None
    names = {} if numeric or not within else {i: p.name for i, p in enumerate(subfolders)}
    return Images(np.moveaxis(data, 3, 1), labels, name, names)


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in PICTURES and not path.name.startswith(".")
    )


def _picture(path: Path) -> Array:
    """Return one picture, ``(H, W, C)`` uint8 with 1, 3 or 4 channels."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.mode.startswith("I"):  # 16 bits, of which the upper 8 are kept
                return (np.asarray(image)[:, :, None] >> 8).clip(0, 255).astype(np.uint8)
            mode = "L" if image.mode == "1" else image.mode
            if mode not in ("L", "RGB", "RGBA"):
                mode = "RGBA" if image.has_transparency_data else "RGB"
            pixels = np.asarray(image.convert(mode))
            return pixels.reshape(image.height, image.width, -1)
    # Pillow reports damage by any of these.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ContentError(
            f"`{path.parent.name}/{path.name}` expected a picture; got a file that Pillow cannot "
            "read. Repair or remove it."
        ) from error
