"""The verdict of a diagnosis, as ``gmvae diagnose`` writes it and a page shows it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gmvae.support.errors import ArgumentError, ContentError

from .run_folder import Run, read_json

VERDICT = "verdict.json"
# The hash of the weights, as the model's configuration names it too.
OF_MODEL = "weights_sha256"
STATUSES = ("pass", "look", "fail", "note")


def read(folder: Path, run: Run) -> Mapping[str, Any]:
    """What ``gmvae diagnose`` wrote of this run's model to ``folder``.

    Raises:
        ArgumentError: it is of another model.
        ContentError: the file is not as it was written.
        FileNotFoundError: there is none.
    """
    if not (folder / VERDICT).exists():
        raise FileNotFoundError(
            f"`--diagnosis` expected what gmvae diagnose wrote; got {folder}, which has no "
            f"{VERDICT}. Make one with: gmvae diagnose -o {folder}"
        )
    verdict = read_json(folder, VERDICT, "--diagnosis")
    if not _as_written(verdict):
        raise ContentError(
            f"{folder / VERDICT} expected a verdict as gmvae diagnose writes it; got another. "
            "Diagnose again."
        )
    if verdict.get(OF_MODEL) != run.config.get(OF_MODEL):
        raise ArgumentError(
            f"`--diagnosis` expected a diagnosis of the model in {run.folder}; got {folder}, which "
            "is of another one. Diagnose this one: gmvae diagnose"
        )
    return verdict


def _as_written(verdict: Mapping[str, Any]) -> bool:
    """Whether all that a page shows of it is there and of its type."""
    checks = verdict.get("checks")
    return (
        isinstance(verdict.get("images"), str)
        and isinstance(verdict.get("n_images"), int)
        and verdict.get("verdict") in STATUSES
        and isinstance(checks, list)
        and all(isinstance(check, dict) and _is_check(check) for check in checks)
    )


def _is_check(check: Mapping[str, Any]) -> bool:
    limits = check.get("threshold")
    return (
        isinstance(check.get("check"), str)
        and isinstance(check.get("detail"), str)
        and check.get("status") in STATUSES
        and isinstance(check.get("figure"), int | float | None)
        and (
            limits is None
            or (
                isinstance(limits, dict)
                and all(isinstance(limits.get(name), int | float) for name in ("good", "bad"))
            )
        )
    )
