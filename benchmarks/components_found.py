"""How many components are found: the phases up to the start, without training a model.

    python benchmarks/components_found.py --seeds 5 --row digits --row mnist-148

The line of a row: what there is, and what was found for each seed. MNIST is taken from the data
root GMVAE_DATA_ROOT.
"""

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from runs import circumstances
from subsets import SizesOf, always, geometric, subset_of

import gmvae
from gmvae.data import Images, from_arrays, load
from gmvae.settings import Settings
from gmvae.training.recipe import recipe


def part(name: str, *classes: int) -> Callable[[int], Images]:
    """The train part of a named set, of all classes or of these, the same for every seed."""

    def images(seed: int) -> Images:
        whole = load(name, part="train")
        return whole.only(classes) if classes else whole

    return images


def subset(name: str, sizes: SizesOf) -> Callable[[int], Images]:
    """A subset that the seed draws."""
    return lambda seed: subset_of(name, sizes, seed)


def blobs(k: int) -> Callable[[int], Images]:
    """Normal clouds in 10 dimensions, 1,500 points, the largest five times the smallest.

    Their middles are drawn from a cube, and drawn again while two are nearer than eight standard
    deviations.
    """

    def draw(seed: int) -> Images:
        rng = np.random.default_rng(seed)
        shares = np.geomspace(5, 1, k)
        sizes = np.round(1500 * shares / shares.sum()).astype(int)
        middles = rng.uniform(0, 16, (k, 10))
        while any(np.linalg.norm(a - b) < 8 for a, b in itertools.combinations(middles, 2)):
            middles = rng.uniform(0, 16, (k, 10))
        points = np.repeat(middles, sizes, axis=0) + rng.normal(size=(sizes.sum(), 10))
        least, most = points.min(), points.max()
        return from_arrays(((points - least) / (most - least))[:, None, None].astype(np.float32))

    return draw


ROWS: dict[str, tuple[str, str, Callable[[int], Images]]] = {
    "digits": ("digits, ten classes", "9 to 11", part("digits")),
    "digits-06": ("digits, 170 of 0, 20 of 6", "2", subset("digits", always({0: 170, 6: 20}))),
    "digits-one": ("digits, 170 of 3 alone", "1 or 2", subset("digits", always({3: 170}))),
    "mnist-148": ("MNIST 1, 4, 8", "3", part("mnist", 1, 4, 8)),
    "mnist-148-uneven": (
        "MNIST 1, 4, 8: 6,000, 1,200, 300 images",
        "3",
        subset("mnist", always({1: 6000, 4: 1200, 8: 300})),
    ),
    "mnist": ("MNIST, ten classes", "10", part("mnist")),
    "mnist-geometric": (
        "MNIST, 20,000 images, sizes 1 to 10",
        "10",
        subset("mnist", geometric(20_000, 10)),
    ),
    **{f"blobs-{k}": (f"{k} blobs, sizes 1 to 5", str(k), blobs(k)) for k in (1, 2, 5, 20)},
}


def found(images: Images, seed: int) -> int:
    """The number of components after the start."""
    settings = Settings(seed=seed, latent_dim=10)
    n = len(images) - round(settings.held_out * len(images))
    phases = recipe(settings, n)
    names = [phase.name for phase in phases]
    until_start = phases[: names.index("start") + 1]
    fit = gmvae.fit(replace(images, labels=None), settings, phases=until_start)
    return fit.gmvae.config.n_components


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--row", action="append", choices=ROWS, help="may be repeated; else all")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    print("| row | there are | found, seeds 0, 1, ... | CPU seconds a run |\n|---|---|---|---|")
    for row in arguments.row or ROWS:
        title, there, images_of = ROWS[row]
        before = time.process_time()
        numbers = [str(found(images_of(seed), seed)) for seed in range(arguments.seeds)]
        seconds = (time.process_time() - before) / arguments.seeds
        print(f"| {title} | {there} | {', '.join(numbers)} | {seconds:.0f} |", flush=True)
    print(circumstances())


if __name__ == "__main__":
    main()
