"""Pictures of a trained model.

Every function returns a new :class:`matplotlib.figure.Figure`, which belongs to no window and
no global state: ``figure.savefig("latent.png")`` writes it. The colours can be told apart with
any kind of colour vision, and whatever a colour means is written beside it too.

Reference: Petroff, *Accessible color sequences for data visualization*, 2021.

Several pictures of the same images ask the model once where they share a :class:`Told`.

N images (C, H, W), K components, D latent dimensions.
"""

from gmvae.plots.clusters import class_table, clusters
from gmvae.plots.curves import curves
from gmvae.plots.groups import Told
from gmvae.plots.latent import latent_space, manifold, mixture
from gmvae.plots.selection import candidates
from gmvae.plots.tiles import ambiguous, interpolation, reconstructions, samples

__all__ = [
    "Told",
    "ambiguous",
    "candidates",
    "class_table",
    "clusters",
    "curves",
    "interpolation",
    "latent_space",
    "manifold",
    "mixture",
    "reconstructions",
    "samples",
]
