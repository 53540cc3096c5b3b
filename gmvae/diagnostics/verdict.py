"""From figures to pass, doubtful and fail."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from gmvae.posterior.pareto import khat_threshold

__all__ = [
    "BAD_KHATS",
    "CONVENTION",
    "LENIENT",
    "QUESTIONS",
    "Check",
    "Status",
    "Threshold",
    "Topic",
    "khat_threshold",
    "worst",
]

Status = Literal["pass", "doubtful", "fail", "note"]
Topic = Literal["posterior", "model", "probabilities"]

CONVENTION = "convention of gmvae"
QUESTIONS: dict[Topic, str] = {
    "posterior": "Is the posterior right?",
    "model": "Does the model fit the images?",
    "probabilities": "Are the probabilities honest?",
}
LENIENT = (
    "its figure fails its threshold, and counts as doubtful: it rests on a reference that is in "
    "doubt itself"
)


@dataclass(frozen=True)
class Threshold:
    """Where a figure stops being good, and where it starts being bad.

    A figure is good up to ``good`` and bad beyond ``bad``; where ``good`` is the larger of the
    two, good from ``good`` and bad below ``bad``.
    """

    good: float
    bad: float
    source: str

    def status(self, figure: float) -> Status:
        """``pass``, ``doubtful`` or ``fail``; ``doubtful`` for a figure that is no number."""
        if math.isnan(figure):
            return "doubtful"
        sign = 1 if self.good <= self.bad else -1
        if sign * figure <= sign * self.good:
            return "pass"
        return "doubtful" if sign * figure <= sign * self.bad else "fail"

    def __str__(self) -> str:
        relation = "<=" if self.good <= self.bad else ">="
        return f"{relation} {self.good:.3g}, fails beyond {self.bad:.3g}"


# Of the images: how many may have a k-hat above its limit.
BAD_KHATS = Threshold(0.05, 0.20, f"k-hat: Vehtari et al. 2024; shares: {CONVENTION}")


@dataclass(frozen=True)
class Check:
    """One row of the verdict.

    Attributes:
        topic: which of ``QUESTIONS`` it helps to answer.
        name: what is measured.
        figure: its value.
        threshold: what it is held to; None for a figure that only informs.
        detail: what else to know.
        lenient: whether it does no worse than ``doubtful``, since its reference is in doubt.
    """

    topic: Topic
    name: str
    figure: float
    threshold: Threshold | None = None
    detail: str = ""
    lenient: bool = False

    @property
    def status(self) -> Status:
        """``pass``, ``doubtful`` or ``fail``; ``note`` without a threshold."""
        if self.threshold is None:
            return "note"
        return "doubtful" if self.spared else self.threshold.status(self.figure)

    @property
    def spared(self) -> bool:
        """Whether it would fail if it were not ``lenient``."""
        fails = self.threshold is not None and self.threshold.status(self.figure) == "fail"
        return self.lenient and fails

    def as_dict(self) -> dict[str, Any]:
        """The row, ready for JSON: a figure that is not finite is None."""
        figure = self.figure if math.isfinite(self.figure) else None
        threshold = None if self.threshold is None else asdict(self.threshold)
        return {
            "topic": self.topic,
            "check": self.name,
            "figure": figure,
            "threshold": threshold,
            "status": self.status,
            "spared": LENIENT if self.spared else None,
            "detail": self.detail,
        }


def worst(checks: Iterable[Check]) -> Status:
    """The worst status among checks, at least one."""
    statuses = {check.status for check in checks}
    order: tuple[Status, ...] = ("fail", "doubtful", "pass", "note")
    return next(status for status in order if status in statuses)
