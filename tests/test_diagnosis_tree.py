"""The draws as a tree in ArviZ's schema, from arrays that are known."""

import numpy as np
import pytest

from gmvae import Images
from gmvae.diagnostics import MixturePosterior, Reference
from gmvae.diagnostics.draws import Draws
from gmvae.diagnostics.tree import guide_tree, nuts_tree

# Draws, images, latent dimensions, components; replicates, images with replicates.
S, N, D, K = 4, 3, 2, 5
R, SHOWN = 6, 2
SHAPE = (1, 2, 2)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def images(rng):
    return Images(rng.random((N, *SHAPE), dtype=np.float32), np.array([7, 8, 7]), "noise")


@pytest.fixture
def draws(rng):
    return Draws(
        z=rng.normal(size=(S, N, D)),
        y=rng.dirichlet(np.ones(K), (S, N)),
        q_y=rng.dirichlet(np.ones(K), N),
        log_weights=rng.normal(size=(S, N)),
        smoothed=np.log(rng.dirichlet(np.ones(S), N).T),
        khat=rng.normal(size=N),
        gap_y=rng.random(N),
    )


def assert_variable(variable, dims, values):
    assert variable.dims == dims
    assert np.array_equal(variable.to_numpy(), values)
    for dim in dims:
        assert dim in variable.coords


def test_the_guides_tree(images, draws, rng):
    predictive = rng.random((R, SHOWN, *SHAPE))
    tree = guide_tree(images, draws, predictive)
    assert list(tree.children) == [
        "posterior",
        "sample_stats",
        "log_likelihood",
        "posterior_predictive",
        "observed_data",
    ]
    sampled, by_image = ("chain", "draw", "image"), ("image",)
    posterior = tree["posterior"]
    assert set(posterior.data_vars) == {"z", "y"}
    assert_variable(posterior["z"], (*sampled, "latent"), draws.z[None])
    assert_variable(posterior["y"], (*sampled, "component"), draws.y[None])
    statistics = tree["sample_stats"]
    expected = {
        "log_weight": (sampled, draws.log_weights[None]),
        "smoothed_log_weight": (sampled, draws.smoothed[None]),
        "q_y": (("image", "component"), draws.q_y),
        "p_y": (("image", "component"), draws.p_y),
        "khat": (by_image, draws.khat),
        "elbo": (by_image, draws.elbo),
        "gap_y": (by_image, draws.gap_y),
        "gap_z": (by_image, draws.gap_z),
        "total_variation": (by_image, draws.total_variation),
    }
    assert set(statistics.data_vars) == set(expected)
    for name, (dims, values) in expected.items():
        assert_variable(statistics[name], dims, values)
    assert set(tree["log_likelihood"].data_vars) == {"x"}
    assert_variable(tree["log_likelihood"]["x"], by_image, draws.log_evidence)
    replicates = predictive.reshape(1, R, SHOWN, 4)
    assert_variable(tree["posterior_predictive"]["x"], (*sampled, "pixel"), replicates)
    assert tree["posterior_predictive"]["image"].values.tolist() == [0, 1]
    assert tree["posterior_predictive"]["draw"].values.tolist() == list(range(R))
    observed = tree["observed_data"]
    assert_variable(observed["x"], ("image", "pixel"), images.pixels.reshape(N, 4))
    assert_variable(observed["label"], by_image, [7, 8, 7])
    assert posterior["image"].values.tolist() == [0, 1, 2]
    assert posterior["latent"].values.tolist() == [0, 1]


def test_what_the_guides_tree_says_of_itself(images, draws):
    tree = guide_tree(images, draws, np.zeros((R, SHOWN, *SHAPE)), normalised=False)
    assert tree.attrs == {"inference_library": "gmvae", "images": "noise"}
    assert {name: tree[name].attrs["about"] for name in tree.children} == {
        "posterior": "Independent draws of the guide, one chain: they have no R-hat.",
        "sample_stats": "Importance weights p(x, z) / q(z | x) of the draws, y summed out.",
        "log_likelihood": "Marginal log p(x) of each image, importance weighted, in nats.",
        "posterior_predictive": "Images drawn from p(x | z).",
        "observed_data": "The images.",
    }
    assert tree["log_likelihood"].attrs["normalised"] == 0
    for name in ("posterior_predictive", "observed_data"):
        assert tree[name].attrs["image_shape"].tolist() == [1, 2, 2]
    normalised = guide_tree(images, draws, np.zeros((R, SHOWN, *SHAPE)))
    assert normalised["log_likelihood"].attrs["normalised"] == 1


def test_without_labels_there_is_no_label(images, draws):
    tree = guide_tree(Images(images.pixels), draws, np.zeros((R, SHOWN, *SHAPE)))
    assert set(tree["observed_data"].data_vars) == {"x"}


def test_a_mixture_has_components_of_its_own(images, draws, rng):
    mixture = MixturePosterior(
        rng.dirichlet(np.ones(3), S), rng.normal(size=(S, 3, D)), rng.normal(size=(S, 3, D, D))
    )
    given = rng.normal(size=(S, N))
    predictive = np.zeros((R, SHOWN, *SHAPE))
    tree = guide_tree(images, draws, predictive, mixture=mixture, given_mixture=given)
    posterior = tree["posterior"]
    dims = ("chain", "draw", "mixture_component", "latent", "latent_other")
    assert_variable(posterior["weights"], dims[:3], mixture.weights[None])
    assert_variable(posterior["means"], dims[:4], mixture.means[None])
    assert_variable(posterior["covariances"], dims, mixture.covariances[None])
    assert posterior.sizes["component"] == K
    assert posterior["mixture_component"].values.tolist() == [0, 1, 2]
    sampled = ("chain", "draw", "image")
    assert_variable(tree["log_likelihood"]["x_given_mixture"], sampled, given[None])


def test_the_tree_of_nuts(rng):
    by_latent = {
        name: rng.random((N, D)) for name in ("guide_mean", "guide_sd", "mean", "sd", "rhat", "ess")
    }
    by_image = {name: rng.random(N) for name in ("log_evidence", "khat", "modes")}
    z = rng.normal(size=(2, S, N, D))
    tree = nuts_tree(Reference(z=z, **by_latent, **by_image), np.array([5, 9, 2]))
    assert list(tree.children) == ["posterior", "sample_stats"]
    assert_variable(tree["posterior"]["z"], ("chain", "draw", "image", "latent"), z)
    statistics = tree["sample_stats"]
    assert set(statistics.data_vars) == {*by_latent, *by_image}
    for name, values in by_latent.items():
        assert_variable(statistics[name], ("image", "latent"), values)
    for name, values in by_image.items():
        assert_variable(statistics[name], ("image",), values)
    for group in tree.children.values():
        assert group["image"].values.tolist() == [5, 9, 2]
        assert group["latent"].values.tolist() == [0, 1]
    assert tree["posterior"].attrs == {"about": "Draws of NUTS from p(z | x), y summed out."}
    assert tree["sample_stats"].attrs == {
        "about": "Mean, sd and log p(x) by weighting around the chains; R-hat and ESS of their "
        "draws."
    }
    assert tree.attrs == {"inference_library": "gmvae"}
