"""How far a posterior can be trusted.

:func:`diagnose` asks whether the guide is the posterior, whether the model fits the images and
whether the probabilities are honest, and gives a verdict. The functions behind it work on their
own too, as does :func:`evaluate`, which scores clusters, reconstructions and likelihood. Names
are imported when first used.
"""

from typing import TYPE_CHECKING

from gmvae.support.lazy import lazy_names

if TYPE_CHECKING:
    from gmvae.diagnostics.calibration import (
        labelled_reliability,
        reliability,
        simulated_reliability,
    )
    from gmvae.diagnostics.draws import Draws, draw
    from gmvae.diagnostics.evaluation import Evaluation, evaluate
    from gmvae.diagnostics.mixture import (
        LeaveOneOut,
        MixturePosterior,
        fit_mixture,
        leave_one_out,
        log_likelihood,
    )
    from gmvae.diagnostics.model_checks import predictive_check
    from gmvae.diagnostics.nuts import Reference, sample_posterior
    from gmvae.diagnostics.pictures import plot_diagnosis
    from gmvae.diagnostics.report import Diagnosis, Options, diagnose
    from gmvae.diagnostics.sentences import Answer, summary
    from gmvae.diagnostics.simulation import Ranks, calibrate, simulate
    from gmvae.diagnostics.verdict import Check, Threshold

__all__ = [
    "Answer",
    "Check",
    "Diagnosis",
    "Draws",
    "Evaluation",
    "LeaveOneOut",
    "MixturePosterior",
    "Options",
    "Ranks",
    "Reference",
    "Threshold",
    "calibrate",
    "diagnose",
    "draw",
    "evaluate",
    "fit_mixture",
    "labelled_reliability",
    "leave_one_out",
    "log_likelihood",
    "plot_diagnosis",
    "predictive_check",
    "reliability",
    "sample_posterior",
    "simulate",
    "simulated_reliability",
    "summary",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Answer": "sentences",
        "Check": "verdict",
        "Diagnosis": "report",
        "Draws": "draws",
        "Evaluation": "evaluation",
        "LeaveOneOut": "mixture",
        "MixturePosterior": "mixture",
        "Options": "report",
        "Ranks": "simulation",
        "Reference": "nuts",
        "Threshold": "verdict",
        "calibrate": "simulation",
        "diagnose": "report",
        "draw": "draws",
        "evaluate": "evaluation",
        "fit_mixture": "mixture",
        "labelled_reliability": "calibration",
        "leave_one_out": "mixture",
        "log_likelihood": "mixture",
        "predictive_check": "model_checks",
        "plot_diagnosis": "pictures",
        "reliability": "calibration",
        "sample_posterior": "nuts",
        "simulate": "simulation",
        "simulated_reliability": "calibration",
        "summary": "sentences",
    },
)
