"""The figures of a model, against direct computation."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gmvae import GMVAE, Images, load, metrics
from gmvae.config import Config
from gmvae.diagnostics.evaluation import evaluate
from gmvae.support.errors import ArgumentError, ContentError


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
    assert found["likelihood_normalised"]  # of black-and-white images


def test_reconstructions_are_compared_with_the_images(
    gmvae: GMVAE, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = images.tensor().numpy(), gmvae.reconstruct(images).numpy()
    monkeypatch.setattr("gmvae.diagnostics.evaluation.CHUNK", 7)  # the last chunk is smaller
    found = evaluate(gmvae, images, n_samples=1)
    assert found["ssim"] == pytest.approx(metrics.ssim(*pair), abs=1e-5)
    assert found["one_minus_mse"] == pytest.approx(metrics.one_minus_mse(*pair), abs=1e-6)


def test_what_has_many_numbers_is_asked_of_some_images_at_a_time(
    gmvae: GMVAE, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a million images and a hundred components each answer would be 400 MB: K numbers, or an
    image; the figures are the same."""
    whole = dict(evaluate(gmvae, images, n_samples=2, generator=generator()))
    asked = []

    def spied(query: Callable[[Images | Tensor], Any]) -> Callable[[Images | Tensor], Any]:
        def answer(x: Images | Tensor) -> Any:
            asked.append(len(x))
            return query(x)

        return answer

    for name in ("classify", "responsibilities", "predict", "reconstruct"):
        monkeypatch.setattr(gmvae, name, spied(getattr(gmvae, name)))
    monkeypatch.setattr("gmvae.diagnostics.evaluation.CHUNK", 7)
    parts = dict(evaluate(gmvae, images, n_samples=2, generator=generator()))
    assert parts.pop("overlap") == whole.pop("overlap")
    assert parts == pytest.approx(whole, rel=1e-6)
    assert max(asked) == 7


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


# Four images of one grey value each; as latents they are 1, 1, -1 and -1 in the first dimension.
GREYS = np.array([0.9, 0.8, 0.2, 0.1], np.float32)
WEIGHTS = torch.tensor([0.2, 0.3, 0.5])


class ByInk(nn.Module):
    """q(z | x) around 1 or -1, by whether the image is light; its sd is 1e-4."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        sign = torch.where(x.mean((-1, -2, -3)) > 0.5, 1.0, -1.0)
        loc = torch.stack([sign, torch.zeros_like(sign)], dim=-1)
        return loc, torch.full_like(loc, 1e-4)


class ByOrder(nn.Module):
    """q(y | x): component 0 for the first two greys, 1 for the third, 2 for the darkest."""

    def forward(self, x: Tensor) -> Tensor:
        ink = x.mean((-1, -2, -3))
        component = torch.where(ink > 0.5, 0, torch.where(ink > 0.15, 1, 2))
        return F.one_hot(component, 3) * 3.0


class Flat(nn.Module):
    """Decodes every latent to grey 0.5."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.zeros(*z.shape[:-1], 1, 7, 7)


@pytest.fixture
def known() -> GMVAE:
    """Where q(y | x), p(y | z) and the named predictions all differ.

    The latents 1 are in the second component, -1 in the third; by q(y | x) the images are in 0,
    0, 1 and 2. The first and the third component are class 5, the second has no name.
    """
    config = Config((1, 7, 7), n_components=3, latent_dim=2)
    model = GMVAE(config, encoder=ByInk(), decoder=Flat(), assigner=ByOrder())
    means = torch.tensor([[0.0, 9.0], [1.0, 0.0], [-1.0, 0.0]])
    model.model.prior.set(WEIGHTS, means, 0.25 * torch.eye(2).expand(3, 2, 2))
    model.component_classes = (5, None, 5)
    return model.eval()


@pytest.fixture
def greys() -> Images:
    pixels = np.broadcast_to(GREYS[:, None, None, None], (4, 1, 7, 7)).copy()
    return Images(pixels, np.array([5, 5, 6, 6]))


