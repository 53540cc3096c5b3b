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
) -> Figure:
    """What speaks for each number of components: stability above, likelihood below.

    Args:
        numbers: the numbers of components, rising.
        log_likelihoods: for each, those of its runs, in nats an image.
        standard_errors: for each, that of the mean over images, in nats.
        stabilities: for each, the mean adjusted Rand index of its runs; None for one run.
        normalised: whether the likelihoods are of a normalised density.
    """
    figure = Figure(figsize=(7.0, 6.0), dpi=DPI, layout="constrained")
    figure.suptitle("Numbers of components, on held-out images", x=0.01, ha="left", weight="bold")
    above, below = figure.subplots(2, 1, sharex=True)
    above.plot(numbers, [np.nan if s is None else s for s in stabilities], "o-", color=COLOURS[0])
    above.set_ylabel("stability (adjusted Rand index)")
    above.set_ylim(top=1.02)
    means = [float(np.mean(of_runs)) for of_runs in log_likelihoods]
    below.errorbar(numbers, means, standard_errors, fmt="-", capsize=3, color=COLOURS[1])
    for number, of_runs in zip(numbers, log_likelihoods, strict=True):
        below.plot([number] * len(of_runs), of_runs, "o", color=COLOURS[1], alpha=0.6)
    density = "" if normalised else ",\nno normalised density"
    below.set_ylabel(f"log-likelihood (nats an image{density})")
    below.set_xlabel("components")
    below.set_xticks(list(numbers))
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.92", linewidth=0.8)
    return figure
