"""`load`: images by name or by path."""

from pathlib import Path
from typing import get_args

from gmvae.data.images import Images
from gmvae.data.named import TORCHVISION, Part, load_digits, load_torchvision
from gmvae.data.readers import is_readable, parts_of, read
from gmvae.data.shaping import Shaping
from gmvae.support import checks
from gmvae.support.choices import NAMED
from gmvae.support.errors import ArgumentError
from gmvae.support.names import printable
from gmvae.support.reading import KINDS, LONGEST_PATH, check_source

# What holds rows of numbers, and no images.
TABLES = (".csv", ".tsv", ".parquet", ".feather", ".xlsx")


def load(
    source: str | Path,
    *,
    part: Part = "train",
    root: Path | None = None,
    resize: int | None = None,
    grey: bool = False,
    strict: bool = False,
) -> Images:
    """Load images by the name of a set or by a path.

    ============================  ===============================================================
    ``source``                    images
    ============================  ===============================================================
    ``digits``                    1,797 8 x 8 digits that ship with scikit-learn, a fixed quarter
                                  of each class being the test part
    ``mnist``, ``fashion-mnist``, 60,000 for training and 10,000 for test, 28 x 28, downloaded by
    ``kmnist``                    torchvision where they are not under ``root``
    ``.npz``                      ``data`` and optional ``labels``, or as others call them:
                                  ``images``, ``x_train`` and ``y_train``, ``train_images``, ...
    ``.npy``                      pixels, as a memory map, without labels
    IDX (``idx`` or ``ubyte`` in  pixels, and labels from ``...labels-idx1...`` beside
    the name), ``.gz`` or not     ``...images-idx3...``
    a folder                      pictures; the subfolders of it, if any, are classes
    a picture                     itself, or each of its pages
    ============================  ===============================================================

    Shapes and ranges of the arrays in files: see `from_arrays`; pictures: see
    :func:`gmvae.data.folders.read_folder`. Nothing is ever unpickled.

    Args:
        source: a name in `NAMED`, or a path (a `Path`, or ``./mnist``, is never a name).
        part: "train" or "test", of what `has_test_part`, or "val", of what `has_val_part`; anything
            else is a single part.
        root: where ``mnist`` and its kin lie and are downloaded to; ``$GMVAE_DATA_ROOT`` by
            default, else ``gmvae`` in the platform's cache folder.
        resize: the side of the square that each image becomes: its middle square, scaled.
        grey: whether colour becomes grey.
        strict: whether a picture that cannot be read stops all; else it is left out, and listed in
            `Images.skipped`.

    Raises:
        ArgumentError: ``source`` is an unknown name or kind of file; ``part`` is another word, or
            "val" of what has none.
        FileNotFoundError: no such path, or no copy of the named set and no way to download it.
        ContentError: what the file holds does not fit.

    Example:
        >>> images = load("digits", part="test")
        >>> len(images), images.shape, images.only([1, 4, 8]).classes
        (450, (1, 8, 8), (1, 4, 8))
    """
    if part not in get_args(Part):
        raise ArgumentError(f"`part` expected train, test or val; got {part!r}. Choose one.")
    if part == "val" and not has_val_part(source):
        raise ArgumentError(
            "`part` expected train or test, but of an .npz file with arrays such as val_images; "
            f"got 'val' and {printable(repr(str(source)), LONGEST_PATH)}. Choose train or test."
        )
    shaping = Shaping(resize, grey)
    if source == "digits":
        return shaping.of_all(load_digits(part))
    if isinstance(source, str) and source in TORCHVISION:
        return shaping.of_all(load_torchvision(source, part, root))
    # Path("") is the current folder.
    if not isinstance(source, str | Path) or not str(source):
        raise ArgumentError(
            f"`source` expected {', '.join(NAMED)} or a path; got {checks.shown(source)}. "
            "For an array there is gmvae.data.from_arrays."
        )
    path = Path(source)
    check_source(source)
    if is_readable(path):
        return read(path, part, shaping, strict)
    shown = printable(repr(str(source)), LONGEST_PATH)
    if path.suffix.lower() in TABLES:
        raise ArgumentError(
            f"`source` expected {KINDS}; got {shown}, a table. For rows of numbers there is "
            "gmvae.sklearn.GaussianMixtureVAE, in Python."
        )
    raise ArgumentError(
        f"`source` expected {KINDS}; got {shown}, a file of another kind. Save its "
        "images with numpy.savez(path, data=..., labels=...); the name of an IDX file holds "
        "idx or ubyte."
    )


def has_test_part(source: str | Path) -> bool:
    """Whether ``source`` has images for training and others for test.

    Raises:
        ContentError: an ``.npz`` file whose arrays have names that no reader knows.
    """
    return source in NAMED or {"train", "test"} <= {*parts_of(Path(source))}


def has_val_part(source: str | Path) -> bool:
    """Whether ``source`` is an ``.npz`` file with a part for validation.

    Raises:
        ContentError: arrays of names that no reader knows.
    """
    return source not in NAMED and "val" in parts_of(Path(source))
