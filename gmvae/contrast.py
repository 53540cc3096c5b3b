"""Instance contrast: a representation in which the views of one image lie together."""

import torch
from torch import Tensor
from torch.nn import functional as F


def contrastive_loss(a: Tensor, b: Tensor, temperature: float = 0.5) -> Tensor:
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
    itself = torch.eye(2 * n, dtype=torch.bool, device=u.device)
    similarity = (u @ u.mT / temperature).masked_fill(itself, -torch.inf)
    partners = torch.arange(2 * n, device=u.device).roll(n)
    return F.cross_entropy(similarity, partners)
