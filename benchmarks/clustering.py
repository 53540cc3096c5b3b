"""How well the default settings cluster: one command a table row, every seed its own run.

    python benchmarks/clustering.py --task mnist-148 --seeds 5 --check

Each run is the command line's own, ``gmvae train ...``, as a user would type it; its figures are
read from the run's metrics.json. What has run already (same task and seed, in
benchmarks/results) is not run again. MNIST is taken from the data root GMVAE_DATA_ROOT.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gmvae.data import load
from gmvae.metrics import f1

HERE = Path(__file__).parent
RESULTS = HERE / "results"
GMVAE = [str(Path(sys.executable).with_name("gmvae"))]

Figures = dict[str, float]


@dataclass(frozen=True)
class Task:
    """One row of the table.

    Attributes:
        title: what is measured, in words.
        run: from a seed and an empty folder to the run's figures.
        figure: the one that the row is about.
        n_seeds: how many seeds, from 0.
        mean: smallest accepted mean of the figure over the seeds.
        smallest: smallest accepted figure of any seed.
        seconds: longest accepted run.
    """

    title: str
    run: Callable[[int, Path], Figures]
    figure: str
    n_seeds: int
    mean: float
    smallest: float
    seconds: float


def trained(*arguments: str) -> Callable[[int, Path], Figures]:
    """A run of ``gmvae train`` with these arguments."""

    def run(seed: int, folder: Path) -> Figures:
        gmvae("train", *arguments, "--seed", str(seed), "-o", str(folder / "run"))
        return metrics(folder / "run")

    return run


def original(seed: int, folder: Path) -> Figures:
    """The original project's protocol, on files in its format.

    80 % of MNIST's train part of the digits 1, 4 and 8; 15 labelled images, 5 a class, out of
    the rest; scored on MNIST's own test part of the three digits.
    """
    rng = np.random.default_rng(seed)
    digits = load("mnist", part="train").only([1, 4, 8])
    train, rest = digits.split(0.8, seed=0)
    test = load("mnist", part="test").only([1, 4, 8])
    labelled = rest.subset(rest.per_class(5, rng))
    for name, images in (("train", train), ("val", labelled), ("test", test)):
        np.savez(folder / f"{name}.npz", data=images.pixels[:, 0], labels=images.labels)
    run, answers, pictures = folder / "run", folder / "vae.csv", folder / "vae_reconstructed.npz"
    files = [str(folder / f"{name}.npz") for name in ("train", "val", "test")]
    gmvae("train", files[0], "--val", files[1], "--seed", str(seed), "-o", str(run))
    gmvae("classify", files[2], "--model", str(run), "--columns", "label", "-o", str(answers))
    gmvae("reconstruct", files[2], "--model", str(run), "-o", str(pictures))
    predicted = np.loadtxt(answers, skiprows=1, dtype=np.int64)
    with np.load(pictures) as written:
        assert written["data"].shape == (len(test), 28, 28)
    assert test.labels is not None
    return {"f1": f1(test.labels, predicted)["mean"], "n_test": len(test), **metrics(run)}


TASKS = {
    "digits-148": Task(
        "embedded digits 1, 4, 8; 2-D; 5 labels a class; gmvae train",
        trained(),
        figure="acc_named",
        n_seeds=5,
        mean=0.95,
        smallest=0.0,
        seconds=60,
    ),
    "mnist-148": Task(
        "MNIST 1, 4, 8; 2-D; no labels",
        trained("mnist", "--classes", "1,4,8", "--labels", "0"),
        figure="acc",
        n_seeds=5,
        mean=0.97,
        smallest=0.95,
        seconds=300,
    ),
    "original": Task(
        "the original's protocol: MNIST 1, 4, 8; 2-D; 15 labels",
        original,
        figure="f1",
        n_seeds=5,
        mean=0.97,
        smallest=0.0,
        seconds=300,
    ),
    "mnist-10": Task(
        "MNIST, ten classes; 10-D; no labels",
        trained("mnist", "--latent-dim", "10", "--labels", "0"),
        figure="acc",
        n_seeds=3,
        mean=0.90,
        smallest=0.0,
        seconds=2400,
    ),
    "digits-10": Task(
        "embedded digits, ten classes; 10-D; no labels",
        trained("digits", "--latent-dim", "10", "--labels", "0"),
        figure="acc",
        n_seeds=10,
        mean=0.92,
        smallest=0.0,
        seconds=300,
    ),
}


def gmvae(*arguments: str) -> None:
    """Run the command line and stop if it fails."""
    subprocess.run([*GMVAE, *arguments], check=True)


def metrics(run: Path) -> Figures:
    """The single numbers of a run's metrics.json."""
    found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return {name: value for name, value in found.items() if isinstance(value, int | float)}


