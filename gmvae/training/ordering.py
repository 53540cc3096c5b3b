"""The numbers of the components."""

import torch

from gmvae.gmvae import GMVAE
from gmvae.networks import Assigner


@torch.no_grad()
def order_components(gmvae: GMVAE) -> None:
    """Number the components by their weight in the mixture, the largest first, in place.

    The mixture and the last layer of q(y | x) are put in this order; no answer changes but for
    the number. Components of the same weight stay as they are.
    """
    order = gmvae.model.prior.logits.argsort(descending=True, stable=True)
    a_row_a_component = [*gmvae.model.prior.parameters()]
    if isinstance(gmvae.guide.assigner, Assigner):
        a_row_a_component += gmvae.guide.assigner.logits.parameters()
    for parameter in a_row_a_component:
        parameter.copy_(parameter[order])
