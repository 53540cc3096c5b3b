"""Pictures of draws, drawn by ArviZ: alike on either line."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from gmvae.diagnostics import arviz_line
from gmvae.diagnostics.arviz_line import INTERVAL, Coords, for_arviz

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Points.
_LETTERS = 9
# Up to so many dots are drawn in full; of more, each is smaller and paler.
_FEW_DOTS = 200


def plot_forest(
    tree: xr.DataTree, var_names: Sequence[str] | None = None, coords: Coords | None = None
) -> "Figure":
    """Intervals of the quantities of ``posterior``, the chains combined."""
    with arviz_line.quiet():
        names = arviz_line.listed(var_names)
        kind = {"hdi_prob": INTERVAL} if arviz_line.is_old() else {"backend": "matplotlib"}
        plot = arviz_line.arviz().plot_forest(
            for_arviz(tree), var_names=names, coords=coords, combined=True, **kind
        )
    return _figure(plot)


def plot_pair(
    tree: xr.DataTree, var_names: Sequence[str] | None = None, coords: Coords | None = None
) -> "Figure":
    """Scatter plots of every two quantities of ``posterior``."""
    names = arviz_line.listed(var_names)
    # The old line leaves the diagonal out.
    panels = _n_quantities(tree, names, coords) - arviz_line.is_old()
    size = (max(2.3 * panels, 5.0), max(1.9 * panels, 4.5))
    kind: dict[str, Any] = {"marginal": False, "backend": "matplotlib"}
    kind |= {"figure_kwargs": {"figsize": size}}
    if arviz_line.is_old():
        kind = {"figsize": size, "textsize": _LETTERS}
    with arviz_line.quiet():
        plot = arviz_line.arviz().plot_pair(for_arviz(tree), var_names=names, coords=coords, **kind)
    return _figure(plot)


def plot_rank(
    tree: xr.DataTree, var_names: Sequence[str] | None = None, coords: Coords | None = None
) -> "Figure":
    """Ranks of the draws of each chain among all: alike where the chains agree."""
    names = arviz_line.listed(var_names)
    n = _n_quantities(tree, names, coords)
    rows, columns = -(-n // 2), min(n, 2)
    size = (4.5 * columns, 2.7 * rows + 0.5)
    kind: dict[str, Any] = {"backend": "matplotlib", "col_wrap": columns}
    kind |= {"figure_kwargs": {"figsize": size}}
    if arviz_line.is_old():
        kind = {"grid": (rows, columns), "figsize": size}
    with arviz_line.quiet():
        plot = arviz_line.arviz().plot_rank(for_arviz(tree), var_names=names, coords=coords, **kind)
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
    with arviz_line.quiet():
        if arviz_line.is_old():
            from arviz.stats.stats_utils import ELPDData

            elpd = ELPDData(data=list(about.values()), index=list(about))
            plot = arviz_line.arviz().plot_khat(elpd, show_hlines=True, marker="o")
        else:
            arviz = arviz_line.arviz()
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
    names = arviz_line.listed(var_names)
    n = len(names or tree["observed_data"].data_vars)
    rows, columns = -(-n // 2), min(n, 2)
    size = (5.5 * columns, 3.6 * rows)
    with arviz_line.quiet():
        if arviz_line.is_old():
            page: dict[str, Any] = {"grid": (rows, columns), "figsize": size, "textsize": 10}
            page |= {"mean": False, "legend": False}
            plot = arviz_line.arviz().plot_ppc(for_arviz(tree), var_names=names, **page)
        else:
            page = {"col_wrap": columns, "figure_kwargs": {"figsize": size}}
            plot = arviz_line.arviz().plot_ppc_dist(
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


def _figure(plot: Any) -> "Figure":
    """The figure behind what a plot returned, taken out of pyplot's global list."""
    from matplotlib import pyplot

    if arviz_line.is_old():
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
