"""Variational autoencoder with a Gaussian-mixture prior, in Pyro.

The names below are imported when first used: torch and Pyro take seconds to import, and
``import gmvae`` should not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gmvae.config import Config
    from gmvae.data import Images, load
    from gmvae.evidence import elbo_parts, log_evidence
    from gmvae.gmvae import GMVAE
    from gmvae.guide import Guide
    from gmvae.model import Model
    from gmvae.prior import MixturePrior
    from gmvae.recipe import fit
    from gmvae.settings import Settings

__version__ = "0.1.0"

_HOMES = {
    "Config": "gmvae.config",
    "GMVAE": "gmvae.gmvae",
    "Guide": "gmvae.guide",
    "Images": "gmvae.data",
    "MixturePrior": "gmvae.prior",
    "Model": "gmvae.model",
    "Settings": "gmvae.settings",
    "elbo_parts": "gmvae.evidence",
    "fit": "gmvae.recipe",
    "load": "gmvae.data",
    "log_evidence": "gmvae.evidence",
}

# Whole modules that messages and the README name.
_MODULES = ("data", "diagnostics", "errors", "likelihood", "plots", "restarts", "selection")

__all__ = [
    "GMVAE",
    "Config",
    "Guide",
    "Images",
    "MixturePrior",
    "Model",
    "Settings",
    "elbo_parts",
    "fit",
    "load",
    "log_evidence",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if name in _MODULES:
        return import_module(f"gmvae.{name}")
    raise AttributeError(f"module 'gmvae' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
