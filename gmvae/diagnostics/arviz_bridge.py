"""The one place that speaks to ArviZ, its lines 0.23 (Python 3.11) and 1.x (3.12 and up) alike.

Everything else holds a plain :class:`xarray.DataTree` in ArviZ's schema. What differs between
the two lines is settled here by the installed version: the sign that ``psislw`` expects, the
names of arguments and columns, and what a plot returns. ArviZ is imported when first needed.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from gmvae.support.errors import ArgumentError, ContentError
from gmvae.support.files import replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array = NDArray[Any]
Coords = Mapping[str, Any]

# Below this spread of log-weights, in nats, the weights are constant but for rounding.
CONSTANT = 1e-6
# A tail of five weights, the fewest that a generalised Pareto distribution is fitted to.
FEWEST_DRAWS = 25
# The highest-density interval that `summary` and the pictures show.
INTERVAL = 0.94
# Points.
_LETTERS = 9
# Up to so many dots are drawn in full; of more, each is smaller and paler.
_FEW_DOTS = 200


@cache
def is_old() -> bool:
    """Whether the installed ArviZ is of the line 0.x."""
    return version("arviz").startswith("0.")


def psis(log_weights: ArrayLike) -> tuple[Array, Array]:
    """Pareto-smoothed importance sampling, whatever the line of ArviZ.

    Two traps are taken care of. ArviZ 0.x expects log w and 1.x expects minus log w, and either
    gives a harmless-looking figure for the other. And where the weights are constant, the best
    there is, 0.x answers with a k-hat of infinity, the worst there is, and 1.x with an error;
    here it is minus infinity.

    Args:
        log_weights: log p - log q of the draws, (..., S) with at least 25 draws S; minus
            infinity is a weight of zero.

    Returns:
        The smoothed log-weights, (..., S), normalised to sum to 1, and k-hat, (...). Above
        about 0.7 the weights cannot be relied on.

    Raises:
        ArgumentError: fewer than 25 draws, or weights that are NaN, infinite or all zero.

    References:
        Vehtari, Simpson, Gelman, Yao and Gabry, *Pareto smoothed importance sampling*, Journal
        of Machine Learning Research, 2024.
    """
    log_w = np.asarray(log_weights, dtype=np.float64)
    n_draws = log_w.shape[-1] if log_w.ndim else 0
    if n_draws < FEWEST_DRAWS:
        raise ArgumentError(
            f"`log_weights` expected at least {FEWEST_DRAWS} draws; got {n_draws}. Draw more."
        )
    rows = log_w.reshape(-1, n_draws)
    highest = rows.max(-1, keepdims=True)
    if not np.isfinite(highest).all():
        raise ArgumentError(
            "`log_weights` expected finite numbers or -inf, not all -inf; got NaN, inf or none. "
            "Leave such rows out."
        )
    rows = rows - highest
    khat = np.full(len(rows), -np.inf)
    for i in np.flatnonzero(-rows.min(-1) >= CONSTANT):
        rows[i], khat[i] = _psis_row(rows[i])
    rows -= np.log(np.exp(rows).sum(-1, keepdims=True))
    return rows.reshape(log_w.shape), khat.reshape(log_w.shape[:-1])


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
    return float(_array_statistics().rhat(_chains(draws, 2), **_axes()))


def ess(draws: ArrayLike) -> float:
    """Bulk effective sample size of draws (chain, draw)."""
    return float(_array_statistics().ess(_chains(draws, 1), **_axes()))


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
        {"hdi_prob": INTERVAL} if is_old() else {"ci_prob": INTERVAL, "ci_kind": "hdi"}
    )
    with _quiet():
        table = _arviz().summary(
            for_arviz(tree), var_names=_listed(var_names), coords=coords, round_to="none", **kind
        )
    low, high = (name for name in table.columns if str(name).startswith("hdi"))
    table = table.rename(columns={low: "hdi_low", high: "hdi_high"})
    one_chain = tree["posterior"].sizes["chain"] == 1
    columns = ["mean", "sd", "hdi_low", "hdi_high"]
    columns += ["mcse_mean", "mcse_sd", "ess_bulk", "ess_tail", *([] if one_chain else ["r_hat"])]
    return table[columns].astype(float)


def for_arviz(tree: xr.DataTree) -> Any:
    """What ArviZ's functions take: the tree itself, or on 0.x an InferenceData of it."""
    return _arviz().from_datatree(tree) if is_old() else tree


