"""Are components that are cuts through one kind warned of, and whole kinds not? Without a model.

    python benchmarks/stability.py --seed 5

The phases up to the trial are run with a number of components that is right, or too large, or too
small. A component is whole where it has a Jaccard index of .8 or more with some union of classes,
and a cut below .65; it holds two kinds where most of two classes lie in it. Classes are the labels'
word: two ways of writing a 7 are one. MNIST is taken from the data root GMVAE_DATA_ROOT.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from runs import circumstances
from sklearn.datasets import make_blobs
from subsets import Sizes, always, subset_of

import gmvae
from gmvae.data import Images, from_arrays
from gmvae.settings import Settings
from gmvae.training.density import n_clusters
from gmvae.training.held_out import hold_out
from gmvae.training.neighbours import mutual_graph
from gmvae.training.phases.finding import seen
from gmvae.training.recipe import recipe
from gmvae.training.stability import Evidence
from gmvae.training.state import State


def subset(name: str, sizes: Sizes) -> Callable[[int], Images]:
    """A subset that the seed draws."""
    return lambda seed: subset_of(name, always(sizes), seed)


def blobs(*sizes: int) -> Callable[[int], Images]:
    """Normal clouds in ten dimensions, as scikit-learn draws them."""

    def draw(seed: int) -> Images:
        points, kinds = make_blobs(list(sizes), n_features=10, random_state=seed)
        scaled = (points - points.min()) / (points.max() - points.min())
        images = from_arrays(scaled[:, None, None].astype(np.float32))
        return replace(images, labels=kinds.astype(np.int64))

    return draw


def noise(n: int) -> Callable[[int], Images]:
    """Images of uniform noise, all of one kind."""

    def draw(seed: int) -> Images:
        pixels = np.random.default_rng(seed).random((n, 1, 8, 8), dtype=np.float32)
        return Images(pixels, np.zeros(n, np.int64))

    return draw


TEN = dict.fromkeys(range(10), 10_000)
EVEN, UNEVEN = {1: 150, 4: 150, 8: 150}, {1: 150, 4: 50, 8: 25}
# The title, the images of a seed, and the numbers of components.
ROWS: tuple[tuple[str, Callable[[int], Images], tuple[int, ...]], ...] = (
    ("digits, 150 each of 1, 4, 8", subset("digits", EVEN), (2, 3, 5)),
    ("digits, 150 of 1, 50 of 4, 25 of 8", subset("digits", UNEVEN), (3, 5)),
    ("digits, 170 of 0, 20 of 6", subset("digits", {0: 170, 6: 20}), (2, 3)),
    ("digits, 170 of 3", subset("digits", {3: 170}), (2, 3)),
    ("uniform noise, 400", noise(400), (3,)),
    ("blobs, 4 of 125", blobs(125, 125, 125, 125), (3, 4, 6)),
    ("blobs of 300, 120, 50, 30", blobs(300, 120, 50, 30), (4, 6)),
    ("one blob of 400", blobs(400), (3,)),
    ("digits, ten classes", subset("digits", TEN), (8, 10, 12)),
)


class Keep:
    """A phase that keeps the state as it is after those before it."""

    name = "keep"

    def run(self, state: State, images: Images) -> State:
        """Note the state, and go on with it."""
        self.state = state
        return state


def wholeness(clusters: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """The largest Jaccard index of each cluster with a union of classes, (K,)."""
    classes, places = np.unique(labels, return_inverse=True)
    counts = np.zeros((k, len(classes)))
    np.add.at(counts, (clusters, places), 1)
    sizes = counts.sum(0)
    best = np.zeros(k)
    for cluster, row in enumerate(counts):
        order = np.argsort(-row / sizes)
        inside, all_of_them = row[order].cumsum(), sizes[order].cumsum()
        best[cluster] = (inside / (row.sum() + all_of_them - inside)).max()
    return best


@dataclass(frozen=True)
class Found:
    """What came of a row: of K components."""

    n_peaks: int
    whole: np.ndarray
    evidence: Evidence
    seconds: float

    @property
    def warned(self) -> np.ndarray:
        """Of which components it is said that they are cuts, (K,)."""
        return self.evidence.fall_apart | (self.n_peaks == 1)

    def cells(self) -> list[str]:
        """Of the table, after the title and K."""
        evidence = self.evidence
        figures = (self.whole, evidence.stabilities, evidence.peaks * 1, evidence.modes[:, 1])
        words = "all" if self.warned.all() else " ".join(map(str, np.flatnonzero(self.warned)))
        two = " ".join(map(str, np.flatnonzero(evidence.hold_two)))
        of_each = [" ".join(f"{value:.2g}" for value in row) for row in figures]
        return [str(self.n_peaks), *of_each, words, two, f"{self.seconds:.1f}"]


def found(images: Images, k: int, seed: int) -> Found:
    """The evidence on the clusters that the trial keeps."""
    settings = Settings(n_components=k, latent_dim=10, seed=seed)
    train, _, _ = hold_out(images, settings)
    phases = recipe(settings, len(train))
    until, keep = [phase.name for phase in phases].index("trial") + 1, Keep()
    gmvae.fit(replace(images, labels=None), settings, phases=[*phases[:until], keep])
    state = keep.state
    assert state.clusters is not None
    assert state.prominences is not None
    assert train.labels is not None
    neighbours = state.view_neighbours
    by_views = None if neighbours is None else mutual_graph(neighbours)
    before = time.process_time()
    evidence = Evidence.of(seen(state), state.clusters, k, seed, by_views)
    seconds = time.process_time() - before
    n_peaks = n_clusters(state.prominences)
    return Found(n_peaks, wholeness(state.clusters, train.labels, k), evidence, seconds)


HEADINGS = (
    *("images", "K", "peaks", "whole", "stability", "a peak", "second peak"),
    *("cuts", "two kinds", "CPU s"),
)


def main() -> None:
    """Print a table, and the rates below it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=5)
    seed = parser.parse_args().seed
    print(f"| {' | '.join(HEADINGS)} |\n{'|---' * len(HEADINGS)}|", flush=True)
    rows = []
    for title, images_of, numbers in ROWS:
        for k in numbers:
            rows.append(found(images_of(seed), k, seed))
            print(f"| {' | '.join([title, str(k), *rows[-1].cells()])} |", flush=True)
    whole = np.concatenate([row.whole for row in rows])
    warned = np.concatenate([row.warned for row in rows])
    used = np.concatenate([row.evidence.shares > 0 for row in rows])
    for kind, of_kind in (("whole", whole >= 0.8), ("cuts", whole < 0.65)):
        which = used & of_kind
        print(f"Of {which.sum()} components that are {kind} {warned[which].sum()} are warned of.")
    print(circumstances())


if __name__ == "__main__":
    main()
