"""The verdict of a diagnosis, as ``gmvae diagnose`` writes it and a page shows it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from gmvae.support.errors import ArgumentError, ContentError

from .run_folder import Run, read_json

VERDICT = "verdict.json"
# The hash of the weights, as the model's configuration names it too.
OF_MODEL = "weights_sha256"
STATUSES = ("pass", "doubtful", "fail", "note")
# What a fail means for the use of the model, by topic.
CONSEQUENCES = {
    "posterior": "The posterior fails: take error bars and log p(x) of certified images alone "
    "(sample_stats of draws.nc says which), and put more effort into the others: gmvae posterior "
    "--rounds 20 --hmc-draws 2000. Predicted labels and reconstructions rest on neither.",
    "model": "The model fails: its samples or its mixture are not the images'. Look at "
    "predictive.png; try another number of components, more latent dimensions or another "
    "likelihood.",
    "probabilities": "The probabilities fail: a Probability is not the chance that the label is "
    "right; reliability.png shows that chance.",
}


def consequences(checks: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A line a topic of which a check fails.

    Args:
        checks: the topic of each, and its status.
    """
    failed = {topic for topic, status in checks if status == "fail"}
    yield from (line for topic, line in CONSEQUENCES.items() if topic in failed)


def read(folder: Path, run: Run) -> Mapping[str, Any]:
    """What ``gmvae diagnose`` wrote of this run's model to ``folder``, and what follows from it.

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
    lines = consequences((check["topic"], check["status"]) for check in verdict["checks"])
    return {**verdict, "consequences": list(lines)}


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
        and isinstance(check.get("topic"), str)
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
