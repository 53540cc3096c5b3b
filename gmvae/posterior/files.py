"""Posteriors as netCDF, written while they are worked out."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from gmvae.data.images import CHUNK_BYTES, let_go
from gmvae.posterior.block import Block
from gmvae.posterior.pareto import Array
from gmvae.posterior.schema import GROUPS, VARIABLES, laid_out
from gmvae.support.files import replacing

# Of the dimension of images, a chunk of the file; the other dimensions are whole in it.
_IMAGES_A_CHUNK = 16


def stored_blocks(arrays: Mapping[str, Array]) -> Iterator[Block]:
    """Blocks of arrays that hold those of all images: of memory maps one block is read at a time.

    Args:
        arrays: of a block of N images, by their names, (N, ...) each.
    """
    n_bytes = sum(array[:_IMAGES_A_CHUNK].nbytes for array in arrays.values())
    # Chunks of the file whole, and several at once: each writing of a variable takes 3 ms.
    n_images = max(1, CHUNK_BYTES // n_bytes) * _IMAGES_A_CHUNK
    for start in range(0, len(arrays["route"]), n_images):
        part = slice(start, start + n_images)
        yield Block(**{name: array[part] for name, array in arrays.items()})
        for array in arrays.values():
            let_go(array)


def write_blocks(
    path: str | Path, blocks: Iterable[Block], n_images: int, names: Array | None = None
) -> Iterator[Block]:
    """Write blocks to a netCDF file as they come, and hand them on without their draws' memory.

    The file holds what :attr:`~gmvae.posterior.Posterior.tree` holds, and is there when the last
    block is: it is whole, or there is none.

    Args:
        path: the file.
        blocks: of N images in all.
        n_images: N.
        names: what names each image, (N,) words, as ``sample_stats["file"]``; None for none.

    Yields:
        Each block when it is written.
    """
    import h5netcdf  # type: ignore[import-not-found, import-untyped, unused-ignore]

    with replacing(path) as draft, h5netcdf.File(draft, "w") as file:
        file.attrs["inference_library"] = "gmvae"
        start = 0
        for block in blocks:
            arrays = laid_out(block)
            if not start:
                _declare(file, arrays, n_images)
                if names is not None:
                    file["sample_stats"].create_variable("file", ("image",), _words())[:] = (
                        names.astype(object)
                    )
            stop = start + len(block.route)
            for name, array in arrays.items():
                group, dims, _ = VARIABLES[name]
                at = tuple(slice(start, stop) if d == "image" else slice(None) for d in dims)
                file[group][name][at] = array.astype(object) if array.dtype.kind == "U" else array
            start = stop
            yield block


def _declare(file: Any, arrays: dict[str, Array], n_images: int) -> None:
    """Groups, dimensions, their coordinates from 0, and variables without values yet."""
    for name, about in GROUPS.items():
        group = file.create_group(name)
        group.attrs["about"] = about
        of_group = {key: array for key, array in arrays.items() if VARIABLES[key].group == name}
        sizes = {
            dim: n_images if dim == "image" else size
            for key, array in of_group.items()
            for dim, size in zip(VARIABLES[key].dims, array.shape, strict=True)
        }
        group.dimensions = sizes
        for dim, size in sizes.items():
            group.create_variable(dim, (dim,), "i8")[:] = np.arange(size)
        for key, array in of_group.items():
            dims = VARIABLES[key].dims
            dtype = _words() if array.dtype.kind == "U" else array.dtype
            shape = tuple(
                min(_IMAGES_A_CHUNK, n_images) if d == "image" else sizes[d] for d in dims
            )
            variable = group.create_variable(key, dims, dtype, chunks=shape)
            variable.attrs["about"] = VARIABLES[key].about


def _words() -> Any:
    """The type of words of any length."""
    import h5py  # type: ignore[import-untyped]

    return h5py.string_dtype()
