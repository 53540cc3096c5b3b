"""The pictures of a diagnosis, through ArviZ where it has them."""

import numpy as np
import torch
import xarray as xr
from cycler import cycler
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gmvae.diagnostics import arviz_bridge
from gmvae.diagnostics.calibration import Reliability
from gmvae.diagnostics.model_checks import Predictive
from gmvae.diagnostics.nuts_pictures import plot_chain_ranks, plot_posterior
from gmvae.diagnostics.report import Diagnosis
from gmvae.diagnostics.simulation import Ranks
from gmvae.diagnostics.verdict import khat_threshold
from gmvae.plots.style import COLOURS, DPI

# More images only hide each other in the densities.
_MOST_IMAGES = 2_000
# A forest, or rows of histograms, that still fits a page.
_MOST_LATENTS = 6
# A grid whose letters stay legible.
_MOST_IN_GRID = 4
# Of fewer predictions, a bin's share of right ones is mostly chance: its standard error is up to
# a sixth.
_SPARSE = 10
# Inches.
_PAGE = 10.0
_STATISTICS = {
    "ink": "ink",
    "row": "vertical centre",
    "column": "horizontal centre",
    "distance": "pairwise distance",
}
# Where all bins of a reliability curve lie above this, the axes do not begin at 0.
_ZOOMED_ABOVE = 0.75
_NAMES = {"simulated": "simulated images", "labels": "labels"}


def plot_diagnosis(diagnosis: Diagnosis) -> dict[str, Figure]:
    """Every picture that the diagnosis has the figures for, by name.

    ``khat``, ``predictive``, ``ranks_simulated``, ``reliability``; with NUTS also ``forest``,
    ``rank`` and ``pair``.
    """
    # ArviZ's figures are saved at the resolution that they are made with.
    # Chains have the colours of the house, which can be told apart with any colour vision.
    with rc_context({"figure.dpi": DPI, "axes.prop_cycle": cycler(color=COLOURS)}):
        titled = _of_guide(diagnosis)
        if diagnosis.nuts_tree is not None:
            titled |= _of_nuts(diagnosis.nuts_tree, diagnosis.tree["observed_data"].to_dataset())
    for figure, title in titled.values():
        _house_style(figure)
        figure.suptitle(title, x=0.01, ha="left", weight="bold", size=11)
    return {name: figure for name, (figure, _) in titled.items()}


def _of_guide(diagnosis: Diagnosis) -> dict[str, tuple[Figure, str]]:
    """Pictures and their titles: the guide, the fit and the probabilities."""
    statistics = diagnosis.tree["sample_stats"]
    n_draws = statistics.sizes["draw"]
    khat = statistics["khat"].to_numpy()
    limit = khat_threshold(n_draws)
    khats = arviz_bridge.plot_khat(khat, n_draws, limit)
    _name_lines(khats, limit)
    predictive = arviz_bridge.plot_ppc(_statistics_tree(diagnosis.predictive))
    _keep_first_legend(predictive)
    some = _shown_of(diagnosis.ranks.ranks.shape[1], _MOST_LATENTS)
    return {
        "khat": (khats, f"k-hat of {len(khat):,} images"),
        "predictive": (predictive, "Statistics of the images and of their replicates"),
        "ranks_simulated": (
            plot_ranks(diagnosis.ranks),
            f"Ranks of simulated latents among draws of the posterior{some}",
        ),
        "reliability": (plot_reliability(diagnosis.reliability), "How often a prediction is right"),
    }


def _of_nuts(tree: xr.DataTree, observed: xr.Dataset) -> dict[str, tuple[Figure, str]]:
    """Pictures and their titles: the chosen images, by NUTS."""
    statistics = tree["sample_stats"].to_dataset()
    modes = statistics["modes"]
    tree = _from_one(tree)
    posterior = tree["posterior"]
    latents = posterior["latent"].to_numpy().tolist()
    n = len(latents)
    # The worst comes first.
    image = int(posterior["image"].to_numpy()[0])
    few = slice(0, _MOST_IN_GRID)
    draws = posterior["z"].sel(image=image).isel(latent=few)
    z = draws.transpose("chain", "draw", "latent").to_numpy()
    some = _shown_of(n, _MOST_IN_GRID)
    # Of several modes an interval says only where some chains are: those images are left out.
    several = modes["image"].to_numpy()[modes.to_numpy() > 1].tolist()
    single = [i for i in posterior["image"].to_numpy().tolist() if i not in several]
    chosen = {"latent": latents[:_MOST_LATENTS], "image": single or several}
    forest = arviz_bridge.plot_forest(tree, ["z"], chosen)
    named = ", ".join(map(str, several))
    what = "Left out" if single else "No error bars"
    doubt = f"\n{what}, since they have several modes: images {named}" if named else ""
    titled = {
        "forest": (
            forest,
            f"z[image, latent] by NUTS{_shown_of(n, _MOST_LATENTS)}{doubt}",
        ),
        "rank": (
            plot_chain_ranks(z),
            f"Ranks by chain, image {image}{some}",
        ),
    }
    if n > 1:
        pixels = observed["x"].sel(image=image).to_numpy()
        shown = torch.as_tensor(pixels).reshape(*observed.attrs["image_shape"].tolist())
        of_image = statistics.sel(image=image).isel(latent=few)
        mean, sd = of_image["guide_mean"].to_numpy(), of_image["guide_sd"].to_numpy()
        title = f"Latent of image {image}, by NUTS and by the guide{some}"
        titled["pair"] = (plot_posterior(shown, z, mean, sd), title)
    return titled


def _shown_of(n: int, most: int) -> str:
    """Of more latents than are shown, which are."""
    return f": latents 1 to {most} of {n}" if n > most else ""


