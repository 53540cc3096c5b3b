"""The figures of an evaluation, as a person reads them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


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


def figure_rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The figures in words; those that need labels only where there are some."""
    unit = "nats an image" + ("" if figures["likelihood_normalised"] else ", no normalised density")
    for figure in FIGURES:
        value = figures[figure.key]
        if value is not None:
            words = f"{figure.words} ({unit})" if figure.named else figure.words
            yield words, f"{value:.{figure.decimals}f}"
