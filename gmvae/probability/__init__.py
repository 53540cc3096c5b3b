"""The probabilistic model, in Pyro: prior, likelihood, model, guide, and bounds on the evidence.

Names are imported when first used.
"""

from typing import TYPE_CHECKING

from gmvae.support.lazy import lazy_names

if TYPE_CHECKING:
    from gmvae.probability.bayesian import BayesianGuide, BayesianMixturePrior
    from gmvae.probability.evidence import Parts, elbo_parts, log_evidence
    from gmvae.probability.guide import Guide
    from gmvae.probability.likelihood import Bernoulli, ContinuousBernoulli, Gaussian, Likelihood
    from gmvae.probability.model import Model
    from gmvae.probability.objectives import check_module, check_svi, default_objective
    from gmvae.probability.prior import MixturePrior

__all__ = [
    "BayesianGuide",
    "BayesianMixturePrior",
    "Bernoulli",
    "ContinuousBernoulli",
    "Gaussian",
    "Guide",
    "Likelihood",
    "MixturePrior",
    "Model",
    "Parts",
    "check_module",
    "check_svi",
    "default_objective",
    "elbo_parts",
    "log_evidence",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "BayesianGuide": "bayesian",
        "BayesianMixturePrior": "bayesian",
        "Bernoulli": "likelihood",
        "ContinuousBernoulli": "likelihood",
        "Gaussian": "likelihood",
        "Guide": "guide",
        "Likelihood": "likelihood",
        "MixturePrior": "prior",
        "Model": "model",
        "Parts": "evidence",
        "check_module": "objectives",
        "check_svi": "objectives",
        "default_objective": "objectives",
        "elbo_parts": "evidence",
        "log_evidence": "evidence",
    },
)
