"""What a trained model does to a set of images, in figures."""

from collections.abc import Iterator
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from torch import Generator

from gmvae import metrics
from gmvae.data import Images
from gmvae.gmvae import GMVAE
from gmvae.networks import default_modes
from gmvae.support import checks

Indices = NDArray[np.int64]

# Images that are asked of at once: of the many numbers that a model says of one, few are kept.
CHUNK = 2_000
# structural similarity needs a window of 3 x 3.
SMALLEST_SIDE = 3


class Clusters(TypedDict):
    """How the components agree with the labels, each in [0, 1] (``ari``: in [-0.5, 1]).

    None without labels; ``acc_named`` and F1 also where no label was observed in training.

    Attributes:
        acc: accuracy of the most probable component, one component a class (Hungarian).
        acc_latent: the same by p(y | z) at the encoded image.
        acc_named: accuracy of the predicted labels.
        nmi: normalised mutual information.
        ari: adjusted Rand index.
        f1_macro: F1 of the predicted labels, averaged over classes.
        f1_micro: the same, averaged over images.
        f1_mean: the mean of the two.
    """

    acc: float | None
    acc_latent: float | None
    acc_named: float | None
    nmi: float | None
    ari: float | None
    f1_macro: float | None
    f1_micro: float | None
    f1_mean: float | None


_NO_CLUSTERS = Clusters(
    acc=None,
    acc_latent=None,
    acc_named=None,
    nmi=None,
    ari=None,
    f1_macro=None,
    f1_micro=None,
    f1_mean=None,
)


class Evaluation(Clusters):
    """Every figure, ready for JSON. Bounds are means an image, in nats.

    Attributes:
        n_images: N.
        ssim: structural similarity of images and reconstructions, in [-1, 1]; None for images
            too small to have one.
        one_minus_mse: one minus the mean squared error of their pixels, in [0, 1].
        elbo: the evidence lower bound, no label used.
        reconstruction: its part E log p(x | z).
        kl_z: its part from q(z | x), subtracted.
        kl_y: its part from q(y | x), subtracted.
        log_likelihood: importance-weighted log p(x).
        likelihood_normalised: False where p(x | z) is no normalised density, as a likelihood of
            one's own may say: then bounds compare between models of the same data only.
        effective_components: exp of the entropy of the mean responsibilities, in [1, K].
        smallest_weight: of the mixture.
        overlap: Bhattacharyya coefficients of its Gaussians, K x K.
    """

    n_images: int
    ssim: float | None
    one_minus_mse: float
    elbo: float
    reconstruction: float
    kl_z: float
    kl_y: float
    log_likelihood: float
    likelihood_normalised: bool
    effective_components: float
    smallest_weight: float
    overlap: list[list[float]]


@default_modes()
def evaluate(
    gmvae: GMVAE, images: Images, *, n_samples: int = 50, generator: Generator | None = None
) -> Evaluation:
    """Measure clusters, reconstructions and likelihood of images.

    Args:
        gmvae: the model.
        images: at least one; labels, where there are some, only score.
        n_samples: draws of z an image for the log-likelihood, at least 1.
        generator: the source of the draws, on the model's device; torch's own by default.

    Raises:
        ArgumentError: anything but images.
        ContentError: images of another shape than the model's.
    """
    checks.instance("images", images, Images, "gmvae.Images")
    prior = gmvae.model.prior
    bound = gmvae.elbo(images, generator=generator)
    use, components = _components(gmvae, images)
    ssim, one_minus_mse = _similarity(gmvae, images)
    log_likelihood = gmvae.log_prob(images, n_samples, generator)
    return Evaluation(
        **_clusters(gmvae, images, components),
        n_images=len(images),
        ssim=ssim,
        one_minus_mse=one_minus_mse,
        elbo=float(bound.elbo.mean()),
        reconstruction=float(bound.reconstruction.mean()),
        kl_z=float(bound.kl_z.mean()),
        kl_y=float(bound.kl_y.mean()),
        log_likelihood=float(log_likelihood.mean()),
        likelihood_normalised=gmvae.model.likelihood.normalised,
        effective_components=metrics.effective_number(use),
        smallest_weight=float(prior.weights.detach().min()),
        overlap=prior.overlap().tolist(),
    )


def _parts(images: Images) -> Iterator[Images]:
    """The images in turn, some at a time."""
    for start in range(0, len(images), CHUNK):
        yield images.subset(slice(start, start + CHUNK))


def _components(gmvae: GMVAE, images: Images) -> tuple[NDArray[np.float64], Indices]:
    """The mean of q(y | x), (K,), and its most probable component of each image, (N,)."""
    total, components = np.zeros(gmvae.config.n_components), []
    for part in _parts(images):
        probabilities = gmvae.classify(part)
        total += probabilities.double().sum(0).numpy()
        components.append(probabilities.argmax(-1).numpy())
    return total / len(images), np.concatenate(components)


def _clusters(gmvae: GMVAE, images: Images, components: Indices) -> Clusters:
    labels = images.labels
    if labels is None:
        return _NO_CLUSTERS
    by_latent = np.concatenate(
        [gmvae.responsibilities(part).argmax(-1).numpy() for part in _parts(images)]
    )
    clusters = Clusters(
        **{
            **_NO_CLUSTERS,
            "acc": metrics.clustering_accuracy(labels, components),
            "acc_latent": metrics.clustering_accuracy(labels, by_latent),
            "nmi": metrics.nmi(labels, components),
            "ari": metrics.ari(labels, components),
        }
    )
    if gmvae.component_classes is not None:
        predicted = np.concatenate([gmvae.predict(part) for part in _parts(images)])
        f1 = metrics.f1(labels, predicted)
        clusters["acc_named"] = metrics.accuracy(labels, predicted)
        clusters["f1_macro"] = f1["macro"]
        clusters["f1_micro"] = f1["micro"]
        clusters["f1_mean"] = f1["mean"]
    return clusters


def _similarity(gmvae: GMVAE, images: Images) -> tuple[float | None, float]:
    """SSIM and one minus the mean squared error, without all reconstructions in memory."""
    large_enough = min(images.shape[1:]) >= SMALLEST_SIDE
    totals = np.zeros(2)
    for part in _parts(images):
        x = part.tensor()
        pair = x.numpy(), gmvae.reconstruct(x).numpy()
        scores = (metrics.ssim(*pair) if large_enough else 0.0, metrics.one_minus_mse(*pair))
        totals += len(x) * np.array(scores)
    ssim, one_minus_mse = (totals / len(images)).tolist()
    return ssim if large_enough else None, one_minus_mse
