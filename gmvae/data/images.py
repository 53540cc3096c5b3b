"""The one type that holds images."""

import math
import mmap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from gmvae.data.selection import Selection
from gmvae.support import checks
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.support.html import html_table
from gmvae.support.names import counted

Array: TypeAlias = NDArray[Any]
Rows: TypeAlias = slice | NDArray[np.integer[Any]] | NDArray[np.bool_]

CHUNK_BYTES = 2**24
# As many as fit a line.
_SHOWN_CLASSES = 10
# Pixel values that are floats at a time, where it is not the user who says how many images: more
# than 512 colour images of 64 x 64 have, so that only larger ones are taken in smaller batches.
# With what a network keeps of them it is some 0.7 GB.
MOST_PIXELS = 2**23
_RNG = "Make it with numpy.random.default_rng(seed)."


def rows_at_once(shape: tuple[int, ...], most: int) -> int:
    """How many images (C, H, W) to take at a time: ``most``, or fewer where they are large."""
    return max(1, min(most, MOST_PIXELS // math.prod(shape)))


def chunks(pixels: Array | Selection) -> Iterator[tuple[int, Array]]:
    """Yield ``(first row, block of rows)`` over an array, some 16 MB at a time.

    A memory map is thus read once, front to back, and never held whole.
    """
    row_bytes = max(1, pixels[:1].nbytes)
    step = max(1, CHUNK_BYTES // row_bytes)
    for start in range(0, len(pixels), step):
        yield start, pixels[start : start + step]
        let_go(pixels)


def let_go(array: Array | Selection) -> None:
    """Give back the memory of what was read of a memory map; nothing of another array.

    Nor of a map in which changes are kept from the file: they are nowhere else.

    The pages stay in the system's cache, so to read them again costs little; but they no longer
    count as this process's own, which would grow with the file.
    """
    base: Any = array.stored if isinstance(array, Selection) else array
    while isinstance(base, np.ndarray):
        if getattr(base, "mode", None) == "c":
            return
        base = base.base
    if isinstance(base, mmap.mmap) and hasattr(base, "madvise"):
        base.madvise(mmap.MADV_DONTNEED)


def pixel_range(pixels: Array | Selection, name: str) -> tuple[float, float]:
    """Return the smallest and the largest pixel, all of them being finite.

    Raises:
        ContentError: NaN or infinity.
    """
    lows, highs = [], []
    for start, block in chunks(pixels):
        lows.append(float(block.min()))
        highs.append(float(block.max()))
        if not math.isfinite(highs[-1] - lows[-1]):  # NaN passes through min and max
            bad = ~np.isfinite(block).reshape(len(block), -1).all(axis=1)
            raise ContentError(
                f"`{name}` expected finite pixels; got NaN or infinity in image "
                f"{start + int(bad.argmax())}. Repair or remove it."
            )
    return min(lows), max(highs)


@dataclass(frozen=True, eq=False)
class Images:
    """Images of one shape, with a class for each of them or for none.

    Pixels stay as they are stored, one byte each where the file has bytes, and become floats
    only for the rows that `tensor` is asked for. A memory map stays one until `subset`,
    `only`, `split` or `joined` copies the rows they keep. The constructor looks at types and
    shapes only; `gmvae.data.from_arrays` takes any array, checks its values and converts it.

    Args:
        pixels: ``(N, C, H, W)``, uint8 in 0-255 or float32 in [0, 1]; may be a memory map, or the
            rows of another array that `selected` leaves where they are.
        labels: ``(N,)`` int64, the class values as in the file; None where there are none.
        name: what messages and pictures call the images.
        class_names: what a class value stands for, where the classes came as words.
        files: ``(N,)`` words, the file that each image came from, where each came from one.
        skipped: what was there too and is no image here, a line each.
        others: how many files lay there that nobody would take for pictures.

    Raises:
        ArgumentError: ``pixels`` or ``labels`` have another type or shape.

    Example:
        >>> import numpy as np
        >>> pixels = np.zeros((4, 1, 8, 8), dtype=np.uint8)
        >>> images = Images(pixels, np.array([1, 4, 8, 4]))
        >>> len(images), images.shape, images.classes
        (4, (1, 8, 8), (1, 4, 8))
        >>> images.only([4]).tensor().shape
        torch.Size([2, 1, 8, 8])
    """

    pixels: Array | Selection
    labels: NDArray[np.int64] | None = None
    name: str = "images"
    class_names: Mapping[int, str] = field(default_factory=dict)
    files: NDArray[np.str_] | None = None
    skipped: tuple[str, ...] = ()
    others: int = 0

    def __post_init__(self) -> None:
        remedy = "Convert it with gmvae.data.from_arrays."
        checks.instance("pixels", self.pixels, (np.ndarray, Selection), "a NumPy array", remedy)
        if self.labels is not None:
            checks.instance("labels", self.labels, np.ndarray, "a NumPy array or None", remedy)
        if self.pixels.ndim != 4 or self.pixels.dtype not in (np.uint8, np.float32):
            raise ArgumentError(
                f"`pixels` expected (N, C, H, W) of uint8 or float32; got {self.pixels.shape} of "
                f"{self.pixels.dtype}. Convert them with gmvae.data.from_arrays."
            )
        if self.labels is not None and (
            self.labels.shape != (len(self),) or self.labels.dtype != np.int64
        ):
            raise ArgumentError(
                f"`labels` expected ({len(self)},) of int64; got {self.labels.shape} of "
                f"{self.labels.dtype}. Give one integer an image, or None."
            )
        if self.files is not None and self.files.shape != (len(self),):
            raise ArgumentError(
                f"`files` expected ({len(self)},); got {self.files.shape}. Name one an image, or "
                "None."
            )

    def __repr__(self) -> str:
        """Name, number, shape and type, and the classes: no pixel of it."""
        classes = self._named_classes()
        if len(self.classes) > _SHOWN_CLASSES:
            classes = f"{len(self.classes)} of them"
        return (
            f"Images({self.name!r}, {len(self):,} of {self.shape} {self.pixels.dtype}, "
            f"{f'classes {classes}' if classes else 'no labels'})"
        )

    def _repr_html_(self) -> str:
        """The same as a table, for notebooks, with how many of each class there are."""
        rows: list[tuple[object, object]] = [
            ("images", f"{len(self):,}"),
            ("shape (C, H, W)", " x ".join(map(str, self.shape))),
            ("pixels", self.pixels.dtype),
        ]
        if self.labels is not None:
            counts = np.unique(self.labels, return_counts=True)[1].tolist()
            names = [self.class_names.get(value, value) for value in self.classes]
            rows += [(f"class {n}", f"{c:,}") for n, c in zip(names, counts, strict=True)]
        rows += [("skipped", line) for line in self.skipped]
        if self.others:
            rows.append(("left alone", counted(self.others, "other file")))
        return html_table(self.name, rows)

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(C, H, W)`` of every image."""
        _, channels, height, width = self.pixels.shape
        return channels, height, width

    @cached_property
    def classes(self) -> tuple[int, ...]:
        """The distinct labels, sorted; ``()`` without labels."""
        return () if self.labels is None else tuple(np.unique(self.labels).tolist())

    @cached_property
    def binary(self) -> bool:
        """Whether every pixel is exactly black or exactly white."""
        full = 255 if self.pixels.dtype == np.uint8 else 1
        return all(bool(np.all((block == 0) | (block == full))) for _, block in chunks(self.pixels))

    @cached_property
    def _range(self) -> tuple[float, float]:
        return pixel_range(self.pixels, self.name)

    @cached_property
    def alike(self) -> bool:
        """Whether no two of the images differ."""
        return all(bool(np.all(block == self.pixels[:1])) for _, block in chunks(self.pixels))

    def check_pixels(self) -> None:
        """Refuse floats that are not between 0 and 1; bytes are as they should be.

        Raises:
            ContentError: others, or NaN.
        """
        if self.pixels.dtype == np.uint8 or not len(self):
            return
        low, high = self._range
        if low < 0 or high > 1:
            raise ContentError(
                f"`{self.name}` expected float pixels between 0 and 1; got {low:g} to {high:g}. "
                "gmvae.data.from_arrays scales them."
            )

    def tensor(self, rows: Rows | None = None, device: torch.device | str = "cpu") -> torch.Tensor:
        """Return the images, or some of them, ``(n, C, H, W)`` float32 in [0, 1].

        Args:
            rows: a slice, an array of row numbers or a mask ``(N,)``; only those are read.
            device: where to put them; bytes become floats there.

        Raises:
            ArgumentError: anything else, or a row that is not there.
        """
        # A copy, always: the tensor may be written to and the stored pixels may not.
        block = np.array(self._at(slice(None) if rows is None else rows), order="C")
        on_device = torch.from_numpy(block).to(device)
        return on_device.float().div_(255) if block.dtype == np.uint8 else on_device

    def subset(self, rows: Rows) -> "Images":
        """Return the given rows: a slice shares memory, an array of rows or a mask copies.

        Raises:
            ArgumentError: anything else, or a row that is not there.
        """
        if isinstance(self.pixels, Selection) and isinstance(rows, slice):
            return self._with(self.pixels.of(rows), rows)
        pixels = self._at(rows)
        if not isinstance(rows, slice):
            let_go(self.pixels)
        return self._with(pixels, rows)

    def selected(self, rows: NDArray[np.int64]) -> "Images":
        """Return the given rows, by their numbers, whose pixels stay where they are.

        For a large part of all images, which is not to be held twice: each look at it costs as much
        more as it takes to gather rows.

        Raises:
            ArgumentError: anything else, or a row that is not there.
        """
        remedy = "For others there is `subset`."
        checks.instance("rows", rows, np.ndarray, "an array of the numbers of rows", remedy)
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise ArgumentError(
                f"`rows` expected the numbers of rows, (n,); got {rows.dtype} of shape "
                f"{rows.shape}. {remedy}"
            )
        # The outermost alone: to read all would be to copy them.
        self._at(rows[[rows.argmin(), rows.argmax()]] if len(rows) else rows)
        pixels = self.pixels
        if isinstance(pixels, Selection):
            return self._with(Selection(pixels.stored, pixels.rows[rows]), rows)
        return self._with(Selection(pixels, rows), rows)

    def _with(self, pixels: Array | Selection, rows: Rows) -> "Images":
        """These pixels with what else is known of the rows."""
        labels = None if self.labels is None else self.labels[rows]
        files = None if self.files is None else self.files[rows]
        return replace(self, pixels=pixels, labels=labels, files=files)

    def only(self, classes: Iterable[int | str]) -> "Images":
        """Return the images of the given classes, in their order in the set.

        Args:
            classes: by their numbers, or by their words where they have some.

        Raises:
            ArgumentError: there are no labels, or one of the classes is not there.
        """
        if isinstance(classes, str) or not isinstance(classes, Iterable):
            raise ArgumentError(
                f"`classes` expected whole numbers; got {checks.shown(classes)}. "
                "Write them as [1, 4]."
            )
        labels = self._required_labels("classes")
        wanted = sorted(set(self.values_of(list(classes))))
        absent = [checks.shown(value) for value in wanted if value not in self.classes]
        if absent or not wanted:
            raise ArgumentError(
                f"`classes` expected some of {', '.join(map(str, self.classes))}; got "
                f"{', '.join(absent) or 'none'}. Choose among the classes of {self.name}."
            )
        return self.subset(np.flatnonzero(np.isin(labels, wanted)))

    def split(self, fraction: float, seed: int) -> tuple["Images", "Images"]:
        """Return two parts: ``fraction`` of the images, and the others.

        Where there are labels each class is divided in this proportion, to the nearest image.
        Both parts keep the order of the set. To divide without a look at the labels, split
        ``Images(images.pixels)``.

        Raises:
            ArgumentError: ``fraction`` is not inside (0, 1), or leaves a part without images;
                ``seed`` is no whole number from 0.
        """
        checks.number("fraction", fraction, "a number inside (0, 1)", lambda part: 0 < part < 1)
        seed = checks.whole("seed", seed, least=0)
        rng = np.random.default_rng(seed)
        first = np.zeros(len(self), dtype=bool)
        for rows in self._rows_by_class():
            first[rng.permutation(rows)[: round(fraction * len(rows))]] = True
        if not 0 < first.sum() < len(self):
            raise ArgumentError(
                f"`fraction` expected a number inside (0, 1) that leaves images in both parts; "
                f"got {fraction} of {len(self)} images. Choose another fraction."
            )
        return self.subset(first), self.subset(~first)

    def per_class(self, n: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw ``n`` images of each class and return their rows, sorted.

        Raises:
            ArgumentError: there are no labels, ``n`` is negative, a class has fewer images, or
                ``rng`` is no generator.
        """
        labels = self._required_labels("n")
        n = checks.whole("n", n, least=0)
        counts = {value: int((labels == value).sum()) for value in self.classes}
        scarce = min(counts, key=lambda value: counts[value])
        if n > counts[scarce]:
            raise ArgumentError(
                f"`n` expected 0 to {counts[scarce]} images a class; got {n}. "
                f"Class {self.class_names.get(scarce, scarce)} of {self.name} has no more."
            )
        checks.instance("rng", rng, np.random.Generator, "a NumPy generator", _RNG)
        drawn = [rng.choice(rows, n, replace=False) for rows in self._rows_by_class()]
        return np.sort(np.concatenate(drawn))

    def joined(self, other: "Images") -> "Images":
        """Return these images followed by the others', under this name.

        Labels are kept where both have them: a row without a class has no place in an `Images`. So
        are files.
        Bytes stay bytes where both are bytes.

        Raises:
            ArgumentError: the shapes of the images differ, or what one class value stands for;
                one has words for its classes, and the other numbers that are none of them.
        """
        checks.instance("other", other, Images, "gmvae.Images")
        if self.shape != other.shape:
            raise ArgumentError(
                f"`other` expected images of {self.shape}, as in {self.name}; got {other.shape} "
                f"in {other.name}. Bring both to one size and one number of channels."
            )
        for value in {*self.class_names} & {*other.class_names}:
            if self.class_names[value] != other.class_names[value]:
                raise ArgumentError(
                    f"`other` expected class {value} to be {self.class_names[value]}, as in "
                    f"{self.name}; got {other.class_names[value]} in {other.name}. Name the "
                    "classes of both alike."
                )
        _check_kind(self, other)
        if self.pixels.dtype == other.pixels.dtype:
            pixels = np.concatenate([self.pixels, other.pixels])
        else:
            pixels = np.concatenate([self.tensor().numpy(), other.tensor().numpy()])
        labels = None
        if self.labels is not None and other.labels is not None:
            labels = np.concatenate([self.labels, other.labels])
        files = None
        if self.files is not None and other.files is not None:
            files = np.concatenate([self.files, other.files])
        names = {**self.class_names, **other.class_names}
        skipped, others = self.skipped + other.skipped, self.others + other.others
        return Images(pixels, labels, self.name, names, files, skipped, others)

    def values_of(self, classes: Sequence[int | str]) -> list[int]:
        """The numbers of classes that are named by number or by word.

        Raises:
            ArgumentError: a word that no class has.
        """
        numbers = {word: value for value, word in self.class_names.items()}
        strange = [word for word in classes if isinstance(word, str) and word not in numbers]
        if strange:
            raise ArgumentError(
                f"`classes` expected some of {self._named_classes()}; got "
                f"{', '.join(map(repr, strange))}. Choose among the classes of {self.name}."
            )
        return [numbers[word] if isinstance(word, str) else word for word in classes]

    def _named_classes(self) -> str:
        """The classes in words where they have some, else by their numbers."""
        return ", ".join(self.class_names.get(value, str(value)) for value in self.classes)

    def renumbered(self, values: Mapping[int, int], class_names: Mapping[int, str]) -> "Images":
        """The same images, each class under the number that ``values`` has for it.

        Args:
            values: from each class to its new number.
            class_names: what the new numbers stand for.
        """
        labels = self.labels
        if labels is not None:
            labels = np.array([values[value] for value in labels.tolist()], np.int64)
        return replace(self, labels=labels, class_names=class_names)

    def _at(self, rows: Rows) -> Array:
        """Return the pixels of these rows, (n, C, H, W)."""
        why, pixels = "", None
        try:
            pixels = self.pixels[rows]
        except (IndexError, TypeError, ValueError) as error:
            why = f" ({error})"
        if pixels is None or pixels.ndim != 4:
            raise ArgumentError(
                f"`rows` expected a slice, numbers of rows below {len(self)} or a mask "
                f"({len(self)},); got {checks.shown(rows)}{why}. Choose among those, a single one "
                "as [0]."
            )
        return pixels

    def _rows_by_class(self) -> list[NDArray[np.int64]]:
        """Return the rows of each class in turn; without labels all rows are one class."""
        if self.labels is None:
            return [np.arange(len(self))]
        return [np.flatnonzero(self.labels == value) for value in self.classes]

    def _required_labels(self, argument: str) -> NDArray[np.int64]:
        if self.labels is None or not len(self):
            raise ArgumentError(
                f"`{argument}` expected images with labels; got {self.name}, which has none. "
                f"Add labels, or leave `{argument}` out."
            )
        return self.labels


def _check_kind(images: Images, other: Images) -> None:
    """Refuse words for the classes of one and numbers, which are none of them, of the other."""
    for named, numbered in ((images, other), (other, images)):
        words = named.class_names
        if words and numbered.classes and not numbered.class_names:
            if {*numbered.classes} <= {*words}:
                continue
            listed = ", ".join(f"{value} ({word})" for value, word in words.items())
            numbers = ", ".join(map(str, numbered.classes))
            raise ArgumentError(
                f"`other` expected classes of one kind; got {listed} in {named.name} and {numbers} "
                f"in {numbered.name}. Name the classes of both alike."
            )
