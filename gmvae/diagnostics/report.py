"""Every check of one model on one set of images."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from gmvae.data import Images
from gmvae.diagnostics import calibration, model_checks, nuts, simulation, tree, verdict
from gmvae.diagnostics.calibration import Reliability
from gmvae.diagnostics.draws import Array, Draws, draw, standard_error
from gmvae.diagnostics.mixture import (
    LeaveOneOut,
    MixturePosterior,
    fit_mixture,
    leave_one_out,
    log_likelihood,
)
from gmvae.diagnostics.model_checks import Predictive
from gmvae.diagnostics.nuts import Reference
from gmvae.diagnostics.simulation import Ranks
from gmvae.diagnostics.verdict import CONVENTION, Check, Threshold
from gmvae.metrics import effective_number
from gmvae.probability.guide import Guide
from gmvae.probability.likelihood import Bernoulli, Likelihood, check_support
from gmvae.probability.model import Model
from gmvae.support import checks
from gmvae.support.errors import ArgumentError, ContentError

# Replicates of each image whose pixels are kept in the tree.
KEPT_REPLICATES = 100


@dataclass(frozen=True)
class Options:
    """How much to do.

    Attributes:
        n_draws: draws of the guide an image, at least 25.
        predictive_images: images whose replicates are kept.
        worst_images: images for NUTS, those of the worst k-hat.
        random_images: more images for NUTS.
        nuts_draws: draws of each of the four chains, after 100 steps of warm-up.
        simulated_images: images drawn from the model, at least 20.
        mixture_components: of a Bayesian mixture to fit to the latents, at least 2; 0 for none.
        seed: of everything.
    """

    n_draws: int = 500
    predictive_images: int = 64
    worst_images: int = 3
    random_images: int = 3
    nuts_draws: int = 200
    simulated_images: int = 1_000
    mixture_components: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"n_draws": 25, "predictive_images": 1, "worst_images": 0, "random_images": 0}
        least |= {"nuts_draws": 10, "simulated_images": 20, "seed": 0}
        least |= {"mixture_components": 2 if self.mixture_components else 0}
        for name, value in least.items():
            checks.whole(name, getattr(self, name), least=value)


@dataclass(frozen=True)
class Diagnosis:
    """What was found.

    Attributes:
        tree: the draws of the guide and what they predict, in ArviZ's schema.
        checks: the verdict, a row a check.
        ranks: of simulation-based calibration.
        predictive: statistics of images and replicates.
        reliability: by what the truth was: ``simulated``, and ``labels`` where there are some.
        nuts_rows: the images that NUTS was run on; empty for none.
        reference: what it found; None for none.
        nuts_tree: its draws, in their chains; None for none.
    """

    tree: xr.DataTree
    checks: tuple[Check, ...]
    ranks: Ranks
    predictive: Predictive
    reliability: dict[str, Reliability]
    nuts_rows: Array
    reference: Reference | None = None
    nuts_tree: xr.DataTree | None = None
    failed: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "failed", any(c.status == "fail" for c in self.checks))


def diagnose(
    model: Model,
    guide: Guide,
    images: Images,
    options: Options | None = None,
    *,
    component_classes: tuple[int | None, ...] | None = None,
    mixture: MixturePosterior | None = None,
    callback: Callable[[str], None] | None = None,
) -> Diagnosis:
    """Run every check.

    Args:
        model: the generative model.
        guide: its guide.
        images: at least two; labels, where there are some, only score.
        options: how much to do; the defaults for None.
        component_classes: the class that names each component, as in
            :class:`gmvae.GMVAE`; None to match components to labels.
        mixture: ``n_draws`` draws of a posterior over the mixture given these images, in place
            of the one that ``mixture_components`` asks for.
        callback: told what is done next.

    Raises:
        ArgumentError: more components asked for than there are images; names of another number of
            components; no images.
        ContentError: fewer than two images, or pixels that the likelihood does not take.
    """
    options = Options() if options is None else options
    checks.instance("images", images, Images, "gmvae.Images")
    check_support(model.likelihood, images.binary)
    k = model.prior.n_components
    if component_classes is not None and len(component_classes) != k:
        raise ArgumentError(
            f"`component_classes` expected one a component, {k}; got {len(component_classes)}. "
            "Give None for those without a name."
        )
    if len(images) < 2:
        raise ContentError(
            f"`{images.name}` expected at least 2 images to diagnose; got {len(images)}. Add some."
        )
    if options.mixture_components > len(images):
        raise ArgumentError(
            f"`mixture_components` expected at most the number of images, {len(images)}; got "
            f"{options.mixture_components}. Choose fewer."
        )
    say = callback or (lambda _: None)
    say("draws of the guide")
    draws = draw(model, guide, images, options.n_draws, options.seed)
    found = [*_guide_checks(draws), *_fit_checks(model, guide, draws)]

    say("posterior predictive")
    predictive = model_checks.predictive_check(model, guide, images, draws, seed=options.seed + 1)
    found += _predictive_checks(predictive)
    shown = draws.z[:KEPT_REPLICATES, : options.predictive_images]
    replicates = model_checks.replicate(model, guide, shown, options.seed + 2)
    normalised = model.likelihood.normalised

    if mixture is None and options.mixture_components:
        say("posterior of the mixture")
        mixture = fit_mixture(
            model, guide, images, options.mixture_components, options.n_draws, options.seed + 5
        )
    given = None
    if mixture is not None:
        say("leaving images out")
        given = log_likelihood(model, draws, mixture, options.seed + 6)
        found += _mixture_checks(mixture, leave_one_out(given))
    guide_tree = tree.guide_tree(images, draws, replicates, normalised, mixture, given)

    say("simulated images")
    simulated = simulation.simulate(model, guide, options.simulated_images, options.seed + 3)
    ranks = simulation.calibrate(model, guide, simulated, seed=options.seed + 4)
    curves = {"simulated": calibration.simulated_reliability(model, guide, simulated)}
    if images.labels is not None:
        curves["labels"] = calibration.labelled_reliability(
            draws.q_y, images.labels, component_classes
        )
    premise = _premise(model.likelihood)
    found += _simulation_checks(ranks, premise)
    found += _calibration_checks(curves, premise, component_classes is not None)

    rows = nuts.chosen_images(draws.khat, options.worst_images, options.random_images, options.seed)
    if not len(rows):
        return Diagnosis(guide_tree, _sorted(found), ranks, predictive, curves, rows)
    say(f"NUTS on {len(rows)} images")
    reference = nuts.sample_posterior(
        model, guide, images.tensor(rows), options.nuts_draws, seed=options.seed
    )
    found += _nuts_checks(reference, rows, draws.log_evidence[rows])
    return Diagnosis(
        guide_tree,
        _sorted(found),
        ranks,
        predictive,
        curves,
        rows,
        reference,
        tree.nuts_tree(reference, rows),
    )


def _sorted(found: list[Check]) -> tuple[Check, ...]:
    """The checks by topic."""
    topics = list(verdict.QUESTIONS)
    return tuple(sorted(found, key=lambda check: topics.index(check.topic)))


def _guide_checks(draws: Draws) -> list[Check]:
    limit = verdict.khat_threshold(len(draws.z))
    median = float(np.median(draws.khat))
    return [
        Check(
            "guide",
            f"share of images with k-hat above {limit:.2f}",
            float((draws.khat > limit).mean()),
            Threshold(0.05, 0.20, f"k-hat: Vehtari et al. 2024; shares: {CONVENTION}"),
            f"median k-hat {median:.2f}",
        ),
        Check(
            "guide",
            "gap from q(y | x), nats",
            float(draws.gap_y.mean()),
            Threshold(0.1, 0.5, CONVENTION),
            f"at most {draws.gap_y.max():.2f}",
        ),
        Check(
            "guide",
            "gap from q(z | x), nats",
            float(draws.gap_z.mean()),
            Threshold(1.0, 3.0, CONVENTION),
            f"at most {draws.gap_z.max():.2f}",
        ),
        Check(
            "guide",
            "total variation of q(y | x) and p(y | x)",
            float(draws.total_variation.mean()),
            Threshold(0.05, 0.15, CONVENTION),
            f"at most {draws.total_variation.max():.2f}",
        ),
    ]


def _fit_checks(model: Model, guide: Guide, draws: Draws) -> list[Check]:
    prior = model.prior
    log_evidence = draws.log_evidence
    density = "" if model.likelihood.normalised else "; no normalised density"
    inactive = prior.latent_dim - model_checks.active_units(draws)
    number = effective_number(draws.q_y.mean(0))
    found = [
        Check(
            "model",
            "log p(x), nats an image",
            float(log_evidence.mean()),
            detail=f"+- {standard_error(log_evidence):.2f}, importance weighted{density}",
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
        found.append(
            Check(
                "model",
                "effective number of components",
                number,
                _enough_components(prior.n_components),
                f"of {prior.n_components}",
            )
        )
    return found


def _enough_components(n_components: int) -> Threshold:
    """Half of the way from one component to all of them is good, a quarter is bad."""
    others = n_components - 1
    return Threshold(1 + others / 2, 1 + others / 4, CONVENTION)


def _mixture_checks(mixture: MixturePosterior, loo: LeaveOneOut) -> list[Check]:
    n_draws, n_components = mixture.weights.shape
    number = mixture.effective_number
    low, high = np.quantile(number, [0.03, 0.97])
    limit = verdict.khat_threshold(n_draws)
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
            Threshold(0.05, 0.20, f"k-hat: Vehtari et al. 2024; shares: {CONVENTION}"),
        ),
    ]


def _predictive_checks(predictive: Predictive) -> list[Check]:
    words = {
        "ink": "ink",
        "row": "vertical centre of mass",
        "column": "horizontal centre of mass",
        "distance": "pairwise distance",
    }
    return [
        Check(
            "model",
            f"posterior predictive: {words[name]}",
            predictive.distance(name),
            Threshold(0.1, 0.2, CONVENTION),
            f"Kolmogorov-Smirnov distance; p of the mean {predictive.p_value(name):.2f}",
        )
        for name in words
    ]


def _simulation_checks(ranks: Ranks, premise: str) -> list[Check]:
    return [
        Check(
            "guide",
            "simulation-based calibration, p of uniform ranks",
            ranks.p_value,
            Threshold(0.05, 0.001, f"Talts et al. 2018; limits: {CONVENTION}"),
            f"{len(ranks.ranks):,} simulated images{premise}",
            lenient=bool(premise),
        )
    ]


def _calibration_checks(
    curves: Mapping[str, Reliability], premise: str, named: bool
) -> list[Check]:
    limits = Threshold(0.05, 0.15, f"error: Guo et al. 2017; limits: {CONVENTION}")
    found = []
    if "labels" in curves:
        naming = "components as named in training" if named else "components matched to the labels"
        found.append(
            Check(
                "probabilities",
                "calibration error against the labels",
                curves["labels"].ece,
                limits,
                f"{_sureness(curves['labels'])}; {naming}",
            )
        )
    found.append(
        Check(
            "probabilities",
            "calibration error on simulated images",
            curves["simulated"].ece,
            limits,
            f"{_sureness(curves['simulated'])}{premise}",
            lenient=bool(premise),
        )
    )
    return found


def _sureness(curve: Reliability) -> str:
    """Which way the confidence errs, where by more than chance.

    Training by mutual information sharpens q(y | x), so it is rather too sure than too unsure.
    """
    accuracy = float(np.average(curve.accuracy, weights=curve.count))
    noise = 2 * np.sqrt(max(accuracy * (1 - accuracy), 1e-9) / curve.count.sum())
    if abs(curve.excess) <= noise:
        return f"no surer than right, but for chance ({curve.excess:+.3f})"
    return f"too {'sure' if curve.excess > 0 else 'unsure'} by {abs(curve.excess):.3f}"


def _premise(likelihood: Likelihood) -> str:
    """What is wrong with simulated images where the likelihood is no density of the real ones."""
    if likelihood.normalised:
        return ""
    if isinstance(likelihood, Bernoulli):
        return "; they are black and white, the model's own images grey"
    return "; the likelihood is no normalised density"


def _nuts_checks(reference: Reference, rows: Array, log_evidence: Array) -> list[Check]:
    """The first three are about the reference itself, and so never fail the guide."""
    n_chains = len(reference.z)
    source = "Vehtari et al. 2021"
    several = reference.modes > 1
    left_out = f"; of several modes: images {_listed(rows[several])}" if several.any() else ""
    if several.all():
        several = np.zeros_like(several)
    limit = verdict.khat_threshold(nuts.CANDIDATES)
    missed = reference.log_evidence - log_evidence
    return [
        Check(
            "guide",
            "NUTS: largest R-hat, images of one mode",
            float(reference.rhat[~several].max()),
            Threshold(1.01, 1.05, source),
            f"{len(rows)} images{left_out}",
            lenient=True,
        ),
        Check(
            "guide",
            "NUTS: smallest effective sample size, images of one mode",
            float(reference.ess[~several].min()),
            Threshold(100.0 * n_chains, 25.0 * n_chains, source),
            f"{n_chains} chains",
            lenient=True,
        ),
        Check(
            "guide",
            "NUTS: largest k-hat of the weighted chains",
            float(reference.khat.max()),
            Threshold(limit, 1.0, "Vehtari et al. 2024"),
            "below it mean and spread hold, whatever the modes",
            lenient=True,
        ),
        Check(
            "guide",
            "shift of the guide's mean, in sd of NUTS",
            float(np.median(reference.shift)),
            Threshold(0.25, 1.0, CONVENTION),
            f"median; at most {reference.shift.max():.2f}",
        ),
        Check(
            "guide",
            "ratio of sd, guide to NUTS, |log|",
            float(np.median(np.abs(np.log(reference.narrowness)))),
            Threshold(float(np.log(1.25)), float(np.log(2)), CONVENTION),
            f"median; ratios {reference.narrowness.min():.2f} to {reference.narrowness.max():.2f}",
        ),
        Check(
            "guide",
            "log p(x) that draws of the guide miss, nats",
            float(np.median(missed)),
            detail=f"median of the images for NUTS; at most {missed.max():.2f}",
        ),
    ]


def _listed(numbers: Array) -> str:
    return ", ".join(str(number) for number in numbers)
