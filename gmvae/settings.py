"""The settings of a run."""

import math
from dataclasses import dataclass
from typing import get_args

from gmvae.config import CHOICES
from gmvae.support import checks
from gmvae.support.choices import (
    MOST_DIMENSIONS,
    Assignment,
    Augmentation,
    Covariance,
    Effort,
    LikelihoodName,
    Network,
)


@dataclass(frozen=True)
class Settings:
    """The settings of a run; the defaults are the ones that work.

    Attributes:
        latent_dim: D, dimensions of the latent, 1 to 10,000.
        n_components: K, components of the mixture.
        covariance: of the components: ``spherical``, ``diagonal`` or ``full``.
        network: encoder and decoder: ``mlp`` or ``conv``.
        likelihood: ``bernoulli``, ``continuous-bernoulli`` or ``gaussian``.
        assignment: ``amortised`` (a network for q(y | x)) or ``exact`` (y summed out).
        augment: views for the warm-up and the mutual information: ``affine`` or ``none``, where
            the warm-up learns from each image's nearest neighbours.
        effort: scales the length of all phases: ``quick``, ``standard`` or ``thorough``.
        epochs: of the joint phase; None for as many as the size of the data asks for.
        warmup_epochs: of the warm-up; None likewise.
        rounds: how often a network learns q(y | x) anew, each time from the last one's answers;
            None for two where labels name every component and images are many, else one.
        batch_size: images a step in the joint phase.
        lr: learning rate at the start of the joint phase.
        information_weight: of the mutual information, in the joint phase.
        classification_weight: of log q(y | x) on labelled rows, in the joint phase.
        agreement_weight: of what holds p(y | z) to q(y | x) in the joint phase, beyond the bound's
            own term; not used by the exact assignment, where the two are one.
        held_out: fraction of the images held out for early stopping, 0 to below 1.
        patience: epochs of the joint phase without a better held-out objective (the bound and
            the mutual information) before it stops; the parameters with the best one are kept.
        seed: of every random choice.
    """

    latent_dim: int = 2
    n_components: int = 10
    covariance: Covariance = "full"
    network: Network = "mlp"
    likelihood: LikelihoodName = "bernoulli"
    assignment: Assignment = "amortised"
    augment: Augmentation = "affine"
    effort: Effort = "standard"
    epochs: int | None = None
    warmup_epochs: int | None = None
    rounds: int | None = None
    batch_size: int = 128
    lr: float = 2e-3
    information_weight: float = 20.0
    classification_weight: float = 20.0
    agreement_weight: float = 20.0
    held_out: float = 0.05
    patience: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        checks.whole("latent_dim", self.latent_dim, least=1, most=MOST_DIMENSIONS)
        for name in ("n_components", "batch_size", "patience"):
            checks.whole(name, getattr(self, name), least=1)
        for name in ("epochs", "warmup_epochs", "rounds"):
            if getattr(self, name) is not None:
                checks.whole(name, getattr(self, name), least=1)
        checks.whole("seed", self.seed, least=0, most=2**63 - 1)
        checks.number("lr", self.lr, "above 0, and finite", lambda lr: 0 < lr < math.inf)
        for name in ("information_weight", "classification_weight", "agreement_weight"):
            checks.number(
                name, getattr(self, name), "at least 0, and finite", lambda w: 0 <= w < math.inf
            )
        checks.number("held_out", self.held_out, "0 to below 1", lambda part: 0 <= part < 1)
        for name in ("covariance", "network", "likelihood", "assignment"):
            checks.one_of(name, getattr(self, name), CHOICES[name])
        checks.one_of("effort", self.effort, get_args(Effort))
        checks.one_of("augment", self.augment, get_args(Augmentation))


def given_settings(settings: Settings | None) -> Settings:
    """The settings, or the defaults for None.

    Raises:
        ArgumentError: something else.
    """
    remedy = "Of a dict it is gmvae.Settings(**settings)."
    given = Settings() if settings is None else settings
    return checks.instance("settings", given, Settings, "gmvae.Settings", remedy)
