"""What a step of the joint phase and a whole quick run take, as one size grows.

    python benchmarks/cost.py                 # the points that results/cost.json lacks
    python benchmarks/cost.py --run 1000      # and a quick run on 1,000 of MNIST's images

All other sizes are those of the default point. Each point is a process of its own on one thread,
for its memory; time is of its CPU.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from runs import GMVAE, RESULTS, Figures, circumstances

import gmvae
from gmvae.config import Config
from gmvae.data import Images, load
from gmvae.probability.evidence import Bound
from gmvae.training.optimiser import Adam
from gmvae.training.phases import Joint
from gmvae.training.phases.phase import frozen_features
from gmvae.training.regularisers import Batch
from gmvae.training.state import begin

BATCH = 128
# Of each pair of steps, after one that is not counted.
REPEATS = 7
MEMORY = RESULTS / "cost.json"


@dataclass(frozen=True)
class Point:
    """The sizes of a model and its images."""

    images: int = 10_000
    components: int = 10
    dimensions: int = 10
    side: int = 28
    channels: int = 1


SIZES: dict[str, tuple[int, ...]] = {
    "images": (1_000, 10_000, 100_000, 1_000_000),
    "components": (3, 10, 30, 100, 300, 1_000),
    "dimensions": (2, 5, 10, 20, 32, 64),
    "side": (8, 16, 28, 64, 128, 256),
    "channels": (1, 3, 4),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--point", help=argparse.SUPPRESS)
    parser.add_argument("--run", type=int, action="append", default=[], help="images of a run")
    given = parser.parse_args()
    if given.point:
        print(json.dumps(step_figures(Point(**json.loads(given.point)))))
        return 0
    known: dict[str, Figures] = json.loads(MEMORY.read_text("utf-8")) if MEMORY.exists() else {}
    todo: dict[str, Callable[[], Figures]] = {name_of(p): lambda p=p: apart(p) for p in points()}
    todo |= {run_name(n): lambda n=n: run_figures(n) for n in given.run}
    for name, measure in todo.items():
        if name not in known:
            known[name] = measure() | circumstances()
            MEMORY.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
            print(name, known[name], flush=True)
    (RESULTS / "cost.md").write_text(table(known), encoding="utf-8")
    picture(known)
    return 0


def points() -> Iterator[Point]:
    for name, sizes in SIZES.items():
        for size in sizes:
            yield replace(Point(), **{name: size})


def name_of(point: Point) -> str:
    return ", ".join(f"{name} {value}" for name, value in asdict(point).items())


def run_name(n: int) -> str:
    return f"run on {n}"


def apart(point: Point) -> Figures:
    """The figures of a point, from a process of its own."""
    command = [sys.executable, __file__, "--point", json.dumps(asdict(point))]
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=one_thread)
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def step_figures(point: Point) -> Figures:
    """CPU milliseconds of a step, the mean of one with and one without the terms beside the bound.

    So they take turns in training. Memory is that at the peak, less that of the libraries.
    """
    torch.set_num_threads(1)
    before = peak()
    shape = (point.images, point.channels, point.side, point.side)
    images = Images(np.random.default_rng(0).integers(0, 256, shape, np.uint8))
    sizes: dict[str, Any] = {"latent_dim": point.dimensions}
    model = gmvae.GMVAE(Config(images.shape, point.components, **sizes))
    settings = gmvae.Settings(n_components=point.components, **sizes)
    state = begin(model, settings, np.full(len(images), -1), None)
    terms, bound = Joint().regularisers(state, images), Bound(model.model, model.guide)
    times = []
    with frozen_features(state.assigner) as frozen:
        # So slow that it stays where it is: noise is nothing to learn.
        trained = [p for p in model.parameters() if p.requires_grad]
        optimiser = Adam(trained, lr=1e-9, fused=True)
        x = images.tensor(slice(0, BATCH))
        with torch.no_grad():
            features = frozen.features(x)
        for _ in range(REPEATS + 1):
            began = time.process_time()
            for beside in ([], terms):
                batch = Batch(images.tensor(slice(0, BATCH)))
                frozen.know(batch.x, features)
                loss = bound(batch.x) / BATCH
                for term in beside:
                    loss = loss - term(model.guide, batch)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
            times.append(1e3 * (time.process_time() - began) / 2)
    return {"ms": round(statistics.median(times[1:]), 1), "mb": round(peak() - before)}


def peak() -> float:
    """The most memory that this process ever had, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1_024


