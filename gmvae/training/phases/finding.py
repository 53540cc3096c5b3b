"""The clusters of the representation."""

import warnings
from dataclasses import dataclass, replace

from sklearn.exceptions import ConvergenceWarning

from gmvae.data import Images
from gmvae.training.arrays import Array
from gmvae.training.clustering import N_CLUSTERED, find_clusters
from gmvae.training.communities import refined
from gmvae.training.loop import Progress
from gmvae.training.representation import PIXEL_SHARE, beside
from gmvae.training.state import State


@dataclass(frozen=True)
class Start:
    r"""Cluster what was learned, with the pixels beside it; or spread the observed labels over it.

    Of several clusterings that one with the largest modularity of a graph of neighbours

    .. math:: \sum_y \Big[\frac{m_y}{m} - \Big(\frac{d_y}{2m}\Big)^2\Big]

    (:mod:`gmvae.training.clustering`). It is found in the wide representation, since no narrow
    latent keeps all classes apart before it knows them. Of more images than are clustered the
    borders are moved again among all.

    Attributes:
        pixel_share: the standard deviation of the pixels beside the learned part's: half of it
            parts what views lay together, and parts nothing that they hold together.
        pixel_share_refined: the same where borders are moved among more images, of which the
            graph is denser: the pixels can be given more to say.
    """

    pixel_share: float = PIXEL_SHARE
    pixel_share_refined: float = 1.0
    name: str = "start"

    def run(self, state: State, images: Images) -> State:
        """Fills ``state.clusters``."""
        labels = state.observed_components
        with warnings.catch_warnings():
            # A clustering that has not converged is one of several, and its modularity judges it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            clusters = find_clusters(
                seen(state, self.pixel_share),
                state.settings.n_components,
                state.rng,
                None if labels is None else labels.cpu().numpy(),
            )
            if len(images) > N_CLUSTERED:
                everything = seen(state, self.pixel_share_refined)
                clusters = refined(everything, clusters, state.rng)
        state.report(Progress(self.name, 1, 1))
        return replace(state, clusters=clusters)


def seen(state: State, pixel_share: float = PIXEL_SHARE) -> Array:
    """What was learned, beside the pixels; either alone where there is nothing to add.

    Without views it was learned from the pixels, which say nothing new then.
    """
    if state.representation is None:
        assert state.pixels is not None, "the phase `pixels` or the warm-up comes before"
        return state.pixels
    if state.pixels is None or not state.learns_from_views:
        return state.representation
    return beside(state.representation, state.pixels, pixel_share)
