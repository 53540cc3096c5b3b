"""How a Gaussian-mixture VAE is trained so that it clusters.

Trained from a random start, the bound falls and the components mean nothing: which clusters
form is decided in the first steps, and the bound hardly tells good ones from bad ones. So the
clusters are found first, where they are easy to see, and the model is organised around them:

1. ``warm-up``: a representation in which images of one kind lie together. The convolutions of
   q(y | x) learn to recognise each image among others from transformed views of it (instance
   contrast: :mod:`gmvae.training.contrast`). Without views, from its nearest neighbours.
2. ``start``: the clusters of that representation, with the pixels beside it where it is of views
   (:mod:`gmvae.training.clustering`); labels, where there are some, spread over it instead.
   Clusters of a part of many images are then refined among more of them.
3. ``assignment``: q(y | x) learns these clusters from views, and corrects many of them, since a
   network learns what is regular before what is not. ``sharpening``: then it maximises the mutual
   information between an image's component and its view's (:mod:`gmvae.training.regularisers`),
   and the probability of the labels where there are some. A second round of both, with a new
   network, corrects what the first one had to start from (self-training: Xie et al., *Self-training with
   noisy student improves ImageNet classification*, CVPR 2020).
4. ``placing``: each component gets a place in the latent, and the encoder learns, under a large
   KL weight, to lay each cluster there. Without this step the latent may tangle the classes, and
   p(y | z) never comes to agree with q(y | x).
5. ``joint``: all but the features of q(y | x), by stochastic variational inference on the bound
   itself, on plain images; beside it the mutual information, and what holds p(y | z) to q(y | x).
"""

import dataclasses
import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pyro
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Generator, Tensor, nn
from torch.nn import functional as F
from torch.optim.optimizer import ParamsT

from gmvae.config import Config
from gmvae.data import Images
from gmvae.data.views import AUGMENTATIONS, View
from gmvae.gmvae import GMVAE, build_assigner
from gmvae.metrics import effective_number
from gmvae.networks import Assigner, Frozen
from gmvae.probability.guide import Guide
from gmvae.probability.likelihood import Likelihood
from gmvae.settings import Settings, given_settings
from gmvae.support import checks
from gmvae.support.errors import ArgumentError
from gmvae.training.arrays import Array, Indices
from gmvae.training.clustering import N_CLUSTERED, find_clusters
from gmvae.training.communities import refined
from gmvae.training.contrast import (
    N_PARTNERS,
    contrastive_loss,
    pairs_of_neighbours,
    pairs_of_views,
)
from gmvae.training.held_out import check_components, hold_out
from gmvae.training.loop import Callback, Metrics, Progress, Schedule, train
from gmvae.training.neighbours import nearest
from gmvae.training.places import centres, place
from gmvae.training.regularisers import (
    Agreement,
    Classification,
    MutualInformation,
    Regulariser,
    mutual_information,
)
from gmvae.training.representation import PIXEL_SHARE, beside, principal_axes


@dataclass(frozen=True)
class Fit:
    """A trained model and how its training went.

    Attributes:
        gmvae: the model.
        history: one row of figures an epoch.
        warnings: what should worry its user.
        figures: of the model on the held-out images (where none are held out, on the training
            images, or 2,000 of them), in nats an image: ``loss``, what is minimised; ``elbo`` and
            its parts ``reconstruction``, ``kl_z`` and ``kl_y``; and ``effective_components``.
    """

    gmvae: GMVAE
    history: list[dict[str, float | str]] = field(repr=False)
    warnings: tuple[str, ...] = ()
    figures: Metrics = field(default_factory=dict)


@dataclass(frozen=True)
class _Length:
    """How long a phase lasts: so many epochs; more, up to ``most_epochs``, for too few steps.

    Fewer, but not fewer steps, where its objective comes down to ``enough``.
    """

    epochs: int
    steps: int
    batch_size: int
    lr: float
    kl_weight: float = 1.0
    patience: int | None = None
    enough: float = -math.inf
    most_epochs: int = 200

    def schedule(self, n_batches: int, epochs: int | None = None) -> Schedule:
        """For so many batches an epoch; ``epochs`` in place of its own where they are given."""
        least = min(math.ceil(self.steps / n_batches), self.most_epochs)
        return Schedule(
            epochs or max(self.epochs, least),
            self.batch_size,
            self.lr,
            kl_start=self.kl_weight,
            kl_end=self.kl_weight,
            patience=self.patience,
            enough=self.enough,
            least_epochs=least,
        )