def plot_ranks(ranks: Ranks) -> Figure:
    """Histograms of the ranks, level where the guide is the posterior."""
    n, d = ranks.ranks.shape
    shown = min(d, _MOST_LATENTS)
    rows, columns = -(-shown // 3), min(shown, 3)
    figure = Figure(figsize=(3.3 * columns, 2.8 * rows + 0.4), dpi=DPI, layout="constrained")
    bins = np.linspace(-0.5, ranks.n_draws + 0.5, 21).tolist()
    level, spread = n / 20, 2 * np.sqrt(n / 20 * 19 / 20)
    for i in range(shown):
        axes = figure.add_subplot(rows, columns, i + 1)
        axes.hist(ranks.ranks[:, i], bins, color=COLOURS[0])
        axes.axhspan(level - spread, level + spread, color="0.5", alpha=0.3, linewidth=0)
        axes.axhline(level, color="black", linewidth=1)
        axes.set_xlabel(f"rank of latent {i + 1} among {ranks.n_draws} draws")
        axes.set_ylabel("images" if i % columns == 0 else "")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def plot_reliability(curves: dict[str, Reliability]) -> Figure:
    """Accuracy against confidence, on the diagonal where the probabilities are honest."""
    figure = Figure(figsize=(5.0, 5.3), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1, label="honest")
    for i, (name, curve) in enumerate(curves.items()):
        label = f"{_NAMES.get(name, name)}, error {curve.ece:.3f}"
        _plot_curve(axes, curve, COLOURS[i], "os"[i % 2], label)
    if any((curve.count < _SPARSE).any() for curve in curves.values()):
        axes.plot(
            [],
            [],
            "o",
            color="0.5",
            alpha=0.5,
            ms=5,
            linewidth=0,
            label=f"fewer than {_SPARSE} predictions",
        )
    axes.set_xlabel("confidence")
    axes.set_ylabel("share of right predictions")
    low = _least_shown(curves)
    axes.set_xlim(low, 1 + 0.02 * (1 - low))
    axes.set_ylim(low, 1 + 0.02 * (1 - low))
    axes.spines[["top", "right"]].set_visible(False)
    # Below the axes: no corner of them is free of points for sure.
    figure.legend(loc="outside lower center", frameon=False)
    return figure


def _least_shown(curves: dict[str, Reliability]) -> float:
    """Where the axes begin: at 0, or nearer to 1 where all bins of enough predictions lie there."""
    low = min(
        float(np.minimum(curve.confidence, curve.accuracy)[curve.count >= _SPARSE].min(initial=1.0))
        for curve in curves.values()
    )
    # As much again below the lowest; above a half only, or 0 says more.
    return 0.0 if low < _ZOOMED_ABOVE else max(0.0, 1 - 2 * max(1 - low, 1e-3))


def _plot_curve(axes: Axes, curve: Reliability, colour: str, marker: str, label: str) -> None:
    """Bins as markers of their weight; a line joins neighbours of enough predictions alone."""
    sparse = curve.count < _SPARSE
    joined = np.where(sparse, np.nan, curve.accuracy)
    axes.plot(curve.confidence, joined, marker, linestyle="-", color=colour, ms=4, label=label)
    sizes = 25 + 175 * curve.count / curve.count.max()
    for rows, alpha in ((~sparse, 1.0), (sparse, 0.5)):
        axes.scatter(
            curve.confidence[rows],
            curve.accuracy[rows],
            sizes[rows],
            color=colour,
            alpha=alpha,
            marker=marker,
            linewidths=0,
            clip_on=False,
            zorder=3,
        )


def _name_lines(figure: Figure, threshold: float) -> None:
    """Say beside ArviZ's lines across a picture of k-hat what lies above them."""
    axes = figure.axes[0]
    for height, name, side in ((threshold, "unreliable", "top"), (1.0, "no finite mean", "bottom")):
        axes.annotate(
            f"above {height:.2f}:\n{name}",
            (1.01, height),
            xycoords=axes.get_yaxis_transform(),
            va=side,
            size=8,
        )


def _keep_first_legend(figure: Figure) -> None:
    """Of legends that say the same, or less, the first."""
    legends = [legend for axes in figure.axes if (legend := axes.get_legend()) is not None]
    for legend in legends[1:]:
        legend.remove()


def _house_style(figure: Figure) -> None:
    """Letters, frame and size of a page's width, as in the other pictures."""
    width, height = figure.get_size_inches()
    figure.set_size_inches(np.array([width, height]) * min(1.0, _PAGE / width))
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=9)
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
            text.set_fontsize(9)
            # ArviZ breaks names such as z[0, 1] in two.
            text.set_text(" ".join(text.get_text().split()))


def _from_one(tree: xr.DataTree) -> xr.DataTree:
    """The draws with their latents counted from 1, as in the other pictures."""
    posterior = tree["posterior"].to_dataset()
    latent = posterior["latent"] + 1
    return xr.DataTree.from_dict({"posterior": posterior.assign_coords(latent=latent)})


def _statistics_tree(predictive: Predictive) -> xr.DataTree:
    """The statistics, some images of them, as ArviZ takes them."""
    n = len(predictive.observed["ink"])
    rows = np.linspace(0, n - 1, min(n, _MOST_IMAGES)).astype(int)
    replicated = {
        _STATISTICS[name]: (("chain", "draw", "image"), values[None][..., rows])
        for name, values in predictive.replicated.items()
    }
    observed = {
        _STATISTICS[name]: ("image", values[rows]) for name, values in predictive.observed.items()
    }
    groups = {
        "posterior_predictive": xr.Dataset(replicated),
        "observed_data": xr.Dataset(observed),
    }
    return xr.DataTree.from_dict(groups)
