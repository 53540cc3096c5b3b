"""What ArviZ makes of draws, on its lines 0.23 (Python 3.11) and 1.x (3.12 and up) alike.

Everything else holds a plain :class:`xarray.DataTree` in ArviZ's schema. What differs between
the two lines is settled here and in :mod:`~gmvae.diagnostics.arviz_plots`, by the installed
version: the names of arguments and columns, and what a plot returns.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from gmvae.diagnostics import arviz_line, hdf5
from gmvae.diagnostics.arviz_line import INTERVAL, Coords, for_arviz
from gmvae.diagnostics.arviz_plots import plot_forest, plot_khat, plot_pair, plot_ppc, plot_rank
from gmvae.posterior.pareto import FEWEST_DRAWS, psis
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.support.files import replacing
from gmvae.support.names import printable
from gmvae.support.reading import check_regular

__all__ = [
    "FEWEST_DRAWS",
    "ess",
    "for_arviz",
    "khat",
    "loo",
    "plot_forest",
    "plot_khat",
    "plot_pair",
    "plot_ppc",
    "plot_rank",
    "psis",
    "read",
    "rhat",
    "summary",
    "write",
]

Array = NDArray[Any]


def khat(log_weights: ArrayLike) -> Array:
    """The k-hat of :func:`psis` alone, (..., S) to (...)."""
    return psis(log_weights)[1]


def loo(log_likelihood: ArrayLike) -> tuple[Array, Array]:
    """Leave-one-out predictive densities by PSIS: what ArviZ's ``loo`` finds on either line.

    Args:
        log_likelihood: of N data under S draws of a posterior, (S, N), S at least 25.

    Returns:
        The log predictive density of each datum given the others, (N,), and k-hat, (N,).
    """
    log_p = np.asarray(log_likelihood, dtype=np.float64)
    smoothed, khat = psis(-log_p.T)
    summed = smoothed.T + log_p
    highest = summed.max(0)
    return highest + np.log(np.exp(summed - highest).sum(0)), khat


def rhat(draws: ArrayLike) -> float:
    """Rank-normalised split R-hat of draws (chain, draw); at most 1.01 is wanted.

    Raises:
        ArgumentError: a single chain, which has no R-hat.

    References:
        Vehtari, Gelman, Simpson, Carpenter and Bürkner, *Rank-normalization, folding, and
        localization: an improved R-hat*, Bayesian Analysis, 2021.
    """
    return float(arviz_line.array_statistics().rhat(_chains(draws, 2), **_axes()))


def ess(draws: ArrayLike) -> float:
    """Bulk effective sample size of draws (chain, draw)."""
    return float(arviz_line.array_statistics().ess(_chains(draws, 1), **_axes()))


def summary(
    tree: xr.DataTree, var_names: Sequence[str] | None = None, coords: Coords | None = None
) -> Any:
    """ArviZ's table of the group ``posterior``, with the same columns on both lines.

    Args:
        tree: the draws.
        var_names: the variables; all by default.
        coords: the coordinates to keep, by dimension.

    Returns:
        A pandas.DataFrame, a row a quantity: ``mean``, ``sd``, ``hdi_low``, ``hdi_high`` (94 %),
        ``mcse_mean``, ``mcse_sd``, ``ess_bulk``, ``ess_tail``, and ``r_hat`` for several chains.
    """
    kind: dict[str, Any] = (
        {"hdi_prob": INTERVAL} if arviz_line.is_old() else {"ci_prob": INTERVAL, "ci_kind": "hdi"}
    )
    with arviz_line.quiet():
        table = arviz_line.arviz().summary(
            for_arviz(tree),
            var_names=arviz_line.listed(var_names),
            coords=coords,
            round_to="none",
            **kind,
        )
    low, high = (name for name in table.columns if str(name).startswith("hdi"))
    table = table.rename(columns={low: "hdi_low", high: "hdi_high"})
    one_chain = tree["posterior"].sizes["chain"] == 1
    columns = ["mean", "sd", "hdi_low", "hdi_high"]
    columns += ["mcse_mean", "mcse_sd", "ess_bulk", "ess_tail", *([] if one_chain else ["r_hat"])]
    return table[columns].astype(float)


def write(tree: xr.DataTree, path: str | Path) -> None:
    """Write a tree as netCDF, whole or not at all."""
    with replacing(path) as draft, arviz_line.quiet():
        tree.to_netcdf(draft, engine="h5netcdf")


def read(path: str | Path) -> xr.DataTree:
    """Read the tree that :func:`write` wrote, under either line, into memory.

    Raises:
        FileNotFoundError: there is no such file.
        ContentError: the file is no netCDF, or reaches for other files.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. Name a file written by gmvae diagnose.")
    check_regular(path)
    try:
        hdf5.check(path)
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            return tree.load()
    except (ContentError, MemoryError, PermissionError):
        raise
    # Of damage the readers below raise what they meet: KeyError, RuntimeError, AttributeError, ...
    except Exception as error:
        why = printable(" ".join(str(error).split()), 200)
        raise ContentError(f"{path} expected netCDF; got: {why}. Diagnose again.") from error


def _chains(draws: ArrayLike, fewest: int) -> Array:
    array = np.asarray(draws, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] < fewest:
        raise ArgumentError(
            f"`draws` expected (chain, draw) of at least {fewest} chains; got {array.shape}. Draw "
            "more, or reshape it."
        )
    return array


def _axes() -> dict[str, int]:
    return {} if arviz_line.is_old() else {"chain_axis": 0, "draw_axis": 1}