def run_figures(n: int) -> Figures:
    """CPU seconds and memory of ``gmvae train --effort quick`` on n images of MNIST, K given."""
    with tempfile.TemporaryDirectory() as folder:
        pixels = load("mnist", part="train").pixels[:n, 0]
        if len(pixels) < n:
            raise SystemExit(f"--run: MNIST has {len(pixels)} images, fewer than {n}")
        np.save(Path(folder) / "images.npy", pixels)
        command = [*GMVAE, "train", f"{folder}/images.npy", "--components", "10"]
        command += ["--effort", "quick", "-o", f"{folder}/run"]
        process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
        _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit("the run failed")
    return {"cpu_s": round(used.ru_utime + used.ru_stime), "mb": round(used.ru_maxrss / 1_024)}


def table(known: dict[str, Figures]) -> str:
    """In Markdown: a row a size, and one a run."""
    default = ", ".join(f"{name} {value:,}" for name, value in asdict(Point()).items())
    lines = [f"A step of the joint phase, batch {BATCH}, default networks. Others: {default}.", ""]
    lines += ["| size | | CPU ms a step | MB beside the libraries |", "|---|---|---|---|"]
    for name, sizes in SIZES.items():
        for size, figures in found(known, name, sizes):
            lines.append(f"| {name} | {size:,} | {figures['ms']} | {figures['mb']:,} |")
    lines += [
        "",
        "`gmvae train --effort quick` on MNIST's images, of which there are 60,000, K given.",
    ]
    lines += ["What is not in the table was not run.", ""]
    lines += ["| images | CPU seconds | MB |", "|---|---|---|"]
    runs = {int(name.split()[-1]): value for name, value in known.items() if "run on" in name}
    lines += [f"| {n:,} | {v['cpu_s']:,} | {v['mb']:,} |" for n, v in sorted(runs.items())]
    whens = sorted({(figures["commit"], figures["machine"]) for figures in known.values()})
    lines += ["", *(f"commit: {commit}, machine: {machine}  " for commit, machine in whens)]
    return "\n".join(lines) + "\n"


def found(
    known: dict[str, Figures], name: str, sizes: tuple[int, ...]
) -> Iterator[tuple[int, Figures]]:
    """The sizes that were measured, and what was."""
    for size in sizes:
        figures = known.get(name_of(replace(Point(), **{name: size})))
        if figures is not None:
            yield size, figures


def picture(known: dict[str, Figures]) -> None:
    """Time above memory, a column a size, all on logarithmic axes."""
    names = [field.name for field in fields(Point)]
    figure, axes = plt.subplots(2, len(names), figsize=(12, 4.5), sharex="col", sharey="row")
    for column, name in enumerate(names):
        line = list(found(known, name, SIZES[name]))
        for row, (what, label) in enumerate((("ms", "CPU ms a step"), ("mb", "MB"))):
            axis = axes[row, column]
            axis.loglog([n for n, _ in line], [figures[what] for _, figures in line], "o-", ms=3)
            axis.grid(alpha=0.3)
            ends = [SIZES[name][0], SIZES[name][-1]]
            axis.set_xticks(ends, [f"{end:,}" for end in ends])
            axis.set_xticks([], minor=True)
            if column == 0:
                axis.set_ylabel(label)
        axes[1, column].set_xlabel(name)
    figure.tight_layout()
    figure.savefig(RESULTS / "cost.png", dpi=80)


if __name__ == "__main__":
    sys.exit(main())
