"""How a training went."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from gmvae.plots.style import COLOURS, DPI

# What is drawn of the joint phase, a panel each, by the name in the history.
PANELS = {
    "elbo": "ELBO (nats an image)",
    "reconstruction": "reconstruction (nats)",
    "kl_z": "KL of z (nats)",
    "kl_y": "KL of y (nats)",
    "effective_components": "components in use",
}
JOINT = "joint"


def curves(history: Sequence[Mapping[str, Any]]) -> Figure:
    """The bound, its parts and the components in use over the joint phase; objectives before it.

    Args:
        history: a row of figures an epoch, as :attr:`gmvae.Fit.history` has it.
    """
    figure = Figure(figsize=(9.2, 5.2), dpi=DPI, layout="constrained")
    figure.suptitle("The training, epoch by epoch", x=0.01, ha="left", weight="bold")
    cells = figure.subplots(2, 3).ravel()
    joint = [row for row in history if row["phase"] == JOINT]
    for axes, (name, label) in zip(cells, PANELS.items(), strict=False):
        points = [(row["epoch"], row[name]) for row in joint if row.get(name) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), color=COLOURS[0])
        axes.set_title(label, loc="left", size=9)
        axes.set_xlabel("epoch of the joint phase", size=8)
    last = cells[len(PANELS)]
    phases = dict.fromkeys(row["phase"] for row in history if row["phase"] != JOINT)
    for i, phase in enumerate(phases):
        rows = [row for row in history if row["phase"] == phase]
        values = [row["objective"] for row in rows if row.get("objective") is not None]
        if len(values) > 1 and max(values) > min(values):
            low, high = min(values), max(values)
            scaled = [(value - low) / (high - low) for value in values]
            epochs = [n / (len(values) - 1) for n in range(len(values))]
            last.plot(epochs, scaled, color=COLOURS[i % len(COLOURS)], label=phase)
    last.set_title("objectives of the phases before", loc="left", size=9)
    last.set_xlabel("from the first epoch of a phase to its last", size=8)
    last.set_ylabel("from its least to its largest", size=8)
    if last.get_legend_handles_labels()[1]:
        last.legend(frameon=False, fontsize=7)
    for axes in cells:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="0.92", linewidth=0.8)
        axes.tick_params(labelsize=8)
    return figure
