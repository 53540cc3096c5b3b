"""Instance contrast: a representation in which the two of a pair lie together.

The two are views of one image, or of an image and one of its nearest neighbours. Shapes: B images a
batch, N images in all, W dimensions of an embedding.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from gmvae.data import Images
from gmvae.data.views import View

# From a batch of images (B, C, H, W) and their rows (B,) to a pair of batches, row by row.
Pairs = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

# On MNIST without views (50,000 images, one seed) the contrast of an image and one of its ten
# nearest starts at .962, an autoencoder at .915. With views five are as good.
N_PARTNERS = 10


def pairs_of(
    images: Images,
    near: np.ndarray,
    share: float,
    view: View,
    generator: Generator | None = None,
) -> Pairs:
    """A view of each image, and a view of it or of one of its neighbours, others each time.

    What tells views of an image from all others is what they leave as it is; what tells neighbours
    is what a kind of image has in common: its features spread from neighbour to neighbour, as an
    embedding of the graph of neighbours does, but by a network that sees shapes and not single
    pixels (Dwibedi et al., *With a little help from my friends: nearest-neighbor contrastive
    learning of visual representations*, ICCV 2021; Sainburg et al., *Parametric UMAP embeddings*,
    Neural Computation 2021).

    Args:
        images: N images.
        near: numbers of the k neighbours of each, (N, k).
        share: of the pairs that are of two images, 0 to 1.
        view: of an image; the image itself where it has none.
        generator: the source of the draws, on the CPU; torch's own by default.
    """
    n_neighbors = near.shape[1]

    def pairs(x: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        own = rows.numpy()
        columns = torch.randint(n_neighbors, (len(own),), generator=generator).numpy()
        partners = near[own, columns]
        if share < 1:
            of_one = (torch.rand(len(own), generator=generator) >= share).numpy()
            partners = np.where(of_one, own, partners)
        return view(x, generator), view(images.tensor(partners).to(x), generator)

    return pairs


# Tau as its authors took it for small images (CIFAR-10). No trial of another is recorded.
TEMPERATURE = 0.5


def contrastive_loss(a: Tensor, b: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    r"""The normalised temperature-scaled cross-entropy of paired embeddings, in nats.

    Of the 2B embeddings, each one's partner is to be told from the other 2B - 2 by the cosine s
    of the angle between them:

    .. math:: -\ln \frac{e^{s(u, u') / \tau}}{\sum_{v \ne u} e^{s(u, v) / \tau}}

    Chen et al., *A simple framework for contrastive learning of visual representations*,
    ICML 2020, equation 1.

    Args:
        a: embeddings of one view of each image, (B, W).
        b: of another view of the same images, (B, W).
        temperature: tau, above 0.

    Returns:
        The mean over the 2B embeddings.
    """
    n = len(a)
    u = F.normalize(torch.cat([a, b]), dim=-1)
    with_itself = torch.eye(2 * n, dtype=torch.bool, device=u.device)
    similarity = (u @ u.mT / temperature).masked_fill(with_itself, -torch.inf)
    partners = torch.arange(2 * n, device=u.device).roll(n)
    return F.cross_entropy(similarity, partners)
