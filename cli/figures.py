"""The figures of an evaluation, as a person reads them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gmvae import GMVAE


@dataclass(frozen=True)
class Figure:
    """One of them.

    Attributes:
        key: its name in ``metrics.json``.
        words: for a person.
        decimals: that are shown.
        better: the sign of what is better, 1 or -1; 0 for a figure that is neither.
        in_nats: whether it compares only between models of the same images, where it is of no
            normalised density not even between likelihoods.
        named: whether a unit stands beside its words.
    """

    key: str
    words: str
    decimals: int = 4
    better: int = 1
    in_nats: bool = False
    named: bool = False


FIGURES = (
    Figure("acc_named", "accuracy of predicted labels"),
    Figure("acc", "accuracy, components matched to classes"),
    Figure("acc_latent", "the same by p(y | z)"),
    Figure("nmi", "normalised mutual information"),
    Figure("ari", "adjusted Rand index"),
    Figure("f1_macro", "F1, macro"),
    Figure("f1_micro", "F1, micro"),
    Figure("f1_mean", "F1, mean of the two"),
    Figure("ssim", "structural similarity (SSIM)"),
    Figure("one_minus_mse", "1 - mean squared error"),
    Figure("elbo", "ELBO", 2, 1, True, True),
    Figure("reconstruction", "   reconstruction", 2, 0, True),
    Figure("kl_z", "   KL of z", 2, 0, True),
    Figure("kl_y", "   KL of y", 2, 0, True),
    Figure("log_likelihood", "log-likelihood", 2, 1, True, True),
    Figure("effective_components", "components in use", 2, 0),
    Figure("smallest_weight", "smallest weight", 4, 0),
)


# Those that compare labels with the names of components.
OF_NAMES = ("acc_named", "f1_macro", "f1_micro", "f1_mean")


def without_nameless(
    figures: Mapping[str, Any], gmvae: "GMVAE", training: Mapping[str, Any]
) -> dict[str, Any]:
    """The figures, those of names None where a model went on and its new components have none.

    Their images are of classes that no name stands for yet: each would count as wrong.

    Args:
        figures: of an evaluation.
        gmvae: the model.
        training: the section of the run's configuration.
    """
    names = gmvae.component_names or ()
    if training.get("from") is None or None not in names:
        return dict(figures)
    return {**figures, **dict.fromkeys(OF_NAMES)}


def figure_rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The figures in words; those that need labels only where there are some."""
    unit = "nats an image" + ("" if figures["likelihood_normalised"] else ", no normalised density")
    for figure in FIGURES:
        value = figures[figure.key]
        if value is not None:
            words = f"{figure.words} ({unit})" if figure.named else figure.words
            yield words, f"{value:.{figure.decimals}f}"
