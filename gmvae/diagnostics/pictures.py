"""The pictures of a diagnosis, through ArviZ where it has them."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from gmvae import arviz_bridge
from gmvae.diagnostics.calibration import Reliability
from gmvae.diagnostics.model_checks import Predictive
from gmvae.diagnostics.report import Diagnosis
from gmvae.diagnostics.simulation import Ranks
from gmvae.diagnostics.verdict import khat_threshold
from gmvae.plots.style import COLOURS, DPI

# More images only hide each other in the densities.
_MOST_IMAGES = 2_000
# A forest or a grid of pairs that still fits a page.
_MOST_LATENTS = 6
# Inches.
_PAGE = 10.0
_STATISTICS = {
    "ink": "ink",
    "row": "vertical centre",
    "column": "horizontal centre",
    "distance": "pairwise distance",
}
_NAMES = {"simulated": "simulated images", "labels": "labels"}


def pictures(diagnosis: Diagnosis) -> dict[str, Figure]:
    """Every picture that the diagnosis has the figures for, by name.

    ``khat``, ``predictive``, ``ranks_simulated``, ``reliability``; with NUTS also ``forest``,
    ``rank`` and ``pair``.
    """
    statistics = diagnosis.tree["sample_stats"]
    n_draws = statistics.sizes["draw"]
    khat = statistics["khat"].to_numpy()
    found = {
        "khat": arviz_bridge.plot_khat(khat, n_draws, khat_threshold(n_draws)),
        "predictive": arviz_bridge.plot_ppc(_statistics_tree(diagnosis.predictive)),
        "ranks_simulated": plot_ranks(diagnosis.ranks),
        "reliability": plot_reliability(diagnosis.reliability),
    }
    titles = {
        "khat": f"k-hat of {len(khat):,} images",
        "predictive": "Statistics of the images and of their replicates",
        "ranks_simulated": "Ranks of simulated latents among draws of the guide",
        "reliability": "How often a prediction is right",
    }
    if diagnosis.nuts_tree is not None:
        nuts = _from_one(diagnosis.nuts_tree)
        first = _first(nuts)
        found["forest"] = arviz_bridge.plot_forest(nuts, ["z"], _some_latents(nuts))
        found["rank"] = arviz_bridge.plot_rank(nuts, ["z"], first)
        titles["forest"] = "z[image, latent] of the chosen images, by NUTS"
        titles["rank"] = f"Ranks by chain, image {first['image']}"
        if nuts["posterior"].sizes["latent"] > 1:
            found["pair"] = arviz_bridge.plot_pair(nuts, ["z"], first)
            titles["pair"] = f"Latent of image {first['image']}, by NUTS"
    _name_lines(found["khat"], khat_threshold(n_draws))
    _keep_first_legend(found["predictive"])
    for name, figure in found.items():
        _house_style(figure)
        figure.set_dpi(DPI)
        if figure.get_layout_engine() is None:
            figure.set_layout_engine("constrained")
        figure.suptitle(titles[name], x=0.01, ha="left", weight="bold")
    return found


def plot_ranks(ranks: Ranks) -> Figure:
    """Histograms of the ranks, level where the guide is the posterior."""
    n, d = ranks.ranks.shape
    shown = min(d, _MOST_LATENTS)
    figure = Figure(figsize=(3.6 * shown, 3.2), dpi=DPI, layout="constrained")
    bins = np.linspace(-0.5, ranks.n_draws + 0.5, 21)
    level, spread = n / 20, 2 * np.sqrt(n / 20 * 19 / 20)
    for i, axes in enumerate(figure.subplots(1, shown, squeeze=False)[0]):
        axes.hist(ranks.ranks[:, i], bins, color=COLOURS[0])
        axes.axhspan(level - spread, level + spread, color="0.5", alpha=0.3, linewidth=0)
        axes.axhline(level, color="black", linewidth=1)
        axes.set_xlabel(f"rank of latent {i + 1} among {ranks.n_draws} draws")
        axes.set_ylabel("images" if i == 0 else "")
        axes.spines[["top", "right"]].set_visible(False)
    return figure


def plot_reliability(curves: dict[str, Reliability]) -> Figure:
    """Accuracy against confidence, on the diagonal where the probabilities are honest."""
    figure = Figure(figsize=(5.0, 5.3), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1, label="honest")
    for i, (name, curve) in enumerate(curves.items()):
        sizes = 20 + 180 * curve.count / curve.count.max()
        label = f"{_NAMES.get(name, name)}, error {curve.ece:.3f}"
        axes.plot(curve.confidence, curve.accuracy, color=COLOURS[i], label=label)
        axes.scatter(
            curve.confidence,
            curve.accuracy,
            sizes,
            color=COLOURS[i],
            marker="os"[i % 2],
            clip_on=False,
            zorder=3,
        )
    axes.set_xlabel("confidence")
    axes.set_ylabel("share of right predictions")
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.02)
    axes.spines[["top", "right"]].set_visible(False)
    # Below the axes: no corner of them is free of points for sure.
    figure.legend(loc="outside lower center", frameon=False)
    return figure


def _name_lines(figure: Figure, threshold: float) -> None:
    """Say beside ArviZ's lines across a picture of k-hat what lies above them."""
    axes = figure.axes[0]
    axes.set_xlabel("image")
    axes.set_ylabel("k-hat")
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
            text.set_fontsize(10)


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


def _some_latents(tree: xr.DataTree) -> dict[str, list[int]]:
    return {"latent": tree["posterior"]["latent"].to_numpy()[:_MOST_LATENTS].tolist()}


def _first(tree: xr.DataTree) -> dict[str, object]:
    """The worst image, and as many latents as fit."""
    image = int(tree["posterior"]["image"].to_numpy()[0])
    return {"image": image, **_some_latents(tree)}
