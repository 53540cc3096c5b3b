"""Model and guide together, on the bound."""

from dataclasses import dataclass, replace
from functools import partial

from gmvae.data import Images
from gmvae.data.views import OnceABatch
from gmvae.probability.evidence import Bound
from gmvae.training.outcome import figures
from gmvae.training.phases.phase import (
    Length,
    classification,
    frozen_features,
    train_phase,
    with_features_at_hand,
)
from gmvae.training.regularisers import Agreement, MutualInformation, Regulariser
from gmvae.training.state import State


@dataclass(frozen=True)
class Joint:
    r"""Stochastic variational inference on the evidence lower bound itself, on plain images.

    .. math::
        \max\; ELBO(x) + w_I\, I_\pi(y; y') + w_A\, E_{q(z|x')} \sum_y q(y|x) \ln p(y|z)
        + w_C\, E_{labelled} \ln q(y = label \mid x)

    All but the features of q(y | x) is trained. The terms beside the bound keep the clusters
    (:mod:`gmvae.training.regularisers`); they stay outside of model and guide, so that the bound
    is the bound.

    Attributes:
        information_weight: w_I.
        agreement_weight: w_A; not used by the exact assignment, where p(y | z) is q(y | x).
        classification_weight: w_C.
        length: 1,500 steps of 128, 120 epochs of a few hundred images, where the held-out bound
            rises no more; and nine epochs of MNIST, whose bound is that of twelve with the terms
            beside it in every step. Twice the rate changes nothing there; twice the batch with
            twice the rate is slower by two nats after two epochs. Its ``patience`` ends it before.
        regularised_every: steps from one with the terms beside the bound to the next: they take as
            long as the bound, and half of them keep the clusters as well.
    """

    information_weight: float = 20.0
    agreement_weight: float = 20.0
    classification_weight: float = 20.0
    length: Length = Length(
        epochs=9, steps=1_500, batch_size=128, lr=2e-3, most_epochs=120, bounded=False
    )
    regularised_every: int = 2
    name: str = "joint"

    def run(self, state: State, images: Images) -> State:
        """Trains model and guide."""
        gmvae = state.gmvae
        # Without held-out images there is nothing to tell when to stop.
        length = self.length if state.held_out else replace(self.length, patience=None)
        with frozen_features(state.assigner) as frozen:
            train_phase(
                self,
                length,
                Bound(gmvae.model, gmvae.guide),
                [p for p in gmvae.parameters() if p.requires_grad],
                state,
                images,
                y=state.observed_components,
                regularisers=self.regularisers(state, images),
                regularised_every=self.regularised_every,
                validate=partial(figures, state, images),
                before_step=None
                if state.settings.assignment == "exact"
                else with_features_at_hand(frozen, images, state.device),
            )
        return state

    def regularisers(self, state: State, images: Images) -> list[Regulariser]:
        """The terms beside the bound: those whose weight is not 0."""
        # Both ask of the same view of a batch.
        view = OnceABatch(state.view)
        generator, prior = state.generator, state.gmvae.model.prior
        terms: list[Regulariser] = []
        # Agreement first: like the bound before it, it asks for the features of the plain images,
        # which are at hand until the next one asks for those of views.
        if self.agreement_weight and state.settings.assignment == "amortised":
            terms.append(Agreement(self.agreement_weight, prior, view, generator))
        if self.information_weight:
            terms.append(MutualInformation(self.information_weight, view, generator, prior))
        return terms + classification(state, images, self.classification_weight)
