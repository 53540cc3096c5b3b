"""The verdict in three sentences, one a question."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from gmvae.diagnostics.report import Diagnosis
from gmvae.diagnostics.verdict import QUESTIONS, Check, Status, Topic, khat_threshold, worst
from gmvae.posterior.effort import proposed
from gmvae.posterior.result import words_of

ANSWERS: dict[Status, str] = {"pass": "yes", "note": "yes", "doubtful": "doubtful", "fail": "no"}
# Checks and images that a sentence still names.
_MOST_CHECKS, _MOST_IMAGES = 2, 10


class Answer(NamedTuple):
    """To one of the questions.

    Attributes:
        topic: of the question.
        status: the worst of its checks.
        sentence: the answer with its figure, and what speaks against it.
    """

    topic: Topic
    status: Status
    sentence: str

    @property
    def question(self) -> str:
        """In words."""
        return QUESTIONS[self.topic]


def summary(diagnosis: Diagnosis) -> tuple[Answer, ...]:
    """An answer to each question that checks were made for."""
    answers = []
    for topic, headline in _HEADLINES.items():
        checks = [check for check in diagnosis.checks if check.topic == topic]
        if checks:
            status = worst(checks)
            sentence = f"{ANSWERS[status]}: {headline(diagnosis)}{_against(checks)}"
            answers.append(Answer(topic, status, sentence))
    return tuple(answers)


def _against(checks: list[Check]) -> str:
    """What is doubtful or fails, the worst first."""
    bad = [check for check in checks if check.status == "fail"]
    bad += [check for check in checks if check.status == "doubtful"]
    named = [f"{check.name}: {check.figure:.3g} ({check.threshold})" for check in bad]
    more = len(named) - _MOST_CHECKS
    words = "; but ".join(["", *named[:_MOST_CHECKS]])
    return words + (f"; and {more} more" if more > 0 else "")


def _of_posterior(diagnosis: Diagnosis) -> str:
    posterior = diagnosis.posterior
    n, unresolved = len(posterior), np.flatnonzero(~posterior.certified)
    stats = posterior.tree["sample_stats"]
    # As many were weighted, however few are kept.
    n_draws = proposed(diagnosis.tree["sample_stats"].sizes["draw"])
    limit = khat_threshold(n_draws)
    alone = int((stats["guide_khat"].to_numpy() <= limit).sum())
    named = ", ".join(map(str, unresolved[:_MOST_IMAGES].tolist()))
    more = len(unresolved) - _MOST_IMAGES
    names = f": images {named}" + (f" and {more} more" if more > 0 else "") if named else ""
    return (
        f"of {n:,} images {words_of(posterior.routes)}{names}; the bare guide's k-hat would do for "
        f"{alone:,} (up to {limit:.2f}, of {n_draws} draws)"
    )


def _of_model(diagnosis: Diagnosis) -> str:
    predictive = diagnosis.predictive
    distances = {name: predictive.distance(name) for name in predictive.observed}
    name = max(distances, key=lambda name: distances[name])
    return f"replicates differ from the images by {distances[name]:.2f} at most ({name}; of 1)"


def _of_probabilities(diagnosis: Diagnosis) -> str:
    curves = diagnosis.reliability
    parts = [f"{curves['simulated'].ece:.3f} on simulated images, by p(y | x)"]
    if "labels" in curves:
        parts.insert(0, f"{curves['labels'].ece:.3f} against the labels, by q(y | x)")
    return f"a confidence is off by {' and '.join(parts)}"


_HEADLINES: dict[Topic, Callable[[Diagnosis], str]] = {
    "posterior": _of_posterior,
    "model": _of_model,
    "probabilities": _of_probabilities,
}
