"""Subsets of a named set with classes of chosen sizes, and runs of ours and of rivals on them."""

import importlib.util
import resource
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from runs import Figures, gmvae
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture

from gmvae import GMVAE
from gmvae.answers import answers
from gmvae.data import Images, load
from gmvae.metrics import expected_calibration_error, matching

Sizes = Mapping[int, int]
# From the seed to how many images of each class.
SizesOf = Callable[[int], Sizes]


def always(sizes: Sizes) -> SizesOf:
    """The same sizes for every seed."""
    return lambda seed: sizes


def geometric(n: int, ratio: float) -> SizesOf:
    """N images of ten classes in geometric sizes; which is how large, the seed says."""

    def sizes(seed: int) -> Sizes:
        shares = ratio ** (-np.arange(10) / 9)
        order = np.random.default_rng(seed).permutation(10)
        counts = np.round(n * shares / shares.sum()).astype(int)
        return {int(label): int(count) for label, count in zip(order, counts, strict=True)}

    return sizes


def uniform(least: int, most: int) -> SizesOf:
    """Ten classes of ``least`` to ``most`` images, at random."""

    def sizes(seed: int) -> Sizes:
        counts = np.random.default_rng(seed).integers(least, most + 1, 10)
        return dict(enumerate(counts.tolist()))

    return sizes


def drawn(images: Images, sizes: Sizes, seed: int) -> Images:
    """So many images of each class, drawn and ordered by the seed."""
    rng = np.random.default_rng(seed)
    of_classes = [
        rng.permutation(np.flatnonzero(images.labels == label))[:n] for label, n in sizes.items()
    ]
    return images.subset(rng.permutation(np.concatenate(of_classes)))


def subset_of(name: str, sizes: SizesOf, seed: int) -> Images:
    """Drawn from the train part; from all of the digits, of which there are few."""
    images = load(name, part="train")
    if name == "digits":
        test = load(name, part="test")
        images = Images(
            np.concatenate([images.pixels, test.pixels]),
            np.concatenate([images.labels, test.labels]),
        )
    return drawn(images, sizes(seed), seed)


def on_subset(
    name: str, sizes: SizesOf, *arguments: str, tested: bool = False
) -> Callable[[int, Path], Figures]:
    """``gmvae train`` on a subset, no label seen; scored on it, or on the set's test part.

    Args:
        name: of the set.
        sizes: of its classes.
        arguments: of ``gmvae train``.
        tested: whether the test part, of the same classes, is scored.
    """

    def run(seed: int, folder: Path) -> Figures:
        images = subset_of(name, sizes, seed)
        np.save(folder / "images.npy", images.pixels[:, 0])
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        out = folder / "run"
        gmvae("train", str(folder / "images.npy"), *arguments, "--seed", str(seed), "-o", str(out))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        if tested:
            images = load(name, part="test").only(list(sizes(seed)))
        model = GMVAE.load(out)
        assert images.labels is not None
        q_y = model.classify(images).numpy()
        return {
            **scores(images.labels, q_y.argmax(-1)),
            "acc_latent": scores(images.labels, model.responsibilities(images).argmax(-1).numpy())[
                "acc"
            ],
            **honesty(model, images, q_y),
            **(strangers(model, images, name) if tested else {}),
            "n_components": model.config.n_components,
            "prominences": (model.training_record or {})["prominences"][: len(sizes(seed)) + 3],
            "cpu_seconds": round(cpu, 1),
            "classes": len(sizes(seed)),
        }

    return run


def honesty(model: GMVAE, images: Images, q_y: np.ndarray) -> Figures:
    """Of ``Probability``: its calibration error, and how well it finds the wrong images."""
    right = named_right(images.labels, q_y.argmax(-1))
    top = answers(model, images).probability
    some_of_both = 0 < right.sum() < len(right)
    return {
        "calibration_error": expected_calibration_error(top, right),
        "auc_wrong": float(roc_auc_score(~right, -top)) if some_of_both else None,
    }


def strangers(model: GMVAE, images: Images, name: str) -> Figures:
    """How well the outlier score tells images from 1,000 of noise, of them inverted, and others.

    The others are those of the set's test part that are of no class of the images, where some are.
    """
    classes = np.unique(images.labels)
    test = load(name, part="test")
    few, shape = images.pixels[:1_000], (1_000, *images.pixels.shape[1:])
    noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    sets = {"noise": Images(noise), "inverted": Images(255 - few)}
    if left := [c for c in np.unique(test.labels) if c not in classes]:
        sets["others"] = test.only(left)
    own = answers(model, images, ["outlier"]).outlier
    figures: Figures = {}
    for which, strange in sets.items():
        score = np.concatenate([own, answers(model, strange, ["outlier"]).outlier])
        of_others = np.repeat([False, True], [len(images), len(strange)])
        figures[f"auc_{which}"] = float(roc_auc_score(of_others, score))
    return figures


def rivals_on_subset(name: str, sizes: SizesOf) -> Callable[[int, Path], Figures]:
    """k-means on the pixels, PCA(20) before it and before a mixture; UMAP and a mixture, and EVoC.

    The last two where they are installed (``pip install '.[benchmark]'``). What EVoC calls noise is
    counted as wrong; its layer is the one that it takes for the best, and finds K itself.
    """

    def run(seed: int, folder: Path) -> Figures:
        images = subset_of(name, sizes, seed)
        assert images.labels is not None
        k = len(sizes(seed))
        pixels = images.pixels.reshape(len(images), -1) / 255.0
        axes = PCA(20, random_state=seed).fit_transform(pixels)
        k_means = KMeans(k, n_init=10, random_state=seed)
        mixture = GaussianMixture(k, n_init=3, random_state=seed)
        figures = {
            "k_means": scores(images.labels, k_means.fit_predict(pixels))["acc"],
            "pca_k_means": scores(images.labels, k_means.fit_predict(axes))["acc"],
            "pca_mixture": scores(images.labels, mixture.fit_predict(axes))["acc"],
        }
        figures |= learned_rivals(images.labels, pixels, k, seed)
        return {"acc": max(figures.values()), **figures}

    return run


def learned_rivals(labels: np.ndarray, pixels: np.ndarray, k: int, seed: int) -> Figures:
    """Accuracy of UMAP (10-D) before a Gaussian mixture, and of EVoC; of those installed."""
    figures: Figures = {}
    if importlib.util.find_spec("umap"):
        from umap import UMAP

        points = UMAP(n_components=10, random_state=seed).fit_transform(pixels)
        mixture = GaussianMixture(k, n_init=3, random_state=seed)
        figures["umap_mixture"] = scores(labels, mixture.fit_predict(points))["acc"]
    if importlib.util.find_spec("evoc"):
        from evoc import EVoC

        clusters = EVoC(random_state=seed).fit_predict(pixels.astype(np.float32))
        # Noise is a cluster of nobody: the matching gives it no class.
        right = named_right(labels, np.where(clusters < 0, clusters.max() + 1, clusters))
        figures["evoc"] = float((right & (clusters >= 0)).mean())
    return figures


def scores(labels: np.ndarray, clusters: np.ndarray) -> Figures:
    """Accuracy after matching, and its mean over the classes."""
    right = named_right(labels, clusters)
    return {
        "acc": float(right.mean()),
        "balanced": float(np.mean([right[labels == c].mean() for c in np.unique(labels)])),
    }


def named_right(labels: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    """Whether each image's cluster is matched to its class; one too many is nobody's."""
    pairs = matching(labels, clusters)
    named = np.array([pairs.get(k, -1) for k in range(int(clusters.max()) + 1)])
    return np.asarray(named[clusters] == labels)
