"""The settings of a run, each declared here and nowhere else.

Its check, the options of ``gmvae train`` and ``gmvae select``, the keys of ``--config``, what
``gmvae info`` shows and the page ``docs/settings.md`` are made from its declaration.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gmvae.support import checks
from gmvae.support.choices import (
    MOST_DIMENSIONS,
    Assignment,
    Augmentation,
    Covariance,
    Effort,
    GuideKind,
    LikelihoodName,
    Network,
)
from gmvae.support.declarations import Declaration, by_group, declarations, setting


@dataclass(frozen=True)
class Settings:
    """The settings of a run; the defaults are the ones that work."""

    latent_dim: int = setting(
        2,
        "Number of dimensions D of the latent z.",
        group="model",
        symbol="D",
        least=1,
        most=MOST_DIMENSIONS,
    )
    n_components: int | None = setting(
        None,
        "Number of Gaussians K in the mixture; left out, one for each observed class, else as many "
        "as clusters are found.",
        group="model",
        symbol="K",
        least=1,
    )
    covariance: Covariance = setting(
        "full", "Shape of the covariance of each Gaussian.", group="model"
    )
    network: Network = setting("mlp", "Kind of network of the encoder and decoder.", group="model")
    likelihood: LikelihoodName = setting(
        "bernoulli", "Distribution of a pixel given the latent.", group="model"
    )
    guide: GuideKind = setting(
        "mixture",
        "Form of q(z|x): one Gaussian of diagonal or full covariance, or a mixture of three full "
        "ones.",
        group="model",
    )
    assignment: Assignment = setting(
        "amortised",
        "Where q(y|x) comes from: amortised has a network for it, exact takes p(y|z) itself and "
        "sums y out.",
        group="model",
    )
    augment: Augmentation = setting(
        "affine",
        "Views of an image that training treats as the image itself: affine transforms it, photo "
        "crops and mirrors it and changes light and colours; with none the warm-up learns from "
        "nearest neighbours alone. Images of one row or one column have no views.",
        group="data",
    )
    effort: Effort = setting(
        "standard",
        "Length of all phases together, from a first answer to a longer look; a number of epochs "
        "that is set still wins.",
        group="training",
    )
    epochs: int | None = setting(
        None,
        "Number of epochs of the joint phase; left out, the size of the data decides.",
        group="training",
        symbol="N",
        least=1,
    )
    warmup_epochs: int | None = setting(
        None,
        "Number of epochs of the warm-up; left out, the size of the data decides.",
        group="training",
        symbol="N",
        least=1,
    )
    rounds: int | None = setting(
        None,
        "How often a network learns q(y|x) anew, each time from the answers of the last one; left "
        "out, twice where labels name every component among over 4,000 images, else once.",
        group="training",
        symbol="N",
        least=1,
    )
    batch_size: int = setting(
        128,
        "Number of images in a step of the joint phase.",
        group="training",
        symbol="N",
        least=1,
    )
    lr: float = setting(
        2e-3,
        "Learning rate at the start of the joint phase.",
        group="training",
        symbol="RATE",
        above=0,
    )
    information_weight: float = setting(
        20.0,
        "Weight in the joint phase of the mutual information of the y of an image and that of its "
        "view.",
        group="weights",
        symbol="WEIGHT",
        least=0,
    )
    classification_weight: float = setting(
        20.0,
        "Weight in the joint phase of log q(y|x) on images whose label is observed.",
        group="weights",
        symbol="WEIGHT",
        least=0,
    )
    agreement_weight: float = setting(
        20.0,
        "Weight in the joint phase of what holds p(y|z) to q(y|x) beyond the term of the bound; "
        "the exact assignment, where the two are one, has no use for it.",
        group="weights",
        symbol="WEIGHT",
        least=0,
    )
    held_out: float = setting(
        0.05,
        "Fraction of the images held out from training to tell when to stop.",
        group="data",
        symbol="FRACTION",
        least=0,
        below=1,
    )
    patience: int = setting(
        50,
        "Number of epochs of the joint phase without a better held-out objective (the bound and "
        "the mutual information) after which it stops; the best parameters are kept.",
        group="training",
        symbol="N",
        least=1,
    )
    seed: int = setting(
        0,
        "Seed of every random choice: the same again with the same images, settings, versions and "
        "number of threads. Another number of threads rounds otherwise, so that components of "
        "nearly the same weight, by which they are numbered, may change places.",
        group="training",
        symbol="N",
        least=0,
        most=2**63 - 1,
    )

    def __post_init__(self) -> None:
        for declaration in declarations(type(self)):
            value = getattr(self, declaration.name)
            declaration.check(value)
            # A number of NumPy's, which neither torch's generators nor JSON take.
            if callable(item := getattr(value, "item", None)):
                object.__setattr__(self, declaration.name, item())


def settings_or_defaults(settings: Settings | None) -> Settings:
    """The settings, or the defaults for None.

    Raises:
        ArgumentError: something else.
    """
    remedy = "Of a dict it is gmvae.Settings(**settings)."
    settings = Settings() if settings is None else settings
    return checks.instance("settings", settings, Settings, "gmvae.Settings", remedy)


def markdown(settings_class: type[Any] = Settings) -> str:
    """The page ``docs/settings.md``: a table for each group."""
    lines = [
        "# Settings",
        "",
        "`gmvae.Settings(...)` takes each of these by its name. `gmvae train` and `gmvae select` "
        "take it as an",
        "option, with dashes: `latent_dim` is `--latent-dim`; only `n_components` is "
        "`--components`. The file of",
        "`--config` takes the names of the options.",
        "",
        "This page is made from the declarations in `gmvae/settings.py`; after a change there, "
        "make it again:",
        "",
        "```sh",
        "python -c 'from gmvae.settings import markdown; print(markdown(), end=\"\")' "
        "> docs/settings.md",
        "```",
    ]
    for group, of_group in by_group(settings_class).items():
        lines += ["", f"## {group.capitalize()}", "", "| setting | values | default | meaning |"]
        lines += ["|---|---|---|---|", *map(_row, of_group)]
    return "\n".join(lines) + "\n"


def _row(declaration: Declaration) -> str:
    default = "left out" if declaration.default is None else f"`{declaration.default}`"
    meaning = declaration.help.replace("|", r"\|")
    return f"| `{declaration.name}` | {declaration.values} | {default} | {meaning} |"


def _docstring(settings_class: type[Any]) -> Iterator[str]:
    """The attributes of the class, as its docstring lists them."""
    yield f"{settings_class.__doc__}\n\n    Attributes:"
    for declaration in declarations(settings_class):
        sentence = f"{declaration.name}: {declaration.help[:-1]} ({declaration.values})."
        yield textwrap.fill(
            sentence, 98, initial_indent=" " * 8, subsequent_indent=" " * 12, break_on_hyphens=False
        )


Settings.__doc__ = "\n".join(_docstring(Settings)) + "\n"
