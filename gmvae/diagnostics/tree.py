"""The draws as a tree in ArviZ's schema."""

import numpy as np
import xarray as xr

from gmvae.data import Images
from gmvae.diagnostics.draws import Array, Draws
from gmvae.diagnostics.mixture import MixturePosterior
from gmvae.diagnostics.nuts import Reference
from gmvae.posterior import Posterior

Variables = dict[str, tuple[str | tuple[str, ...], Array]]

_ABOUT = {
    "posterior": "Draws of equal weight from p(z | x), one chain: they have no R-hat.",
    "sample_stats": "What is known of each image's posterior, and of the guide beside it.",
    "log_likelihood": "Values a draw whose leave-one-out density is log p(x), in nats.",
    "posterior_predictive": "Images drawn from p(x | z).",
    "observed_data": "The images.",
    "constant_data": "Their labels, which only score.",
}
_OF_PIXELS = ("posterior_predictive", "observed_data")
_SAMPLED = ("chain", "draw", "image")


def draws_tree(
    images: Images,
    posterior: Posterior,
    draws: Draws,
    y: Array,
    predictive: Array,
    log_likelihood: Array,
    mixture: MixturePosterior | None = None,
) -> xr.DataTree:
    """The certified draws, what they predict, and the guide beside them.

    Args:
        images: N images.
        posterior: S draws for each.
        draws: of the guide for each, with their weights.
        y: p(y | z) at the draws of the posterior, (S, N, K).
        predictive: replicates of the first n images, (R, n, C, H, W).
        log_likelihood: what ArviZ's ``loo`` takes, (S, N): log p(x) under each draw of the mixture,
            where it has a posterior, else values of :mod:`~gmvae.diagnostics.marginal`.
        mixture: S draws of it, where it has a posterior. Its components are a dimension of their
            own, ``mixture_component``: there may be more of them than the model has.

    Returns:
        A tree with the groups ``posterior`` (``z``; ``y``, the probabilities of y given z; the
        mixture), ``posterior_predictive``, ``log_likelihood``, ``sample_stats`` and
        ``observed_data`` (``x`` each), and with labels ``constant_data``, over the dimensions
        ``chain``, ``draw``, ``image``, ``component``, ``latent`` and ``pixel``. Of the guide there
        are its draws (``guide_z``), their weights, and its bound in ``sample_stats``.
    """
    n = len(images)
    image = np.arange(n)
    of_posterior = posterior.tree["posterior"].to_dataset()
    variables: Variables = {"y": ((*_SAMPLED, "component"), y[None])}
    for name, values in vars(mixture).items() if mixture is not None else ():
        dims = ("chain", "draw", "mixture_component", "latent", "latent_other")
        variables[name] = (dims[: values.ndim + 1], values[None])
    statistics: Variables = {
        "guide_z": ((*_SAMPLED, "latent"), draws.z[None]),
        "guide_log_weight": (_SAMPLED, draws.log_weights[None]),
        "guide_smoothed_log_weight": (_SAMPLED, draws.smoothed[None]),
        "q_y": (("image", "component"), draws.q_y),
        "elbo": ("image", draws.elbo),
        "gap_y": ("image", draws.gap_y),
        "gap_z": ("image", draws.gap_z),
        "total_variation": ("image", draws.total_variation),
    }
    of_images = posterior.tree["sample_stats"].to_dataset()
    shown = predictive.shape[1]
    pixels = predictive.reshape(1, *predictive.shape[:2], -1)
    groups = {
        "posterior": of_posterior.merge(_dataset(variables, image=image)),
        "sample_stats": of_images.merge(_dataset(statistics, image=image)),
        "log_likelihood": _dataset({"x": (_SAMPLED, log_likelihood[None])}, image=image),
        "posterior_predictive": _dataset(
            {"x": ((*_SAMPLED, "pixel"), pixels)}, image=image[:shown]
        ),
        "observed_data": _dataset(_observed(images), image=image),
    }
    if images.labels is not None:
        groups["constant_data"] = _dataset({"label": ("image", images.labels)}, image=image)
    return _tree(groups, images)


