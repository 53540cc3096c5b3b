"""Every check of one model on one set of images."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import xarray as xr

from gmvae.data import Images
from gmvae.diagnostics import calibration, model_checks, nuts, simulation, tree
from gmvae.diagnostics.calibration import Reliability
from gmvae.diagnostics.calibration_rows import calibration_rows
from gmvae.diagnostics.certified import certified_draws, components_of, coverage
from gmvae.diagnostics.draws import Array, Draws, draw
from gmvae.diagnostics.guide_rows import (
    chains_rows,
    guide_against_nuts_rows,
    guide_ranks_row,
    importance_rows,
)
from gmvae.diagnostics.marginal import log_marginals
from gmvae.diagnostics.mixture import MixturePosterior, fit_mixture, leave_one_out, log_likelihood
from gmvae.diagnostics.model_checks import Predictive
from gmvae.diagnostics.model_rows import fit_rows, mixture_rows, predictive_rows
from gmvae.diagnostics.nuts import Reference
from gmvae.diagnostics.posterior_rows import (
    LEVEL,
    against_nuts_rows,
    certified_rows,
    simulated_rows,
)
from gmvae.diagnostics.simulation import Ranks
from gmvae.diagnostics.verdict import Check
from gmvae.networks import default_modes
from gmvae.posterior import Posterior
from gmvae.probability.guide import Guide
from gmvae.probability.likelihood import check_support
from gmvae.probability.model import Model
from gmvae.support import checks
from gmvae.support.errors import ArgumentError, ContentError

Say = Callable[[str], None]

# Draws of the posterior of a simulated image.
SIMULATED_DRAWS = 500
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
        tree: the certified draws and what they predict, in ArviZ's schema.
        checks: the verdict, a row a check.
        ranks: of simulation-based calibration of that posterior.
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

    @property
    def posterior(self) -> Posterior:
        """Of every image, as :meth:`gmvae.GMVAE.posterior` gives it."""
        return Posterior(self.tree)


@default_modes()
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
    _check_arguments(model, images, options, component_classes)
    say = callback or (lambda _: None)
    named = component_classes is not None

    say("draws of the guide")
    draws = draw(model, guide, images, options.n_draws, options.seed)
    say("posterior of every image")
    posterior = certified_draws(model, guide, images, options.n_draws, options.seed + 7)
    y = components_of(model, guide, posterior.z)
    # The latents that the model is asked about are the posterior's; components are by q(y | x).
    right = replace(draws, z=np.moveaxis(posterior.z, 0, 1))
    say("posterior predictive")
    predictive = model_checks.predictive_check(model, guide, images, right, seed=options.seed + 1)
    shown = right.z[:KEPT_REPLICATES, : options.predictive_images]
    replicates = model_checks.replicate(model, guide, shown, options.seed + 2)
    if mixture is None and options.mixture_components:
        say("posterior of the mixture")
        mixture = _fitted_mixture(model, guide, images, options)
    of_mixture = _under_mixture(model, draws, mixture, options, say)
    say("simulated images")
    simulated = _on_simulated_images(model, guide, options)
    curves = {"simulated": simulated.of_posterior}
    if images.labels is not None:
        curves["labels"] = calibration.labelled_reliability(
            draws.q_y, images.labels, component_classes
        )
    khat = np.where(posterior.certified, posterior.tree["sample_stats"]["khat"], np.inf)
    rows = nuts.chosen_images(khat, options.worst_images, options.random_images, options.seed)
    reference = _by_nuts(model, guide, images, rows, options, say)

    verdict = [
        *certified_rows(posterior),
        *simulated_rows(simulated.ranks, simulated.covered),
    ]
    if reference is not None:
        verdict += against_nuts_rows(reference, posterior, rows)
        verdict += chains_rows(reference, rows)
    verdict += [*importance_rows(draws), guide_ranks_row(simulated.guide_ranks)]
    if reference is not None:
        verdict += guide_against_nuts_rows(reference, draws.log_evidence[rows])
    verdict += fit_rows(model, guide, right, posterior.log_evidence)
    verdict += predictive_rows(predictive)
    if of_mixture is not None and mixture is not None:
        verdict += mixture_rows(mixture, leave_one_out(of_mixture))
    verdict += calibration_rows(curves, simulated.of_guide, named)
    likelihood = of_mixture
    if likelihood is None:
        likelihood = log_marginals(model, guide, images, posterior.z)
    return Diagnosis(
        tree.draws_tree(images, posterior, draws, y, replicates, likelihood, mixture),
        tuple(verdict),
        simulated.ranks,
        predictive,
        curves,
        rows,
        reference,
        None if reference is None else _nuts_tree(model, guide, images, rows, reference, options),
    )


def _check_arguments(
    model: Model,
    images: Images,
    options: Options,
    component_classes: tuple[int | None, ...] | None,
) -> None:
    """Refuse what cannot be diagnosed, before anything is drawn."""
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


def _fitted_mixture(
    model: Model, guide: Guide, images: Images, options: Options
) -> MixturePosterior:
    n_components, n_draws = options.mixture_components, options.n_draws
    return fit_mixture(model, guide, images, n_components, n_draws, options.seed + 5)


def _under_mixture(
    model: Model, draws: Draws, mixture: MixturePosterior | None, options: Options, say: Say
) -> Array | None:
    """Log p(x) of each image under each draw of the mixture, (S, N), where it has a posterior."""
    if mixture is None:
        return None
    say("leaving images out")
    return log_likelihood(model, draws, mixture, options.seed + 6)


@dataclass(frozen=True)
class _Simulated:
    """What is known where the truth is: since the model itself drew it.

    Attributes:
        ranks: among draws of the certified posterior.
        covered: the share of latents inside their central 90 % interval, (D,).
        guide_ranks: among draws of the bare guide.
        of_posterior: reliability of p(y | x).
        of_guide: that of q(y | x).
    """

    ranks: Ranks
    covered: Array
    guide_ranks: Ranks
    of_posterior: Reliability
    of_guide: Reliability


def _on_simulated_images(model: Model, guide: Guide, options: Options) -> _Simulated:
    drawn = simulation.simulate(model, guide, options.simulated_images, options.seed + 3)
    posterior = certified_draws(model, guide, drawn.x, SIMULATED_DRAWS, options.seed + 8)
    truth = drawn.z.cpu().numpy()
    return _Simulated(
        # Of a few of them the ends of the ranks would be crowded: some draws come twice.
        simulation.ranks_among(posterior.z, drawn, SIMULATED_DRAWS - 1),
        coverage(posterior.z, truth, LEVEL),
        simulation.calibrate(model, guide, drawn, seed=options.seed + 4),
        calibration.reliability(posterior.p_y, drawn.y.cpu().numpy()),
        calibration.simulated_reliability(model, guide, drawn),
    )


def _nuts_tree(
    model: Model,
    guide: Guide,
    images: Images,
    rows: Array,
    reference: Reference,
    options: Options,
) -> xr.DataTree:
    """The draws of NUTS, and what they predict."""
    some, z = images.subset(rows), reference.z
    n_chains, n_draws, n, d = z.shape
    flat = z.reshape(-1, n, d)
    values = log_marginals(model, guide, some, np.moveaxis(flat, 0, 1))
    replicates = model_checks.replicate(model, guide, flat[:KEPT_REPLICATES], options.seed + 9)
    values = values.reshape(n_chains, n_draws, n)
    return tree.nuts_tree(reference, rows, some, replicates, values)


def _by_nuts(
    model: Model, guide: Guide, images: Images, rows: Array, options: Options, say: Say
) -> Reference | None:
    """The reference for these images; None for no images."""
    if not len(rows):
        return None
    say(f"NUTS on {len(rows)} images")
    x = images.tensor(rows)
    return nuts.sample_posterior(model, guide, x, options.nuts_draws, seed=options.seed)