def write(tree: xr.DataTree, path: str | Path) -> None:
    """Write a tree as netCDF, whole or not at all."""
    with replacing(path) as draft, _quiet():
        tree.to_netcdf(draft, engine="h5netcdf")


def read(path: str | Path) -> xr.DataTree:
    """Read the tree that :func:`write` wrote, under either line, into memory.

    Raises:
        FileNotFoundError: there is no such file.
        ContentError: the file is no netCDF.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} does not exist. Name a file written by gmvae diagnose.")
    try:
        with xr.open_datatree(path, engine="h5netcdf") as tree:
            return tree.load()
    except (OSError, ValueError) as error:
        raise ContentError(f"{path} expected netCDF; got: {error}. Diagnose again.") from error


def plot_forest(
    tree: xr.DataTree, var_names: Sequence[str] | None = None, coords: Coords | None = None
) -> "Figure":
    """Intervals of the quantities of ``posterior``, the chains combined."""
    with _quiet():
        names = _listed(var_names)
        kind = {"hdi_prob": INTERVAL} if is_old() else {"backend": "matplotlib"}
        plot = _arviz().plot_forest(
            for_arviz(tree), var_names=names, coords=coords, combined=True, **kind
        )
    return _figure(plot)


def plot_pair(
    tree: xr.DataTree, var_names: Sequence[str] | None = None, coords: Coords | None = None
) -> "Figure":
    """Scatter plots of every two quantities of ``posterior``."""
    names = _listed(var_names)
    # The old line leaves the diagonal out.
    panels = _n_quantities(tree, names, coords) - is_old()
    size = (max(2.3 * panels, 5.0), max(1.9 * panels, 4.5))
    kind: dict[str, Any] = {"marginal": False, "backend": "matplotlib"}
    kind |= {"figure_kwargs": {"figsize": size}}
    if is_old():
        kind = {"figsize": size, "textsize": _LETTERS}
    with _quiet():
        plot = _arviz().plot_pair(for_arviz(tree), var_names=names, coords=coords, **kind)
    return _figure(plot)


def plot_rank(
    tree: xr.DataTree, var_names: Sequence[str] | None = None, coords: Coords | None = None
) -> "Figure":
    """Ranks of the draws of each chain among all: alike where the chains agree."""
    names = _listed(var_names)
    n = _n_quantities(tree, names, coords)
    rows, columns = -(-n // 2), min(n, 2)
    size = (4.5 * columns, 2.7 * rows + 0.5)
    kind: dict[str, Any] = {"backend": "matplotlib", "col_wrap": columns}
    kind |= {"figure_kwargs": {"figsize": size}}
    if is_old():
        kind = {"grid": (rows, columns), "figsize": size}
    with _quiet():
        plot = _arviz().plot_rank(for_arviz(tree), var_names=names, coords=coords, **kind)
    return _figure(plot)


def plot_khat(khats: ArrayLike, n_draws: int, threshold: float = 0.7) -> "Figure":
    """The k-hat of every image.

    Args:
        khats: (N,); constant weights, minus infinity, are shown at -1.
        n_draws: the draws behind each.
        threshold: the line above which a k-hat is bad.
    """
    shown = np.asarray(khats, dtype=np.float64)
    shown = np.where(np.isneginf(shown), -1.0, shown)
    array = xr.DataArray(shown, dims="image", coords={"image": np.arange(len(shown))})
    about = {"n_samples": n_draws, "n_data_points": len(shown), "scale": "log", "warning": False}
    about |= {"p": 0.0, "se": 0.0, "good_k": threshold, "pareto_k": array}
    with _quiet():
        if is_old():
            from arviz.stats.stats_utils import ELPDData

            elpd = ELPDData(data=list(about.values()), index=list(about))
            plot = _arviz().plot_khat(elpd, show_hlines=True, marker="o")
        else:
            arviz = _arviz()
            plot = arviz.plot_khat(
                arviz.ELPDData(elpd=0.0, **about),
                hline_values=[0.0, threshold, 1.0],
                visuals={"hlines": {"linewidth": 1, "color": "C1"}},
                backend="matplotlib",
                figure_kwargs={"figsize": (6.4, 4.8)},
            )
    figure = _figure(plot)
    figure.axes[0].set(xlabel="image", ylabel="k-hat")
    _thin_out(figure, len(shown))
    return figure


def plot_ppc(tree: xr.DataTree, var_names: Sequence[str] | None = None) -> "Figure":
    """Densities of the variables of ``posterior_predictive``, beside those observed, two a row."""
    from matplotlib.colors import to_hex

    n_draws = tree["posterior_predictive"].sizes["draw"]
    names = _listed(var_names)
    n = len(names or tree["observed_data"].data_vars)
    rows, columns = -(-n // 2), min(n, 2)
    size = (5.5 * columns, 3.6 * rows)
    with _quiet():
        if is_old():
            page: dict[str, Any] = {"grid": (rows, columns), "figsize": size, "textsize": 10}
            page |= {"mean": False, "legend": False}
            plot = _arviz().plot_ppc(for_arviz(tree), var_names=names, **page)
        else:
            page = {"col_wrap": columns, "figure_kwargs": {"figsize": size}}
            plot = _arviz().plot_ppc_dist(
                tree,
                var_names=names,
                num_samples=n_draws,
                kind="kde",
                backend="matplotlib",
                **page,
            )
    figure = _figure(plot)
    # The two lines of ArviZ draw in another order, but what is observed in black.
    lines = {to_hex(line.get_color()) == "#000000": line for line in figure.axes[0].get_lines()}
    shown = [lines[False], lines[True]]
    legend = figure.axes[0].legend(shown, ["replicates", "observed"], frameon=False)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1)
    return figure


def _psis_row(log_weights: Array) -> tuple[Array, float]:
    """Smoothed log-weights and k-hat of one image, (S,), not all the same."""
    arviz = _array_statistics()
    try:
        answer = arviz.psislw(log_weights) if is_old() else arviz.psislw(-log_weights)
    except ValueError:
        # ArviZ 1.x, where the largest weights are all the same.
        return log_weights, -np.inf
    smoothed, k = np.asarray(answer[0]), float(answer[1])
    if np.isposinf(k) and np.ptp(np.sort(log_weights)[-FEWEST_DRAWS // 5 :]) < CONSTANT:
        # ArviZ 0.x in the same case.
        return log_weights, -np.inf
    return smoothed, k


def _chains(draws: ArrayLike, fewest: int) -> Array:
    array = np.asarray(draws, dtype=np.float64)
    if array.ndim != 2 or array.shape[0] < fewest:
        raise ArgumentError(
            f"`draws` expected (chain, draw) of at least {fewest} chains; got {array.shape}. Draw "
            "more, or reshape it."
        )
    return array


def _axes() -> dict[str, int]:
    return {} if is_old() else {"chain_axis": 0, "draw_axis": 1}


@cache
def _arviz() -> Any:
    with warnings.catch_warnings():
        # 0.23 announces 1.0 on import.
        warnings.simplefilter("ignore")
        import arviz
    return arviz


def _array_statistics() -> Any:
    """The module whose functions take arrays."""
    if is_old():
        return _arviz()
    return import_module("arviz_stats.base").array_stats


def _listed(names: Sequence[str] | None) -> list[str] | None:
    return None if names is None else list(names)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to ourselves the warnings that concern only ArviZ's own inside."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _figure(plot: Any) -> "Figure":
    """The figure behind what a plot returned, taken out of pyplot's global list."""
    from matplotlib import pyplot

    if is_old():
        figure = np.ravel(np.asarray(plot, dtype=object))[0].figure
    else:
        figure = plot.get_viz("figure")
    pyplot.close(figure)
    lettered: Figure = figure
    _letter(lettered)
    return lettered


def _letter(figure: "Figure") -> None:
    """Letters of one size, that of neither line of ArviZ, and room for them."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_fontsize(_LETTERS)
    for axes in figure.axes:
        axes.tick_params(labelsize=_LETTERS)
    if figure.get_layout_engine() is None:
        figure.set_layout_engine("constrained")


def _thin_out(figure: "Figure", n: int) -> None:
    """Dots that leave each other to be seen, however many."""
    from matplotlib.collections import PathCollection

    share = min(1.0, _FEW_DOTS / n)
    (dots,) = (c for c in figure.axes[0].collections if isinstance(c, PathCollection))
    dots.set(sizes=[max(6.0, 25 * share)], alpha=max(0.4, 0.8 * share), linewidths=0)
    # Thousands of dots are one image in a file of vectors.
    dots.set_rasterized(True)


def _n_quantities(tree: xr.DataTree, names: list[str] | None, coords: Coords | None) -> int:
    """The scalars behind each draw of these variables."""
    posterior = tree["posterior"].to_dataset()
    posterior = posterior if names is None else posterior[names]
    one = posterior.sel(coords or {}).isel(chain=0, draw=0)
    return sum(variable.size for variable in one.data_vars.values())
