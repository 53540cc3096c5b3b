"""How an answer is laid out in ArviZ's schema: one table, for memory and for files."""

from typing import NamedTuple

import numpy as np

from gmvae.posterior.block import ROUTES, Block
from gmvae.posterior.pareto import Array

SAMPLED = ("chain", "draw", "image")


class Variable(NamedTuple):
    """Where an array of a block goes.

    Attributes:
        group: of the tree.
        dims: names of its dimensions; "image" is that which grows.
        about: what it is.
    """

    group: str
    dims: tuple[str, ...]
    about: str


_LATENT, _COMPONENT, _PIXEL = ("image", "latent"), ("image", "component"), ("image", "pixel")


def _of_image(about: str, dims: tuple[str, ...] = ("image",)) -> Variable:
    return Variable("sample_stats", dims, about)


# By the names of the arrays of a block.
VARIABLES = {
    "z": Variable("posterior", (*SAMPLED, "latent"), "draws of equal weight from p(z | x)"),
    "mean": _of_image("mean of p(z | x), of all the weighted draws", _LATENT),
    "sd": _of_image("standard deviation of p(z | x)", _LATENT),
    "mean_mcse": _of_image("Monte Carlo standard error of the mean", _LATENT),
    "sd_mcse": _of_image("that of the standard deviation", _LATENT),
    "p_y": _of_image("p(y | x)", _COMPONENT),
    "p_y_mcse": _of_image("its Monte Carlo standard error", _COMPONENT),
    "log_evidence": _of_image("log p(x), nats"),
    "log_evidence_mcse": _of_image("its Monte Carlo standard error"),
    "pixels": _of_image("expected pixels of a replicate", _PIXEL),
    "pixels_mcse": _of_image("their Monte Carlo standard error", _PIXEL),
    "route": _of_image(f"the way the draws were got: {', '.join(ROUTES)}"),
    "guide_khat": _of_image("k-hat of the guide's draws alone"),
    "guide_ess": _of_image("effective sample size of the guide's draws alone"),
    "khat": _of_image("k-hat of the weights in the end; of no account where the way is hmc"),
    "ess": _of_image("effective sample size"),
    "n_worked": _of_image("draws that the figures are made of"),
    "modes": _of_image("modes that were found; 0 where the guide was enough"),
    "rhat": _of_image("largest R-hat of the chains; NaN where there are none"),
    "divergences": _of_image("of their trajectories"),
    "weighted": Variable("sample_stats", (*SAMPLED, "latent"), "draws of the proposals"),
    "log_weight": Variable("sample_stats", SAMPLED, "their weights, of sum 1 an image"),
}
GROUPS = {
    "posterior": "Independent draws, one chain: they have no R-hat.",
    "sample_stats": "What is known of each image's posterior, and how well.",
}


def laid_out(block: Block) -> dict[str, Array]:
    """The arrays of a block by name, their dimensions in the order of the table."""
    arrays = {}
    for name, array in block.arrays().items():
        if VARIABLES[name].dims[0] == "chain":
            array = np.moveaxis(array, 0, 1)[None]
        arrays[name] = np.array(ROUTES)[array] if name == "route" else array
    return arrays
