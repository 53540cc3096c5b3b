"""NumPy's files without trust: the head first, then what it declares and no more.

NumPy's own reader inflates what it is given, and makes room for what a head says. Here a head is
bounded, what it declares has to be what the file holds, and nothing is ever unpickled.
"""

import io
import math
import struct
import warnings
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import numpy as np
from numpy.typing import NDArray

# NumPy's own bound (`max_header_size`), which it looks at only after reading the head.
LONGEST_HEAD = 10_000
# More than that deflate cannot make of one byte (zlib's technical notes); other methods can.
MOST_INFLATED = {ZIP_STORED: 1, ZIP_DEFLATED: 1032}
MOST_INFLATED_ELSE = 100_000
# Read at a time.
CHUNK = 2**20


class Readable(Protocol):
    """What bytes can be read from."""

    def read(self, n: int, /) -> bytes:
        """At most ``n`` bytes."""


class Head(NamedTuple):
    """What an array's head declares, and the length of the head."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]
    length: int

    @property
    def n_bytes(self) -> int:
        """Bytes of the array itself."""
        return math.prod(self.shape) * self.dtype.itemsize


class ObjectsError(ValueError):
    """An array of Python objects, which could only be unpickled."""


def mapped(path: Path) -> NDArray[Any]:
    """The array of an ``.npy`` file, as a memory map.

    Raises:
        ValueError, and whatever else a damaged head makes Python raise.
    """
    with path.open("rb") as file:
        head = read_head(file)
    if path.stat().st_size != head.length + head.n_bytes:
        raise ValueError(f"{path.stat().st_size} bytes do not hold {head.shape} of {head.dtype}")
    if not head.n_bytes:
        return np.empty(head.shape, head.dtype)
    order: Any = "F" if head.fortran else "C"
    return np.memmap(path, head.dtype, "r", head.length, head.shape, order)


def member(archive: ZipFile, info: ZipInfo) -> NDArray[Any]:
    """The array of one member of an ``.npz`` file.

    Raises:
        ValueError, and whatever else a damaged member makes Python raise.
    """
    most = MOST_INFLATED.get(info.compress_type, MOST_INFLATED_ELSE) * info.compress_size
    with archive.open(info) as file:
        head = read_head(file)
        if info.file_size != head.length + head.n_bytes or info.file_size > most:
            raise ValueError(f"{info.file_size} bytes do not hold {head.shape} of {head.dtype}")
        content = exactly(file, head.n_bytes)
    if not head.n_bytes:
        return np.empty(head.shape, head.dtype)
    array: NDArray[Any] = content.view(head.dtype)
    return array.reshape(head.shape[::-1]).T if head.fortran else array.reshape(head.shape)


def write_head(file: Any, dtype: "np.dtype[Any]", shape: tuple[int, ...]) -> None:
    """Write the head of an array whose numbers, in the order of C, are to follow."""
    descr = np.lib.format.dtype_to_descr(dtype)
    head = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, head)


def read_head(file: Readable) -> Head:
    """Read the head of an array, and leave the file at the first of its numbers.

    Raises:
        ObjectsError: the array is of Python objects.
        ValueError, and whatever else a damaged head makes Python raise.
    """
    start = file.read(8)
    if start[:6] != b"\x93NUMPY" or start[6:7] not in (b"\1", b"\2", b"\3"):
        raise ValueError("no array of NumPy")
    width = 2 if start[6] == 1 else 4
    n = int.from_bytes(file.read(width), "little")
    if n > LONGEST_HEAD:
        raise ValueError(f"a head of {n} bytes")
    # The versions differ in the width of the length, and in an encoding that fields alone need.
    text = io.BytesIO(struct.pack("<H", n) + file.read(n))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a head was written by Python 2
        try:
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(text)
        except MemoryError as error:  # of brackets in brackets: a head is small
            raise ValueError("a head too deep") from error
    if dtype.hasobject:
        raise ObjectsError("Python objects")
    if not all(type(side) is int and side >= 0 for side in shape):
        raise ValueError(f"a shape of {shape}")
    return Head(shape, fortran, dtype, 8 + width + n)


def exactly(file: Readable, n: int) -> NDArray[np.uint8]:
    """The ``n`` bytes that a file still holds, and not one more.

    Raises:
        EOFError: it holds fewer.
        ValueError: it holds more.
    """
    # Not touched before it is filled: what is declared and not there takes no memory.
    content = np.empty(n, np.uint8)
    at = 0
    while at < n:
        chunk = file.read(min(CHUNK, n - at))
        if not chunk:
            raise EOFError(f"{at} bytes of {n}")
        content[at : at + len(chunk)] = np.frombuffer(chunk, np.uint8)
        at += len(chunk)
    # At its end a compressed file checks its sum, too.
    if file.read(1):
        raise ValueError(f"more than {n} bytes")
    return content
