"""How far a posterior can be trusted.

:func:`diagnose` asks whether the guide is the posterior, whether the model fits the images and
whether the probabilities are honest, and gives a verdict. The functions behind it work on their
own too.
"""

from gmvae.diagnostics.calibration import labelled_reliability, reliability, simulated_reliability
from gmvae.diagnostics.draws import Draws, draw
from gmvae.diagnostics.mixture import (
    LeaveOneOut,
    MixturePosterior,
    fit_mixture,
    leave_one_out,
    log_likelihood,
)
from gmvae.diagnostics.model_checks import predictive_check
from gmvae.diagnostics.nuts import Reference, sample_posterior
from gmvae.diagnostics.pictures import pictures
from gmvae.diagnostics.report import Diagnosis, Options, diagnose
from gmvae.diagnostics.simulation import Ranks, calibrate, simulate
from gmvae.diagnostics.verdict import Check, Threshold

__all__ = [
    "Check",
    "Diagnosis",
    "Draws",
    "LeaveOneOut",
    "MixturePosterior",
    "Options",
    "Ranks",
    "Reference",
    "Threshold",
    "calibrate",
    "diagnose",
    "draw",
    "fit_mixture",
    "labelled_reliability",
    "leave_one_out",
    "log_likelihood",
    "pictures",
    "predictive_check",
    "reliability",
    "sample_posterior",
    "simulate",
    "simulated_reliability",
]
