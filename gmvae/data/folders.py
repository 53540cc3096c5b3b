"""A folder of pictures, its subfolders being classes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gmvae.data.arrays import scaled, white_of
from gmvae.data.classes import class_values, names_of
from gmvae.data.images import Array, Images
from gmvae.data.pictures import OTHER_PICTURES, PICTURES, read_pictures
from gmvae.data.shaping import Shaping
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.support.files import CONFIG_FILE, WEIGHTS_FILE
from gmvae.support.names import natural, printable

# As which sets are laid out whose classes are one folder deeper.
PARTS = {"train", "training", "test", "testing", "val", "valid", "validation"}
# What unpacking on a Mac leaves beside the pictures.
NO_FOLDERS = {"__MACOSX"}


@dataclass
class _Picture:
    """One picture as it was read, and the range of its pixels before it was shaped."""

    pixels: Array
    file: str
    dtype: np.dtype[np.generic]
    low: float
    high: float


def read_folder(folder: Path, shaping: Shaping | None = None, strict: bool = False) -> Images:
    """Read a folder of pictures; the first folder below it that a picture lies in is its class.

    So pictures deeper than one subfolder are of the class above them. A class is the number that
    the subfolder's name is, where all names are numbers, and otherwise its place among the names
    in natural order, which `Images.class_names` keeps. Subfolders without pictures are no classes.
    Files come in natural order (1, 2, 10), and a file of several pages is as many images,
    ``scan.tif#2`` the second. Where one picture has colour, all have.

    What is white is decided by :func:`gmvae.data.arrays.white_of`, for all pictures of one type
    (bytes, 16 bits, floats) together. Hidden files are passed over, and files that are no pictures
    by their names are counted in `Images.others`; a picture that cannot be read is left out and
    listed in `Images.skipped`.

    Args:
        folder: where they lie.
        shaping: what is done to each; without it they have to be of one size.
        strict: whether one that cannot be read stops all.

    Raises:
        ContentError: there are no pictures, there are pictures both beside and in subfolders, none
            can be read or, with ``strict``, not all of them; their sizes differ.
        ArgumentError: the folder holds a trained model.
    """
    name = folder.resolve().name  # also of "."
    if all((folder / file).is_file() for file in (CONFIG_FILE, WEIGHTS_FILE)):
        raise ArgumentError(
            f"`source` expected images; got {str(folder)!r}, a model's folder. Read it with "
            "gmvae.GMVAE.load, or name it with --model."
        )
    found = list(_files(folder))
    files = sorted(filter(is_picture, found), key=lambda path: [natural(p) for p in path.parts])
    others = len(found) - len(files)
    _check_layout(folder, files, name)
    pictures, skipped = _read(folder, files, shaping or Shaping(), strict)
    names = np.array([picture.file for picture in pictures])
    data = _as_pixels(pictures, name)
    if len(files[0].parts) == 1:
        return Images(data, None, name, {}, names, skipped, others)
    classes = [file.split("/", 1)[0] for file in names.tolist()]
    values = class_values(classes, name)
    labels = np.array([values[word] for word in classes], np.int64)
    return Images(data, labels, name, names_of(values), names, skipped, others)


def read_picture(path: Path, shaping: Shaping | None = None) -> Images:
    """Read one file of pictures, whose pages are an image each.

    Args:
        path: of the file.
        shaping: what is done to each; without it they have to be of one size.

    Raises:
        ContentError: it cannot be read, is of a kind that is not read, or its sizes differ.
    """
    pictures, _ = _read(path.parent, [Path(path.name)], shaping or Shaping(), strict=True)
    names = np.array([picture.file for picture in pictures])
    return Images(_as_pixels(pictures, path.name), None, path.name, {}, names)


def is_picture(path: Path) -> bool:
    """Whether the name of ``path`` is that of a picture, of a kind that is read or of another."""
    return path.suffix.lower() in PICTURES | OTHER_PICTURES


def _files(
    folder: Path, within: Path = Path(), around: frozenset[Path] = frozenset()
) -> Iterator[Path]:
    """The files that are not hidden, as they lie in ``folder``."""
    place = (folder / within).resolve()
    if place in around:  # a link to a folder around it
        return
    for path in (folder / within).iterdir():
        if path.name.startswith(".") or path.name in NO_FOLDERS:
            continue
        if path.is_dir():
            yield from _files(folder, within / path.name, around | {place})
        else:
            yield within / path.name


def _check_layout(folder: Path, files: Sequence[Path], name: str) -> None:
    """Refuse a folder whose pictures have no class that one could name."""
    above = {path.parts[0] for path in files if len(path.parts) > 1}
    beside = [path for path in files if len(path.parts) == 1]
    if bool(beside) == bool(above):
        raise ContentError(
            f"`{name}` expected pictures (png, jpg, ...), either in the folder or in one "
            f"subfolder a class; got {'both' if beside else 'none'}. "
            + ("Name a subfolder, or move the pictures." if beside else "Check the path.")
        )
    if above and {word.lower() for word in above} <= PARTS:
        part = folder / min(above)
        raise ContentError(
            f"`{name}` expected a subfolder a class; got the parts "
            f"{', '.join(sorted(above))}. Name one of them: {printable(str(part))}"
        )


def _read(
    folder: Path, files: Iterable[Path], shaping: Shaping, strict: bool
) -> tuple[list[_Picture], tuple[str, ...]]:
    """The pictures that can be read, and a line for each file that cannot."""
    pictures: list[_Picture] = []
    skipped: list[str] = []
    first_error: ContentError | None = None
    for file in files:
        try:
            pages = _shaped_pages(folder / file, shaping)
        except ContentError as error:
            if strict:
                raise
            first_error = first_error or error
            skipped.append(f"{file.as_posix()}: {_why(file)}")
            continue
        for page, (pixels, dtype, low, high) in enumerate(pages, start=1):
            word = file.as_posix() + (f"#{page}" if len(pages) > 1 else "")
            pictures.append(_Picture(pixels, word, dtype, low, high))
    if first_error is not None and not pictures:
        raise first_error
    return pictures, tuple(skipped)


def _why(file: Path) -> str:
    """Why a file is left out."""
    is_other = file.suffix.lower() in OTHER_PICTURES
    return "of a kind that is not read" if is_other else "no picture, or a damaged one"


def _shaped_pages(
    path: Path, shaping: Shaping
) -> list[tuple[Array, np.dtype[np.generic], float, float]]:
    """Each picture of a file, shaped; its type and range as it was stored."""
    if path.suffix.lower() in OTHER_PICTURES:
        raise ContentError(
            f"`{printable(path.name)}` expected a picture of {', '.join(sorted(PICTURES))}; got "
            "another kind. Convert or remove it."
        )
    return [
        (shaping(page, path.name), page.dtype, float(page.min()), float(page.max()))
        for page in read_pictures(path)
    ]


def _as_pixels(pictures: list[_Picture], name: str) -> Array:
    """Pictures of one size as (N, C, H, W): uint8, or float32 where one is no picture of bytes.

    Raises:
        ContentError: they are of more than one size, or their range is no picture's.
    """
    first = pictures[0]
    for picture in pictures:
        if picture.pixels.shape[:2] != first.pixels.shape[:2]:
            raise ContentError(
                f"`{name}` expected pictures of one size, (H, W) {first.pixels.shape[:2]} as "
                f"{printable(first.file)}; got {picture.pixels.shape[:2]} in "
                f"{printable(picture.file)}. Bring them to one size: gmvae train "
                "does with --resize 32, gmvae.load with resize=32."
            )
    white = {dtype: _white(pictures, dtype, name) for dtype in {p.dtype for p in pictures}}
    colour = any(picture.pixels.shape[2] == 3 for picture in pictures)
    height, width, _ = first.pixels.shape
    bytes_alone = all(
        dtype.kind in "iu" and of_type < 256 for dtype, of_type in white.items()
    ) and all(picture.pixels.dtype.kind in "iu" for picture in pictures)
    shape = (len(pictures), 3 if colour else 1, height, width)
    data = np.empty(shape, np.uint8 if bytes_alone else np.float32)
    for row, picture in enumerate(pictures):
        pixels = scaled(picture.pixels, white[picture.dtype])
        if pixels.dtype != data.dtype:
            pixels = pixels / np.float32(255)
        data[row] = np.moveaxis(pixels, 2, 0)
        picture.pixels = pixels[:0]  # its memory goes while that of all is filled
    return data


def _white(pictures: Iterable[_Picture], dtype: np.dtype[np.generic], name: str) -> int:
    """What is white in the pictures of one type."""
    of_type = [picture for picture in pictures if picture.dtype == dtype]
    low, high = min(p.low for p in of_type), max(p.high for p in of_type)
    return white_of(dtype, low, high, name)
