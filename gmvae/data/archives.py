"""Under which names others publish pixels and labels in one ``.npz`` file."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from gmvae.support.errors import ContentError
from gmvae.support.names import listed

# The first that an archive holds is taken.
PIXELS = ("data", "images", "imgs", "x")
LABELS = ("labels", "label", "targets", "y")
# MedMNIST has train_images, Keras x_train; what is no part is all of the set.
PARTS = {"": "all", "train": "train", "test": "test", "val": "val", "valid": "val"}


@dataclass
class Layout:
    """The arrays of an archive, by the part that they are of: all, train, test or val.

    Attributes:
        pixels: names of arrays of pixels.
        labels: names of arrays of labels.
    """

    pixels: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def layout_of(names: Sequence[str], archive: str) -> Layout:
    """Which of the arrays called ``names`` are pixels and which are labels.

    Pixels are called data, images, imgs or x, labels labels, label, targets or y; of a part with
    train, test or val before or behind: ``train_images``, ``x_train``. Capitals do not count.

    Args:
        names: of the arrays.
        archive: what the file is called, for the error message.

    Raises:
        ContentError: none of the names is one for pixels.

    Example:
        >>> layout_of(["x_train", "y_train", "x_test", "y_test"], "mnist.npz").pixels
        {'train': 'x_train', 'test': 'x_test'}
    """
    layout = Layout()
    parts = {name: _part_and_word(name) for name in names}
    for words, places in ((PIXELS, layout.pixels), (LABELS, layout.labels)):
        for part in ("all", "train", "test", "val"):
            of_part = {word: name for name, (p, word) in parts.items() if p == part}
            for word in words:
                if word in of_part:
                    places.setdefault(part, of_part[word])
    if not layout.pixels:
        raise ContentError(
            f"`{archive}` expected an array `data` (and maybe `labels`); got "
            f"{listed(names) or 'none'}. Save it with numpy.savez(path, data=..., labels=...)."
        )
    return layout


def _part_and_word(name: str) -> tuple[str, str]:
    """``train_images`` as train and images; a name of another kind as no part at all."""
    match = re.fullmatch(
        r"(?:(train|test|valid|val)_?)?(data|images|imgs|x|labels|label|targets|y)"
        r"(?:_?(train|test|valid|val))?",
        name.lower(),
    )
    if match is None or (match[1] and match[3]):
        return "", name
    return PARTS[match[1] or match[3] or ""], match[2]