_CONTRAST = _Length(epochs=8, steps=270, batch_size=512, lr=2e-3, most_epochs=300)
_CONTRAST_DIM = 32
# The most pixels along a side that the start looks at.
_COARSE = 32
_ASSIGN = _Length(epochs=2, steps=100, batch_size=512, lr=1e-3)
_ASSIGN_AGAIN = _Length(epochs=4, steps=200, batch_size=512, lr=1e-3)
# Before the last round, whose answers stay, half as long is enough.
_SHARPEN_FIRST = _Length(epochs=5, steps=150, batch_size=512, lr=1e-3)
_SHARPEN = _Length(epochs=10, steps=150, batch_size=512, lr=1e-3)
# The share of ln K, the most that the mutual information can be, at which it is sharp.
_SHARP = 0.95
_PLACE = _Length(epochs=4, steps=120, batch_size=256, lr=1e-3, kl_weight=100.0)
# The closest two means, in units of the components' standard deviation.
_GAP = 5.0
_JOIN = _Length(epochs=12, steps=1_500, batch_size=128, lr=2e-3, most_epochs=120)


def fit(
    images: Images,
    settings: Settings | None = None,
    *,
    observed: np.ndarray | None = None,
    held_out: Images | None = None,
    encoder: nn.Module | None = None,
    decoder: nn.Module | None = None,
    likelihood: Likelihood | None = None,
    callback: Callback | None = None,
    device: str | torch.device = "cpu",
) -> Fit:
    """Train a :class:`~gmvae.GMVAE` on images, in the five phases above.

    The labels that ``images`` may carry are not looked at: only ``observed`` is.

    Args:
        images: N images.
        settings: how; the defaults for None.
        observed: class values of the images whose label may be used, -1 elsewhere, (N,). With
            as many classes as components each component is one class from the start; else they
            only name components, by majority; ``warnings`` of the fit says which class named none.
        held_out: images for early stopping; by default a part of ``images``.
        encoder: a network of your own in place of the one that the settings name, as
            :class:`~gmvae.GMVAE` takes it; it is trained as it comes, and stays yours.
        decoder: likewise.
        likelihood: likewise.
        callback: told of every epoch of every phase.
        device: where to train, and where the model is left.

    Raises:
        ArgumentError: settings that do not fit the images, or ``observed`` that are no classes.
        ContentError: fewer than two images, all the same, or pixels that are not between 0 and 1.
        TrainingError: an objective that is not finite.
    """
    settings = given_settings(settings)
    device = checks.device(device)
    check_callback(callback)
    # Pyro's store would keep every parameter of every model for as long as the process lives.
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        pyro.get_param_store().scope(),
    ):
        torch.manual_seed(settings.seed)
        own = {"encoder": encoder, "decoder": decoder, "likelihood": likelihood}
        return _Run(images, settings, observed, held_out, own, callback, device).fit()


def check_callback(callback: object) -> None:
    """Refuse what cannot be told of progress.

    Raises:
        ArgumentError: neither a function nor None.
    """
    if callback is not None and not callable(callback):
        raise ArgumentError(
            f"`callback` expected a function; got {checks.shown(callback)}. Give one that takes a "
            "gmvae.training.loop.Progress."
        )


