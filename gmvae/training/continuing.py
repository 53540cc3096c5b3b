"""A run that goes on with more: from a trained model, on more images, with more components.

What the model has learned is where the run begins. Its components keep their numbers and names;
those that are added come after them.

N images, K components of the model, M of the run, D latent dimensions.
"""

import copy
from dataclasses import replace

import torch

from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.settings import Settings
from gmvae.support import checks
from gmvae.support.declarations import declarations
from gmvae.support.errors import ArgumentError
from gmvae.support.weights import digest
from gmvae.training.growing import MoreClusters, MorePlaces
from gmvae.training.phases import Phase, Placing, Start

# The settings that a model is built from, but for the number of components.
OF_THE_MODEL = tuple(
    declaration.name
    for declaration in declarations(Settings)
    if declaration.group == "model" and declaration.name != "n_components"
)


def settings_of(start: GMVAE) -> Settings:
    """The default settings, but for those that the model is built from."""
    config = start.config
    kinds = {name: getattr(config, name) for name in OF_THE_MODEL}
    return Settings(n_components=config.n_components, **kinds)


def check_start(start: GMVAE, images: Images, settings: Settings) -> None:
    """Refuse a model from which no run of these settings on these images can start.

    Raises:
        ArgumentError: settings of another network or of fewer components; images of another
            shape or with other names for the model's classes; a network of the user's own for
            q(y | x).
    """
    checks.instance("start", start, GMVAE, "a gmvae.GMVAE")
    config = start.config
    for name in OF_THE_MODEL:
        value, of_model = getattr(settings, name), getattr(config, name)
        if value != of_model:
            raise ArgumentError(
                f"`{name}` expected {of_model}, that of the model to start from; got {value}. "
                "Leave it out, or train a new model."
            )
    if settings.n_components is not None and settings.n_components < config.n_components:
        raise ArgumentError(
            f"`n_components` expected at least {config.n_components}, those of the model to start "
            f"from; got {settings.n_components}. gmvae.training.selection.pruned takes some away."
        )
    if "assigner" in config.custom:
        raise ArgumentError(
            "`start` expected a q(y | x) of gmvae's own; got a model with the user's assigner. "
            "Train it by svi."
        )
    if images.shape != config.image_shape:
        raise ArgumentError(
            f"`images` expected images of shape {config.image_shape}, as those of the model to "
            f"start from; got {images.shape}. Bring them to that size and number of channels."
        )
    if not config.grey and not images.binary:
        raise ArgumentError(
            "`images` expected pixels of 0 and 1, as those of the model to start from; got grey "
            "ones. Round them, or train a new model."
        )
    names = (start.training_record or {}).get("class_names", {})
    for value, name in images.class_names.items():
        if names.get(str(value), name) != name:
            raise ArgumentError(
                f"`images` expected class {value} to be {names[str(value)]!r}, as the model to "
                f"start from knows it; got {name!r}. Number the classes of both alike."
            )


@torch.no_grad()
def grown(start: GMVAE, n_components: int) -> GMVAE:
    """A copy of a model with components after its own, as an untrained model has them."""
    modules = copy.deepcopy(start.own_modules)
    gmvae = GMVAE(replace(start.config, n_components=n_components), **modules)
    gmvae.class_names, gmvae.names_by_hand = dict(start.class_names), dict(start.names_by_hand)
    before = start.state_dict()
    for name, value in gmvae.state_dict().items():
        # What has a row a component has more rows.
        part = value[: len(before[name])] if value.dim() else value
        part.copy_(before[name])
    return gmvae


def fingerprint_of(start: GMVAE) -> str:
    """A hash of its weights."""
    values = start.state_dict().values()
    return digest(b"".join(value.cpu().contiguous().numpy().tobytes() for value in values))


def continued(phases: list[Phase], start: GMVAE, settings: Settings) -> list[Phase]:
    """The phases of a run that starts from a model.

    Without new components its clusters are as they are: only the joint phase and that of the
    guide are left. With some, the features learn on from what they are, the clusters and the
    mixture are extended, and q(y | x) learns them.

    Args:
        phases: of a run from the beginning, as :func:`~gmvae.training.recipe.recipe` makes them.
        start: the model.
        settings: of the run.
    """
    if settings.n_components == start.config.n_components:
        return [phase for phase in phases if phase.name in ("joint", "covering")]
    more: list[Phase] = []
    for phase in phases:
        if isinstance(phase, Start):
            phase = MoreClusters(start, phase)
        elif isinstance(phase, Placing):
            phase = MorePlaces(start.config.n_components, phase.length, phase.gap, phase.kl_weight)
        more.append(phase)
    return more
