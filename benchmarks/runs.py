"""What the benchmarks share: runs that are remembered one by one, and the table made of them."""

import argparse
import csv
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
GMVAE = [str(Path(sys.executable).with_name("gmvae"))]

Figures = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One row of a table.

    Attributes:
        title: what is measured, in words.
        run: from a seed and an empty folder to the run's figures.
        figure: the one that the row is about.
        n_seeds: how many seeds, from 0.
        mean: smallest accepted mean of the figure over the seeds; None for a baseline, of which
            nothing is asked.
        smallest: smallest accepted figure of any seed.
        deviation: largest accepted standard deviation.
        seconds: longest accepted run.
    """

    title: str
    run: Callable[[int, Path], Figures]
    figure: str
    n_seeds: int
    mean: float | None = None
    smallest: float | None = None
    deviation: float | None = None
    seconds: float | None = None


def trained(*arguments: str) -> Callable[[int, Path], Figures]:
    """A run of ``gmvae train`` with these arguments, as a user would type it."""

    def run(seed: int, folder: Path) -> Figures:
        gmvae("train", *arguments, "--seed", str(seed), "-o", str(folder / "run"))
        return figures_of(folder / "run")

    return run


def gmvae(*arguments: str) -> None:
    """Run the command line and stop if it fails."""
    subprocess.run([*GMVAE, *arguments], check=True)


def figures_of(run: Path) -> Figures:
    """The single numbers of a run's metrics.json, and how many epochs it trained jointly."""
    found = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    numbers = {name: value for name, value in found.items() if isinstance(value, int | float)}
    with (run / "history.csv").open(encoding="utf-8") as file:
        joint = sum(row["phase"] == "joint" for row in csv.DictReader(file))
    return {**numbers, "joint_epochs": joint}


def measured(name: str, task: Task, seed: int) -> Figures:
    """The figures of one run, from the results or by running it."""
    path = RESULTS / name / f"seed-{seed}.json"
    if path.exists():
        figures: Figures = json.loads(path.read_text(encoding="utf-8"))
        return figures
    with tempfile.TemporaryDirectory() as folder:
        began, of_children = time.monotonic(), cpu_seconds()
        found = task.run(seed, Path(folder))
    seconds = {
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(cpu_seconds() - of_children, 1),
    }
    record = {**found, **seconds, **circumstances()}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


def cpu_seconds() -> float:
    """Of the processes that this one began, and that have ended: less the machine's than its time.

    ``seconds`` grow with what else runs there.
    """
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def circumstances() -> dict[str, str]:
    """The commit and the machine."""
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True
    ).stdout.strip()
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    machine = f"{platform.machine()}, {os.cpu_count()} cores, threads: {threads}"
    return {"commit": commit, "machine": machine}


# Every task trains the default likelihood, Bernoulli, on grey pixels.
HEADER = (
    "| task | mean | sd | minimum | seeds 0, 1, ... | p(y given z) "
    "| -ELBO train (nats) | -ELBO test (nats) "
    "| joint epochs | median seconds | commit | machine |\n" + "|---" * 12 + "|"
)


def row(task: Task, runs: list[Figures]) -> str:
    """A line of the Markdown table."""
    values = [run[task.figure] for run in runs]

    def mean(name: str, digits: int, sign: int = 1) -> str:
        found = [run[name] for run in runs if run.get(name) is not None]
        return f"{sign * statistics.mean(found):.{digits}f}" if found else ""

    def all_of(name: str) -> str:
        return ", ".join(sorted({str(run[name]) for run in runs if name in run}))

    cells = [
        task.title,
        f"{task.figure} {statistics.mean(values):.4f}",
        f"{spread(values):.4f}",
        f"{min(values):.4f}",
        " ".join(f"{value:.4f}" for value in values),
        mean("acc_latent", 4),
        mean("train_elbo", 2, sign=-1),
        mean("elbo", 2, sign=-1),
        all_of("joint_epochs"),
        f"{statistics.median(run['seconds'] for run in runs):.0f}",
        all_of("commit"),
        all_of("machine"),
    ]
    return "| " + " | ".join(cells) + " |"


def spread(values: list[float]) -> float:
    """The standard deviation; 0 for a single run."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def falls_short(name: str, task: Task, runs: list[Figures]) -> list[str]:
    """What of the task's floors does not hold, in words."""
    values = [run[task.figure] for run in runs]
    slowest = max(run["seconds"] for run in runs)
    found = []
    if task.mean is not None and statistics.mean(values) < task.mean:
        found.append(f"mean {task.figure} {statistics.mean(values):.4f} < {task.mean}")
    if task.smallest is not None and min(values) < task.smallest:
        found.append(f"smallest {task.figure} {min(values):.4f} < {task.smallest}")
    if task.deviation is not None and spread(values) > task.deviation:
        found.append(f"standard deviation {spread(values):.4f} > {task.deviation}")
    if task.seconds is not None and slowest > task.seconds:
        found.append(f"slowest run {slowest:.0f} s > {task.seconds:.0f} s")
    return [f"{name}: {what}" for what in found]


def write_table(path: Path, tasks: Mapping[str, Task]) -> None:
    """The table of all that has run."""
    lines = [HEADER]
    for name, task in tasks.items():
        files = (RESULTS / name).glob("seed-*.json")
        paths = sorted(files, key=lambda p: int(p.stem.removeprefix("seed-")))
        if paths:
            lines.append(row(task, [json.loads(p.read_text(encoding="utf-8")) for p in paths]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(table: str, tasks: Mapping[str, Task], description: str) -> int:
    """Run the tasks that the command line names; 1 where ``--check`` finds a figure short."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--task", choices=tasks, action="append", help="may be repeated; else all")
    parser.add_argument("--seeds", type=int, help="how many, from 0; else the task's own number")
    parser.add_argument("--check", action="store_true", help="exit 1 where a row falls short")
    arguments = parser.parse_args()
    short: list[str] = []
    for name in arguments.task or tasks:
        task = tasks[name]
        runs = [measured(name, task, seed) for seed in range(arguments.seeds or task.n_seeds)]
        print(HEADER, row(task, runs), sep="\n", flush=True)
        short += falls_short(name, task, runs)
    write_table(RESULTS / f"{table}.md", tasks)
    if arguments.check and short:
        print(*short, sep="\n", file=sys.stderr)
        return 1
    return 0
