"""Before all others: where the images lie by their pixels alone."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gmvae.data import Images
from gmvae.data.images import rows_at_once
from gmvae.training.neighbours import nearest
from gmvae.training.phases.phase import answers, places
from gmvae.training.representation import alone, principal_axes
from gmvae.training.state import State

# Of each view: three of ten views are as good as one of thirty.
N_OF_VIEW = 3


@dataclass(frozen=True)
class PixelAxes:
    r"""The principal axes of coarse pixels, and every image on them.

    .. math:: p_i = A (\bar x_i - m)

    with :math:`\bar x_i` the image, averaged down to ``side`` pixels, and m and A the mean and
    the leading axes of a random part of the images.

    It comes first for four uses: the warm-up learns from neighbours on these axes, neighbours say
    which cells belong together, the start lays them beside what was learned, since views hide what
    they change, and views of an image have neighbours there: a slanted 1, sheared, lies among the
    upright ones.

    Attributes:
        side: the most pixels along a side: the axes cost the cube of their number, and finer
            detail is noise to a distance.
        n_views: of each image, whose neighbours are looked for; 0 for none.
        n_images: the most that the axes are computed of: 50 axes of a few thousand images are
            those of all.
    """

    n_views: int = 0
    side: int = 32
    n_images: int = 4_000
    name: str = "pixels"
    once: ClassVar[bool] = True

    def run(self, state: State, images: Images) -> State:
        """Fills ``state.pixels``, and ``view_neighbours`` where there are views."""
        coarse = nn.AdaptiveAvgPool2d(
            (min(images.shape[1], self.side), min(images.shape[2], self.side))
        )
        rows = np.sort(state.rng.permutation(len(images))[: self.n_images])
        n_at_once = rows_at_once(images.shape, len(rows))
        parts = [
            coarse(images.tensor(rows[start : start + n_at_once])).flatten(1)
            for start in range(0, len(rows), n_at_once)
        ]
        sample = torch.cat(parts).double().numpy()
        # On the CPU, in double precision, which not every device has (Apple's has not).
        mean, axes = map(torch.as_tensor, principal_axes(sample))

        def place(x: Tensor) -> Tensor:
            on_axes: Tensor = (coarse(x).flatten(1) - mean) @ axes.mT
            return on_axes

        def place_of_view(x: Tensor) -> Tensor:
            return place(state.view(x, state.generator))

        cpu = torch.device("cpu")
        pixels = places(place, images, cpu)
        neighbours = [
            nearest(alone(pixels), N_OF_VIEW, state.rng, answers(place_of_view, images, cpu))
            for _ in range(self.n_views if state.learns_from_views else 0)
        ]
        of_views = np.concatenate(neighbours, axis=1) if neighbours else None
        return replace(state, pixels=pixels, view_neighbours=of_views)
