"""What came of a run: its figures, the names of its components, what should worry its user."""

import numpy as np
from torch import Generator

from gmvae.data import Images
from gmvae.metrics import effective_number
from gmvae.training.arrays import Indices
from gmvae.training.loop import Metrics
from gmvae.training.regularisers import mutual_information
from gmvae.training.state import State

# Training images that are looked at after each epoch where none are held out: the mean bound of
# so many is known to a few tenths of a nat.
_LOOKED_AT = 2_000
# Of the components: with fewer than half of them in use a run has collapsed.
_COLLAPSED = 0.5


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
    looked_at = _spread_out(images) if state.held_out is None else state.held_out
    # The same draws each time, so that figures of two epochs differ by the model alone.
    views = state.view(looked_at.tensor(), Generator().manual_seed(settings.seed))
    parts = gmvae.elbo(looked_at, generator=Generator(state.device).manual_seed(settings.seed))
    elbo = parts.elbo.mean().item()
    q_y = gmvae.classify(looked_at)
    information = mutual_information(q_y, gmvae.classify(views)).item()
    return {
        "loss": -elbo - settings.information_weight * information,
        "elbo": elbo,
        "reconstruction": parts.reconstruction.mean().item(),
        "kl_z": parts.kl_z.mean().item(),
        "kl_y": parts.kl_y.mean().item(),
        "effective_components": effective_number(q_y.mean(0).numpy()),
    }


def _spread_out(images: Images) -> Images:
    """From all over them: files often hold one class after the other."""
    if len(images) <= _LOOKED_AT:
        return images
    return images.subset(np.linspace(0, len(images) - 1, _LOOKED_AT).astype(int))


def component_classes(state: State, images: Images) -> tuple[int | None, ...] | None:
    """The class that names each component; None as a whole where no label was observed."""
    if len(state.classes) == 0:
        return None
    if state.labels_lead:
        return tuple(state.classes.tolist())
    rows = np.flatnonzero(state.observed >= 0)
    components = state.gmvae.classify(images.subset(rows)).argmax(-1).numpy()
    return majorities(components, state.observed[rows], state.settings.n_components)


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


def run_warnings(state: State, images: Images) -> list[str]:
    """What a user should be told at the end: a line each."""
    warnings = []
    k = state.settings.n_components
    effective = effective_number(state.gmvae.classify(images).mean(0).numpy())
    if k > 1 and effective < _COLLAPSED * k:
        warnings.append(
            f"collapse: only {effective:.1f} of {k} components are in use (exp of the entropy "
            "of their mean responsibilities). Try another seed, a longer warm-up, or fewer "
            "components."
        )
    nameless = sorted({*state.classes.tolist()} - {*(state.gmvae.component_classes or ())})
    if nameless:
        warnings.append(
            f"labels: no component is named by class {', '.join(map(str, nameless))}, so none "
            f"is predicted; {len(state.classes)} classes were observed, and there are {k} "
            "components. Try as many as classes, or more."
        )
    return warnings
