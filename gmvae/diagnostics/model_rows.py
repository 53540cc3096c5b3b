"""The rows of the verdict that say whether the model fits the images."""

import numpy as np

from gmvae.diagnostics import model_checks
from gmvae.diagnostics.draws import Array, Draws, standard_error
from gmvae.diagnostics.mixture import LeaveOneOut, MixturePosterior
from gmvae.diagnostics.model_checks import Predictive
from gmvae.diagnostics.verdict import BAD_KHATS, CONVENTION, Check, Threshold, khat_threshold
from gmvae.metrics import effective_number
from gmvae.probability.guide import Guide
from gmvae.probability.model import Model

_STATISTICS = {
    "ink": "ink",
    "row": "vertical centre of mass",
    "column": "horizontal centre of mass",
    "distance": "pairwise distance",
}


def fit_rows(model: Model, guide: Guide, draws: Draws, log_evidence: Array) -> list[Check]:
    """How latents of the posterior, and components by q(y | x), compare with the mixture.

    And log p(x) of the certified posterior, (N,).
    """
    prior = model.prior
    density = "" if model.likelihood.normalised else "; no normalised density"
    inactive = prior.latent_dim - model_checks.active_units(draws)
    checks = [
        Check(
            "model",
            "log p(x), nats an image",
            float(log_evidence.mean()),
            detail=f"+- {standard_error(log_evidence):.2f}, of the certified posterior{density}",
        ),
        Check(
            "model",
            "latent dimensions out of use",
            float(inactive),
            Threshold(0, prior.latent_dim - 1, "active units: Burda et al. 2016"),
            f"of {prior.latent_dim}",
        ),
        Check(
            "model",
            "two-sample test of the latents and the mixture",
            model_checks.prior_mismatch(model, guide, draws),
            Threshold(0.6, 0.75, f"Lopez-Paz and Oquab 2017; limits: {CONVENTION}"),
            "accuracy; 0.5 where they are the same",
        ),
        Check(
            "model",
            "total variation of the use of components and their weights",
            model_checks.weight_mismatch(model, draws),
            Threshold(0.05, 0.15, CONVENTION),
        ),
    ]
    if prior.n_components > 1:
        checks.append(_components_row(draws, prior.n_components))
    return checks


def _components_row(draws: Draws, n_components: int) -> Check:
    return Check(
        "model",
        "effective number of components",
        effective_number(draws.q_y.mean(0)),
        enough_components(n_components),
        f"of {n_components}",
    )


def enough_components(n_components: int) -> Threshold:
    """Half of the way from one component to all of them is good, a quarter is bad."""
    others = n_components - 1
    return Threshold(1 + others / 2, 1 + others / 4, CONVENTION)


def predictive_rows(predictive: Predictive) -> list[Check]:
    """From statistics of the images and of their replicates, a row a statistic."""
    return [
        Check(
            "model",
            f"posterior predictive: {words}",
            predictive.distance(name),
            Threshold(0.1, 0.2, CONVENTION),
            f"Kolmogorov-Smirnov distance; p of the mean {predictive.p_value(name):.2f}",
        )
        for name, words in _STATISTICS.items()
    ]


def mixture_rows(mixture: MixturePosterior, loo: LeaveOneOut) -> list[Check]:
    """From a posterior over the mixture: its components, and what it predicts."""
    n_draws, n_components = mixture.weights.shape
    number = mixture.effective_number
    low, high = np.quantile(number, [0.03, 0.97])
    limit = khat_threshold(n_draws)
    return [
        Check(
            "model",
            "posterior of the mixture: effective number of components",
            float(number.mean()),
            detail=f"of {n_components}; 94 % between {low:.2f} and {high:.2f}",
        ),
        Check(
            "model",
            "LOO over the mixture, given encoder and decoder, nats an image",
            float(loo.elpd.mean()),
            detail=f"+- {standard_error(loo.elpd):.2f}; {loo.n_effective:.1f} parameters in effect",
        ),
        Check(
            "model",
            f"LOO over the mixture: share of images with k-hat above {limit:.2f}",
            float((loo.khat > limit).mean()),
            BAD_KHATS,
            f"limit of {n_draws} draws",
        ),
    ]
