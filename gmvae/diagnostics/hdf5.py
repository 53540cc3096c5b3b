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

    # What a visitor returns ends the visit; what it raises h5py loses.
    def visit_link(name: str, link: Any) -> tuple[str, str] | None:
        if isinstance(link, h5py.ExternalLink):
            return name, f"a link to the file {printable(link.filename, 100)}"
        return None

    def visit(name: str, item: Any) -> tuple[str, str] | None:
        if not isinstance(item, h5py.Dataset):
            return None
        if item.external or item.is_virtual:
            return name, "data of other files"
        if item.nbytes > SMALL + MOST_INFLATED * item.id.get_storage_size():
            return name, f"{item.nbytes:,} bytes that it does not hold"
        return None

    with h5py.File(path, "r") as file:
        fault = file.visititems_links(visit_link) or file.visititems(visit)
    if fault:
        name, what = fault
        raise ContentError(
            f"{path} expected netCDF that holds all it names; got {what}, as "
            f"{printable(name, 100)}. Diagnose again."
        )
