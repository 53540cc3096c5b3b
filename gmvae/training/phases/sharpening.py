"""q(y | x) corrects the clusters."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.special import entr

from gmvae.data import Images
from gmvae.probability.guide import Guide
from gmvae.training.arrays import Indices
from gmvae.training.contrast import pairs_of
from gmvae.training.neighbours import nearest
from gmvae.training.phases.phase import Length, answers, classification, train_phase
from gmvae.training.regularisers import mutual_information
from gmvae.training.representation import alone
from gmvae.training.state import State


@dataclass(frozen=True)
class Sharpening:
    r"""An image and its view belong together: their mutual information is made large.

    Without views an image and one of its nearest neighbours on the pixels' axes, as in the warm-up:
    of an image and itself there is nothing to learn.

    .. math:: \max\; I_\pi(y; y') + E_{labelled} \ln q(y = label \mid x)

    (Ji, Henriques and Vedaldi, *Invariant information clustering for unsupervised image
    classification and segmentation*, ICCV 2019; :mod:`gmvae.training.regularisers`). It moves
    the borders between clusters to where few images change sides with their view. The marginal
    is held to the sizes :math:`\pi` of the clusters that came before: no size is preferred, and
    what the clusters got wrong about their sizes is mended only where images clearly say so.

    Attributes:
        round: counted from 1, as for :class:`~gmvae.training.phases.Assignment`.
        length: in the last round, whose answers stay, twelve epochs of MNIST, which often end
            before, sharp enough: six leave .9828 of its images right, nine .9836 and twelve .9841
            (one seed), and of 8,000 images, where twelve are 200 steps, .9782 and .9786.
        sharp: the share of its largest value, H(pi), at which it is sharp enough to end.
        n_neighbors: of each image without views. Of MNIST (57,000 images without views, one seed)
            .961 are right after the sharpening with none, .969 with five and .972 with three, of
            which more are of its kind.
        classification_weight: of the labelled images, beside an I of at most H(pi).
    """

    round: int = 1
    length: Length = Length(epochs=12, steps=150, batch_size=512, lr=1e-3)
    sharp: float = 0.95
    n_neighbors: int = 3
    classification_weight: float = 1.0

    @property
    def name(self) -> str:
        """``sharpening``, and which round from the second on."""
        return "sharpening" if self.round == 1 else f"sharpening {self.round}"

    def run(self, state: State, images: Images) -> State:
        """Trains ``state.assigner``; ``state.clusters`` are what it makes of them."""
        assigner = state.assigner
        sizes = torch.as_tensor(state.sizes, dtype=torch.float32, device=state.device)

        partner = self._partner(state, images)

        def objective(x: Tensor, rows: Tensor, size: int) -> Tensor:
            q, of_partner = assigner(torch.cat([x, partner(x, rows)])).softmax(-1).chunk(2)
            return -size * mutual_information(q, of_partner, sizes)

        @cache  # Asked for with the last epoch, too, after which nothing is learned.
        def clusters() -> Indices:
            def most_probable(x: Tensor) -> Tensor:
                component: Tensor = assigner(x).argmax(-1)
                return component

            return answers(most_probable, images, state.device, assigner, dtype=np.int64)

        enough = -self.sharp * entr(sizes).sum().item()
        train_phase(
            self,
            dataclasses.replace(self.length, enough=enough),
            objective,
            assigner.parameters(),
            state,
            images,
            y=torch.arange(len(images)),
            # With the exact assignment the guide that is trained has no q(y | x) to be told of
            # labels.
            guide=Guide(state.gmvae.guide.encoder, assigner),
            regularisers=classification(state, images, self.classification_weight),
            labels=clusters,
        )
        return dataclasses.replace(state, clusters=clusters())

    def _partner(self, state: State, images: Images) -> Callable[[Tensor, Tensor], Tensor]:
        """From a batch of images and their rows to what belongs together with each of them."""
        # Of a run that goes on with a model the neighbours are not known.
        if state.learns_from_views or state.pixels is None:
            return lambda x, rows: state.view(x, state.generator)
        near = nearest(alone(state.pixels), self.n_neighbors, state.rng)
        # Rounding differs from one kind of processor to the next, and with it a tie.
        near = state.processes.same(near)
        pairs = pairs_of(images, near, 1.0, state.view, state.generator)
        return lambda x, rows: pairs(x, rows)[1]
