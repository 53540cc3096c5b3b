"""The phases of a run, in order.

Trained from a random start, the bound falls and the components mean nothing: which clusters
form is decided in the first steps, and the bound hardly tells good ones from bad ones. So the
clusters are found first, where they are easy to see, and the model is organised around them. Each
phase says in its docstring what it does, by which equation, and where that comes from.
"""

from dataclasses import replace

from gmvae.settings import Settings, settings_or_defaults
from gmvae.support.choices import Effort
from gmvae.training.clustering import N_CLUSTERED
from gmvae.training.phases import (
    Assignment,
    Cells,
    Covering,
    Joint,
    Length,
    Phase,
    PixelAxes,
    Placing,
    Sharpening,
    Start,
    Trial,
    WarmUp,
)

# How long the phases last, all together, in units of the standard. On a few hundred digits a tenth
# takes some four seconds.
EFFORTS: dict[Effort, float] = {"quick": 0.1, "standard": 1.0, "thorough": 3.0}
# A second round has a better teacher, and learns from it for longer.
_AGAIN = 2.0
# Images that are many. For those cells are learned first: of fewer a cell has some ten, which a
# network learns by heart (340 digits of five sizes: the start falls from .99 to .82).
_MANY = 2_000
# Pairs of two images in the warm-up of fewer: of half of them the density has peaks that are no
# kinds (10 to 13 are found of ten digits, five seeds; of a quarter 9 to 11, of none likewise).
_SHARE_OF_FEW = 0.25
# Views of each of fewer images, whose neighbours are looked for: three of each, thirty in all.
N_VIEWS = 10
# How much longer than a tenth the warm-up and every assignment of a quick run are: clusters are
# found in the one, and corrected once q(y | x) has learned them in the other. Of all of MNIST .971
# are right after 42 CPU seconds, where cells and all phases of a tenth had .64 after 45; of the ten
# digits .93 and .85 (two seeds) after six, where .48 and .28 were after four.
_QUICK_WARM_UP, _QUICK_ASSIGNMENT = 4.0, 5.0
# Epochs of the sharpening whose answers are only a teacher's.
_NOT_LAST = 2


def recipe(
    settings: Settings | None = None, n_images: int = 0, *, labels_lead: bool = False
) -> list[Phase]:
    """The phases that :func:`~gmvae.fit` runs: a list to change, and to hand to it.

    ==============  ==============================================================================
    phase           what it does
    ==============  ==============================================================================
    ``pixels``      looks at the images along the principal axes of their pixels
    ``warm-up``     learns a representation in which images of one kind lie together
    ``cells``       of 2,000 images or more: makes it one in which kinds of images lie apart,
                    whatever their sizes; not in a quick run
    ``start``       finds the clusters in it, and their number, or spreads the observed labels
                    over it
    ``trial``       of fewer than 2,000 images: tries several clusterings, and keeps the one that
                    neighbours and views of the images support most
    ``assignment``  teaches q(y | x) the clusters, and it corrects many of them
    ``sharpening``  lets it correct more: an image and its view belong together
    ``placing``     gives each component a place in the latent, and the encoder lays its images
                    there
    ``joint``       trains model and guide on the bound, by stochastic variational inference
    ``covering``    trains the encoder alone, so that q(z | x) covers the posterior; not in a quick
                    run
    ==============  ==============================================================================

    Args:
        settings: how; the defaults for None.
        n_images: that are trained on; 0 where that is not known yet.
        labels_lead: whether labels of as many classes as there are components are observed.
    """
    settings = settings_or_defaults(settings)
    joint = replace(
        _lasting(settings, Joint.length, settings.epochs),
        batch_size=settings.batch_size,
        lr=settings.lr,
        patience=settings.patience,
    )
    # A tenth of its steps leaves reconstructions worse than the mean image (digits 1, 4 and 8).
    covering = [] if settings.effort == "quick" else [_covering(settings, n_images)]
    return [
        *_finding(settings, n_images),
        *_rounds(settings, n_images, labels_lead),
        Placing(_lasting(settings, Placing.length)),
        Joint(
            settings.information_weight,
            settings.agreement_weight,
            settings.classification_weight,
            joint,
        ),
        *covering,
    ]


def _lasting(settings: Settings, length: Length, exactly: int | None = None) -> Length:
    """A length by the effort, or the epochs that the user asked for."""
    return replace(length.scaled(EFFORTS[settings.effort]), exactly=exactly)


def _covering(settings: Settings, n_images: int) -> Covering:
    """The phase that trains the encoder alone."""
    phase = Covering() if n_images < _MANY else Covering.of_many()
    return replace(phase, length=_lasting(settings, phase.length))


def _finding(settings: Settings, n_images: int) -> list[Phase]:
    """The phases that find the clusters."""
    length = _if_quick(settings, WarmUp.length, _QUICK_WARM_UP)
    pixels, warm_up = PixelAxes(), WarmUp(_lasting(settings, length, settings.warmup_epochs))
    if n_images < _MANY:
        pixels = replace(pixels, n_views=N_VIEWS)
        warm_up = replace(warm_up, share=_SHARE_OF_FEW)
        learning = _if_quick(settings, Trial.assignment, _QUICK_ASSIGNMENT)
        trial = Trial(_lasting(settings, learning), _lasting(settings, Trial.sharpening))
        return [pixels, warm_up, Start(), trial]
    if settings.effort == "quick":
        return [pixels, warm_up, Start()]
    return [pixels, warm_up, Cells(_lasting(settings, Cells.length)), Start(pixel_share=0)]


def _rounds(settings: Settings, n_images: int, labels_lead: bool) -> list[Phase]:
    """The phases that teach q(y | x) the clusters, round by round."""
    phases: list[Phase] = []
    last = n_rounds(settings, n_images, labels_lead)
    for number in range(1, last + 1):
        learning = _if_quick(settings, Assignment.length, _QUICK_ASSIGNMENT)
        sharpening = Sharpening.length
        if number > 1:
            learning = learning.scaled(_AGAIN)
        if number < last:
            sharpening = replace(sharpening, epochs=_NOT_LAST)
        phases.append(Assignment(number, _lasting(settings, learning)))
        phases.append(Sharpening(number, _lasting(settings, sharpening)))
    return phases


def _if_quick(settings: Settings, length: Length, times: float) -> Length:
    """A length so many times as long in a quick run."""
    return length.scaled(times) if settings.effort == "quick" else length


def n_rounds(settings: Settings, n_images: int, labels_lead: bool) -> int:
    """How often q(y | x) is learned.

    Among few images the start has seen them all, and a second round finds little to correct.
    """
    if settings.rounds is not None:
        return settings.rounds
    return 2 if labels_lead and n_images > N_CLUSTERED else 1
