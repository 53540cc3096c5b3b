"""What a page knows of its points: where they lie, what they are called, how sure the model is."""

from typing import Any

import numpy as np

from gmvae.data import Images
from gmvae.explore.numbers import packed
from gmvae.explore.sheets import sheets
from gmvae.gmvae import component_name, component_word
from gmvae.plots import Told
from gmvae.plots.groups import component_of_class
from gmvae.plots.style import COLOURS
from gmvae.report.cards import class_of
from gmvae.support.names import printable

# Probabilities that are kept of each point, the largest: the others together are not seen on a bar.
MOST_PROBABILITIES = 10
# Of a probability, in two bytes.
FULL = 2**16 - 1
# Shapes of the marks, as many as the script draws.
N_MARKS = 6


def points(told: Told, rows: np.ndarray[Any, Any]) -> dict[str, Any]:
    """The points, ready for JSON.

    Args:
        told: what the model says of the N images that are shown.
        rows: their numbers in the set, (N,).
    """
    images = told.images
    most = min(told.honest.shape[1], MOST_PROBABILITIES)
    likeliest = np.argsort(-told.honest, axis=1, kind="stable")[:, :most]
    probabilities = np.take_along_axis(told.honest, likeliest, axis=1)
    names = None if images.files is None else images.files.tolist()
    return {
        "n": len(images),
        "latents": packed(told.latents, "f4"),
        "components": packed(told.components, "u2"),
        "likeliest": packed(likeliest, "u2"),
        "probabilities": packed(np.rint(probabilities * FULL), "u2"),
        "perPoint": most,
        "rows": packed(rows, "u4"),
        "files": names,
        # As they are shown, where that is another word.
        "shown": {i: word for i, n in enumerate(names or ()) if (word := printable(n)) != n},
        "classes": None if images.labels is None else packed(_places(images), "u2"),
        "sheets": vars(sheets(images)),
    }


def groups(told: Told) -> dict[str, Any]:
    """Components and classes: what they are called, and the look of each.

    A class has the colour of the component that stands for it, as in the package's pictures.
    """
    gmvae, images = told.gmvae, told.images
    names = gmvae.component_names
    k = gmvae.config.n_components
    found = {
        "component": {
            "names": [printable(component_name(names, i)) for i in range(k)],
            "short": [printable(component_word(names, i)) for i in range(k)],
            "looks": [look(i) for i in range(k)],
        },
        "class": None,
    }
    if images.labels is not None:
        words = [printable(class_of(images, value)) for value in images.classes]
        places = component_of_class(gmvae, images, told.components)
        found["class"] = {
            "names": words,
            "short": words,
            "looks": [look(places[value]) for value in images.classes],
        }
    return found


def look(i: int) -> tuple[str, int]:
    """Colour and number of the mark of the i-th class or component.

    The colours are those of the package's pictures. The marks change from each to the next, for
    those who see the colours alike, and differ where the colours come again.
    """
    rounds, place = divmod(i, len(COLOURS))
    return COLOURS[place], (place - rounds) % N_MARKS


def _places(images: Images) -> np.ndarray[Any, Any]:
    """Of each image the place of its class among the classes, (N,)."""
    assert images.labels is not None
    return np.searchsorted(np.array(images.classes), images.labels)