class _Run:
    """One call of :func:`fit`: what its phases share."""

    def __init__(
        self,
        images: Images,
        settings: Settings,
        observed: np.ndarray | None,
        held_out: Images | None,
        own: Mapping[str, Any],
        callback: Callback | None,
        device: torch.device,
    ) -> None:
        check_components([settings.n_components], images, settings, observed, held_out)
        # A set that is given takes the place of a part.
        share = settings.held_out if held_out is None else 0.0
        images, observed, part = hold_out(
            images, dataclasses.replace(settings, held_out=share), observed
        )
        self.settings = settings
        self.callback = callback
        self.device = device
        self.rng = np.random.default_rng(settings.seed)
        self.generator = Generator().manual_seed(settings.seed)
        self.view: View = AUGMENTATIONS[settings.augment]
        self.learns_from_views = settings.augment != "none"
        self.images, self.observed = images, observed
        self.held_out = part if held_out is None else held_out
        self.classes = np.unique(observed[observed >= 0])
        self.labels_lead = len(self.classes) == settings.n_components
        self.history: list[dict[str, float | str]] = []
        self.gmvae = GMVAE(self._config(), **own).to(device)
        # With the exact assignment the model has no q(y | x): one that only finds the clusters.
        assigner = self.gmvae.guide.assigner or build_assigner(self.gmvae.config).to(device)
        # Channels last: convolutions on a CPU are half as fast again. Not in the model that is
        # returned: of such parameters Pyro's store hands its optimisers a copy.
        self.assigner = cast(Assigner, assigner).to(memory_format=torch.channels_last)

    def fit(self) -> Fit:
        """The five phases, in order."""
        known = self._known_components()
        pixels = self._pixels()
        learned = self._warm_up(pixels)
        clusters = self._start(learned, pixels, known)
        clusters = self._assign(clusters, known)
        # The features have learned what they can. The rest of q(y | x) goes on; to train them
        # too would double the time of a step.
        features = self.assigner.features.requires_grad_(False)
        self.assigner.eval()
        self._place(self._beside(learned, pixels), clusters)
        self.assigner.features = Frozen(features, features.n_features)
        self._join(known)
        self.assigner.features = features
        self.assigner.to(memory_format=torch.contiguous_format)
        self._name_components()
        features.requires_grad_(True)
        self.gmvae.zero_grad()
        self.gmvae.eval()
        return Fit(self.gmvae, self.history, tuple(self._worries()), self._figures())

    def _known_components(self) -> Tensor | None:
        """Component indices of the observed rows, -1 elsewhere; None where labels do not lead."""
        if not self.labels_lead:
            return None
        components = np.where(self.observed >= 0, np.searchsorted(self.classes, self.observed), -1)
        return torch.as_tensor(components, device=self.device)

    def _classification(self, known: Tensor | None, weight: float) -> list[Regulariser]:
        """The term on labelled images, where there are any."""
        if known is None or weight == 0:
            return []
        rows = torch.nonzero(known >= 0).squeeze(-1)
        x = self.images.tensor(rows.cpu().numpy()).to(self.device)
        return [Classification(weight, x, known[rows], self.view, self.generator)]

    def _warm_up(self, pixels: Array) -> Array:
        """Phase 1: a representation of every image, (N, W).

        Directions in which the features of q(y | x) tell images apart, whatever the view; without
        views, from images that are not its neighbours.
        """
        features = self.assigner.features
        projection = nn.Linear(features.n_features, _CONTRAST_DIM).to(self.device)
        if self.learns_from_views:
            pairs = pairs_of_views(self.view, self.generator)
        else:
            near = nearest(pixels, N_PARTNERS, self.rng)
            pairs = pairs_of_neighbours(self.images, near, self.generator)

        def objective(x: Tensor, rows: Tensor, size: int) -> Tensor:
            both = torch.cat(pairs(x, rows))
            return size * contrastive_loss(*projection(features(both)).chunk(2))

        module = nn.Sequential(features, projection)
        self._train(
            objective,
            module.parameters(),
            _CONTRAST,
            self.settings.warmup_epochs,
            y=torch.arange(len(self.images)),
            phase="warm-up",
        )
        return self._represent(lambda x: F.normalize(projection(features(x)), dim=-1), module)

    def _pixels(self) -> Array:
        """Where every image lies along the principal axes of coarse pixels, (N, A)."""
        coarse = nn.AdaptiveAvgPool2d(
            (min(self.images.shape[1], _COARSE), min(self.images.shape[2], _COARSE))
        )
        rows = np.sort(self.rng.permutation(len(self.images))[:N_CLUSTERED])
        pixels = coarse(self.images.tensor(rows)).flatten(1).double().numpy()
        mean, axes = (torch.as_tensor(a, device=self.device) for a in principal_axes(pixels))
        return self._represent(lambda x: (coarse(x).flatten(1) - mean) @ axes.mT)

    def _beside(self, learned: Array, pixels: Array, share: float = PIXEL_SHARE) -> Array:
        """What was learned, beside the pixels; without views it was learned from these."""
        return beside(learned, pixels, share) if self.learns_from_views else learned

    def _start(self, learned: Array, pixels: Array, known: Tensor | None) -> Indices:
        """Phase 2: the clusters of the representation."""
        with warnings.catch_warnings():
            # A clustering that has not converged is one of several, and its modularity judges it.
            warnings.simplefilter("ignore", ConvergenceWarning)
            clusters = find_clusters(
                self._beside(learned, pixels),
                self.settings.n_components,
                self.rng,
                None if known is None else known.cpu().numpy(),
            )
            if len(self.images) > N_CLUSTERED:
                # Not all of them were looked at. Among more, the pixels can be given more to say.
                everything = self._beside(learned, pixels, share=1.0)
                clusters = refined(everything, clusters, self.rng)
        self._report(Progress("start", 1, 1))
        return clusters

    def _assign(self, clusters: Indices, known: Tensor | None) -> Indices:
        """Phase 3: q(y | x) learns the clusters from views; then what it makes of them."""
        assigner = self.assigner
        # With the exact assignment the guide that is trained has no q(y | x) to be told of labels.
        finder = Guide(self.gmvae.guide.encoder, assigner)

        def fitted(x: Tensor, y: Tensor, size: int) -> Tensor:
            logits = assigner(self.view(x, self.generator))
            return size * F.cross_entropy(logits, y, label_smoothing=0.1)

        def sharpened(x: Tensor, y: Tensor | None, size: int) -> Tensor:
            probabilities = assigner(torch.cat([x, self.view(x, self.generator)])).softmax(-1)
            return -size * mutual_information(*probabilities.chunk(2))

        last = self._rounds(known)
        for number in range(1, last + 1):
            which = "" if number == 1 else f" {number}"
            if number > 1:
                assigner.apply(_begin_anew)
            self._train(
                fitted,
                assigner.parameters(),
                _ASSIGN if number == 1 else _ASSIGN_AGAIN,
                y=torch.as_tensor(clusters, device=self.device),
                phase=f"assignment{which}",
            )
            length = _SHARPEN if number == last else _SHARPEN_FIRST
            self._train(
                sharpened,
                assigner.parameters(),
                dataclasses.replace(length, enough=-_SHARP * math.log(self.settings.n_components)),
                guide=finder,
                regularisers=self._classification(known, 1.0),
                phase=f"sharpening{which}",
            )
            clusters = np.asarray(self._represent(assigner, assigner).argmax(-1))
        return clusters

    def _rounds(self, known: Tensor | None) -> int:
        """How often q(y | x) is learned.

        Among few images the start has seen them all, and a second round finds little to correct.
        """
        if self.settings.rounds is not None:
            return self.settings.rounds
        return 2 if known is not None and len(self.images) > N_CLUSTERED else 1

    def _represent(self, query: Callable[[Tensor], Tensor], *modules: nn.Module) -> Array:
        """What ``query``, made of these modules, says of every image, (N, W), in float64."""
        for module in modules:
            module.eval()
        with torch.no_grad():
            parts = [
                query(self.images.tensor(slice(i, i + 1024)).to(self.device)).cpu()
                for i in range(0, len(self.images), 1024)
            ]
        for module in modules:
            module.train()
        return torch.cat(parts).double().numpy()

    def _place(self, representation: Array, clusters: Indices) -> None:
        """Phase 4: a place for each component, and the encoder led there."""
        prior = self.gmvae.model.prior
        k, d = prior.means.shape
        weights, centroids = centres(representation, clusters, k)
        means = place(centroids, d, _GAP)
        covariances = torch.eye(d).expand(k, d, d)
        prior.set(torch.as_tensor(weights), torch.as_tensor(means), covariances)
        networks = nn.ModuleList([self.gmvae.guide.encoder, self.gmvae.model.decoder])
        y = torch.as_tensor(clusters, device=self.device)
        self._train(self.gmvae.elbo_module(), networks.parameters(), _PLACE, y=y, phase="placing")

    def _join(self, known: Tensor | None) -> None:
        """Phase 5: the bound and the regularisers, everything trained."""
        settings = self.settings
        regularisers: list[Regulariser] = []
        # Agreement first: like the bound before it, it asks for the features of the plain images,
        # which are at hand until the next one asks for those of views.
        if settings.agreement_weight and settings.assignment == "amortised":
            prior = self.gmvae.model.prior
            regularisers.append(
                Agreement(settings.agreement_weight, prior, self.view, self.generator)
            )
        if settings.information_weight:
            regularisers.append(
                MutualInformation(settings.information_weight, self.view, self.generator)
            )
        regularisers += self._classification(known, settings.classification_weight)
        phase = dataclasses.replace(
            _JOIN,
            batch_size=settings.batch_size,
            lr=settings.lr,
            patience=None if self.held_out is None else settings.patience,
        )
        self._train(
            self.gmvae.elbo_module(),
            [p for p in self.gmvae.parameters() if p.requires_grad],
            phase,
            settings.epochs,
            y=known,
            regularisers=regularisers,
            validate=self._figures,
            phase="joint",
        )

    def _name_components(self) -> None:
        """Name the components by the observed labels."""
        if len(self.classes) == 0:
            return
        k = self.settings.n_components
        names: list[int | None] = [None] * k
        if self.labels_lead:
            names = [int(c) for c in self.classes]
        else:
            rows = np.flatnonzero(self.observed >= 0)
            components = self.gmvae.classify(self.images.subset(rows)).argmax(-1).numpy()
            for component in range(k):
                labels = self.observed[rows][components == component]
                if len(labels):
                    values, counts = np.unique(labels, return_counts=True)
                    names[component] = int(values[counts.argmax()])
        self.gmvae.component_classes = tuple(names)

    def _figures(self) -> Metrics:
        """The objective, the bound and its parts on the held-out images; the components in use."""
        images = self.images if self.held_out is None else self.held_out
        if self.held_out is None and len(images) > 2_000:
            # From all over them: files often hold one class after the other.
            images = images.subset(np.linspace(0, len(images) - 1, 2_000).astype(int))
        # The same draws each time, so that figures of two epochs differ by the model alone.
        seed = self.settings.seed
        views = self.view(images.tensor(), Generator().manual_seed(seed))
        parts = self.gmvae.elbo(images, generator=Generator(self.device).manual_seed(seed))
        elbo = parts.elbo.mean().item()
        q_y = self.gmvae.classify(images)
        information = mutual_information(q_y, self.gmvae.classify(views)).item()
        use = q_y.mean(0).numpy()
        return {
            "loss": -elbo - self.settings.information_weight * information,
            "elbo": elbo,
            "reconstruction": parts.reconstruction.mean().item(),
            "kl_z": parts.kl_z.mean().item(),
            "kl_y": parts.kl_y.mean().item(),
            "effective_components": effective_number(use),
        }

    def _worries(self) -> list[str]:
        """What a user should be told at the end."""
        found = []
        effective = effective_number(self.gmvae.classify(self.images).mean(0).numpy())
        k = self.settings.n_components
        if k > 1 and effective < 0.5 * k:
            found.append(
                f"collapse: only {effective:.1f} of {k} components are in use (exp of the entropy "
                "of their mean responsibilities). Try another seed, a longer warm-up, or fewer "
                "components."
            )
        nameless = sorted({*self.classes.tolist()} - {*(self.gmvae.component_classes or ())})
        if nameless:
            found.append(
                f"labels: no component is named by class {', '.join(map(str, nameless))}, so none "
                f"is predicted; {len(self.classes)} classes were observed, and there are {k} "
                "components. Try as many as classes, or more."
            )
        return found

    def _config(self, **changes: object) -> Config:
        settings = self.settings
        config = Config(
            image_shape=self.images.shape,
            n_components=settings.n_components,
            latent_dim=settings.latent_dim,
            covariance=settings.covariance,
            network=settings.network,
            likelihood=settings.likelihood,
            grey=not self.images.binary,
            assignment=settings.assignment,
        )
        return dataclasses.replace(config, **changes)  # type: ignore[arg-type]

    def _train(
        self,
        objective: Callable[..., Tensor],
        parameters: ParamsT,
        length: _Length,
        epochs: int | None = None,
        *,
        phase: str,
        guide: Guide | None = None,
        **more: Any,
    ) -> None:
        """Train ``parameters`` for that length, or for ``epochs`` where they are given."""
        n_batches = math.ceil(len(self.images) / length.batch_size)
        with warnings.catch_warnings():
            # Pyro's; the loop ends there with an error that says what to do.
            warnings.filterwarnings("ignore", "Encountered (NaN|inf|-inf)")
            # Layers that a user has frozen are not to be trained.
            warnings.filterwarnings("ignore", ".* was not registered in the param store")
            train(
                objective,
                guide or self.gmvae.guide,
                parameters,
                self.images,
                length.schedule(n_batches, epochs),
                callback=self._report,
                phase=phase,
                generator=self.generator,
                **more,
            )

    def _report(self, progress: Progress) -> None:
        self.history.append({"phase": progress.phase, "epoch": progress.epoch, **progress.metrics})
        if self.callback is not None:
            self.callback(progress)


def _begin_anew(module: nn.Module) -> None:
    """Draw the parameters of a layer again."""
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
