"""What a model says of images, against the model asked directly, and against toys worked out."""

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal
from toys import seeded, tiny

from gmvae import Images
from gmvae.answers import (
    EXTRAS,
    answers,
    labels_of,
    predictable,
    probability_of_components,
)
from gmvae.data.views import AUGMENTATIONS, Affine
from gmvae.gmvae import component_name, component_title


def images(n=7):
    pixels = np.random.default_rng(0).random((n, 1, 3, 4), dtype=np.float32)
    return Images(pixels, None, "some")


def test_every_answer_is_that_of_the_model(monkeypatch):
    monkeypatch.setattr("gmvae.gmvae.rows_at_once", lambda shape, most: 3)  # blocks of 3, 3 and 1
    model, some = tiny().eval(), images()
    result = answers(model, some, EXTRAS, seeded(5))
    q_y, p_y = model.classify(some), model.responsibilities(some)
    components = q_y.argmax(-1)
    assert np.array_equal(result.components, components)
    assert result.labels.tolist() == [str(k) for k in components.tolist()]
    np.testing.assert_allclose(result.probabilities, q_y, rtol=1e-5)
    np.testing.assert_allclose(result.responsibilities, p_y, rtol=1e-5)
    # No views are known of a model that no run made.
    honest = (q_y + p_y) / 2
    np.testing.assert_allclose(
        result.probability, honest.gather(1, components[:, None])[:, 0], rtol=1e-5
    )
    np.testing.assert_allclose(result.latents, model.encode(some), rtol=1e-5, atol=1e-6)
    assert result.log_prob.shape == (7,)
    assert result.outlier is None
    bare = answers(model, some)
    assert (bare.probabilities, bare.latents, bare.log_prob) == (None, None, None)


def test_log_p_of_x_is_that_of_the_model_with_the_same_draws():
    model, some = tiny().eval(), images()
    expected = model.log_prob(some, generator=seeded(5))
    result = answers(model, some, ["log_prob"], seeded(5))
    np.testing.assert_allclose(result.log_prob, expected, rtol=1e-5)


def test_without_views_half_of_the_probability_is_the_mixtures_at_the_encoded_image():
    """Two unit Gaussians at 0 and 2 of equal weight: at z the odds are exp(2 - 2 z)."""
    model = tiny(n_components=2, latent_dim=1, covariance="spherical").eval()
    with torch.no_grad():
        for parameter in model.model.prior.parameters():
            parameter.zero_()
        model.model.prior.means.copy_(torch.tensor([[0.0], [2.0]]))
    scale = model.model.prior.covariances[0].item()  # the same for both
    z = torch.tensor([[0.0], [1.0], [3.0]])
    odds = torch.exp((2 - 2 * z[:, 0]) / scale)
    expected = (odds / (1 + odds) + 0.5) / 2
    x = torch.zeros(3, 1, 3, 4)
    honest = probability_of_components(model, x, torch.full((3, 2), 0.5), z)
    torch.testing.assert_close(honest[:, 0], expected)
    torch.testing.assert_close(honest.sum(1), torch.ones(3))


@pytest.mark.parametrize("augment", ["affine", "photo", "none"])
def test_the_image_its_eight_fixed_views_and_the_mixture_have_one_say_each(augment):
    model, some = tiny().eval(), images()
    model.training_record = {"settings": {"augment": augment}}
    x = some.tensor()
    seen = [x] if augment == "none" else [x, *AUGMENTATIONS[augment].fixed(x, 8)]
    expected = sum(map(model.classify, seen), model.responsibilities(x)) / (len(seen) + 1)
    honest = probability_of_components(model, x, model.classify(x), model.encode(x))
    torch.testing.assert_close(honest, expected)
    # An image has the same views in any company.
    alone = probability_of_components(model, x[3:4], model.classify(x[3:4]), model.encode(x[3:4]))
    torch.testing.assert_close(alone, honest[3:4])


def test_fixed_views_are_those_of_the_matrices():
    x = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    matrices = Affine().matrices(2, torch.Generator().manual_seed(0))
    for view, matrix in zip(Affine().fixed(x, 2), matrices, strict=True):
        grid = torch.nn.functional.affine_grid(matrix.repeat(3, 1, 1), [3, 1, 8, 8], False)
        expected = torch.nn.functional.grid_sample(
            x, grid, padding_mode="border", align_corners=False
        )
        torch.testing.assert_close(view, expected)


def test_log_joint_by_hand():
    """log p(x | z) + log p(z) at the mean of q(z | x), by a loop over the components."""
    model, some = tiny().eval(), images()
    x, prior = some.tensor(), model.model.prior
    z = model.encode(some)
    with torch.no_grad():
        log_likelihood = model.model.likelihood(model.model.decoder(z)).log_prob(x)
        p_z = sum(
            weight * MultivariateNormal(mean, scale_tril=tril).log_prob(z).exp()
            for weight, mean, tril in zip(prior.weights, prior.means, prior.scale_tril, strict=True)
        )
    torch.testing.assert_close(model.log_joint(some), log_likelihood + p_z.log())


@pytest.mark.parametrize(
    ("classes", "words", "by_hand", "labels", "candidates"),
    [
        (None, {}, {}, ["0", "1", "2"], [0, 1, 2]),
        ((8, 4, 1), {}, {}, ["8", "4", "1"], [0, 1, 2]),
        ((1, 0, None), {0: "cat", 1: "dog"}, {}, ["dog", "cat", "2"], [0, 1]),
        ((1, 0, None), {0: "cat"}, {}, ["1", "cat", "2"], [0, 1]),
        (None, {0: "cat"}, {2: "bird"}, ["0", "1", "bird"], [0, 1, 2]),
        ((1, 0, None), {0: "cat"}, {0: "wolf", 2: "fox"}, ["wolf", "cat", "fox"], [0, 1, 2]),
    ],
)
def test_what_each_component_predicts(classes, words, by_hand, labels, candidates):
    model = tiny().eval()
    model.component_classes, model.class_names, model.names_by_hand = classes, words, by_hand
    assert labels_of(model) == labels
    assert predictable(model) == candidates
    result = answers(model, images(40))
    assert set(result.labels) <= {labels[k] for k in candidates}
    q_y = model.classify(images(40))[:, candidates]
    assert result.labels.tolist() == [labels[candidates[i]] for i in q_y.argmax(-1).tolist()]


def test_names_of_components():
    names = ("cat", 8, None)
    assert [component_name(names, k) for k in range(3)] == ["0: cat", "1: class 8", "component 2"]
    assert [component_title(names, k) for k in range(3)] == [
        "component 0 (cat)",
        "component 1 (class 8)",
        "component 2",
    ]
    assert (component_name(None, 1), component_title(None, 1)) == ("component 1", "component 1")


def test_names_are_saved_with_the_model(tmp_path):
    model = tiny()
    model.component_classes, model.class_names = (1, 0, None), {0: "cat", 1: "dog"}
    model.names_by_hand = {2: "bird"}
    model.save(tmp_path / "run")
    loaded = type(model).load(tmp_path / "run")
    assert loaded.component_names == ("dog", "cat", "bird")
    assert (loaded.class_names, loaded.names_by_hand) == ({0: "cat", 1: "dog"}, {2: "bird"})
