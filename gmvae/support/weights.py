"""The file of a model's weights: looked at before anything of its size is made.

The format is safetensors: 8 bytes with the length of a header, little-endian; the header, JSON
with type, shape and place of each tensor; the numbers. Nothing is ever unpickled.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from gmvae.support.errors import ContentError
from gmvae.support.files import CONFIG_FILE, WEIGHTS_FILE, workshops
from gmvae.support.names import printable
from gmvae.support.reading import check_regular

# A tensor takes some 100 bytes of it, and a network has tens of tensors.
LARGEST_HEADER = 2**24
# Bytes a number, of the types that a model's floats and its counters may have.
FLOATS = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}
WHOLE = {"I64": 8}

Header = dict[str, tuple[str, tuple[int, ...]]]


def digest(content: bytes) -> str:
    """The SHA-256 that binds ``config.json`` to its weights, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def weights_file(folder: Path, sha256: str | None) -> Path:
    """Where the weights lie that ``config.json`` names by their hash.

    That is in their place, but for a model that was being saved over another one when it was
    killed: then the new configuration is there already, and its weights are whole, in the folder
    from which they were to be moved.
    """
    if sha256 is not None:
        for workshop in workshops(folder / WEIGHTS_FILE):
            draft = workshop / WEIGHTS_FILE
            if draft.is_file() and digest(draft.read_bytes()) == sha256:
                return draft
    return folder / WEIGHTS_FILE


def read_header(path: Path) -> Header:
    """Type and shape of each tensor, by name, without the tensors.

    Raises:
        ContentError: no regular file, no safetensors, or a file that is not as long as its header
            says.
    """
    check_regular(path)
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > LARGEST_HEADER:
                raise ValueError(f"a header of {length:,} bytes")
            stored = json.loads(file.read(length))
        header = {
            str(name): (str(entry["dtype"]), tuple(map(_side, entry["shape"])))
            for name, entry in stored.items()
            if name != "__metadata__"
        }
    # All that a JSON of another form raises on the way.
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise damaged(path, error) from error
    if all(dtype in FLOATS or dtype in WHOLE for dtype, _ in header.values()):
        widths = FLOATS | WHOLE
        size = sum(math.prod(shape) * widths[dtype] for dtype, shape in header.values())
        if path.stat().st_size != 8 + length + size:
            raise damaged(path, f"{path.stat().st_size:,} bytes, not {8 + length + size:,}")
    return header


def read_weights(
    path: Path, expected: Mapping[str, Tensor], sha256: str | None, remedy: str
) -> dict[str, Tensor]:
    """The tensors of a file, which have to be those ``expected``: their shapes and their kind.

    Header and shapes are compared before the numbers are read.

    Args:
        path: the file.
        expected: tensors of the same names; only shapes and types are looked at.
        sha256: the hash of the file that ``config.json`` names; None where it names none.
        remedy: what to do where the two do not belong together.

    Raises:
        ContentError: a damaged file, a name, type or shape that does not fit, a number that is
            not finite, a negative variance, or another hash.
    """
    _check_shapes(path, read_header(path), expected, remedy)
    content = path.read_bytes()
    try:
        tensors: dict[str, Tensor] = load(content)
    except SafetensorError as error:
        raise damaged(path, error) from error
    for name in sorted(tensors):
        if not tensors[name].isfinite().all():
            raise ContentError(
                f"{path} expected finite numbers; got NaN or infinity in {name}. Restore the file, "
                "or train again."
            )
        if name.endswith(".running_var") and bool((tensors[name] < 0).any()):
            raise ContentError(
                f"{path} expected variances of 0 or more; got a negative one in {name}. Restore "
                "the file, or train again."
            )
    if sha256 is not None and digest(content) != sha256:
        raise ContentError(
            f"{path} expected the very weights that {CONFIG_FILE} was saved with; got others, or "
            f"damaged ones (another SHA-256). {remedy}, or train again."
        )
    return tensors


def damaged(path: Path, why: object) -> ContentError:
    """What to raise for a file that is no whole safetensors."""
    reason = printable(" ".join(str(why).split()), 100)
    return ContentError(
        f"{path} expected whole safetensors; got a damaged file ({reason}). Copy it or train again."
    )


def _side(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"a shape of {value!r}")
    return value


def _check_shapes(path: Path, header: Header, expected: Mapping[str, Tensor], remedy: str) -> None:
    """Refuse tensors that are not those of the configuration, with the first that differs."""
    for name in sorted({*expected, *header}):
        shape = tuple(expected[name].shape) if name in expected else None
        dtype, stored = header.get(name, ("", None))
        shown = printable(name, 100)
        if shape != stored:
            raise ContentError(
                f"{path} does not fit {CONFIG_FILE}: {shown} expected shape {shape}; got "
                f"{printable(str(stored), 100)}. {remedy}, or train again."
            )
        kinds = FLOATS if expected[name].is_floating_point() else WHOLE
        if dtype not in kinds:
            raise ContentError(
                f"{path} expected numbers of {' or '.join(kinds)} in {shown}; got "
                f"{printable(dtype, 20)}. Restore the file, or train again."
            )
