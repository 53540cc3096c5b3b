"""A place in the latent for each component."""

from dataclasses import dataclass

import torch
from torch import nn

from gmvae.data import Images
from gmvae.probability.evidence import Bound
from gmvae.training.phases.finding import seen, without_search
from gmvae.training.phases.phase import Length, frozen_features, train_phase
from gmvae.training.places import centres, place
from gmvae.training.state import State


@dataclass(frozen=True)
class Placing:
    r"""Each component gets a mean, and the encoder learns to lay its cluster there.

    .. math:: \max\; E_{q(z|x)} \ln p(x \mid z) - \beta\, KL(q(z \mid x) \| p(z \mid y))

    with y the cluster of the image and :math:`\beta` large. Without this phase the latent may
    tangle the classes, and p(y | z) never comes to agree with q(y | x). The means are those of
    the clusters in the representation, brought to the latent so that neighbours stay neighbours.

    Attributes:
        length: 120 steps bring every cluster to its place.
        kl_weight: beta: of 100 nats an image, so that it stands beside the pixels' hundred.
        gap: between the closest two means, in standard deviations of a component: at five of them
            a few images in a hundred lie nearer to another one.
    """

    length: Length = Length(epochs=1, steps=120, batch_size=256, lr=1e-3)
    kl_weight: float = 100.0
    gap: float = 5.0
    name: str = "placing"

    def run(self, state: State, images: Images) -> State:
        """Sets the mixture; trains encoder and decoder; what only found the clusters goes."""
        gmvae = state.gmvae
        assert state.clusters is not None, "the phase `start` comes before"
        k, d = gmvae.model.prior.means.shape
        centroids = centres(seen(state), state.clusters, k)
        means = torch.as_tensor(place(centroids, d, self.gap))
        gmvae.model.prior.set(torch.as_tensor(state.sizes), means, torch.eye(d).expand(k, d, d))
        networks = nn.ModuleList([gmvae.guide.encoder, gmvae.model.decoder])
        clusters = torch.as_tensor(state.clusters, device=state.device)
        with frozen_features(state.assigner):
            train_phase(
                self,
                self.length,
                Bound(gmvae.model, gmvae.guide, self.kl_weight),
                networks.parameters(),
                state,
                images,
                y=clusters,
            )
        return without_search(state)
