"""Rows of numbers as images of one row: their columns standardised, and how they are clustered.

N rows, F columns, K components.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from sklearn.cluster import KMeans

from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.settings import Settings
from gmvae.training.loop import Progress
from gmvae.training.phases import Phase
from gmvae.training.recipe import recipe
from gmvae.training.state import State

Rows = NDArray[np.float64]
# A column's value that the normal distribution has beyond so small a share of itself counts as
# being there: four standard deviations. Nothing is lost but how far an outlier is out.
TAIL = 3.2e-5


@dataclass(frozen=True)
class Columns:
    r"""From rows of numbers to pixels in (0, 1), a pixel a column, and back.

    .. math:: x = \Phi\Big(\frac{v - m}{s}\Big)

    with the mean and standard deviation of the column and the normal distribution function: units
    are gone, and one value far out does not push the others together.

    Attributes:
        mean: (F,).
        scale: (F,); 1 where a column does not vary.
    """

    mean: Rows
    scale: Rows

    @classmethod
    def of(cls, rows: Rows) -> "Columns":
        """The columns of rows (N, F)."""
        mean = rows.mean(0)
        # Of large numbers that are all the same rounding leaves a spread.
        spread = rows.std(0)
        varies = spread > 10 * np.finfo(float).eps * np.abs(mean)
        return cls(mean, np.where(varies, spread, 1.0))

    def pixels(self, rows: Rows) -> NDArray[np.float32]:
        """Rows (N, F) as images (N, 1, 1, F)."""
        shares: Rows = ndtr((rows - self.mean) / self.scale)
        return shares.clip(TAIL, 1 - TAIL).astype(np.float32)[:, None, None, :]

    def rows(self, pixels: Rows) -> Rows:
        """Images (N, 1, 1, F) as rows (N, F)."""
        standard = ndtri(np.clip(pixels[:, 0, 0, :], TAIL, 1 - TAIL))
        values: Rows = self.mean + self.scale * standard
        return values

    def log_volume(self, rows: Rows) -> Rows:
        """What to add to a log-density of pixels for that of the rows, (N,): of change of units."""
        standard = (rows - self.mean) / self.scale
        log_normal = -0.5 * (standard**2 + np.log(2 * np.pi))
        volume: Rows = (log_normal - np.log(self.scale)).sum(1)
        return volume


@dataclass(frozen=True)
class KMeansStart:
    """Clusters of the rows themselves by k-means, or those that were there before.

    Columns have no neighbours in the plane and no views: what an image's start looks at, a learned
    representation and its neighbourhoods, merges and cuts clusters of a few hundred rows (.88 on
    breast cancer, where k-means of these pixels has .93; scikit-learn's set, three seeds).

    Attributes:
        before: a model of such rows and as many components, whose clusters these are; None to find
            them.
    """

    before: GMVAE | None = field(default=None, repr=False)
    name: str = "start"
    once: ClassVar[bool] = True

    def run(self, state: State, images: Images) -> State:
        """Fills ``state.clusters``; observed components stay what they are."""
        if self.before is not None:
            clusters = self.before.classify(images).argmax(-1).numpy()
        else:
            flat = np.asarray(images.pixels).reshape(len(images), -1).astype(np.float64)
            # Ten starts, as scikit-learn had by default: one may end in a poor place.
            means = KMeans(
                min(state.gmvae.config.n_components, len(np.unique(flat, axis=0))),
                n_init=10,
                random_state=state.settings.seed % 2**32,
            )
            clusters = means.fit_predict(flat).astype(np.int64)
        state.report(Progress(self.name, 1, 1, labels=clusters))
        return replace(state, clusters=clusters)


def phases_of_rows(
    settings: Settings, n: int, labels_lead: bool, before: GMVAE | None = None
) -> list[Phase]:
    """What `gmvae.fit` does with rows: as with images, but for the start.

    Args:
        settings: of the run.
        n: the number of rows.
        labels_lead: whether labels of as many classes as components are observed: they then spread
            over the rows as over images.
        before: a model whose clusters these are; None to find them.
    """
    phases = recipe(settings, n, labels_lead=labels_lead)
    if labels_lead and before is None:
        return phases
    return [KMeansStart(before) if phase.name == "start" else phase for phase in phases]