def test_every_figure_by_hand(known: GMVAE, greys: Images) -> None:
    """All that can be told of four images under a model whose parts are known."""
    found = evaluate(known, greys, n_samples=3, generator=generator())
    # By q(y | x) the components are 0, 0, 1, 2, and the labels 5, 5, 6, 6: three of them agree
    # under the best matching; by p(y | z) they are 1, 1, 2, 2, which all agree.
    assert greys.labels is not None
    assert found["acc"] == 0.75
    assert found["acc_latent"] == 1.0
    assert found["nmi"] == pytest.approx(metrics.nmi(greys.labels, [0, 0, 1, 2]))
    assert found["ari"] == pytest.approx(metrics.ari(greys.labels, [0, 0, 1, 2]))
    assert metrics.nmi(greys.labels, [0, 0, 1, 2]) != metrics.nmi(greys.labels, [1, 1, 2, 2])
    # By name they are all 5, which half of them are: F1 is 2 / 3 of class 5 and 0 of class 6.
    assert found["acc_named"] == 0.5
    assert found["f1_macro"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["f1_micro"] == pytest.approx(0.5)
    assert found["f1_mean"] == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert found["n_images"] == 4
    # The reconstructions are grey 0.5.
    squares = np.mean((GREYS - 0.5) ** 2)
    assert found["one_minus_mse"] == pytest.approx(1 - squares, abs=1e-6)
    plain = np.full((4, 1, 7, 7), 0.5, np.float32)
    assert found["ssim"] == pytest.approx(metrics.ssim(greys.pixels, plain), abs=1e-6)
    # 49 pixels at log 1/2.
    assert found["reconstruction"] == pytest.approx(-49 * math.log(2), rel=1e-6)
    top = math.exp(3) / (math.exp(3) + 2)
    q_y = np.full((4, 3), (1 - top) / 2)
    q_y[range(4), [0, 0, 1, 2]] = top
    kl_y = np.sum(q_y * np.log(q_y / WEIGHTS.numpy()), axis=1).mean()
    assert found["kl_y"] == pytest.approx(kl_y, rel=1e-5)
    # Squared distances over the variance: of 0 for the component there, 16 for the one opposite
    # and (1 + 81) / 0.25 for the far one.
    squared = np.array([[328.0, 0.0, 16.0]] * 2 + [[328.0, 16.0, 0.0]] * 2)
    log_p_z = -math.log(2 * math.pi) - math.log(0.25) - squared / 2
    # The draws of z move within 1e-4: E log q(z) is minus the entropy, but for their squares.
    z_squares = torch.randn(1, 4, 2, generator=generator()).square().sum(-1).mean().item()
    log_q_z = -math.log(2 * math.pi) - 2 * math.log(1e-4) - z_squares / 2
    kl_z = log_q_z - np.sum(q_y * log_p_z, axis=1).mean()
    assert found["kl_z"] == pytest.approx(kl_z, rel=1e-3)
    assert found["elbo"] == pytest.approx(-49 * math.log(2) - kl_z - kl_y, rel=1e-3)
    assert found["likelihood_normalised"]
    draws = generator()
    known.elbo(greys, generator=draws)
    log_likelihood = known.log_prob(greys, 3, draws).mean()
    assert found["log_likelihood"] == pytest.approx(float(log_likelihood))
    use = q_y.mean(0)
    assert found["effective_components"] == pytest.approx(math.exp(-np.sum(use * np.log(use))))
    assert found["smallest_weight"] == pytest.approx(0.2)
    # exp(-squared distance / (8 variance)).
    near, far = math.exp(-4 / 2), math.exp(-82 / 2)
    overlap = [[1, far, far], [far, 1, near], [far, near, 1]]
    assert np.array(found["overlap"]) == pytest.approx(np.array(overlap), abs=1e-6)
    json.dumps(found, allow_nan=False)


def test_fifty_draws_by_default(known: GMVAE, greys: Images) -> None:
    found = evaluate(known, greys, generator=generator())
    assert found == evaluate(known, greys, n_samples=50, generator=generator())


def test_a_normalised_likelihood_is_one(images: Images) -> None:
    model = GMVAE(Config(images.shape, 2, hidden=(4,), likelihood="gaussian"))
    assert evaluate(model, images, n_samples=1)["likelihood_normalised"] is True


@pytest.mark.parametrize(("side", "has_one"), [(3, True), (2, False)])
def test_structural_similarity_needs_three_pixels_each_way(side: int, has_one: bool) -> None:
    rng = np.random.default_rng(0)
    images = Images(rng.random((5, 1, 6, side), np.float32))
    found = evaluate(GMVAE(Config(images.shape, 2, hidden=(4,))), images, n_samples=1)
    assert (found["ssim"] is not None) == has_one


def test_anything_but_images_is_refused(known: GMVAE) -> None:
    with pytest.raises(ArgumentError, match=r"^`images` expected gmvae\.Images; got Tensor"):
        evaluate(known, torch.rand(4, 1, 7, 7))  # type: ignore[arg-type]
