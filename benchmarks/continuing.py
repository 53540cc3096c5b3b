"""A model of three classes goes on with ten: what it keeps, and what it learns.

    python benchmarks/continuing.py --seeds 5

A model of the digits 1, 4 and 8, then ``gmvae train digits --from`` it with all ten classes and ten
components, no labels. Of the test images of the old classes: the share that stay in their component
(at least 0.97 of each seed is asked for), and the accuracy of the old components' classes before
and after. Of all test images, and of those of the seven new classes: the accuracy with components
matched to classes.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from runs import circumstances, gmvae

from gmvae import GMVAE, load
from gmvae.metrics import clustering_accuracy
from gmvae.training.outcome import majorities

OLD = (1, 4, 8)
KEPT = 0.97
HEADER = (
    "| seed | stay in their component | old classes before | after | all ten | the new seven |\n"
    "|---|---|---|---|---|---|"
)


def figures(seed: int, folder: Path) -> list[float]:
    """The row of a seed."""
    old, more = str(folder / "old"), str(folder / "more")
    classes = ",".join(map(str, OLD))
    gmvae("train", "digits", "--classes", classes, "--seed", str(seed), "-o", old)
    arguments = ["--components", "10", "--seed", str(seed), "-o", more]
    gmvae("train", "digits", "--from", old, *arguments)
    test = load("digits", part="test")
    assert test.labels is not None
    is_old = np.isin(test.labels, OLD)
    before, after = (GMVAE.load(f).classify(test).argmax(-1).numpy() for f in (old, more))
    names = majorities(before[is_old], test.labels[is_old], 10)
    # A class that no image has, for a component without a name.
    classes_of = np.array([-1 if name is None else name for name in names])
    return [
        float(np.mean(before[is_old] == after[is_old])),
        *(float(np.mean(classes_of[c][is_old] == test.labels[is_old])) for c in (before, after)),
        clustering_accuracy(test.labels, after),
        clustering_accuracy(test.labels[~is_old], after[~is_old]),
    ]


def main() -> int:
    """Train twice for each seed; 1 where too many images change their component."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    rows = []
    print(HEADER)
    for seed in range(parser.parse_args().seeds):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(figures(seed, Path(folder)))
        print(f"| {seed} | {' | '.join(f'{value:.3f}' for value in rows[-1])} |", flush=True)
    means = np.mean(rows, axis=0)
    print(f"| mean | {' | '.join(f'{value:.3f}' for value in means)} |")
    print(circumstances())
    return int(min(row[0] for row in rows) < KEPT)


if __name__ == "__main__":
    sys.exit(main())
