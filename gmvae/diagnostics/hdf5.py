"""HDF5 files, looked at before they are read: what is in them and nothing else."""

from pathlib import Path
from typing import Any

from gmvae.support.errors import ContentError
from gmvae.support.names import printable

# More than deflate cannot make of one byte (zlib's technical notes).
MOST_INFLATED = 1032
# A variable that is declared and never written is all one value; of this size it is no harm.
SMALL = 2**24


def check(path: Path) -> None:
    """Refuse a file that reaches for others, or declares more than it holds.

    HDF5 follows links to other files, storage outside of the file, and virtual datasets, made of
    those of other files. ``gmvae diagnose`` writes none of these.

    Raises:
        ContentError: one of these.
        OSError, and whatever else h5py raises: the file is no HDF5.
    """
    import h5py  # type: ignore[import-untyped]

    with h5py.File(path, "r") as file:

        def visit_link(name: str, link: Any) -> None:
            if isinstance(link, h5py.ExternalLink):
                raise _refused(path, name, f"a link to the file {printable(link.filename, 100)}")

        def visit(name: str, item: Any) -> None:
            if not isinstance(item, h5py.Dataset):
                return
            if item.external or item.is_virtual:
                raise _refused(path, name, "data of other files")
            if item.nbytes > SMALL + MOST_INFLATED * item.id.get_storage_size():
                raise _refused(path, name, f"{item.nbytes:,} bytes that it does not hold")

        file.visititems_links(visit_link)
        file.visititems(visit)


def _refused(path: Path, name: str, what: str) -> ContentError:
    return ContentError(
        f"{path} expected netCDF that holds all it names; got {what}, as {printable(name, 100)}. "
        "Diagnose again."
    )
