"""What came of a run: its figures, the names of its components, what should worry its user."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyro.distributions as dist
import torch
from torch import Generator, Tensor
from torch.special import entr

from gmvae.data import Images
from gmvae.data.images import rows_at_once
from gmvae.gmvae import GMVAE
from gmvae.metrics import effective_number
from gmvae.probability.likelihood import Bernoulli, ContinuousBernoulli, Gaussian, Likelihood
from gmvae.settings import Settings
from gmvae.support.names import listed
from gmvae.support.version import VERSION
from gmvae.training.arrays import Indices
from gmvae.training.loop import Metrics
from gmvae.training.regularisers import mutual_information
from gmvae.training.state import State

# Training images that are looked at after each epoch where none are held out: the mean bound of
# so many is known to a few tenths of a nat.
_LOOKED_AT = 2_000
# Of the components: with fewer than half of them in use a run has collapsed.
_COLLAPSED = 0.5
# The effective number of two components where 1 % of the images are in the other one: half of two
# are in use even if all images are in one.
_ALONE = 1.06
# Of the baseline: reconstructions of images without any structure end as near below it.
_MARGIN = 0.01
# What to do about the clusters of a run that was shortened on purpose.
_AFTER_QUICK = "A quick run is short: look again after one of standard effort."
# Nats that a latent which is of use may cost beyond what it saves, where the baseline is near 0: of
# thirteen pixels it costs three nats for one that it saves.
_COST = 10.0


def figures(state: State, images: Images) -> Metrics:
    """The objective, the bound and its parts on the held-out images; the components in use.

    Args:
        state: of the run; where it has no held-out images, the training images stand in, or 2,000
            from all over them.
        images: the training images.

    Returns:
        ``loss``, minus the bound and the weighted mutual information of image and view; ``elbo``
        and its parts ``reconstruction``, ``kl_z`` and ``kl_y``, in nats an image;
        ``effective_components``, from 1 to K.
    """
    settings, gmvae = state.settings, state.gmvae
    looked_at = _looked_at(state, images)
    # The same draws each time, so that figures of two epochs differ by the model alone.
    generator = Generator().manual_seed(settings.seed)
    of_views = [gmvae.classify(state.view(block, generator)) for block in _blocks(looked_at)]
    parts = gmvae.elbo(looked_at, generator=Generator(state.device).manual_seed(settings.seed))
    elbo = parts.elbo.mean().item()
    q_y = gmvae.classify(looked_at)
    information = mutual_information(q_y, torch.cat(of_views), gmvae.model.prior.weights).item()
    return {
        "loss": -elbo - settings.information_weight * information,
        "elbo": elbo,
        "reconstruction": parts.reconstruction.mean().item(),
        "kl_z": parts.kl_z.mean().item(),
        "kl_y": parts.kl_y.mean().item(),
        "effective_components": effective_number(q_y.mean(0).numpy()),
    }


def _looked_at(state: State, images: Images) -> Images:
    """The held-out images, or a part of the training images in their place."""
    return spread_out(images) if state.held_out is None else state.held_out


def _blocks(images: Images) -> Iterator[Tensor]:
    """The images in turn, (n, C, H, W), as many at a time as memory should hold."""
    rows = rows_at_once(images.shape, len(images))
    for start in range(0, len(images), rows):
        yield images.tensor(slice(start, start + rows))


def spread_out(images: Images, most: int | None = None) -> Images:
    """From all over them, at most 2,000 or so many: files often hold one class after the other."""
    most = _LOOKED_AT if most is None else most
    if len(images) <= most:
        return images
    return images.subset(np.linspace(0, len(images) - 1, most).astype(int))


def training_record(
    images: Images,
    settings: Settings,
    observed: Indices | None,
    start: GMVAE | None = None,
) -> dict[str, Any]:
    """What a model was trained on and how, ready for JSON: kept by its ``save``.

    Args:
        images: the training images, held-out ones among them.
        settings: of the run, the seed among them.
        observed: class values of the images whose label was used, -1 elsewhere; None for none.
        start: the model that the run starts from, whose record is kept as ``start``, and with it
            the names of its classes; None for none.
    """
    before = {} if start is None else start.training_record or {}
    record: dict[str, Any] = {
        "version": VERSION,
        "data": images.name,
        "classes": list(images.classes) or None,
        "class_names": {
            **before.get("class_names", {}),
            **{str(value): name for value, name in images.class_names.items()},
        },
        "n_images": len(images),
        "labels_observed": 0 if observed is None else int((observed >= 0).sum()),
        "settings": dataclasses.asdict(settings),
    }
    return record if start is None else {**record, "start": before}


def component_classes(state: State, images: Images) -> tuple[int | None, ...] | None:
    """The class that names each component; None as a whole where no label was observed.

    A name that a component has already stays.
    """
    k = state.n_components
    before = (*(state.names or ()), *[None] * k)[:k]
    if len(state.classes) == 0:
        return None if set(before) == {None} else before
    if state.leading_classes is not None:
        return tuple(state.leading_classes.tolist())
    rows = np.flatnonzero(state.observed >= 0)
    components = state.gmvae.classify(images.subset(rows)).argmax(-1).numpy()
    names = majorities(components, state.observed[rows], k)
    pairs = zip(before, names, strict=True)
    return tuple(name if named is None else named for named, name in pairs)


def majorities(components: Indices, labels: Indices, n_components: int) -> tuple[int | None, ...]:
    """The most frequent label of each component, the smallest of equals; None without one.

    Args:
        components: of M labelled images, (M,).
        labels: of the same, (M,).
        n_components: K.

    Example:
        >>> import numpy as np
        >>> majorities(np.array([0, 0, 0, 2]), np.array([4, 8, 8, 1]), 3)
        (8, None, 1)
    """
    names: list[int | None] = [None] * n_components
    for component in np.unique(components):
        values, counts = np.unique(labels[components == component], return_counts=True)
        names[component] = int(values[counts.argmax()])
    return tuple(names)


def bound_warnings(state: State, images: Images, last: Metrics) -> list[str]:
    """A line where the model knows less of the images than their mean does, or the bound is absurd.

    Args:
        state: of the run.
        images: the training images.
        last: what :func:`figures` says at the end.
    """
    likelihood = state.gmvae.model.likelihood
    if not isinstance(likelihood, (Bernoulli, ContinuousBernoulli, Gaussian)):
        # What one of a user's own makes of an output is not known here.
        return []
    looked_at = _looked_at(state, images)
    baseline = independent_pixels(likelihood, spread_out(images), looked_at)
    elbo, reconstruction = last["elbo"], last["reconstruction"]
    knows_less = reconstruction < baseline - _MARGIN * abs(baseline)
    absurd = elbo < baseline - max(abs(baseline), _COST)
    if not (knows_less or absurd):
        return []
    return [
        f"bound: the ELBO is {elbo:,.1f} nats an image, the reconstruction in it "
        f"{reconstruction:,.1f}, where one image for all, the mean of the training images, reaches "
        f"{baseline:,.1f}. Try a lower learning rate, or more epochs."
    ]


def independent_pixels(likelihood: Likelihood, images: Images, others: Images) -> float:
    """The mean log-probability of other images where each pixel has a mean of its own, in nats.

    Args:
        likelihood: which distribution: one of the shipped ones. A Gaussian's one scale is that of
            the images around their mean.
        images: N images, of which the means are.
        others: M images.
    """
    total = torch.stack([block.double().sum(0) for block in _blocks(images)]).sum(0)
    # Half an image of either kind more than there are: no pixel is certain.
    mean = ((total + 0.5) / (len(images) + 1)).float()
    if isinstance(likelihood, Gaussian):
        squares = sum((block - mean).square().mean((1, 2, 3)).sum() for block in _blocks(images))
        pixels = dist.Normal(mean, (squares / len(images)) ** 0.5).to_event(3)
    else:
        pixels = likelihood(mean.logit())
    log_prob = sum(float(pixels.log_prob(block).sum()) for block in _blocks(others))
    return log_prob / len(others)


def run_warnings(state: State, images: Images) -> list[str]:
    """What a user should be told at the end: a line each."""
    warnings = []
    k = state.n_components
    q_y = state.gmvae.classify(images).double()
    effective = effective_number(q_y.mean(0).numpy())
    told_apart = effective / entr(q_y).sum(-1).mean().exp().item()
    remedy = remedy_for(
        state,
        "Try another seed, a longer warm-up, or fewer components.",
        "A quick run is short: try the standard effort, or fewer components.",
    )
    few = max(_COLLAPSED * k, _ALONE)
    if k > 1 and effective < few:
        warnings.append(
            f"collapse: only {effective:.1f} of {k} components are in use (exp of the entropy "
            f"of their mean responsibilities). {remedy}"
        )
    elif k > 1 and told_apart < few:
        warnings.append(
            f"collapse: only {told_apart:.1f} of {k} components are told apart (exp of the mutual "
            f"information of image and component). {remedy}"
        )
    elif k > 1 and (unused := sorted({*range(k)} - {*q_y.argmax(-1).tolist()})):
        warnings.append(
            f"empty: no image is most probably of component {listed(map(str, unused))}. {remedy}"
        )
    nameless = sorted({*state.classes.tolist()} - {*(state.gmvae.component_classes or ())})
    if nameless:
        words = [images.class_names.get(value, str(value)) for value in nameless]
        warnings.append(
            f"labels: no component is named by class {', '.join(words)}, so none "
            f"is predicted; {len(state.classes)} classes were observed, and there are {k} "
            "components. Try as many as classes, or more."
        )
    return warnings


def remedy_for(state: State, words: str, after_quick: str = _AFTER_QUICK) -> str:
    """What to do, in words, and in others after a quick run."""
    return after_quick if state.settings.effort == "quick" else words
