"""``gmvae info``."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gmvae.settings import Settings
from gmvae.support.declarations import by_group

from . import options
from .experiment import as_shown, describe
from .options import option_name
from .output import answer, as_json, table
from .run_folder import Run, listed, open_run

if TYPE_CHECKING:
    from gmvae import GMVAE

EXAMPLES = (
    "gmvae info",
    "gmvae info --model gmvae-run --json",
)


def info(
    model: options.Model = options.DEFAULT_RUN,
    json: options.AsJson = False,
) -> None:
    """Show what a model is and what it was trained on."""
    run = open_run(model, "cpu")
    if json:
        answer(as_json(run.config))
        return
    table(f"Model in {model}", _rows(run))
    table("Components", component_rows(run.gmvae))
    if "settings" in run.training:
        table("Settings of the training", settings_rows(run.training["settings"]))


def _rows(run: Run) -> Iterator[tuple[str, str]]:
    yield from model_rows(run.gmvae)
    yield from training_rows(run.training)


def model_rows(gmvae: "GMVAE") -> Iterator[tuple[str, str]]:
    """What a model is built from."""
    config = asdict(gmvae.config)
    yield "image (C, H, W)", " x ".join(map(str, config["image_shape"]))
    yield "latent dimensions", str(config["latent_dim"])
    yield "components", f"{config['n_components']}, {config['covariance']} covariance"
    yield "network", config["network"]
    yield "likelihood", config["likelihood"]
    yield "guide", config["guide"]
    yield "assignment", config["assignment"]
    yield "parameters", f"{sum(p.numel() for p in gmvae.parameters()):,}"


def training_rows(training: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What it was trained on, by the section of a run's configuration."""
    if "data" in training:
        classes = training.get("classes")
        yield "trained on", describe(as_shown(training["data"]), classes and tuple(classes))
        if training.get("class_names"):
            yield "classes", listed(training["class_names"])
        if "labels_observed" in training:
            yield "labels observed", str(training["labels_observed"])
    before = training.get("start")
    if isinstance(before, dict) and isinstance(before.get("data"), str):
        classes = before.get("classes")
        source = as_shown(before["data"])
        yield "started from a model of", describe(source, classes and tuple(classes))


def settings_rows(
    values: Mapping[str, Any], settings_class: type[Any] = Settings
) -> Iterator[tuple[str, str]]:
    """The settings of a run, by group, each under the name of its option."""
    for group, declared in by_group(settings_class).items():
        yield group, ""
        for setting in declared:
            if setting.name in values:
                value = values[setting.name]
                shown = "left out" if value is None else str(value)
                yield f"   {option_name(setting.name)}", shown


def component_rows(gmvae: "GMVAE") -> Iterator[tuple[str, str]]:
    """What each component is called, and its weight."""
    from gmvae.gmvae import class_title

    names = gmvae.component_names or [None] * gmvae.config.n_components
    for k, (name, weight) in enumerate(zip(names, gmvae.model.prior.weights.tolist(), strict=True)):
        meaning = "unnamed" if name is None else class_title(name)
        by_hand = ", named by hand" if k in gmvae.names_by_hand else ""
        yield f"{k}: {meaning}", f"weight {weight:.3f}{by_hand}"
