"""A representation in which what is learned together lies together."""

import warnings
from dataclasses import dataclass, replace

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn
from torch.nn import functional as F

from gmvae.data import Images
from gmvae.training.arrays import Array, Indices
from gmvae.training.clustering import find_cells
from gmvae.training.neighbours import nearest
from gmvae.training.phases.finding import seen
from gmvae.training.phases.phase import Length, answers, places, train_phase
from gmvae.training.representation import N_AXES_OF, PIXEL_SHARE, alone, principal_axes
from gmvae.training.state import State

# Images whose views and neighbours tell which cells belong together: hundreds a cell.
_LOOKED_AT = 10_000


@dataclass(frozen=True)
class Cells:
    r"""The features learn to tell many small cells of the representation apart, from views.

    .. math:: \min\; -\sum_c t_{ic} \ln \mathrm{softmax}_c(W h(x_i'))

    with :math:`x_i'` a view of image i, h its features and t its cell, smoothed towards all. The
    cells are far more than there are kinds of images, so that none need hold two kinds; what one
    kind was cut into is hard to tell apart and moves together, and what two kinds shared moves
    apart (Caron et al., *Deep clustering for unsupervised learning of visual features*, ECCV 2018).
    So the valleys between kinds become deep, whatever their sizes: of ten digits in sizes of 1 : 10
    the density of the warm-up, cut into ten, lays two together, and that of these features none.

    Attributes:
        length: as that of the assignment, which learns the same way.
        smoothing: of the targets: about as many as that lie on the wrong side of a border.
        n_views: of each image, that tell which cells belong together.
        n_neighbors: of each image on the pixels' axes, that do so, too: where views change what
            tells kinds apart, neighbours know better, and where a cell is far from all others they
            say nothing of it. Both have half a say: of ten parts of MNIST, even and uneven, cells
            joined by both are .95 to .96 right on average, by views alone .94, by neighbours alone
            .90.
        pixel_share: the standard deviation of the pixels beside the learned part's, where the
            cells are cut: half of it parts what views lay together.
    """

    length: Length = Length(epochs=1, steps=100, batch_size=512, lr=1e-3)
    smoothing: float = 0.1
    n_views: int = 2
    n_neighbors: int = 5
    pixel_share: float = PIXEL_SHARE
    name: str = "cells"

    def run(self, state: State, images: Images) -> State:
        """Trains the features; fills ``state.representation`` anew, and the cells."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            n_components = state.settings.n_components
            cells = find_cells(seen(state, self.pixel_share), n_components, state.rng)
        # As many in every process, however each of them rounds.
        cells = state.processes.same(cells)
        features = state.assigner.features
        head = nn.Linear(features.n_features, int(cells.max()) + 1).to(state.device)

        def objective(x: Tensor, y: Tensor, size: int) -> Tensor:
            logits = head(features(state.view(x, state.generator)))
            return size * F.cross_entropy(logits, y, label_smoothing=self.smoothing)

        def directions(x: Tensor) -> Tensor:
            return F.normalize(features(x), dim=-1)

        module = nn.Sequential(features, head)
        y = torch.as_tensor(cells, device=state.device)
        train_phase(self, self.length, objective, module.parameters(), state, images, y=y)
        # On their axes at once: the features of a million images are a gigabyte.
        few = images.subset(slice(None, None, max(1, len(images) // N_AXES_OF)))
        axes_of = principal_axes(answers(directions, few, state.device, module))
        mean, axes = (torch.as_tensor(values) for values in axes_of)

        def place_and_cell(x: Tensor) -> Tensor:
            h = features(x)
            placed = (F.normalize(h, dim=-1).cpu().double() - mean) @ axes.mT
            cell = head(h).argmax(-1, keepdim=True).cpu().double()
            return torch.cat([placed, cell], dim=-1)

        both = places(place_and_cell, images, state.device, module)
        cells = both[:, -1].astype(np.int64)
        links = self._links(cells, head.out_features, module, state, images)
        return replace(state, representation=both[:, :-1], cells=cells, cell_links=links)

    def _links(
        self, cells: Indices, n_cells: int, module: nn.Module, state: State, images: Images
    ) -> Array:
        """How many images of one cell have views and neighbours in another, symmetric, (M, M).

        A view counts for as much as all views of its image are, and a neighbour likewise. Without
        views neighbours alone say it.

        Args:
            cells: of the images, (N,).
            n_cells: M.
            module: from images to logits of the M cells.
            state: of the run, which has the pixels' axes.
            images: N images.
        """
        rows = np.sort(state.rng.permutation(len(images))[:_LOOKED_AT])
        looked_at, own = images.subset(rows), cells[rows]

        def of_views(x: Tensor) -> Tensor:
            logits: Tensor = module(state.view(x, state.generator))
            return logits

        n_views = self.n_views if state.learns_from_views else 0
        logits = [answers(of_views, looked_at, state.device, module) for _ in range(n_views)]
        assert state.pixels is not None, "the phase `pixels` comes before"
        near = nearest(alone(state.pixels[rows]), self.n_neighbors, state.rng)
        links = np.zeros((n_cells, n_cells))
        for view in logits:
            np.add.at(links, (own, view.argmax(-1)), 1 / n_views)
        for other in own[near].T:
            np.add.at(links, (own, other), 1 / near.shape[1])
        return links + links.T
