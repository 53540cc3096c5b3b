"""Several clusterings are tried before one is kept."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import normalized_mutual_info_score
from torch import Generator, Tensor
from torch.special import entr

from gmvae.data import Images
from gmvae.networks import Assigner
from gmvae.training.arrays import Array, Indices
from gmvae.training.loop import Progress
from gmvae.training.phases.assignment import Assignment
from gmvae.training.phases.phase import Length, answers
from gmvae.training.phases.sharpening import Sharpening
from gmvae.training.regularisers import mutual_information
from gmvae.training.state import State, Unsaved

# Clusterings that know so much of each other are of one structure, and err at other images. Of 18
# sets of seven and ten digits, mean accuracy after the trial: .903 for the best alone, .917 for the
# mean of it and those that know .6 to .8 of it, .912 at .85; and .921 where the best one counts as
# much as all others, which it is wise to doubt: they were not chosen.
_ALIKE = 0.7


@dataclass(frozen=True)
class Trial:
    r"""A copy of q(y | x) learns each clustering; neighbours and views say which one is kept.

    .. math:: \max_j\; m_j + I_j(y; y') / H_j(y)

    with m the merit of clustering j by who is whose neighbour (:mod:`gmvae.training.judges`), y of
    an image and y' of views that the copy has not seen, once it has learned the clustering as the
    next phases would: how much of what there is to know of a view's component its image says, 1 at
    most, whatever the sizes. Where a clustering cuts through one kind of image, views change sides
    at the cut; where it lays two kinds together they do not, but then there is less to know. Judged
    before they are learned, clusterings that differ by a fifth of the images are within the noise.
    Of 30 sets of 170 to 1,700 images of digits and MNIST, 22 had a right and a wrong nominee, and
    the right one was kept of 18; what a favourite loses was chosen on these sets.

    What its copy learned is not kept alone: where copies of other clusterings say much the same,
    each image goes where it and their mean put it together (Strehl and Ghosh, *Cluster ensembles*,
    Journal of Machine Learning Research 2002), since each errs at images of its own.

    Attributes:
        assignment: how long a copy learns the clustering.
        sharpening: how long it corrects it: half of a sharpening decided as the whole one did on 13
            of 14 sets.
        n_views: of each image, to compare with.
    """

    assignment: Length = Assignment.length
    sharpening: Length = Sharpening.length.scaled(0.5)
    n_views: int = 8
    name: str = "trial"

    def run(self, state: State, images: Images) -> State:
        """Chooses ``state.clusters`` among ``state.nominees``, which go."""
        nominees, merits = state.nominees, state.merits
        ended = replace(state, nominees=None, merits=None)
        # Without views nothing new is learned of a clustering.
        if nominees is None or merits is None or len(nominees) == 1 or not state.learns_from_views:
            return ended
        shares: list[float] = []
        learned: list[Array] = []
        kept: Indices | None = None
        for number, clusters in enumerate(nominees, 1):
            # Not saved while it trains: it takes seconds, and only its verdict is kept. But it ends
            # with the run, which begins the phase again when it goes on.
            tried = replace(
                state,
                clusters=clusters,
                assigner=copy.deepcopy(state.assigner),
                checkpoints=None if state.checkpoints is None else Unsaved(state.checkpoints),
                callback=None,
                history=[],
            )
            tried = Assignment(length=self.assignment).run(tried, images)
            tried = Sharpening(length=self.sharpening).run(tried, images)
            q, share = self.kept_by_views(tried.assigner, state, images)
            learned.append(q)
            shares.append(share)
            if number == len(nominees):
                kept = together(learned, int(np.argmax(merits + np.array(shares))))
            metrics = {"kept_by_views": share}
            state.report(Progress(self.name, number, len(nominees), metrics, labels=kept))
        return replace(ended, clusters=kept)

    def kept_by_views(
        self, assigner: Assigner, state: State, images: Images
    ) -> tuple[Array, float]:
        """q(y | x) of images, (N, K), and I(y; y') / H(y) of them and views of them.

        The share is 1 where nothing is left to know. The views are the same for every clustering.
        """
        generator = Generator().manual_seed(state.settings.seed)

        def of_images(x: Tensor) -> Tensor:
            probabilities: Tensor = assigner(x).softmax(-1)
            return probabilities

        def of_views(x: Tensor) -> Tensor:
            return of_images(state.view(x, generator))

        q_of_images = answers(of_images, images, state.device, assigner)
        views = [answers(of_views, images, state.device, assigner) for _ in range(self.n_views)]
        others = torch.cat([torch.as_tensor(view) for view in views])
        q = torch.as_tensor(q_of_images).repeat(self.n_views, 1)
        entropy = entr((q.mean(0) + others.mean(0)) / 2).sum()
        share = float(mutual_information(q, others) / entropy) if entropy > 0 else 1.0
        return q_of_images, share


def together(learned: Sequence[Array], best: int) -> Indices:
    """Where the best probabilities, and the mean of those much like them, put each image, (N,).

    Args:
        learned: probabilities of the components, (N, K) each, of J clusterings.
        best: which of them the others are matched to, component by component.
    """
    of_best: Indices = learned[best].argmax(-1)
    others = []
    for j, q in enumerate(learned):
        if j != best and normalized_mutual_info_score(of_best, q.argmax(-1)) >= _ALIKE:
            _, columns = linear_sum_assignment(-learned[best].T @ q)
            others.append(q[:, columns])
    if not others:
        return of_best
    agreed: Indices = (learned[best] + np.mean(others, axis=0)).argmax(-1)
    # Not where a small cluster would be lost to the others' votes.
    return agreed if len(np.unique(agreed)) == len(np.unique(of_best)) else of_best
