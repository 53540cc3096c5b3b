"""The draws as a tree in ArviZ's schema, from arrays that are known."""

import numpy as np
import pytest
import torch
from toys import seeded, tiny

from gmvae import Images
from gmvae.diagnostics import MixturePosterior, Reference
from gmvae.diagnostics.draws import Draws
from gmvae.diagnostics.tree import draws_tree, nuts_tree

# Draws, images, latent dimensions, components; replicates, images with replicates.
S, N, D, K = 25, 3, 2, 5
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


@pytest.fixture
def posterior(rng):
    """Of a model without weights, in S draws."""
    gmvae = tiny(n_components=K, image_shape=SHAPE)
    return gmvae.posterior(torch.rand(N, *SHAPE), 25, generator=seeded())


SAMPLED, IMAGE = ("chain", "draw", "image"), ("image",)


def tree_of(images, posterior, draws, rng, mixture=None):
    y, predictive = rng.dirichlet(np.ones(K), (25, N)), rng.random((R, SHOWN, *SHAPE))
    values = rng.normal(size=(25, N))
    return (
        y,
        predictive,
        values,
        draws_tree(images, posterior, draws, y, predictive, values, mixture),
    )


def test_the_tree_of_draws(images, posterior, draws, rng):
    y, predictive, values, tree = tree_of(images, posterior, draws, rng)
    assert list(tree.children) == [
        "posterior",
        "sample_stats",
        "log_likelihood",
        "posterior_predictive",
        "observed_data",
        "constant_data",
    ]
    group = tree["posterior"]
    assert set(group.data_vars) == {"z", "y"}
    assert_variable(group["z"], (*SAMPLED, "latent"), posterior.tree["posterior"]["z"].to_numpy())
    assert_variable(group["y"], (*SAMPLED, "component"), y[None])
    statistics = tree["sample_stats"]
    expected = {
        "guide_z": ((*SAMPLED, "latent"), draws.z[None]),
        "guide_log_weight": (SAMPLED, draws.log_weights[None]),
        "guide_smoothed_log_weight": (SAMPLED, draws.smoothed[None]),
        "q_y": (("image", "component"), draws.q_y),
        "elbo": (IMAGE, draws.elbo),
        "gap_y": (IMAGE, draws.gap_y),
        "gap_z": (IMAGE, draws.gap_z),
        "total_variation": (IMAGE, draws.total_variation),
    }
    of_posterior = posterior.tree["sample_stats"]
    assert set(statistics.data_vars) == {*expected, *of_posterior.data_vars}
    for name, (dims, array) in expected.items():
        assert_variable(statistics[name], dims, array)
    for name in of_posterior.data_vars:
        assert statistics[name].equals(of_posterior[name])
    assert set(tree["log_likelihood"].data_vars) == {"x"}
    assert_variable(tree["log_likelihood"]["x"], SAMPLED, values[None])
    replicates = predictive.reshape(1, R, SHOWN, 4)
    assert_variable(tree["posterior_predictive"]["x"], (*SAMPLED, "pixel"), replicates)
    assert tree["posterior_predictive"]["image"].values.tolist() == [0, 1]
    assert tree["posterior_predictive"]["draw"].values.tolist() == list(range(R))
    assert_variable(tree["observed_data"]["x"], ("image", "pixel"), images.pixels.reshape(N, 4))
    assert_variable(tree["constant_data"]["label"], IMAGE, [7, 8, 7])
    assert group["image"].values.tolist() == [0, 1, 2]
    assert group["latent"].values.tolist() == [0, 1]
    assert tree.attrs == {"inference_library": "gmvae", "images": "noise"}
    for name in ("posterior_predictive", "observed_data"):
        assert tree[name].attrs["image_shape"].tolist() == [1, 2, 2]
    assert all(group.attrs["about"].endswith(".") for group in tree.children.values())


def test_without_labels_there_is_no_label(images, posterior, draws, rng):
    *_, tree = tree_of(Images(images.pixels), posterior, draws, rng)
    assert "constant_data" not in tree.children


def test_a_mixture_has_components_of_its_own(images, posterior, draws, rng):
    mixture = MixturePosterior(
        rng.dirichlet(np.ones(3), 25), rng.normal(size=(25, 3, D)), rng.normal(size=(25, 3, D, D))
    )
    *_, tree = tree_of(images, posterior, draws, rng, mixture)
    group = tree["posterior"]
    dims = ("chain", "draw", "mixture_component", "latent", "latent_other")
    assert_variable(group["weights"], dims[:3], mixture.weights[None])
    assert_variable(group["means"], dims[:4], mixture.means[None])
    assert_variable(group["covariances"], dims, mixture.covariances[None])
    assert group.sizes["component"] == K
    assert group["mixture_component"].values.tolist() == [0, 1, 2]


def test_the_tree_of_nuts(images, rng):
    by_latent = {
        name: rng.random((N, D)) for name in ("guide_mean", "guide_sd", "mean", "sd", "rhat", "ess")
    }
    by_image = {name: rng.random(N) for name in ("log_evidence", "khat", "modes")}
    z = rng.normal(size=(2, S, N, D))
    energy, diverging = rng.random((2, S, N)), rng.random((S, N)) < 0.3
    reference = Reference(z=z, **by_latent, **by_image, energy=energy, diverging=diverging)
    predictive, values = rng.random((R, N, *SHAPE)), rng.normal(size=(2, S, N))
    tree = nuts_tree(reference, np.array([5, 9, 2]), images, predictive, values)
    groups = ["posterior", "sample_stats", "log_likelihood", "posterior_predictive"]
    assert list(tree.children) == [*groups, "observed_data"]
    assert_variable(tree["posterior"]["z"], (*SAMPLED, "latent"), z)
    statistics = tree["sample_stats"]
    of_draws = {"energy", "diverging", "energy_of_image", "diverging_of_image"}
    assert set(statistics.data_vars) == {*by_latent, *by_image, *of_draws}
    assert_variable(statistics["energy"], ("chain", "draw"), energy.sum(-1))
    assert_variable(statistics["diverging"], ("chain", "draw"), [diverging.any(-1)] * 2)
    assert_variable(statistics["energy_of_image"], SAMPLED, energy)
    assert_variable(statistics["diverging_of_image"], SAMPLED, [diverging] * 2)
    for name, array in by_latent.items():
        assert_variable(statistics[name], ("image", "latent"), array)
    for name, array in by_image.items():
        assert_variable(statistics[name], IMAGE, array)
    for group in tree.children.values():
        assert group["image"].values.tolist() == [5, 9, 2]
    assert_variable(tree["log_likelihood"]["x"], SAMPLED, values)
    alone = nuts_tree(reference, np.array([5, 9, 2]))
    assert list(alone.children) == ["posterior", "sample_stats"]
    assert alone.attrs == {"inference_library": "gmvae"}
    assert tree["posterior"].attrs == {"about": "Draws of NUTS from p(z | x), y summed out."}
    assert tree.attrs == {"inference_library": "gmvae", "images": "noise"}
