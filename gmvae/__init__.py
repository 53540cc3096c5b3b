"""Variational autoencoder with a Gaussian-mixture prior, in Pyro.

The names below are imported when first used: torch and Pyro take seconds to import, and
``import gmvae`` should not.
"""

from typing import TYPE_CHECKING

from gmvae.support.lazy import lazy_names
from gmvae.support.version import VERSION

if TYPE_CHECKING:
    from gmvae import (
        data,
        diagnostics,
        explore,
        metrics,
        networks,
        plots,
        posterior,
        probability,
        training,
    )
    from gmvae.bars import progress
    from gmvae.config import Config
    from gmvae.data import Images, load
    from gmvae.gmvae import GMVAE
    from gmvae.probability.evidence import elbo_parts, log_evidence
    from gmvae.probability.guide import Guide
    from gmvae.probability.likelihood import Likelihood
    from gmvae.probability.model import Model
    from gmvae.probability.prior import MixturePrior
    from gmvae.settings import Settings
    from gmvae.support.errors import ArgumentError, ContentError, GMVAEError, TrainingError
    from gmvae.training.fitting import Fit, fit
    from gmvae.training.loop import STOP
    from gmvae.training.restarts import fit_restarts
    from gmvae.training.selection import compare_components

__version__ = VERSION

__all__ = [
    "GMVAE",
    "STOP",
    "ArgumentError",
    "Config",
    "ContentError",
    "Fit",
    "GMVAEError",
    "Guide",
    "Images",
    "Likelihood",
    "MixturePrior",
    "Model",
    "Settings",
    "TrainingError",
    "compare_components",
    "data",
    "diagnostics",
    "elbo_parts",
    "explore",
    "fit",
    "fit_restarts",
    "load",
    "log_evidence",
    "metrics",
    "networks",
    "plots",
    "posterior",
    "probability",
    "progress",
    "training",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "GMVAE": "gmvae",
        "STOP": "training.loop",
        "ArgumentError": "support.errors",
        "Config": "config",
        "ContentError": "support.errors",
        "Fit": "training.fitting",
        "GMVAEError": "support.errors",
        "Guide": "probability.guide",
        "Images": "data",
        "Likelihood": "probability.likelihood",
        "MixturePrior": "probability.prior",
        "Model": "probability.model",
        "Settings": "settings",
        "TrainingError": "support.errors",
        "compare_components": "training.selection",
        "data": "data",
        "diagnostics": "diagnostics",
        "elbo_parts": "probability.evidence",
        "explore": "explore",
        "fit": "training.fitting",
        "fit_restarts": "training.restarts",
        "load": "data",
        "log_evidence": "probability.evidence",
        "metrics": "metrics",
        "networks": "networks",
        "plots": "plots",
        "posterior": "posterior",
        "probability": "probability",
        "progress": "bars",
        "training": "training",
    },
)