def nuts_tree(
    reference: Reference,
    rows: Array,
    images: Images | None = None,
    predictive: Array | None = None,
    log_likelihood: Array | None = None,
) -> xr.DataTree:
    """The draws of NUTS, in their chains.

    Args:
        reference: draws for n images.
        rows: the numbers of these images, (n,).
        images: these images; None for no group ``observed_data``.
        predictive: replicates of each, (R, n, C, H, W); None for no ``posterior_predictive``.
        log_likelihood: what ArviZ's ``loo`` takes, (C, S, n); None for no such group.

    Returns:
        A tree with these groups, ``posterior`` (``z``) and ``sample_stats``: by chain and draw
        ``energy``, of all images together, and ``diverging``, whether one of them did; the same by
        image, ``_of_image``; by image and latent, mean and sd of the guide and of NUTS, and
        ``rhat`` and ``ess`` of the chains; by image, log p(x), the k-hat of the weights and the
        number of modes.
    """
    by_latent = ("image", "latent")
    n_chains = len(reference.z)
    diverging = np.broadcast_to(reference.diverging, (n_chains, *reference.diverging.shape))
    statistics: Variables = {
        "energy": (("chain", "draw"), reference.energy.sum(-1)),
        "diverging": (("chain", "draw"), np.asarray(diverging.any(-1))),
        "energy_of_image": (_SAMPLED, reference.energy),
        "diverging_of_image": (_SAMPLED, diverging),
        "guide_mean": (by_latent, reference.guide_mean),
        "guide_sd": (by_latent, reference.guide_sd),
        "mean": (by_latent, reference.mean),
        "sd": (by_latent, reference.sd),
        "log_evidence": ("image", reference.log_evidence),
        "khat": ("image", reference.khat),
        "modes": ("image", reference.modes),
        "rhat": (by_latent, reference.rhat),
        "ess": (by_latent, reference.ess),
    }
    groups = {
        "posterior": _dataset({"z": ((*_SAMPLED, "latent"), reference.z)}, image=rows),
        "sample_stats": _dataset(statistics, image=rows),
    }
    if log_likelihood is not None:
        groups["log_likelihood"] = _dataset({"x": (_SAMPLED, log_likelihood)}, image=rows)
    if predictive is not None:
        pixels = predictive.reshape(1, *predictive.shape[:2], -1)
        groups["posterior_predictive"] = _dataset({"x": ((*_SAMPLED, "pixel"), pixels)}, image=rows)
    if images is not None:
        groups["observed_data"] = _dataset(_observed(images), image=rows)
    tree = _tree(groups, images)
    tree["posterior"].attrs["about"] = "Draws of NUTS from p(z | x), y summed out."
    tree["sample_stats"].attrs["about"] = (
        "Mean, sd and log p(x) by weighting around the chains; R-hat and ESS of their draws."
    )
    return tree


def _observed(images: Images) -> Variables:
    return {"x": (("image", "pixel"), images.tensor().flatten(1).numpy())}


def _tree(groups: dict[str, xr.Dataset], images: Images | None) -> xr.DataTree:
    """The groups, each of which says what it is."""
    for name, group in groups.items():
        group.attrs["about"] = _ABOUT[name]
        if images is not None and name in _OF_PIXELS:
            group.attrs["image_shape"] = np.array(images.shape)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs["inference_library"] = "gmvae"
    if images is not None:
        tree.attrs["images"] = images.name
    return tree


def _dataset(variables: Variables, image: Array) -> xr.Dataset:
    """The variables with a coordinate for each of their dimensions: numbers from 0."""
    dataset = xr.Dataset(variables)
    coords = {dim: np.arange(size) for dim, size in dataset.sizes.items()}
    return dataset.assign_coords({**coords, **({"image": image} if "image" in coords else {})})