def measured(name: str, seed: int) -> Figures:
    """The figures of one run, from the results or by running it."""
    path = RESULTS / name / f"seed-{seed}.json"
    if path.exists():
        figures: Figures = json.loads(path.read_text(encoding="utf-8"))
        return figures
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        found = TASKS[name].run(seed, Path(folder))
    record = {**found, "seconds": round(time.monotonic() - began, 1), **circumstances()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


def circumstances() -> dict[str, str]:
    """The commit and the machine."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True
    ).stdout.strip()
    return {"commit": commit, "machine": f"{platform.machine()}, {os.cpu_count()} cores, CPU"}


def row(name: str, runs: list[Figures]) -> str:
    """A line of the Markdown table."""
    task = TASKS[name]
    values = [run[task.figure] for run in runs]
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    each = " ".join(f"{v:.3f}" for v in values)
    cells = [
        task.title,
        f"{task.figure} {statistics.mean(values):.4f}",
        f"{spread:.4f}",
        f"{min(values):.4f}",
        each,
        f"{statistics.mean(run['acc_latent'] for run in runs):.4f}",
        f"{-statistics.mean(run['train_elbo'] for run in runs):.2f}",
        f"{-statistics.mean(run['elbo'] for run in runs):.2f}",
        f"{statistics.median(run['seconds'] for run in runs):.0f}",
        ", ".join(sorted({str(run["commit"]) for run in runs})),
    ]
    return "| " + " | ".join(cells) + " |"


HEADER = (
    "| task | mean | sd | minimum | seeds 0, 1, ... | p(y given z) | -ELBO train | -ELBO test "
    "| median seconds | commit |\n|---|---|---|---|---|---|---|---|---|---|"
)


def falls_short(name: str, runs: list[Figures]) -> list[str]:
    """What of the task's floors does not hold, in words."""
    task = TASKS[name]
    values = [run[task.figure] for run in runs]
    found = []
    if statistics.mean(values) < task.mean:
        found.append(f"mean {task.figure} {statistics.mean(values):.4f} < {task.mean}")
    if min(values) < task.smallest:
        found.append(f"smallest {task.figure} {min(values):.4f} < {task.smallest}")
    slowest = max(run["seconds"] for run in runs)
    if slowest > task.seconds:
        found.append(f"slowest run {slowest:.0f} s > {task.seconds:.0f} s")
    return [f"{name}: {what}" for what in found]


def write_table() -> None:
    """The table of all that has run, benchmarks/results/clustering.md."""
    lines = [HEADER]
    for name in TASKS:
        paths = sorted((RESULTS / name).glob("seed-*.json"))
        if paths:
            lines.append(row(name, [json.loads(p.read_text(encoding="utf-8")) for p in paths]))
    (RESULTS / "clustering.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> int:
    """Run the tasks; 1 where ``--check`` finds a figure short."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", choices=TASKS, action="append", help="may be repeated; else all")
    parser.add_argument("--seeds", type=int, help="how many, from 0; else the task's own number")
    parser.add_argument("--check", action="store_true", help="exit 1 where a row falls short")
    arguments = parser.parse_args()
    short: list[str] = []
    for name in arguments.task or TASKS:
        n_seeds = arguments.seeds or TASKS[name].n_seeds
        runs = [measured(name, seed) for seed in range(n_seeds)]
        print(HEADER, row(name, runs), sep="\n", flush=True)
        short += falls_short(name, runs)
    write_table()
    if arguments.check and short:
        print(*short, sep="\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
