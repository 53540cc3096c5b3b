"""Sets known by name: scikit-learn's digits, and the MNIST family."""

import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from gmvae.data.arrays import from_arrays
from gmvae.data.images import Images
from gmvae.data.readers import read_idx

Part: TypeAlias = Literal["train", "test", "val"]

# The name of each torchvision class is the name of its folder under the data root, too.
TORCHVISION = {"mnist": "MNIST", "fashion-mnist": "FashionMNIST", "kmnist": "KMNIST"}


def load_digits(part: Part) -> Images:
    """Return a part of the 1,797 handwritten 8 x 8 digits that scikit-learn ships.

    A fixed quarter of each class is the test part (450 images).
    """
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    data, labels = datasets.load_digits(return_X_y=True)
    rows = train_test_split(np.arange(len(data)), test_size=0.25, stratify=labels, random_state=0)
    chosen = rows[0 if part == "train" else 1]
    # The file holds the integers 0 to 16; x / 16 is exact in float32.
    return from_arrays(data[chosen].reshape(-1, 8, 8) / 16, labels[chosen], name="digits")


def load_torchvision(name: str, part: Part, root: Path | None) -> Images:
    """Return a part of a set of the MNIST family, fetched by torchvision where it is not there.

    The files lie where torchvision puts them, in ``root/MNIST/raw`` for MNIST, gzipped or not,
    and are read from there: torchvision itself is imported only to download them.

    Raises:
        FileNotFoundError: there is no copy, and none could be downloaded.
        ContentError: a file is damaged.
    """
    root = data_root() if root is None else Path(root)
    raw = root / TORCHVISION[name] / "raw"
    if not (path := _images_path(raw, part)):
        _download(name, root)
        path = _images_path(raw, part)
    if not path:
        raise FileNotFoundError(f"torchvision downloaded {name}, but its files are not in {raw}.")
    return replace(read_idx(path), name=name)


def data_root() -> Path:
    """Return where named sets lie: ``$GMVAE_DATA_ROOT``, else the platform's cache folder."""
    if named := os.environ.get("GMVAE_DATA_ROOT"):
        return Path(named)
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "gmvae"


def _images_path(raw: Path, part: Part) -> Path | None:
    """Return the file of images, if it and its labels are there."""
    stem = "train" if part == "train" else "t10k"
    files: dict[str, Path] = {}
    for kind in ("images-idx3", "labels-idx1"):
        for suffix in (".gz", ""):  # the plain file wins: it can be mapped
            if (path := raw / f"{stem}-{kind}-ubyte{suffix}").exists():
                files[kind] = path
    return files["images-idx3"] if len(files) == 2 else None


def _download(name: str, root: Path) -> None:
    """Download a set beside its place, and move in each file once all of them are whole."""
    folder = TORCHVISION[name]
    try:
        # RuntimeError: "operator torchvision::nms does not exist", beside another build of torch.
        from torchvision import datasets

        # A root that may be a slip of the pen is made only once there is something to put there.
        around = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
        with tempfile.TemporaryDirectory(prefix=".download-", dir=around) as workshop:
            getattr(datasets, folder)(workshop, download=True)
            (root / folder / "raw").mkdir(parents=True, exist_ok=True)
            for path in (Path(workshop) / folder / "raw").iterdir():
                path.replace(root / folder / "raw" / path.name)
    except (ImportError, RuntimeError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise FileNotFoundError(
            f"`{name}` expected its files in {root / folder / 'raw'}, or torchvision and a network "
            f"to download them; got neither ({reason}). Name the folder above {folder} with "
            "--data-root (root= in Python) or GMVAE_DATA_ROOT."
        ) from error
