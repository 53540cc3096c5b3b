"""Which class goes with which component, so that one colour means one thing in all pictures."""

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from gmvae.answers import probability_of_components
from gmvae.data import Images
from gmvae.data.images import rows_at_once
from gmvae.gmvae import GMVAE
from gmvae.metrics import matching
from gmvae.plots.style import Array, array, even_share, plain


class Told:
    """What a model says of N images, for pictures: each is asked once, when it is first looked at.

    Pictures of the same images that are handed the same one share what it was told.

    Attributes:
        gmvae: the model.
        images: N images.
    """

    def __init__(self, gmvae: GMVAE, images: Images) -> None:
        self.gmvae, self.images = gmvae, images

    @cached_property
    def latents(self) -> Array:
        """The encoded images, (N, D): see :meth:`gmvae.GMVAE.encode`."""
        return array(self.gmvae.encode(self.images))

    @cached_property
    def sharp(self) -> Array:
        """q(y | x), (N, K)."""
        return array(self.gmvae.classify(self.images))

    @cached_property
    def components(self) -> NDArray[np.int64]:
        """The most probable one by q(y | x), (N,)."""
        most_probable: NDArray[np.int64] = self.sharp.argmax(1)
        return most_probable

    @cached_property
    def honest(self) -> Array:
        """How probable each component is, (N, K): see `probability_of_components`.

        With its views of every image it takes as long as all the others several times.
        """
        step = rows_at_once(self.images.shape, 1024)
        q_y, z = torch.as_tensor(self.sharp), torch.as_tensor(self.latents)
        blocks = []
        for start in range(0, len(self.images), step):
            rows = slice(start, start + step)
            x = self.images.tensor(rows)
            blocks.append(array(probability_of_components(self.gmvae, x, q_y[rows], z[rows])))
        return np.concatenate(blocks)

    @property
    def probability(self) -> Array:
        """How probable the most probable component is, (N,)."""
        probability: Array = self.honest[range(len(self.components)), self.components]
        return probability

    def thinned(self) -> "Told":
        """Of an even share of the images where there are too many to draw."""
        rows = even_share(len(self.images))
        if len(rows) == len(self.images):
            return self
        few = Told(self.gmvae, self.images.subset(rows))
        few.latents, few.sharp = self.latents[rows], self.sharp[rows]
        return few


def component_of_class(
    gmvae: GMVAE, images: Images, components: NDArray[np.int64]
) -> dict[int, int]:
    """From each class of labelled images to the component that stands for it.

    By the names of the components; a class that names none by the matching that agrees on most
    images (Hungarian). A class that is left over gets a number beyond those of the components.

    Args:
        gmvae: the model.
        images: N images with labels.
        components: of them, (N,).
    """
    assert images.labels is not None
    k = gmvae.config.n_components
    places: dict[int, int] = {}
    for component, value in enumerate(gmvae.component_classes or ()):
        if value is not None:
            places.setdefault(value, component)
    matched = {value: c for c, value in matching(images.labels, components).items()}
    for value in images.classes:
        if value not in places and matched.get(value) not in {*places.values(), None}:
            places[value] = matched[value]
    for value in images.classes:
        places.setdefault(value, max(k, max(places.values(), default=0) + 1))
    return {value: places[value] for value in images.classes}


def class_word(images: Images, value: int) -> str:
    """``cat``, or ``8`` for a class without a word."""
    return plain(images.class_names.get(value, str(value)))
