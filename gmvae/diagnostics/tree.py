"""The draws as a tree in ArviZ's schema."""

import numpy as np
import xarray as xr

from gmvae.data import Images
from gmvae.diagnostics.draws import Array, Draws
from gmvae.diagnostics.mixture import MixturePosterior
from gmvae.diagnostics.nuts import Reference

Variables = dict[str, tuple[str | tuple[str, ...], Array]]

_ABOUT = {
    "posterior": "Independent draws of the guide, one chain: they have no R-hat.",
    "sample_stats": "Importance weights p(x, z) / q(z | x) of the draws, y summed out.",
    "log_likelihood": "Marginal log p(x) of each image, importance weighted, in nats.",
    "posterior_predictive": "Images drawn from p(x | z).",
    "observed_data": "The images.",
}


def guide_tree(
    images: Images,
    draws: Draws,
    predictive: Array,
    normalised: bool = True,
    mixture: MixturePosterior | None = None,
    given_mixture: Array | None = None,
) -> xr.DataTree:
    """The guide's draws, their weights and what they predict.

    Args:
        images: N images.
        draws: S draws for each.
        predictive: replicates of the first n images, (R, n, C, H, W).
        normalised: whether log p(x) is the log of a density.
        mixture: S draws of it, where it has a posterior. Its components are a dimension of their
            own, ``mixture_component``: there may be more of them than the model has.
        given_mixture: log p(x) of each image under each of these, (S, N).

    Returns:
        A tree with the groups ``posterior`` (``z``; ``y``, the probabilities of y given z; the
        mixture), ``posterior_predictive``, ``log_likelihood``, ``sample_stats`` and
        ``observed_data``, over the dimensions ``chain``, ``draw``, ``image``, ``component``,
        ``latent`` and ``pixel``. ``log_likelihood`` also has ``x_given_mixture``, which ArviZ's
        ``loo`` takes: leave-one-out over the mixture, given encoder and decoder.
    """
    _, n, _ = draws.z.shape
    image = np.arange(n)
    sampled = ("chain", "draw", "image")
    posterior: Variables = {
        "z": ((*sampled, "latent"), draws.z[None]),
        "y": ((*sampled, "component"), draws.y[None]),
    }
    for name, values in vars(mixture).items() if mixture is not None else ():
        dims = ("chain", "draw", "mixture_component", "latent", "latent_other")
        posterior[name] = (dims[: values.ndim + 1], values[None])
    likelihood: Variables = {"x": ("image", draws.log_evidence)}
    if given_mixture is not None:
        likelihood["x_given_mixture"] = (sampled, given_mixture[None])
    statistics: Variables = {
        "log_weight": (sampled, draws.log_weights[None]),
        "smoothed_log_weight": (sampled, draws.smoothed[None]),
        "q_y": (("image", "component"), draws.q_y),
        "p_y": (("image", "component"), draws.p_y),
        "khat": ("image", draws.khat),
        "elbo": ("image", draws.elbo),
        "gap_y": ("image", draws.gap_y),
        "gap_z": ("image", draws.gap_z),
        "total_variation": ("image", draws.total_variation),
    }
    observed: Variables = {"x": (("image", "pixel"), images.tensor().flatten(1).numpy())}
    if images.labels is not None:
        observed["label"] = ("image", images.labels)
    shown = predictive.shape[1]
    pixels = predictive.reshape(1, *predictive.shape[:2], -1)
    groups = {
        "posterior": _dataset(posterior, image=image),
        "sample_stats": _dataset(statistics, image=image),
        "log_likelihood": _dataset(likelihood, image=image),
        "posterior_predictive": _dataset({"x": ((*sampled, "pixel"), pixels)}, image=image[:shown]),
        "observed_data": _dataset(observed, image=image),
    }
    for name, about in _ABOUT.items():
        groups[name].attrs["about"] = about
    groups["log_likelihood"].attrs["normalised"] = int(normalised)
    for name in ("posterior_predictive", "observed_data"):
        groups[name].attrs["image_shape"] = np.array(images.shape)
    tree = xr.DataTree.from_dict(groups)
    tree.attrs.update(inference_library="gmvae", images=images.name)
    return tree


def nuts_tree(reference: Reference, rows: Array) -> xr.DataTree:
    """The draws of NUTS, in their chains.

    Args:
        reference: draws for n images.
        rows: the numbers of these images, (n,).

    Returns:
        A tree with the groups ``posterior`` (``z``) and ``sample_stats``: by image and latent,
        mean and sd of the guide and of NUTS, and ``rhat`` and ``ess`` of the chains; by image,
        log p(x), the k-hat of the weights and the number of modes.
    """
    dims = ("chain", "draw", "image", "latent")
    by_latent = ("image", "latent")
    statistics: Variables = {
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
    tree = xr.DataTree.from_dict(
        {
            "posterior": _dataset({"z": (dims, reference.z)}, image=rows),
            "sample_stats": _dataset(statistics, image=rows),
        }
    )
    tree["posterior"].attrs["about"] = "Draws of NUTS from p(z | x), y summed out."
    tree["sample_stats"].attrs["about"] = (
        "Mean, sd and log p(x) by weighting around the chains; R-hat and ESS of their draws."
    )
    tree.attrs.update(inference_library="gmvae")
    return tree


def _dataset(variables: Variables, image: Array) -> xr.Dataset:
    """The variables with a coordinate for each of their dimensions: numbers from 0."""
    dataset = xr.Dataset(variables)
    coords = {dim: np.arange(size) for dim, size in dataset.sizes.items()}
    return dataset.assign_coords({**coords, **({"image": image} if "image" in coords else {})})
