"""Numbers of components compared."""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from gmvae.plots.style import COLOURS, DPI


def candidates(
    numbers: Sequence[int],
    log_likelihoods: Sequence[Sequence[float]],
    standard_errors: Sequence[float],
    stabilities: Sequence[float | None],
    normalised: bool = True,
    *,
    splits: Sequence[float | None] = (),
    prominent: float = 0.0,
    marked: int | None = None,
) -> Figure:
    """What speaks for each number of components: stability, likelihood, and the density.

    Args:
        numbers: the numbers of components, rising.
        log_likelihoods: for each, those of its runs, in nats an image.
        standard_errors: for each, that of the mean over images, in nats.
        stabilities: for each, the mean adjusted Rand index of its runs; None for one run.
        normalised: whether the likelihoods are of a normalised density.
        splits: for each, the prominence of the split of the density that makes so many of one
            fewer, in standard deviations; None where none is known. Without any they are left out.
        prominent: the least prominence of a split that parts clusters.
        marked: the number that is chosen; None for none.
    """
    shown = any(split is not None for split in splits)
    figure = Figure(figsize=(7.0, 8.5 if shown else 6.0), dpi=DPI, layout="constrained")
    figure.suptitle("Numbers of components, on held-out images", x=0.01, ha="left", weight="bold")
    above, below, *third = figure.subplots(2 + shown, 1, sharex=True)
    above.plot(numbers, [np.nan if s is None else s for s in stabilities], "o-", color=COLOURS[0])
    above.set_ylabel("stability (adjusted Rand index)")
    above.set_ylim(top=1.02)
    means = [float(np.mean(of_runs)) for of_runs in log_likelihoods]
    below.errorbar(numbers, means, standard_errors, fmt="-", capsize=3, color=COLOURS[1])
    for number, of_runs in zip(numbers, log_likelihoods, strict=True):
        below.plot([number] * len(of_runs), of_runs, "o", color=COLOURS[1], alpha=0.6)
    density = "" if normalised else ",\nno normalised density"
    below.set_ylabel(f"log-likelihood (nats an image{density})")
    for of_density in third:
        of_density.plot(
            numbers, [np.nan if s is None else s for s in splits], "o-", color=COLOURS[2]
        )
        of_density.axhline(prominent, color="0.5", linestyle="--", linewidth=0.8)
        of_density.set_ylabel("split of the density\n(standard deviations)")
    last = figure.axes[-1]
    last.set_xlabel("components" if marked is None else f"components (dotted: {marked}, chosen)")
    last.set_xticks(list(numbers))
    for axes in figure.axes:
        if marked is not None:
            axes.axvline(marked, color="0.3", linestyle=":", linewidth=1.2)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.92", linewidth=0.8)
    return figure
