"""The installed line of ArviZ, 0.23 (Python 3.11) or 1.x (3.12 and up).

Here and in its two neighbours, statistics and pictures, is the one place that speaks to ArviZ;
it is imported when first needed.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.metadata import version
from typing import Any

import xarray as xr

Coords = Mapping[str, Any]

# The highest-density interval that the table and the pictures show.
INTERVAL = 0.94


@cache
def is_old() -> bool:
    """Whether the installed ArviZ is of the line 0.x."""
    return version("arviz").startswith("0.")


@cache
def arviz() -> Any:
    """The package itself."""
    with warnings.catch_warnings():
        # 0.23 announces 1.0 on import.
        warnings.simplefilter("ignore")
        return import_module("arviz")


def array_statistics() -> Any:
    """The module whose functions take arrays."""
    if is_old():
        return arviz()
    return import_module("arviz_stats.base").array_stats


def listed(names: Sequence[str] | None) -> list[str] | None:
    """The names as ArviZ takes them; None stays None."""
    return None if names is None else list(names)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to ourselves the warnings that concern only ArviZ's own inside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def for_arviz(tree: xr.DataTree) -> Any:
    """What ArviZ's functions take: the tree itself, or on 0.x an InferenceData of it."""
    return arviz().from_datatree(tree) if is_old() else tree
