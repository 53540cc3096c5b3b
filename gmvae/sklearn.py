"""The model as an estimator of scikit-learn."""

import copy
import math
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    ClusterMixin,
    TransformerMixin,
)
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted, validate_data

from gmvae.answers import predictable, probability_of_components
from gmvae.data import Images
from gmvae.data.arrays import scaled, white_of
from gmvae.gmvae import GMVAE
from gmvae.probability.families import at_noise
from gmvae.rows import Columns, Rows, phases_of_rows
from gmvae.settings import Settings
from gmvae.training.fitting import Fit, fit

# In y: the class of this row is not known.
UNLABELLED = -1
# Draws of z a row for its density: the same noise for all rows, so that no row depends on another.
N_DRAWS = 100


class GaussianMixtureVAE(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    ClusterMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """A variational autoencoder with a Gaussian-mixture prior: clusters, latents and a density.

    Rows of numbers are standardised inside, column by column (:class:`gmvae.rows.Columns`), and
    have no views. Of images give the shape: ``image_shape=(1, 28, 28)``; pixels are then in 0-255
    or [0, 1].

    Args:
        n_components: number of Gaussians K.
        image_shape: (C, H, W) of the images that the rows are; None for rows of numbers.
        latent_dim: number of dimensions D of the latent.
        covariance: ``spherical``, ``diagonal`` or ``full``.
        guide: q(z | x): ``diagonal``, ``full`` or ``mixture``. The quick training is too short for
            a mixture: reconstructions of blobs lay off their blob by half of its distance.
        network: ``mlp`` or ``conv``.
        likelihood: ``bernoulli``, ``continuous-bernoulli`` or ``gaussian``; None for gaussian of
            rows and bernoulli of images.
        assignment: ``amortised`` or ``exact``.
        augment: ``affine``, ``photo`` or ``none``: views of images.
        effort: ``quick``, ``standard`` or ``thorough``: the length of the training. The quick one
            finds the clusters of a table; ``standard`` makes better latents and densities of them.
        epochs: of the joint phase; None leaves it to the size of the data.
        warmup_epochs: of the warm-up; likewise.
        rounds: how often q(y | x) is learned anew; likewise.
        batch_size: rows in a step of the joint phase.
        lr: learning rate at the start of the joint phase.
        information_weight: of the mutual information of a row and its view.
        classification_weight: of rows whose class is known.
        agreement_weight: of what holds p(y | z) to q(y | x).
        held_out: fraction of the rows that tells when to stop; none by default, since few rows tell
            little.
        patience: epochs without a better objective after which the joint phase stops.
        warm_start: whether a second ``fit`` on rows begins from the clusters of the first one.
        random_state: seed of every random choice; None for another one each time.
        device: where to train.

    The other settings are explained in docs/settings.md.

    Attributes:
        gmvae_: the trained :class:`gmvae.GMVAE`.
        fit_: the :class:`gmvae.training.fitting.Fit`: history, figures, warnings.
        labels_: what `predict` says of the training rows, (N,).
        classes_: the classes of y, sorted; None where none was observed.
        means_: of the Gaussians, (K, D).
        weights_: of the Gaussians, (K,).
        n_features_in_: number of columns F.
        feature_names_in_: their names, where X has some.

    Example:
        >>> from sklearn.datasets import load_wine
        >>> X, y = load_wine(return_X_y=True)
        >>> model = GaussianMixtureVAE(n_components=3).fit(X)
        >>> model.predict(X).shape, model.transform(X).shape
        ((178,), (178, 2))
    """

    def __init__(
        self,
        n_components: int = 3,
        *,
        image_shape: tuple[int, int, int] | None = None,
        latent_dim: int = 2,
        covariance: str = "full",
        network: str = "mlp",
        likelihood: str | None = None,
        guide: str = "diagonal",
        assignment: str = "amortised",
        augment: str = "affine",
        effort: str = "quick",
        epochs: int | None = None,
        warmup_epochs: int | None = None,
        rounds: int | None = None,
        batch_size: int = 128,
        lr: float = 2e-3,
        information_weight: float = 20.0,
        classification_weight: float = 20.0,
        agreement_weight: float = 20.0,
        held_out: float = 0.0,
        patience: int = 50,
        warm_start: bool = False,
        random_state: Any = 0,
        device: str = "cpu",
    ) -> None:
        self.n_components = n_components
        self.image_shape = image_shape
        self.latent_dim = latent_dim
        self.covariance = covariance
        self.network = network
        self.likelihood = likelihood
        self.guide = guide
        self.assignment = assignment
        self.augment = augment
        self.effort = effort
        self.epochs = epochs
        self.warmup_epochs = warmup_epochs
        self.rounds = rounds
        self.batch_size = batch_size
        self.lr = lr
        self.information_weight = information_weight
        self.classification_weight = classification_weight
        self.agreement_weight = agreement_weight
        self.held_out = held_out
        self.patience = patience
        self.warm_start = warm_start
        self.random_state = random_state
        self.device = device

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Train on rows (N, F).

        Args:
            X: the rows.
            y: the class of each row, -1 where it is not known; None, or a continuous target as a
                pipeline of a regression hands it on, for no class at all.

        Raises:
            ValueError: rows that are no finite numbers, fewer than two of them, or a setting out of
                its range.
        """
        before: GMVAE | None = getattr(self, "gmvae_", None) if self.warm_start else None
        rows = self._validated(X, reset=True)
        settings = self._settings(rows.shape[1])
        self._look_at(rows)
        images = Images(self._pixels(rows), None, "X")
        observed = self._observed(y, len(rows))
        n_classes = 0 if self.classes_ is None else len(self.classes_)
        phases = None
        if self.image_shape is None:
            lead = n_classes == settings.n_components
            fits = before is not None and (
                before.config.image_shape == images.shape
                and before.config.n_components == settings.n_components
            )
            phases = phases_of_rows(settings, len(rows), lead, before if fits else None)
        self.fit_: Fit = fit(images, settings, observed=observed, phases=phases, device=self.device)
        self.gmvae_: GMVAE = self.fit_.gmvae
        # In double precision no answer depends on how many rows are asked for at a time.
        self._asked = copy.deepcopy(self.gmvae_).double().eval()
        self._n_features_out = settings.latent_dim
        prior = self._asked.model.prior
        self.means_ = prior.means.detach().cpu().numpy().copy()
        self.weights_ = prior.weights.detach().cpu().numpy().copy()
        self.labels_ = self._predicted(rows)
        return self

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The class of each row where y was given, else its component, (N,)."""
        check_is_fitted(self)
        return self._predicted(self._validated(X))

    def fit_predict(self, X: ArrayLike, y: ArrayLike | None = None, **params: Any) -> NDArray[Any]:
        """Train, and say what `predict` says of the same rows."""
        labels: NDArray[Any] = self.fit(X, y).labels_
        return labels

    def predict_proba(self, X: ArrayLike) -> Rows:
        """How probable each component is, (N, K): q(y | x) and p(y | z), averaged.

        Of images their views are asked too (:mod:`gmvae.answers`). ``predict`` goes by q(y | x)
        alone, so that in doubt the two may name another.
        """
        check_is_fitted(self)
        x, model = self._tensor(self._validated(X)), self._asked
        probabilities = probability_of_components(model, x, model.classify(x), model.encode(x))
        return np.asarray(probabilities.numpy())

    def transform(self, X: ArrayLike) -> Rows:
        """The encoded rows, (N, D): means of q(z | x), or of its heaviest Gaussian."""
        check_is_fitted(self)
        rows = self._validated(X)
        dtype = getattr(X, "dtype", None)
        latents = self._asked.encode(self._tensor(rows)).numpy()
        return latents.astype(np.float32) if dtype == np.float32 else latents

    def inverse_transform(self, Z: ArrayLike) -> Rows:
        """The rows that the model decodes at latents (N, D), (N, F): their expectation."""
        check_is_fitted(self)
        latents = torch.as_tensor(np.asarray(Z, dtype=np.float64))
        return self._rows(self._asked.decode(latents).numpy())

    def sample(self, n_samples: int = 1) -> tuple[Rows, NDArray[np.int64]]:
        """Rows at latents drawn from the mixture, (n, F), and their components, (n,).

        What is decoded there is the expectation of a row, without the noise around it.
        """
        check_is_fitted(self)
        generator = torch.Generator().manual_seed(self._seed_)
        pixels, components = self._asked.sample(n_samples, generator=generator)
        return self._rows(pixels.numpy()), components.numpy()

    @torch.no_grad()
    def score_samples(self, X: ArrayLike) -> Rows:
        """An importance-weighted bound on the log-density of each row, (N,), in nats.

        Of rows in their own units; of images that of their pixels in [0, 1].
        """
        check_is_fitted(self)
        rows = self._validated(X)
        model, x = self._asked.model, self._tensor(rows)
        generator = torch.Generator().manual_seed(0)
        # The same for every row, whose density must not depend on the others.
        noise, uniform = (
            draw(*shape, dtype=torch.float64, generator=generator)
            for draw, shape in (
                (torch.randn, (N_DRAWS, 1, self._n_features_out)),
                (torch.rand, (N_DRAWS, 1)),
            )
        )
        bounds = []
        for block in x.split(max(1, 2**22 // (N_DRAWS * x[0].numel()))):
            q_z = self._asked.guide.z_dist(block)
            z = at_noise(q_z, noise, uniform)
            log_q = q_z.log_prob(z)
            log_p = model.likelihood(model.decoder(z)).log_prob(block)
            log_p = log_p + model.prior.log_joint(z).logsumexp(-1)
            bounds.append((log_p - log_q).logsumexp(0) - math.log(N_DRAWS))
        density: Rows = torch.cat(bounds).cpu().numpy()
        return density if self._columns is None else density + self._columns.log_volume(rows)

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """The mean of `score_samples`: the higher, the better."""
        return float(self.score_samples(X).mean())

    def _settings(self, n_columns: int) -> Settings:
        """The settings of a run on such rows.

        Raises:
            ValueError: one out of its range, or rows that are no images of the shape.
        """
        if self.image_shape is not None and math.prod(self.image_shape) != n_columns:
            raise ValueError(
                f"`image_shape` expected a shape of {n_columns} pixels, as X has columns; got "
                f"{self.image_shape}. Give (C, H, W)."
            )
        random = check_random_state(self.random_state)
        is_seed = isinstance(self.random_state, int | np.integer)
        self._seed_ = int(self.random_state) if is_seed else int(random.randint(2**31 - 1))
        named = {name: getattr(self, name) for name in SETTINGS}
        named["likelihood"] = self.likelihood or (
            "gaussian" if self.image_shape is None else "bernoulli"
        )
        return Settings(**named, seed=self._seed_)

    def _validated(self, X: ArrayLike, reset: bool = False) -> Rows:
        """Rows (N, F) of finite numbers, with as many columns as there were."""
        rows: Rows = validate_data(
            self, X, reset=reset, dtype=np.float64, ensure_min_samples=2 if reset else 1
        )
        return rows

    def _look_at(self, rows: Rows) -> None:
        """Remember the columns' units, or of images what is white."""
        self._columns = Columns.of(rows) if self.image_shape is None else None
        self._white = 1
        if self.image_shape is not None:
            self._white = white_of(np.float64, float(rows.min()), float(rows.max()), "X")

    def _pixels(self, rows: Rows) -> NDArray[np.float32]:
        """Rows (N, F) as images (N, C, H, W)."""
        if self._columns is not None:
            return self._columns.pixels(rows)
        assert self.image_shape is not None
        pixels = scaled(rows.reshape(-1, *self.image_shape), self._white)
        return np.clip(pixels, 0, 1)

    def _tensor(self, rows: Rows) -> torch.Tensor:
        return torch.as_tensor(self._pixels(rows), dtype=torch.float64)

    def _rows(self, pixels: Rows) -> Rows:
        """Images (N, C, H, W) as rows (N, F)."""
        if self._columns is not None:
            return self._columns.rows(pixels)
        flat: Rows = pixels.reshape(len(pixels), -1) * self._white
        return flat

    def _observed(self, y: ArrayLike | None, n: int) -> NDArray[np.int64] | None:
        """The place of each row's class among the classes, -1 where it is not known.

        Raises:
            ValueError: another number of classes than of rows.
        """
        self.classes_: NDArray[Any] | None = None
        if y is None:
            return None
        classes = np.asarray(y).ravel()
        if len(classes) != n:
            raise ValueError(
                f"`y` expected a class a row, {n}; got {len(classes)}. Give -1 where it is unknown."
            )
        if type_of_target(classes) not in ("binary", "multiclass"):
            return None
        seen = np.array([str(value) != str(UNLABELLED) for value in classes.tolist()])
        if classes.dtype.kind == "f":
            seen = classes != UNLABELLED
        if not seen.any():
            return None
        self.classes_ = np.unique(classes[seen])
        observed = np.full(n, UNLABELLED, np.int64)
        observed[seen] = np.searchsorted(self.classes_, classes[seen])
        return observed

    def _probabilities(self, rows: Rows) -> Rows:
        probabilities: Rows = self._asked.classify(self._tensor(rows)).numpy()
        return probabilities

    def _predicted(self, rows: Rows) -> NDArray[Any]:
        """The class, or the component where no class was observed."""
        named = predictable(self.gmvae_)
        best: NDArray[Any] = np.array(named)[self._probabilities(rows)[:, named].argmax(1)]
        if self.classes_ is None or self.gmvae_.component_classes is None:
            return best
        of_component = [0 if c is None else c for c in self.gmvae_.component_classes]
        labels: NDArray[Any] = self.classes_[np.array(of_component)[best]]
        return labels


# The parameters that are settings of a run under their own names.
SETTINGS = (
    *("n_components", "latent_dim", "covariance", "network", "guide", "assignment", "augment"),
    *("effort", "epochs", "warmup_epochs", "rounds", "batch_size", "lr", "information_weight"),
    *("classification_weight", "agreement_weight", "held_out", "patience"),
)
