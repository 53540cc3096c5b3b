"""The posterior of one image: NUTS beside the guide, and chain beside chain.

C chains, S draws, D latent dimensions.
"""

from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import rankdata
from torch import Tensor

from gmvae.plots.mosaic import mosaic, show
from gmvae.plots.plane import ellipse
from gmvae.plots.style import DPI, Array, style

# Chains have a colour and a way of drawing each, so that either alone tells them apart.
_DASHES = ("-", "--", ":", "-.")
# More draws of a chain only hide each other.
_MOST_DRAWN = 400
# Of a histogram, as in that of the simulated images.
_BINS = 20


def plot_posterior(image: Tensor, z: Array, mean: Array, sd: Array) -> Figure:
    """The image, and over every two of its latents the draws of NUTS and the guide's Gaussian.

    Args:
        image: (C, H, W) in [0, 1].
        z: draws of NUTS, (C, S, D), D at least 2.
        mean: of the guide, (D,).
        sd: of the guide, (D,).
    """
    n_chains, n_draws, d = z.shape
    side = d - 1
    figure = Figure(figsize=(2.6 + 2.6 * side, max(3.2, 2.5 * side)), dpi=DPI, layout="constrained")
    halves: Any = figure.subfigures(1, 2, width_ratios=(2.2, 2.6 * side))
    left, right = halves
    show(left.add_subplot(), mosaic(image[None], 1))
    rows = np.unique(np.linspace(0, n_draws - 1, _MOST_DRAWN).astype(int))
    cells = right.subplots(side, side, squeeze=False)
    for below, across in np.ndindex(side, side):
        axes = cells[below, across]
        if across > below:
            axes.set_axis_off()
            continue
        pair = [across, below + 1]
        for c in range(n_chains):
            x, y = z[c, rows][:, pair].T
            axes.scatter(x, y, 9, alpha=0.5, linewidths=0, **style(c))
        for sigmas in (1, 2):
            axes.add_patch(ellipse(mean[pair], np.diag(sd[pair] ** 2), sigmas, "black"))
        axes.autoscale_view()
        if below == side - 1:
            axes.set_xlabel(f"latent {pair[0] + 1}")
        if across == 0:
            axes.set_ylabel(f"latent {pair[1] + 1}")
    left.legend(handles=_handles(n_chains), loc="outside lower left", frameon=False, fontsize=9)
    return figure


def plot_chain_ranks(z: Array) -> Figure:
    """Histograms of each chain's ranks among the draws of all: level where the chains agree.

    The band is two standard deviations of a count about that of draws that agree. Reference:
    Vehtari et al. (2021), *Rank-normalization, folding, and localization: an improved R-hat*.

    Args:
        z: (C, S, D).
    """
    n_chains, n_draws, d = z.shape
    rows, columns = -(-d // 2), min(d, 2)
    size = (4.5 * columns, 2.7 * rows + 0.8)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    edges = np.linspace(0.5, n_chains * n_draws + 0.5, _BINS + 1)
    level = n_draws / _BINS
    spread = 2 * np.sqrt(level * (1 - 1 / _BINS))
    for i in range(d):
        axes = figure.add_subplot(rows, columns, i + 1)
        ranks = rankdata(z[:, :, i]).reshape(n_chains, n_draws)
        axes.axhspan(level - spread, level + spread, color="0.5", alpha=0.2, linewidth=0)
        for c in range(n_chains):
            counts = np.histogram(ranks[c], edges)[0]
            line = {"color": style(c)["color"], "linestyle": _DASHES[c % len(_DASHES)]}
            axes.stairs(counts, edges, linewidth=1.5, label=f"chain {c + 1}", **line)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(f"rank of latent {i + 1} among {n_chains * n_draws} draws")
        axes.set_ylabel("draws" if i % columns == 0 else "")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=n_chains, frameon=False)
    return figure


def _handles(n_chains: int) -> list[Line2D]:
    """What is drawn, for a legend."""
    chains = [
        Line2D([], [], linestyle="", label=f"NUTS, chain {c + 1}", **style(c))
        for c in range(n_chains)
    ]
    guide = [
        Line2D([], [], color="black", linestyle="-", label="guide, 1 sd"),
        Line2D([], [], color="black", linestyle="--", label="guide, 2 sd"),
    ]
    return [*chains, *guide]
