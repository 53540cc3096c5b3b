"""The figures of a model, against direct computation."""

import json
import math

import numpy as np
import pytest
import torch

from gmvae import GMVAE, Images, load, metrics
from gmvae.config import Config
from gmvae.diagnostics.evaluation import evaluate
from gmvae.support.errors import ContentError


@pytest.fixture
def images() -> Images:
    return load("digits", part="test").subset(slice(0, 40))


@pytest.fixture
def gmvae(images: Images) -> GMVAE:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GMVAE(Config(images.shape, n_components=4, hidden=(16,), assigner_hidden=(16,)))
    model.component_classes = (0, 1, 2, None)
    return model.eval()


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_clusters_are_scored_by_both_assignments_and_by_name(gmvae: GMVAE, images: Images) -> None:
    found = evaluate(gmvae, images, n_samples=2, generator=generator())
    components = gmvae.classify(images).argmax(-1).numpy()
    by_latent = gmvae.responsibilities(images).argmax(-1).numpy()
    predicted = gmvae.predict(images)
    assert images.labels is not None
    assert found["acc"] == metrics.clustering_accuracy(images.labels, components)
    assert found["acc_latent"] == metrics.clustering_accuracy(images.labels, by_latent)
    assert found["acc_named"] == np.mean(images.labels == predicted)
    assert found["f1_mean"] == metrics.f1(images.labels, predicted)["mean"]


def test_bounds_are_means_of_what_the_model_reports(gmvae: GMVAE, images: Images) -> None:
    found = evaluate(gmvae, images, n_samples=3, generator=generator())
    draws = generator()
    bound = gmvae.elbo(images, generator=draws)
    assert found["elbo"] == pytest.approx(float(bound.elbo.mean()))
    parts = found["reconstruction"] - found["kl_z"] - found["kl_y"]
    assert found["elbo"] == pytest.approx(parts, rel=1e-5)
    log_likelihood = gmvae.log_prob(images, 3, draws).mean()
    assert found["log_likelihood"] == pytest.approx(float(log_likelihood))
    assert not found["likelihood_normalised"]  # grey pixels under Bernoulli


def test_reconstructions_are_compared_with_the_images(
    gmvae: GMVAE, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = images.tensor().numpy(), gmvae.reconstruct(images).numpy()
    monkeypatch.setattr("gmvae.diagnostics.evaluation.CHUNK", 7)  # the last chunk is smaller
    found = evaluate(gmvae, images, n_samples=1)
    assert found["ssim"] == pytest.approx(metrics.ssim(*pair), abs=1e-5)
    assert found["one_minus_mse"] == pytest.approx(metrics.one_minus_mse(*pair), abs=1e-6)


def test_mixture_figures(gmvae: GMVAE, images: Images) -> None:
    found = evaluate(gmvae, images, n_samples=1)
    use = gmvae.classify(images).mean(0).numpy()
    assert found["effective_components"] == pytest.approx(math.exp(-np.sum(use * np.log(use))))
    assert found["smallest_weight"] == pytest.approx(0.25)
    assert np.diag(found["overlap"]) == pytest.approx(np.ones(4))
    json.dumps(found, allow_nan=False)


def test_without_labels_only_label_figures_are_missing(gmvae: GMVAE, images: Images) -> None:
    found = evaluate(gmvae, Images(images.pixels), n_samples=1)
    missing = {name for name, value in found.items() if value is None}
    assert missing == {
        "acc",
        "acc_latent",
        "acc_named",
        "nmi",
        "ari",
        "f1_macro",
        "f1_micro",
        "f1_mean",
    }


def test_without_names_predictions_are_not_scored(gmvae: GMVAE, images: Images) -> None:
    gmvae.component_classes = None
    found = evaluate(gmvae, images, n_samples=1)
    assert found["acc"] is not None
    assert found["acc_named"] is None
    assert found["f1_mean"] is None


def test_images_too_small_for_structural_similarity() -> None:
    images = Images(np.zeros((6, 1, 2, 2), np.float32))
    found = evaluate(GMVAE(Config(images.shape, 2, hidden=(4,))), images, n_samples=1)
    assert found["ssim"] is None
    assert 0 <= found["one_minus_mse"] <= 1


def test_images_of_another_shape_are_refused(gmvae: GMVAE) -> None:
    with pytest.raises(ContentError, match=r"\(1, 8, 8\)"):
        evaluate(gmvae, Images(np.zeros((3, 1, 9, 9), np.float32)))
