"""Which images train and which are held out, and whether a run can begin with them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gmvae.data import Images
from gmvae.settings import Settings
from gmvae.support import checks
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.training.loop import Callback, Progress


def hold_out(
    images: Images, settings: Settings, observed: np.ndarray | None = None
) -> tuple[Images, np.ndarray, Images | None]:
    """Split off images for early stopping: a part of those without an observed label.

    Args:
        images: N images.
        settings: for the share that is held out, and the seed.
        observed: class values of the images whose label may be used, -1 elsewhere, (N,).

    Returns:
        The images to train on, their observed labels, and the held-out images or None.

    Raises:
        ArgumentError: ``observed`` of another length.
    """
    observed = _classes_or_unknown(observed, len(images))
    rows = _held_out_rows(observed, settings)
    if len(rows) == 0:
        return images, observed, None
    kept = np.setdiff1d(np.arange(len(images)), rows)
    # Where they are: of a memory map nothing is copied, and of an array no second one is held.
    return images.selected(kept), observed[kept], images.selected(rows)


def told_of_all(
    callback: Callback | None, n: int, settings: Settings, observed: np.ndarray | None = None
) -> Callback | None:
    """A callback of a run on what :func:`hold_out` leaves, which is told of all n images.

    Args:
        callback: whose labels are of all images, (n,), -1 where held out; None for none.
        n: images before some were held out.
        settings: as for :func:`hold_out`, of n images with these observed classes.
        observed: likewise.
    """
    if callback is None:
        return None
    kept = np.ones(n, dtype=bool)
    kept[_held_out_rows(_classes_or_unknown(observed, n), settings)] = False

    def tell(progress: Progress) -> object:
        if progress.labels is None:
            return callback(progress)
        labels = np.full(n, -1)
        labels[kept] = progress.labels
        return callback(replace(progress, labels=labels))

    return tell


def _held_out_rows(observed: np.ndarray, settings: Settings) -> np.ndarray:
    """The rows that are held out, sorted: drawn by the seed, of those without a class."""
    unlabelled = np.flatnonzero(observed < 0)
    n = _n_held_out(len(unlabelled), settings)
    return np.sort(np.random.default_rng(settings.seed).permutation(unlabelled)[:n])


def _n_held_out(n_unlabelled: int, settings: Settings) -> int:
    return round(settings.held_out * n_unlabelled)


def _classes_or_unknown(observed: object, n: int) -> np.ndarray:
    """``observed`` as an array (n,) of classes, -1 where unknown; None as all unknown."""
    if observed is None:
        return np.full(n, -1)
    classes = np.asarray(observed)
    if classes.shape != (n,):
        raise ArgumentError(
            f"`observed` expected shape ({n},); got {classes.shape}. Give one class an image, -1 "
            "where it is unknown."
        )
    whole = classes.dtype.kind in "iu"
    if not whole or classes.min() < -1:
        wrong = classes.min() if whole else classes.dtype
        raise ArgumentError(
            f"`observed` expected whole numbers from 0, or -1; got {wrong}. Number the classes."
        )
    return classes


def check_components(
    numbers: Sequence[int],
    images: Images,
    settings: Settings,
    observed: np.ndarray | None = None,
    held_out: Images | None = None,
) -> None:
    """Refuse, before any run, what are no images, or too few of them for the components.

    Pixels are looked at too: :class:`~gmvae.data.Images` takes them on trust.

    Args:
        numbers: of components, at least one.
        images: N images.
        settings: for the share that is held out.
        observed: as for ``fit``.
        held_out: as for ``fit``; None where a part of ``images`` is held out.

    Raises:
        ArgumentError: one of the numbers is too large, or images of another type.
        ContentError: fewer than two images, no two that differ, or pixels that are not between 0
            and 1.
    """
    _check_images("images", images)
    if held_out is not None:
        _check_images("held_out", held_out)
        if held_out.shape != images.shape:
            raise ArgumentError(
                f"`held_out` expected images of shape {images.shape}, as `images`; got "
                f"{held_out.shape}. Bring both to one size and one number of channels."
            )
    n_kept = len(images)
    if held_out is None:
        n_kept -= _n_held_out(int((_classes_or_unknown(observed, n_kept) < 0).sum()), settings)
    # Two: of a single one there is nothing to tell it from.
    if n_kept < 2:
        raise ContentError(
            f"`{images.name}` expected at least 2 images to train on; got {n_kept}. Add some."
        )
    if images.alike:
        raise ContentError(
            f"`{images.name}` expected images that differ; got {len(images)} that are all the "
            "same. Check how they were saved."
        )
    if max(numbers) > n_kept:
        n_held_out = len(images) - n_kept
        less = f" ({len(images)} less {n_held_out} held out)" if n_held_out else ""
        raise ArgumentError(
            f"`n_components` expected at most the number of images to train on, {n_kept}{less}; "
            f"got {max(numbers)}. Choose fewer, or train on more images."
        )


def _check_images(name: str, images: Images) -> None:
    """Refuse what are no images, or have pixels that are not between 0 and 1."""
    remedy = "For an array there is gmvae.data.from_arrays."
    checks.instance(name, images, Images, "gmvae.Images", remedy)
    images.check_pixels()
