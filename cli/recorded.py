"""The options with which a run was made: written in its configuration, and read by ``--config``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gmvae.support.errors import ContentError

from . import run_folder
from .experiment import Request
from .options import AUTO, option_name


def of_request(request: Request, start: Path | None) -> dict[str, Any]:
    """The images and how they are read, for the run's configuration."""
    return {
        "data": run_folder.lasting(request.source),
        "val": None if request.val is None else run_folder.lasting(request.val),
        "classes": request.classes,
        "labels": request.labels,
        "labels_from": None if request.labels_from is None else str(request.labels_from.absolute()),
        "resize": request.reading.resize,
        "grey": request.reading.grey,
        "from": None if start is None else str(start.absolute()),
    }


def options_of(path: Path) -> dict[str, Any]:
    """The options of the run whose configuration this is, by name; without those left out.

    Raises:
        ContentError: it is damaged, or ``gmvae train`` did not write it.
    """
    training = run_folder.training_of(run_folder.read_json(path.parent, path.name), path.parent)
    values: dict[str, Any] = {"data": training.get("data")}
    try:
        for name in ("val", "classes", "labels"):
            values[name] = training[name]
        values["restarts"] = len(training["restarts"])
        values |= _settings(training["settings"])
    except (KeyError, TypeError) as error:
        raise ContentError(
            f"`--config` expected TOML, or the config.json of a run of gmvae train; got {path}, "
            f"which does not say all of its options ({error}). Name them."
        ) from error
    values |= {"from": training.get("from"), "labels-from": training.get("labels_from")}
    values |= {"resize": training.get("resize"), "grey": training.get("grey") or None}
    return {name: value for name, value in values.items() if value is not None}


def _settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by the names of their options."""
    # Where it was left out, nothing else says so: classes have been counted.
    settings = {**settings, "n_components": settings["n_components"] or AUTO}
    return {option_name(name).removeprefix("--"): value for name, value in settings.items()}
