"""How well the default settings cluster: one command a table row, every seed its own run.

    python benchmarks/clustering.py --task mnist-148 --seeds 5 --check

Each run of ours is the command line's own, ``gmvae train ...``, as a user would type it; its
figures are read from the run's folder. What has run already (same task and seed, in
benchmarks/results) is not run again. MNIST is taken from the data root GMVAE_DATA_ROOT. ClustPy's
VaDE needs ``pip install '.[benchmark]'``.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from baselines import pca_then_mixture, vade, vae_then_mixture
from runs import Figures, Task, figures_of, gmvae, main, trained
from subsets import SizesOf, always, geometric, on_subset, rivals_on_subset, uniform

from gmvae.data import Images, load
from gmvae.metrics import clustering_accuracy, f1


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
    return {"f1": f1(test.labels, predicted)["mean"], "n_test": len(test), **figures_of(run)}


def baseline(
    method: Callable[[Images, Images, int], np.ndarray],
    name: str,
    classes: tuple[int, ...] | None = None,
) -> Callable[[int, Path], Figures]:
    """A run of another method on a named set: from train and test part to the test clusters."""

    def run(seed: int, folder: Path) -> Figures:
        parts = (load(name, part=part) for part in ("train", "test"))
        train, test = parts if classes is None else (part.only(classes) for part in parts)
        torch.manual_seed(seed)
        return {"acc": clustering_accuracy(test.labels, method(train, test, seed))}

    return run


MNIST_10 = ("mnist", "--latent-dim", "10", "--labels", "0")
DIGITS_10 = ("digits", "--latent-dim", "10", "--labels", "0")


@dataclass(frozen=True)
class Subset:
    """A row on a subset with classes of chosen sizes, and what it is to reach."""

    title: str
    name: str
    sizes: SizesOf
    n_components: int
    n_seeds: int
    mean: float
    smallest: float | None = None
    arguments: tuple[str, ...] = ()
    tested: bool = False

    def tasks(self, name: str) -> dict[str, Task]:
        """With K given, with K found, and the rivals."""
        k = "--components", str(self.n_components)

        def ours(title: str, *arguments: str) -> Task:
            run = on_subset(self.name, self.sizes, *self.arguments, *arguments, tested=self.tested)
            return Task(title, run, "acc", self.n_seeds, self.mean, self.smallest)

        rivals = rivals_on_subset(self.name, self.sizes)
        return {
            name: ours(f"{self.title}; K given", *k),
            f"{name}-found": ours(f"{self.title}; K found"),
            f"{name}-rivals": Task(f"{self.title}: the best rival", rivals, "acc", self.n_seeds),
        }


SUBSETS = {
    "digits-06": Subset(
        "digits, 170 of 0 and 20 of 6", "digits", always({0: 170, 6: 20}), 2, 5, 0.97
    ),
    "digits-148-uneven": Subset(
        "digits, 150 of 1, 50 of 4, 25 of 8", "digits", always({1: 150, 4: 50, 8: 25}), 3, 5, 0.90
    ),
    "digits-one": Subset("digits, 170 of 3 alone", "digits", always({3: 170}), 1, 5, 0.0),
    "mnist-148-uneven": Subset(
        "MNIST 1, 4, 8: 6,000, 1,200, 300 images",
        "mnist",
        always({1: 6000, 4: 1200, 8: 300}),
        3,
        5,
        0.98,
    ),
    "mnist-geometric": Subset(
        "MNIST, 20,000 images, classes of sizes 1 to 10; scored on the test part",
        "mnist",
        geometric(20_000, 10),
        10,
        5,
        0.95,
        arguments=("--latent-dim", "10"),
        tested=True,
    ),
    "mnist-all": Subset(
        "MNIST, ten classes; scored on the test part",
        "mnist",
        always(dict.fromkeys(range(10), 60_000)),
        10,
        5,
        0.987,
        arguments=("--latent-dim", "10"),
        tested=True,
    ),
    "mnist-148-all": Subset(
        "MNIST 1, 4, 8; scored on the test part",
        "mnist",
        always(dict.fromkeys((1, 4, 8), 60_000)),
        3,
        10,
        0.994,
        tested=True,
    ),
    "fashion-all": Subset(
        "Fashion-MNIST, ten classes; scored on the test part",
        "fashion-mnist",
        always(dict.fromkeys(range(10), 60_000)),
        10,
        3,
        0.66,
        arguments=("--latent-dim", "10"),
        tested=True,
    ),
    "digits-all": Subset(
        "digits, ten classes",
        "digits",
        always(dict.fromkeys(range(10), 60_000)),
        10,
        10,
        0.955,
        0.93,
    ),
    "mnist-random": Subset(
        "MNIST, classes of 500 to 1,200 images; scored on the test part",
        "mnist",
        uniform(500, 1200),
        10,
        10,
        0.96,
        smallest=0.96,
        tested=True,
    ),
}

TASKS = {
    "digits-148": Task(
        "embedded digits 1, 4, 8; 2-D; 5 labels a class; gmvae train",
        trained(),
        figure="acc_named",
        n_seeds=5,
        mean=0.95,
        seconds=60,
    ),
    "mnist-148": Task(
        "MNIST 1, 4, 8; 2-D; no labels",
        trained("mnist", "--classes", "1,4,8", "--labels", "0"),
        figure="acc",
        n_seeds=10,
        mean=0.99,
        smallest=0.985,
        seconds=300,
    ),
    "original": Task(
        "the original's protocol: MNIST 1, 4, 8; 2-D; 15 labels",
        original,
        figure="f1",
        n_seeds=5,
        mean=0.97,
    ),
    "mnist-10": Task(
        "MNIST, ten classes; 10-D; no labels",
        trained(*MNIST_10),
        figure="acc",
        n_seeds=5,
        mean=0.985,
        deviation=0.005,
        seconds=2400,
    ),
    "mnist-10-plain": Task(
        "MNIST, ten classes; 10-D; no labels; no augmentation",
        trained(*MNIST_10, "--augment", "none"),
        figure="acc",
        n_seeds=5,
        mean=0.958,
        deviation=0.015,
    ),
    "digits-10": Task(
        "embedded digits, ten classes; 10-D; no labels",
        trained(*DIGITS_10),
        figure="acc",
        n_seeds=10,
        mean=0.92,
    ),
    "mnist-148-pca": Task(
        "MNIST 1, 4, 8: PCA(20), then a Gaussian mixture",
        baseline(pca_then_mixture, "mnist", (1, 4, 8)),
        figure="acc",
        n_seeds=5,
    ),
    "mnist-148-vae": Task(
        "MNIST 1, 4, 8: a VAE, then a Gaussian mixture",
        baseline(vae_then_mixture, "mnist", (1, 4, 8)),
        figure="acc",
        n_seeds=3,
    ),
    "mnist-10-pca": Task(
        "MNIST, ten classes: PCA(20), then a Gaussian mixture",
        baseline(pca_then_mixture, "mnist"),
        figure="acc",
        n_seeds=5,
    ),
    "mnist-10-vae": Task(
        "MNIST, ten classes: a VAE, then a Gaussian mixture",
        baseline(vae_then_mixture, "mnist"),
        figure="acc",
        n_seeds=3,
    ),
    "digits-10-pca": Task(
        "embedded digits, ten classes: PCA(20), then a Gaussian mixture",
        baseline(pca_then_mixture, "digits"),
        figure="acc",
        n_seeds=10,
    ),
    "digits-10-vae": Task(
        "embedded digits, ten classes: a VAE, then a Gaussian mixture",
        baseline(vae_then_mixture, "digits"),
        figure="acc",
        n_seeds=10,
    ),
    "digits-10-vade": Task(
        "embedded digits, ten classes: ClustPy's VaDE",
        baseline(vade, "digits"),
        figure="acc",
        n_seeds=3,
    ),
    "mnist-10-vade": Task(
        "MNIST, ten classes: ClustPy's VaDE",
        baseline(vade, "mnist"),
        figure="acc",
        n_seeds=3,
    ),
}
for name, subset in SUBSETS.items():
    TASKS |= subset.tasks(name)


if __name__ == "__main__":
    sys.exit(main("clustering", TASKS, (__doc__ or "").splitlines()[0]))
