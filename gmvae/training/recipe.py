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
# takes some two seconds and costs three points of accuracy (.94 for .97, five seeds), .07 five.
EFFORTS: dict[Effort, float] = {"quick": 0.1, "standard": 1.0, "thorough": 3.0}
# A second round has a better teacher, and learns from it for longer.
_AGAIN = 2.0
# Images, for which cells are learned first: of fewer a cell has some ten, which a network learns by
# heart (340 digits of five sizes: the start falls from .99 to .82).
_LEAST_OF_CELLS = 2_000
# Pairs of two images in the warm-up of fewer: of half of them the density has peaks that are no
# kinds (10 to 13 are found of ten digits, five seeds; of a quarter 9 to 11, of none likewise).
_SHARE_OF_FEW = 0.25
# Views of each of fewer images, whose neighbours are looked for: three of each, thirty in all.
N_VIEWS = 10
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
                    whatever their sizes
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
    factor = EFFORTS[settings.effort]

    def lasting(length: Length, exactly: int | None = None) -> Length:
        return replace(length.scaled(factor), exactly=exactly)

    rounds: list[Phase] = []
    last = n_rounds(settings, n_images, labels_lead)
    for number in range(1, last + 1):
        learning = Assignment.length if number == 1 else Assignment.length.scaled(_AGAIN)
        sharpening = Sharpening.length
        if number < last:
            sharpening = replace(sharpening, epochs=_NOT_LAST)
        rounds.append(Assignment(number, lasting(learning)))
        rounds.append(Sharpening(number, lasting(sharpening)))
    joint = replace(
        lasting(Joint.length, settings.epochs),
        batch_size=settings.batch_size,
        lr=settings.lr,
        patience=settings.patience,
    )
    pixels, warm_up = PixelAxes(), WarmUp(lasting(WarmUp.length, settings.warmup_epochs))
    if n_images >= _LEAST_OF_CELLS:
        finding: list[Phase] = [pixels, warm_up, Cells(lasting(Cells.length)), Start(pixel_share=0)]
    else:
        pixels = replace(pixels, n_views=N_VIEWS)
        warm_up = replace(warm_up, share=_SHARE_OF_FEW)
        trial = Trial(lasting(Trial.assignment), lasting(Trial.sharpening))
        finding = [pixels, warm_up, Start(), trial]
    # A tenth of its steps leaves reconstructions worse than the mean image (digits 1, 4 and 8).
    covering = [Covering(lasting(Covering.length))] if settings.effort != "quick" else []
    return [
        *finding,
        *rounds,
        Placing(lasting(Placing.length)),
        Joint(
            settings.information_weight,
            settings.agreement_weight,
            settings.classification_weight,
            joint,
        ),
        *covering,
    ]


def n_rounds(settings: Settings, n_images: int, labels_lead: bool) -> int:
    """How often q(y | x) is learned.

    Among few images the start has seen them all, and a second round finds little to correct.
    """
    if settings.rounds is not None:
        return settings.rounds
    return 2 if labels_lead and n_images > N_CLUSTERED else 1
