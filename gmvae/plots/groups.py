"""Which class goes with which component, so that one colour means one thing in all pictures."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gmvae.answers import probability_of_components
from gmvae.data import Images
from gmvae.data.images import rows_at_once
from gmvae.gmvae import GMVAE
from gmvae.metrics import matching
from gmvae.plots.style import Array, array


@dataclass(frozen=True)
class Told:
    """What a model says of N images, for pictures.

    Attributes:
        latents: (N, D).
        components: the most probable one by q(y | x), (N,).
        sharp: q(y | x), (N, K).
        honest: how probable each component is, (N, K): see `probability_of_components`.
    """

    latents: Array
    components: NDArray[np.int64]
    sharp: Array
    honest: Array

    @classmethod
    def of(cls, gmvae: GMVAE, images: Images) -> "Told":
        """Ask the model, some images at a time."""
        step = rows_at_once(images.shape, 1024)
        latents, sharp, honest = [], [], []
        for start in range(0, len(images), step):
            x = images.tensor(slice(start, start + step))
            z, q_y = gmvae.encode(x), gmvae.classify(x)
            latents.append(array(z))
            sharp.append(array(q_y))
            honest.append(array(probability_of_components(gmvae, x, q_y, z)))
        joined = [np.concatenate(blocks) for blocks in (latents, sharp, honest)]
        return cls(joined[0], joined[1].argmax(1), joined[1], joined[2])


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
    return images.class_names.get(value, str(value))
