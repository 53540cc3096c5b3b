"""Pictures sorted into a folder a cluster."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gmvae.support.files import replacing
from gmvae.support.names import printable

if TYPE_CHECKING:
    import numpy as np

    from gmvae import GMVAE, Images

# What no name of a file may hold on one of the common systems.
FORBIDDEN = '/\\:*?"<>|'


def sort_into(
    folder: Path,
    images: "Images",
    source: Path,
    components: "np.ndarray",
    names: Sequence[str],
    copies: bool,
) -> None:
    """Make a folder a component, and in it a picture for each of its images.

    Args:
        folder: to make.
        images: N images.
        source: the folder that their files lie in; not looked at where they have none.
        components: of the images, (N,).
        names: of the components' folders.
        copies: whether the files are copied; else there are links to them. What is no file of its
            own, an array's image or a page, is written as PNG.
    """
    with replacing(folder) as draft:
        draft.mkdir()
        for name in names:
            (draft / name).mkdir(exist_ok=True)
        for row, k in enumerate(components.tolist()):
            place = draft / names[k]
            file = None if images.files is None else str(images.files[row])
            original = None if file is None else (source / file).resolve()
            if original is None or file is None or not original.is_file():
                _write_png(_free(place, f"{file or row}.png".replace("/", "_")), images, row)
            elif copies:
                shutil.copy2(original, _free(place, file.replace("/", "_")))
            else:
                _free(place, file.replace("/", "_")).symlink_to(original)


def folder_names(gmvae: "GMVAE") -> list[str]:
    """``0-cat`` for a component with a name, else its number."""
    names = gmvae.component_names or (None,) * gmvae.config.n_components
    return [_safe(str(k) if name is None else f"{k}-{name}") for k, name in enumerate(names)]


def _safe(name: str) -> str:
    return printable("".join("_" if letter in FORBIDDEN else letter for letter in name), 200)


def _free(place: Path, name: str) -> Path:
    """A path in ``place`` that is not taken: two folders' files may come to one name."""
    path, number = place / name, 2
    while path.is_symlink() or path.exists():
        path = place / f"{Path(name).stem}-{number}{Path(name).suffix}"
        number += 1
    return path


def _write_png(path: Path, images: "Images", row: int) -> None:
    """One image as a picture."""
    from gmvae.report.pictures import as_picture

    as_picture(images.tensor(slice(row, row + 1))[0]).save(path)
