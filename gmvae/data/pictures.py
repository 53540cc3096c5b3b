"""A folder of pictures, its subfolders being classes."""

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gmvae.data.images import Array, Images
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.support.files import CONFIG_FILE, WEIGHTS_FILE
from gmvae.support.names import printable
from gmvae.support.reading import check_regular

if TYPE_CHECKING:
    from PIL import Image

# Pillow's formats and the endings of their names. It opens a file by what it holds, whatever its
# name, and knows formats that start other programs, as EPS does: no others than these.
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
PICTURES = {
    *(".bmp", ".gif", ".jfif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
}
# Pictures too, of which nothing here can be sure to read them.
OTHER_PICTURES = {".avif", ".heic", ".heif", ".jp2", ".jxl"}


def read_folder(folder: Path) -> Images:
    """Read a folder of pictures of one size; its subfolders, if any, are the classes.

    A class is the number that the subfolder's name is, where all names are numbers, and
    otherwise its place among the sorted names, which `Images.class_names` keeps. Subfolders
    without pictures are no classes. Hidden files, and files that are no pictures, are passed over.

    Raises:
        ContentError: there are no pictures, there are pictures both beside and in subfolders, or
            where they are not read; one cannot be read, or their sizes or modes differ.
        ArgumentError: the folder holds a trained model.
    """
    name = folder.resolve().name  # also of "."
    if all((folder / file).is_file() for file in (CONFIG_FILE, WEIGHTS_FILE)):
        raise ArgumentError(
            f"`source` expected images; got {str(folder)!r}, a model's folder. Read it with "
            "gmvae.GMVAE.load, or name it with --model."
        )
    subfolders = _subfolders(folder)
    _check_nothing_is_left_out(folder, subfolders)
    beside = _files(folder, PICTURES)
    of_class = {sub: pictures for sub in subfolders if (pictures := _files(sub, PICTURES))}
    numeric = all(sub.name.isdecimal() and len(sub.name) < 19 for sub in of_class)
    if numeric and len({int(sub.name) for sub in of_class}) < len(of_class):
        raise ContentError(
            f"`{name}` expected a subfolder a class; got two of the same number, as 1 and 01. "
            "Join them."
        )
    if bool(beside) == bool(of_class):
        raise ContentError(
            f"`{name}` expected pictures (png, jpg, ...), either in the folder or in one "
            f"subfolder a class; got {'both' if beside else 'none'}. Check the path."
        )
    data = _read(beside or [path for paths in of_class.values() for path in paths], folder)
    if beside:
        return Images(data, None, name)
    values = [int(sub.name) if numeric else place for place, sub in enumerate(of_class)]
    labels = np.repeat(np.array(values, np.int64), [len(paths) for paths in of_class.values()])
    names = {} if numeric else {place: sub.name for place, sub in enumerate(of_class)}
    return Images(data, labels, name, names)


def _read(paths: list[Path], folder: Path) -> Array:
    """Pictures of one size and mode, (N, C, H, W) uint8."""
    first = _picture(paths[0])
    data = np.empty((len(paths), *first.shape), dtype=np.uint8)
    for row, path in enumerate(paths):
        picture = _picture(path)
        if picture.shape != first.shape:
            raise ContentError(
                f"`{folder.resolve().name}` expected pictures of one size and mode, (H, W, C) "
                f"{first.shape} as {printable(str(paths[0].relative_to(folder)))}; got "
                f"{picture.shape} in {printable(str(path.relative_to(folder)))}. "
                "Convert them to one."
            )
        data[row] = picture
    return np.moveaxis(data, 3, 1)


def _subfolders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(folder: Path, kinds: Iterable[str]) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in kinds and not path.name.startswith(".") and not path.is_dir()
    )


def _check_nothing_is_left_out(folder: Path, subfolders: list[Path]) -> None:
    """Refuse pictures that would be passed over: of other kinds, or a folder too deep."""
    for place in (folder, *subfolders):
        if others := _files(place, OTHER_PICTURES):
            raise ContentError(
                f"`{folder.resolve().name}` expected pictures of {', '.join(sorted(PICTURES))}; "
                f"got {len(others)} of another kind, as "
                f"{printable(str(others[0].relative_to(folder)))}. Convert or remove them."
            )
    for subfolder in subfolders:
        for deeper in _subfolders(subfolder):
            if pictures := _files(deeper, PICTURES | OTHER_PICTURES):
                raise ContentError(
                    f"`{folder.resolve().name}` expected pictures in the folder or in one "
                    f"subfolder a class; got {len(pictures)} in a subfolder's subfolder, "
                    f"{printable(str(deeper.relative_to(folder)))}. Move them up, or name the "
                    "folder between."
                )


def _picture(path: Path) -> Array:
    """Return one picture, ``(H, W, C)`` uint8 with 1, 3 or 4 channels."""
    from PIL import Image

    shown = printable(f"{path.parent.name}/{path.name}")
    check_regular(path)
    try:
        with _quiet(), Image.open(path, formats=FORMATS) as image:
            return _pixels(image)
    except (MemoryError, PermissionError):
        raise
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ContentError(
            f"`{shown}` expected a picture of at most {most:,} pixels; got a larger one. Scale it "
            "down, as all of them."
        ) from error
    # Of damage Pillow's readers raise what their parsing meets: struct.error, KeyError, ...
    except Exception as error:
        raise ContentError(
            f"`{shown}` expected a picture; got a file that Pillow cannot read as one of "
            f"{', '.join(FORMATS)}. Repair or remove it."
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of Pillow's on the screen; whoever set up logging still gets its records.

    It warns of odd metadata, and of half of the number of pixels that it refuses.
    """
    logger, handler = logging.getLogger("PIL"), logging.NullHandler()
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.removeHandler(handler)


def _pixels(image: "Image.Image") -> Array:
    if image.mode.startswith("I"):  # 16 bits, of which the upper 8 are kept
        return (np.asarray(image)[:, :, None] >> 8).clip(0, 255).astype(np.uint8)
    mode = "L" if image.mode == "1" else image.mode
    if mode not in ("L", "RGB", "RGBA"):
        mode = "RGBA" if image.has_transparency_data else "RGB"
    pixels = np.asarray(image.convert(mode))
    return pixels.reshape(image.height, image.width, -1)
