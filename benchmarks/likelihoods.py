"""Which p(x | z): the default run of the digits 1, 4 and 8 under each likelihood on offer.

    python benchmarks/likelihoods.py

For each seed ``gmvae train --likelihood NAME``, ``gmvae diagnose`` and the posterior of every test
image, as a user has them. Rows are compared by what all likelihoods mean alike: clusters,
reconstructions E(x | z) and posteriors. Figures of log p(x) are not: the Bernoulli's is of
black-and-white images, the others' are densities.
"""

import argparse
import json
import statistics
from collections import Counter
from pathlib import Path
from typing import get_args

from posterior import on_images
from runs import Figures, Task, cpu_seconds, figures_of, gmvae, measured

from gmvae import GMVAE, load
from gmvae.diagnostics.verdict import QUESTIONS
from gmvae.support.choices import LikelihoodName

LIKELIHOODS = get_args(LikelihoodName)
# Of metrics.json, of benchmarks/posterior.py and of this one.
COLUMNS = {
    "acc": "accuracy",
    "acc_latent": "p(y given z)",
    "one_minus_mse": "1 - MSE",
    "ssim": "SSIM",
    "certified": "certified",
    "guide_alone_by_khat_and_size": "by the guide alone",
    "log_evidence": "log p(x)",
    "train_cpu_seconds": "CPU seconds",
}
HEADER = (
    f"| likelihood | {' | '.join([*COLUMNS.values(), *QUESTIONS.values()])} |\n"
    f"|{'---|' * (1 + len(COLUMNS) + len(QUESTIONS))}"
)


def task(likelihood: str, n_seeds: int) -> Task:
    """The row of a likelihood."""

    def run(seed: int, folder: Path) -> Figures:
        began, trained, diagnosis = cpu_seconds(), folder / "run", folder / "diagnosis"
        common = "--seed", str(seed), "-o"
        gmvae("train", "--likelihood", likelihood, *common, str(trained))
        spent = cpu_seconds() - began
        # NUTS, the most of its time, asks of six images what the certificates ask of all.
        gmvae("diagnose", "--model", str(trained), "--nuts-images", "0", *common, str(diagnosis))
        verdict = json.loads((diagnosis / "verdict.json").read_text(encoding="utf-8"))
        checks = verdict["checks"]
        test = load("digits", part="test").only([1, 4, 8])
        return {
            **figures_of(trained),
            **on_images(GMVAE.load(trained), test.tensor(), seed),
            "train_cpu_seconds": round(spent, 1),
            "worst": {topic: _worst(checks, topic) for topic in QUESTIONS},
            "checks": {check["check"]: [check["figure"], check["status"]] for check in checks},
        }

    return Task(likelihood, run, "acc", n_seeds)


def _worst(checks: list[Figures], topic: str) -> str:
    """The answer to one question: the worst status of its checks."""
    statuses = {check["status"] for check in checks if check["topic"] == topic}
    return next(s for s in ("fail", "doubtful", "pass", "note") if s in statuses)


def row(likelihood: str, runs: list[Figures]) -> str:
    """A line of the table: means over the seeds, and how often each answer was given."""
    cells = [f"{statistics.mean(run[name] for run in runs):.4g}" for name in COLUMNS]
    for topic in QUESTIONS:
        counts = Counter(run["worst"][topic] for run in runs)
        cells.append(", ".join(f"{n} {status}" for status, n in counts.most_common()))
    return f"| {likelihood} | {' | '.join(cells)} |"


def main() -> None:
    """Run what has not run, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    n_seeds = parser.parse_args().seeds
    runs: dict[str, list[Figures]] = {name: [] for name in LIKELIHOODS}
    for seed in range(n_seeds):
        for name in LIKELIHOODS:
            runs[name].append(measured(f"likelihoods/{name}", task(name, n_seeds), seed))
    print(HEADER, *(row(name, of_seeds) for name, of_seeds in runs.items()), sep="\n")


if __name__ == "__main__":
    main()
