"""How a Gaussian-mixture VAE is trained so that it clusters.

Trained from a random start, the bound falls and the components mean nothing: which clusters
form is decided in the first steps, and the bound hardly tells good ones from bad ones. So the
clusters are found first, where they are easy to see, and the model is organised around them:

1. ``warm-up``: a VAE with a wide latent and a small KL weight, close to an autoencoder. It is
   shown a transformed view and asked for the plain image, so its latent has no need to hold
   the transformation (a denoising autoencoder: Vincent et al., JMLR 2010).
2. ``start``: the clusters of its encoded means (:mod:`gmvae.start`); labels, where there
   are some, spread over them instead.
3. ``assignment``: q(y | x) learns these clusters from views, and corrects many of them, since a
   network learns what is regular before what is not.
4. ``placing``: each component gets a place in the latent of the model, and the encoder learns,
   under a large KL weight, to lay each cluster there. Without this step the latent may tangle
   the classes, and p(y | z) never comes to agree with q(y | x).
5. ``joint``: everything, by stochastic variational inference on the bound itself, on plain
   images; the mutual information between an image's component and its view's keeps the
   components balanced and sharp.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from pyro.infer import Trace_ELBO
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from gmvae.data import Images
from gmvae.errors import ArgumentError
from gmvae.gmvae import GMVAE, Config
from gmvae.guide import Guide
from gmvae.likelihood import LikelihoodName
from gmvae.model import Assignment
from gmvae.networks import Network
from gmvae.prior import Covariance
from gmvae.regularisers import Classification, MutualInformation, Regulariser
from gmvae.start import Indices, find_clusters, moments, place
from gmvae.training import Callback, Metrics, Progress, Schedule, train
from gmvae.views import AUGMENTATIONS, Augmentation, View


@dataclass(frozen=True)
class Settings:
    """The settings of a run; the defaults are the ones that work.

    Attributes:
        latent_dim: D, dimensions of the latent.
        n_components: K, components of the mixture.
        covariance: of the components: ``spherical``, ``diagonal`` or ``full``.
        network: encoder and decoder: ``mlp`` or ``conv``.
        likelihood: ``bernoulli``, ``continuous-bernoulli`` or ``gaussian``.
        assignment: ``amortised`` (a network for q(y | x)) or ``exact`` (y summed out).
        augment: views for the warm-up and the mutual information: ``affine`` or ``none``.
        epochs: of the joint phase; None for as many as the size of the data asks for.
        warmup_epochs: of the warm-up; None likewise.
        batch_size: images a step in the joint phase.
        lr: learning rate at the start of the joint phase.
        information_weight: of the mutual information, in the joint phase.
        classification_weight: of log q(y | x) on labelled rows, in the joint phase.
        held_out: fraction of the images held out for early stopping, 0 to below 1.
        patience: epochs of the joint phase without a better held-out objective before it stops.
        seed: of every random choice.
    """

    latent_dim: int = 2
    n_components: int = 10
    covariance: Covariance = "full"
    network: Network = "mlp"
    likelihood: LikelihoodName = "bernoulli"
    assignment: Assignment = "amortised"
    augment: Augmentation = "affine"
    epochs: int | None = None
    warmup_epochs: int | None = None
    batch_size: int = 128
    lr: float = 2e-3
    information_weight: float = 20.0
    classification_weight: float = 20.0
    held_out: float = 0.05
    patience: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("latent_dim", "n_components", "epochs", "warmup_epochs", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ArgumentError(f"`{name}` expected at least 1; got {value}.")
        if not 0 < self.lr < math.inf:
            raise ArgumentError(f"`lr` expected above 0; got {self.lr}.")
        if not 0 <= self.held_out < 1:
            raise ArgumentError(f"`held_out` expected 0 to below 1; got {self.held_out}.")
        if self.augment not in AUGMENTATIONS:
            expected = ", ".join(AUGMENTATIONS)
            raise ArgumentError(f"`augment` expected one of {expected}; got {self.augment!r}.")


@dataclass(frozen=True)
class Fit:
    """A trained model, one row of figures an epoch, and what should worry its user."""

    gmvae: GMVAE
    history: list[dict[str, float | str]]
    warnings: tuple[str, ...] = ()


# The wide representation: clusters lie apart in 10 dimensions that 2 would lay over each other.
_WIDE = 10
_WIDE_KL_WEIGHT = 0.02
_WIDE_STEPS, _WIDE_BATCH, _WIDE_LR = 1_200, 256, 1e-3
_ASSIGNMENT_STEPS = 360
_PLACING_STEPS, _PLACING_KL_WEIGHT, _GAP = 120, 100.0, 5.0
_JOINT_STEPS = 3_000


def fit(
    images: Images,
    settings: Settings | None = None,
    *,
    observed: np.ndarray | None = None,
    held_out: Images | None = None,
    callback: Callback | None = None,
    device: str | torch.device = "cpu",
) -> Fit:
    """Train a :class:`~gmvae.gmvae.GMVAE` on images, in the five phases above.

    The labels that ``images`` may carry are not looked at: only ``observed`` is.

    Args:
        images: N images.
        settings: how; the defaults for None.
        observed: class values of the images whose label may be used, -1 elsewhere, (N,). With
            as many classes as components each component is one class from the start; else they
            only name components, by majority.
        held_out: images for early stopping; by default a part of ``images``.
        callback: told of every epoch of every phase.
        device: where to train, and where the model is left.

    Raises:
        ArgumentError: settings that do not fit the images.
        TrainingError: an objective that is not finite.
    """
    settings = Settings() if settings is None else settings
    device = torch.device(device)
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)
        return _Run(images, settings, observed, held_out, callback, device).fit()


class _Run:
    """One call of :func:`fit`: what its phases share."""

    def __init__(
        self,
        images: Images,
        settings: Settings,
        observed: np.ndarray | None,
        held_out: Images | None,
        callback: Callback | None,
        device: torch.device,
    ) -> None:
        if settings.n_components > len(images):
            raise ArgumentError(
                f"`n_components` expected at most the number of images, {len(images)}; "
                f"got {settings.n_components}."
            )
        if observed is None:
            observed = np.full(len(images), -1)
        if observed.shape != (len(images),):
            raise ArgumentError(
                f"`observed` expected shape ({len(images)},); got {observed.shape}."
            )
        self.settings = settings
        self.callback = callback
        self.device = device
        self.rng = np.random.default_rng(settings.seed)
        self.generator = Generator().manual_seed(settings.seed)
        self.view: View = AUGMENTATIONS[settings.augment]
        if held_out is None:
            images, observed, held_out = self._hold_out(images, observed)
        self.images, self.observed, self.held_out = images, observed, held_out
        self.classes = np.unique(observed[observed >= 0])
        self.labels_lead = len(self.classes) == settings.n_components
        self.history: list[dict[str, float | str]] = []

    def fit(self) -> Fit:
        """The five phases, in order."""
        known = self._known_components()
        wide = self._warm_up()
        representation = wide.encode(self.images).double().numpy()
        clusters = self._start(representation, known)
        gmvae = self._build(wide)
        clusters = self._assign(gmvae, clusters)
        self._place(gmvae, representation, clusters)
        self._join(gmvae, known)
        self._name_components(gmvae)
        return Fit(gmvae.eval(), self.history, tuple(self._worries(gmvae)))

    def _hold_out(
        self, images: Images, observed: np.ndarray
    ) -> tuple[Images, np.ndarray, Images | None]:
        """A part of the unlabelled rows, so that no observed label is lost to it."""
        free = np.flatnonzero(observed < 0)
        n = round(self.settings.held_out * len(free))
        if n == 0:
            return images, observed, None
        rows = self.rng.permutation(free)[:n]
        kept = np.setdiff1d(np.arange(len(images)), rows)
        return images.subset(kept), observed[kept], images.subset(np.sort(rows))

    def _known_components(self) -> Tensor | None:
        """Component indices of the observed rows, -1 elsewhere; None where labels do not lead."""
        if not self.labels_lead:
            return None
        components = np.where(self.observed >= 0, np.searchsorted(self.classes, self.observed), -1)
        return torch.as_tensor(components, device=self.device)

    def _warm_up(self) -> GMVAE:
        """Phase 1: a wide VAE with one standard Gaussian, from views to plain images."""
        settings = self.settings
        wide = GMVAE(
            self._config(
                n_components=1,
                latent_dim=max(_WIDE, settings.latent_dim),
                covariance="spherical",
                assignment="exact",
            )
        ).to(self.device)
        wide.model.prior.set(torch.ones(1), *_standard_normal(wide.config.latent_dim))
        objective = _denoising(wide, self.view, self.generator)
        epochs = settings.warmup_epochs or self._epochs(_WIDE_STEPS, _WIDE_BATCH)
        self._train(
            objective,
            wide.guide,
            [*wide.guide.parameters(), *wide.model.decoder.parameters()],
            Schedule(
                epochs, _WIDE_BATCH, _WIDE_LR, kl_start=_WIDE_KL_WEIGHT, kl_end=_WIDE_KL_WEIGHT
            ),
            phase="warm-up",
        )
        return wide

    def _start(self, representation: np.ndarray, known: Tensor | None) -> Indices:
        """Phase 2: the clusters of the wide representation."""
        clusters = find_clusters(
            representation,
            self.settings.n_components,
            self.rng,
            None if known is None else known.cpu().numpy(),
        )
        self._report(Progress("start", 1, 1))
        return clusters

    def _build(self, wide: GMVAE) -> GMVAE:
        """The model to be trained; it takes over the wide networks where they fit it."""
        gmvae = GMVAE(self._config()).to(self.device)
        if self._keeps(wide):
            gmvae.guide.encoder.load_state_dict(wide.guide.encoder.state_dict())
            gmvae.model.decoder.load_state_dict(wide.model.decoder.state_dict())
        return gmvae

    def _assign(self, gmvae: GMVAE, clusters: Indices) -> Indices:
        """Phase 3: q(y | x) learns the clusters from views, and says what it makes of them."""
        assigner = gmvae.guide.assigner
        if assigner is None:
            return clusters

        def objective(x: Tensor, y: Tensor, size: int) -> Tensor:
            return size * F.cross_entropy(assigner(self.view(x, self.generator)), y)

        self._train(
            objective,
            gmvae.guide,
            list(assigner.parameters()),
            Schedule(self._epochs(_ASSIGNMENT_STEPS, _WIDE_BATCH), _WIDE_BATCH, _WIDE_LR),
            y=torch.as_tensor(clusters, device=self.device),
            phase="assignment",
        )
        return gmvae.classify(self.images).argmax(-1).numpy()

    def _place(self, gmvae: GMVAE, representation: np.ndarray, clusters: Indices) -> None:
        """Phase 4: a place for each component, and the encoder led there."""
        weights, means, covariances = moments(representation, clusters, self.settings.n_components)
        prior = gmvae.model.prior
        if prior.latent_dim != means.shape[1]:
            means = place(means, prior.latent_dim, _GAP)
            covariances = np.broadcast_to(
                np.eye(prior.latent_dim), (len(means), prior.latent_dim, prior.latent_dim)
            )
        prior.set(*(torch.as_tensor(a.copy()) for a in (weights, means, covariances)))
        networks = [gmvae.guide.encoder, gmvae.model.decoder]
        self._train(
            gmvae.elbo_module(),
            gmvae.guide,
            [p for network in networks for p in network.parameters()],
            Schedule(
                self._epochs(_PLACING_STEPS, _WIDE_BATCH),
                _WIDE_BATCH,
                _WIDE_LR,
                kl_start=_PLACING_KL_WEIGHT,
                kl_end=_PLACING_KL_WEIGHT,
            ),
            y=torch.as_tensor(clusters, device=self.device),
            phase="placing",
        )

    def _join(self, gmvae: GMVAE, known: Tensor | None) -> None:
        """Phase 5: the bound and the regularisers, everything trained."""
        settings = self.settings
        regularisers: list[Regulariser] = []
        if settings.information_weight:
            regularisers.append(
                MutualInformation(settings.information_weight, self.view, self.generator)
            )
        if known is not None and settings.classification_weight:
            rows = torch.nonzero(known >= 0).squeeze(-1)
            regularisers.append(
                Classification(
                    settings.classification_weight,
                    self.images.tensor(rows.cpu().numpy()).to(self.device),
                    known[rows],
                    self.view,
                    self.generator,
                )
            )
        self._train(
            gmvae.elbo_module(),
            gmvae.guide,
            list(gmvae.parameters()),
            Schedule(
                settings.epochs or self._epochs(_JOINT_STEPS, settings.batch_size),
                settings.batch_size,
                settings.lr,
                patience=None if self.held_out is None else settings.patience,
            ),
            y=known,
            regularisers=regularisers,
            validate=lambda: self._figures(gmvae),
            phase="joint",
        )

    def _name_components(self, gmvae: GMVAE) -> None:
        """Name the components by the observed labels."""
        if len(self.classes) == 0:
            return
        k = self.settings.n_components
        names: list[int | None] = [None] * k
        if self.labels_lead:
            names = [int(c) for c in self.classes]
        else:
            rows = np.flatnonzero(self.observed >= 0)
            components = gmvae.classify(self.images.subset(rows)).argmax(-1).numpy()
            for component in range(k):
                labels = self.observed[rows][components == component]
                if len(labels):
                    values, counts = np.unique(labels, return_counts=True)
                    names[component] = int(values[counts.argmax()])
        gmvae.component_classes = tuple(names)

    def _figures(self, gmvae: GMVAE) -> Metrics:
        """The bound and its parts on the held-out images, and how many components are in use."""
        images = self.images if self.held_out is None else self.held_out
        if self.held_out is None and len(images) > 2_000:
            images = images.subset(slice(0, 2_000))
        generator = Generator(self.device).manual_seed(self.settings.seed)
        parts = gmvae.elbo(images, generator=generator)
        use = gmvae.classify(images).mean(0)
        return {
            "loss": -parts.elbo.mean().item(),
            "elbo": parts.elbo.mean().item(),
            "reconstruction": parts.reconstruction.mean().item(),
            "kl_z": parts.kl_z.mean().item(),
            "kl_y": parts.kl_y.mean().item(),
            "effective_components": effective_number(use),
        }

    def _worries(self, gmvae: GMVAE) -> list[str]:
        """What a user should be told at the end."""
        effective = effective_number(gmvae.classify(self.images).mean(0))
        k = self.settings.n_components
        if k > 1 and effective < 0.5 * k:
            return [
                f"collapse: only {effective:.1f} of {k} components are in use (exp of the entropy "
                "of their mean responsibilities). Try another seed, a longer warm-up, or fewer "
                "components."
            ]
        return []

    def _config(self, **changes: object) -> Config:
        settings = self.settings
        config = Config(
            image_shape=self.images.shape,
            n_components=settings.n_components,
            latent_dim=settings.latent_dim,
            covariance=settings.covariance,
            network=settings.network,
            assigner_network=settings.network,
            likelihood=settings.likelihood,
            grey=not self.images.binary,
            assignment=settings.assignment,
        )
        return dataclasses.replace(config, **changes)  # type: ignore[arg-type]

    def _keeps(self, wide: GMVAE) -> bool:
        return wide.config.latent_dim == self.settings.latent_dim

    def _epochs(self, steps: int, batch_size: int) -> int:
        """Epochs of at least so many steps, at least one."""
        return max(1, math.ceil(steps / math.ceil(len(self.images) / batch_size)))

    def _train(
        self,
        objective: Callable[..., Tensor],
        guide: Guide,
        parameters: Sequence[nn.Parameter],
        schedule: Schedule,
        *,
        phase: str,
        y: Tensor | None = None,
        regularisers: Sequence[Regulariser] = (),
        validate: Callable[[], Metrics] | None = None,
    ) -> None:
        train(
            objective,
            guide,
            parameters,
            self.images,
            schedule,
            y=y,
            regularisers=regularisers,
            validate=validate,
            callback=self._report,
            phase=phase,
            generator=self.generator,
        )

    def _report(self, progress: Progress) -> None:
        self.history.append({"phase": progress.phase, "epoch": progress.epoch, **progress.metrics})
        if self.callback is not None:
            self.callback(progress)


def effective_number(use: Tensor) -> float:
    """Exp of the entropy of the mean responsibilities (K,): from 1 to K components in use."""
    return math.exp(-torch.special.xlogy(use, use).sum().item())


def _denoising(gmvae: GMVAE, view: View, generator: Generator) -> nn.Module:
    """The bound of plain images under a guide that sees a view of them."""

    def guide(x: Tensor, y: Tensor | None = None, size: int | None = None) -> None:
        gmvae.guide(view(x, generator), y, size)

    module: nn.Module = Trace_ELBO(max_plate_nesting=1)(gmvae.model, guide)
    return module


def _standard_normal(latent_dim: int) -> tuple[Tensor, Tensor]:
    return torch.zeros(1, latent_dim), torch.eye(latent_dim).unsqueeze(0)
