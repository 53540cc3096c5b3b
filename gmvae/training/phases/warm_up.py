"""A representation in which images of one kind lie together."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gmvae.data import Images
from gmvae.training.arrays import Points
from gmvae.training.contrast import N_PARTNERS, contrastive_loss, pairs_of
from gmvae.training.neighbours import mutuality, nearest
from gmvae.training.phases.phase import Length, places, train_phase
from gmvae.training.representation import alone
from gmvae.training.state import State


@dataclass(frozen=True)
class WarmUp:
    r"""The features of q(y | x) learn to recognise each image among others from a view of it.

    .. math:: \min\; -\ln \frac{e^{s(u_i, u_i') / \tau}}{\sum_{v \ne u_i} e^{s(u_i, v) / \tau}}

    with :math:`u_i` and :math:`u_i'` the projected features of two views of image i, and s the
    cosine of their angle: instance contrast (Chen et al., *A simple framework for contrastive
    learning of visual representations*, ICML 2020; :mod:`gmvae.training.contrast`). Of
    some pairs the other one is a view of a near neighbour on the pixels' axes: views alone part an
    image from others of its kind, and where they change what tells kinds apart, lay kinds together.
    Without views it always is.

    Which clusters form is decided in the first steps of a training, and the bound hardly tells
    good ones from bad ones: they have to be found where they are easy to see.

    Attributes:
        length: with 270 steps of 512 the starts of MNIST's ten classes are as good as with more;
            a set of one batch an epoch is looked at 270 times.
        embedding_dim: W, of the projection: the contrast needs few.
        share: of the pairs that are of two images, where images have views. Parts of train parts,
            one seed, mean accuracy of twelve clusterings of the representation: with none and half
            of them .465 and .626 on 3,000 images of Fashion-MNIST, .856 and .950 on 3,000 of MNIST,
            .868 and .936 on the digits; of views half as strong nine in ten have .623, .866 and
            .922.
        mutual: the share of neighbours that are mutual, below which there are no such pairs: of
            patches of photographs .45 to .49 are, of which with such pairs .66 are right at the end
            and .72 without (160 of them), .70 and .75 (500; means of three and two draws); of
            digits, MNIST and Fashion-MNIST .58 to .65.
    """

    length: Length = Length(epochs=3, steps=270, batch_size=512, lr=2e-3, most_epochs=300)
    embedding_dim: int = 32
    share: float = 0.5
    mutual: float = 0.53
    name: str = "warm-up"

    def run(self, state: State, images: Images) -> State:
        """Trains the features; fills ``state.representation``."""
        features = state.assigner.features
        projection = nn.Linear(features.n_features, self.embedding_dim).to(state.device)
        assert state.pixels is not None, "the phase `pixels` comes before"
        pixels = alone(state.pixels)
        # Rounding differs from one kind of processor to the next, and with it a tie.
        near = state.processes.same(nearest(pixels, N_PARTNERS, state.rng))
        share = state.processes.same(self._share(state, pixels))
        pairs = pairs_of(images, near, share, state.view, state.generator)

        def objective(x: Tensor, rows: Tensor, size: int) -> Tensor:
            both = torch.cat(pairs(x, rows))
            return size * contrastive_loss(*projection(features(both)).chunk(2))

        def directions(x: Tensor) -> Tensor:
            return F.normalize(projection(features(x)), dim=-1)

        module = nn.Sequential(features, projection)
        rows = torch.arange(len(images))
        train_phase(self, self.length, objective, module.parameters(), state, images, y=rows)
        return replace(state, representation=places(directions, images, state.device, module))

    def _share(self, state: State, pixels: Points) -> float:
        """Of the pairs that are of two images."""
        if not state.learns_from_views:
            return 1.0
        return self.share if mutuality(pixels, N_PARTNERS) >= self.mutual else 0.0
