"""The clusters of the representation."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from gmvae.data import Images
from gmvae.training.arrays import Indices, Points
from gmvae.training.clustering import Clusters, find_clusters
from gmvae.training.judges import best
from gmvae.training.links import clusters_by_links
from gmvae.training.loop import Progress
from gmvae.training.neighbours import mutual_graph
from gmvae.training.representation import PIXEL_SHARE, alone, beside
from gmvae.training.state import State, with_components

# Of the ten digits nine to eleven were found in 11 of 15 trainings with one share of the pixels,
# and in 14 with the middle of the three.
_FACTORS = (0.5, 2.0)
# Draws of 4,000 images each, which take fifteen seconds.
_N_DRAWS = 3


@dataclass(frozen=True)
class Start:
    """Cluster what was learned; or spread the observed labels over it.

    Of several clusterings the one whose clusters are best told apart by who is whose neighbour,
    and beside it those that are worth a trial (:mod:`gmvae.training.clustering`). Where the number
    of components is to be found, there are as many as the density has prominent peaks
    (:mod:`gmvae.training.density`); where pixels are laid beside what was learned, as with half,
    once and twice as many of them in the middle. Where cells were learned, they are joined into as
    many (:mod:`gmvae.training.links`). It is done in the wide representation, since no
    narrow latent keeps all classes apart before it knows them.

    Attributes:
        pixel_share: the standard deviation of the pixels beside the learned part's: half of it
            parts what views lay together, and parts nothing that they hold together. 0 where
            cells were learned, which know the pixels.
    """

    pixel_share: float = PIXEL_SHARE
    name: str = "start"
    once: ClassVar[bool] = True

    def run(self, state: State, images: Images) -> State:
        """Fills the clusters and the nominees; sets the number of components where it is found."""
        labels = state.observed_components
        with warnings.catch_warnings():
            # A clustering that has not converged is one of several, and is judged as they are.
            warnings.simplefilter("ignore", ConvergenceWarning)
            clusters = find_clusters(
                seen(state, self.pixel_share),
                state.settings.n_components,
                state.rng,
                None if labels is None else labels.cpu().numpy(),
                None if state.pixels is None else alone(state.pixels),
                None if state.view_neighbours is None else mutual_graph(state.view_neighbours),
                self._others(state),
            )
            components = clusters.components
            if labels is None:
                components = self._by_cells(state, clusters)
        state.report(Progress(self.name, 1, 1, labels=components))
        if state.settings.n_components is None:
            state = with_components(state, int(components.max()) + 1)
        return replace(
            state,
            clusters=components,
            nominees=clusters.nominees,
            merits=clusters.merits,
            prominences=clusters.prominences,
        )

    def _by_cells(self, state: State, clusters: Clusters) -> Indices:
        """The clusters that cells make, where there are cells that say it.

        Where they do not, which images took part decides much, and so the best of three draws of
        them is taken: of five and ten classes of Fashion-MNIST .64 and .56 are right on average in
        one, and .69 and .60 then.
        """
        components = clusters.components
        n_components = int(components.max()) + 1
        if n_components == 1 or state.cells is None or state.cell_links is None:
            return components
        assert state.representation is not None, "the phase that learned the cells fills it"
        points = alone(state.representation)
        joined = clusters_by_links(state.cells, state.cell_links, n_components, points, state.rng)
        if joined is not None:
            return joined
        pixels = None if state.pixels is None else alone(state.pixels)
        again = [
            find_clusters(points, n_components, state.rng, pixels=pixels)
            for _ in range(_N_DRAWS - 1)
        ]
        nominees = [c for draw in (clusters, *again) for c in _nominees_of(draw)]
        return best(nominees, points, n_components, state.rng)

    def _others(self, state: State) -> list[Points]:
        """The same with fewer and with more pixels, where the number of components depends on it.

        None where nothing is laid beside what was learned, or the number is known.
        """
        learned, pixels = state.representation, state.pixels
        if self.pixel_share == 0 or state.settings.n_components is not None:
            return []
        if learned is None or pixels is None or not state.learns_from_views:
            return []
        return [beside(learned, pixels, factor * self.pixel_share) for factor in _FACTORS]


def _nominees_of(clusters: Clusters) -> Sequence[Indices]:
    """The clusterings that judges like, or the only one."""
    return [clusters.components] if clusters.nominees is None else [*clusters.nominees]


def seen(state: State, pixel_share: float = PIXEL_SHARE) -> Points:
    """What was learned, the pixels beside it; either alone where there is nothing to add.

    Without views it was learned from the pixels, which say nothing new then.
    """
    if state.representation is None:
        assert state.pixels is not None, "the phase `pixels` or the warm-up comes before"
        return alone(state.pixels)
    if state.pixels is None or not state.learns_from_views or pixel_share == 0:
        return alone(state.representation)
    return beside(state.representation, state.pixels, pixel_share)


# Images whose clusters are looked at again: of one in a hundred there are twenty, and it takes less
# than a tenth of a run.
N_SAMPLE = 2_000


def without_search(state: State) -> State:
    """The state without what the clusters were found by, but for up to 2,000 of the images.

    Where these lie is taken with the default share of the pixels.

    No phase after the placing looks at it. Of a million images it is half a gigabyte.
    """
    assert state.clusters is not None, "the phase `start` comes before"
    n = len(state.clusters)
    rows = np.sort(np.random.default_rng(state.settings.seed).permutation(n)[:N_SAMPLE])
    # Where cells were learned, they know the pixels.
    learned = state.representation is not None or state.pixels is not None
    points = seen(state, PIXEL_SHARE if state.cells is None else 0)[rows] if learned else None
    return replace(
        state,
        sample=rows,
        places=points,
        view_neighbours=state.view_neighbours if n <= N_SAMPLE else None,
        pixels=None,
        representation=None,
        cells=None,
        cell_links=None,
        nominees=None,
        merits=None,
    )
