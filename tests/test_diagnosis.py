"""The whole diagnosis: what it runs on what, and what it refuses."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from diagnosed import grey_images
from toys import SHAPE, tiny

from gmvae.diagnostics import (
    Check,
    Diagnosis,
    Options,
    Reference,
    Threshold,
    arviz_bridge,
    calibrate,
    diagnose,
    draw,
    fit_mixture,
    labelled_reliability,
    leave_one_out,
    log_likelihood,
    predictive_check,
    reliability,
    simulate,
)
from gmvae.diagnostics.calibration_rows import calibration_rows
from gmvae.diagnostics.guide_rows import importance_rows, nuts_rows, simulation_rows
from gmvae.diagnostics.model_checks import replicate
from gmvae.diagnostics.model_rows import fit_rows, mixture_rows, predictive_rows
from gmvae.diagnostics.nuts import chosen_images
from gmvae.diagnostics.pictures import plot_diagnosis
from gmvae.diagnostics.simulation import calibrate_weighted
from gmvae.diagnostics.tree import guide_tree, nuts_tree
from gmvae.support.errors import ArgumentError, ContentError


@pytest.fixture(scope="module")
def diagnosis():
    torch.manual_seed(0)
    gmvae = tiny()
    options = Options(
        n_draws=50,
        predictive_images=6,
        worst_images=1,
        random_images=1,
        nuts_draws=30,
        simulated_images=100,
    )
    said = []
    found = diagnose(gmvae.model, gmvae.guide, grey_images(), options, callback=said.append)
    assert len(said) == 4
    return found


def test_the_tree_follows_arviz_schema(diagnosis):
    tree = diagnosis.tree
    assert dict(tree["posterior"].sizes) == {
        "chain": 1,
        "draw": 50,
        "image": 40,
        "latent": 2,
        "component": 3,
    }
    assert np.allclose(tree["posterior"]["y"].sum("component"), 1)
    assert dict(tree["posterior_predictive"].sizes) == {
        "chain": 1,
        "draw": 50,
        "image": 6,
        "pixel": 12,
    }
    assert tree["log_likelihood"]["x"].dims == ("image",)
    assert tree["observed_data"]["x"].dims == ("image", "pixel")
    weights = np.exp(tree["sample_stats"]["smoothed_log_weight"]).sum("draw")
    assert np.allclose(weights, 1)
    parts = tree["sample_stats"]
    total = parts["elbo"] + parts["gap_y"] + parts["gap_z"]
    assert np.allclose(total, tree["log_likelihood"]["x"])
    assert diagnosis.nuts_tree["posterior"]["z"].sizes == {
        "chain": 4,
        "draw": 30,
        "image": 2,
        "latent": 2,
    }


def test_the_tree_of_nuts_says_how_well_its_chains_mixed(diagnosis, tmp_path):
    arviz_bridge.write(diagnosis.nuts_tree, tmp_path / "nuts.nc")
    read = arviz_bridge.read(tmp_path / "nuts.nc")
    for name, statistic in (("rhat", arviz_bridge.rhat), ("ess", arviz_bridge.ess)):
        found = read["sample_stats"][name]
        assert found.dims == ("image", "latent")
        assert found["image"].values.tolist() == diagnosis.nuts_rows.tolist()
        last = read["posterior"]["z"].isel(image=-1, latent=-1).to_numpy()
        assert found.isel(image=-1, latent=-1) == pytest.approx(statistic(last))


def test_plain_arviz_takes_the_tree(diagnosis):
    few = {"image": [0, 1]}
    assert len(arviz_bridge.summary(diagnosis.tree, ["z"], few)) == 4
    arviz_bridge.plot_forest(diagnosis.tree, ["z"], few)
    arviz_bridge.plot_pair(diagnosis.tree, ["z"], {"image": 0})


def test_the_tree_is_written_and_read(diagnosis, tmp_path):
    arviz_bridge.write(diagnosis.tree, tmp_path / "tree.nc")
    assert arviz_bridge.read(tmp_path / "tree.nc").equals(diagnosis.tree)


@pytest.mark.skipif("GMVAE_EXCHANGE" not in os.environ, reason="GMVAE_EXCHANGE names no folder")
def test_exchange_of_what_diagnose_writes(monkeypatch):
    """Leave the trees of a whole diagnosis for ``test_arviz_bridge.py`` under the other line."""
    monkeypatch.setattr("gmvae.diagnostics.mixture._STEPS", 20)
    gmvae = tiny()
    options = Options(
        n_draws=50,
        predictive_images=4,
        worst_images=1,
        random_images=0,
        nuts_draws=30,
        simulated_images=20,
        mixture_components=5,
    )
    found = diagnose(gmvae.model, gmvae.guide, grey_images(8), options)
    folder = Path(os.environ["GMVAE_EXCHANGE"]) / "diagnosis"
    folder.mkdir(exist_ok=True)
    arviz_bridge.write(found.tree, folder / "draws.nc")
    arviz_bridge.write(found.nuts_tree, folder / "nuts.nc")


@pytest.fixture
def some_reference(monkeypatch):
    """NUTS that draws nothing, and says what it was told."""
    told = []

    def sampled(model, guide, x, n_draws, *, seed):
        told.append((model, guide, x, n_draws, seed))
        rng = np.random.default_rng(0)
        by_latent = {
            name: rng.random((len(x), 2))
            for name in ("guide_mean", "guide_sd", "mean", "sd", "rhat", "ess")
        }
        by_image = {name: rng.random(len(x)) for name in ("log_evidence", "khat", "modes")}
        return Reference(z=rng.random((4, n_draws, len(x), 2)), **by_latent, **by_image)

    monkeypatch.setattr("gmvae.diagnostics.nuts.sample_posterior", sampled)
    return told


NAMES = (4, None, 3)


@pytest.mark.parametrize("names", [NAMES, None])
@pytest.mark.parametrize("fitted", [True, False])
def test_every_step_is_told_what_it_needs_and_what_it_finds_is_kept(
    names, fitted, monkeypatch, some_reference
):
    """The whole diagnosis, put together again from its parts, with their seeds."""
    monkeypatch.setattr("gmvae.diagnostics.mixture._STEPS", 5)
    gmvae, images = tiny(), grey_images(12)
    pair = gmvae.model, gmvae.guide
    mixture = fit_mixture(*pair, images, 4, 120, seed=15) if fitted else None
    options = Options(
        n_draws=120,
        predictive_images=5,
        worst_images=2,
        random_images=1,
        nuts_draws=11,
        simulated_images=60,
        mixture_components=4 if fitted else 0,
        seed=10,
    )
    said = []
    found = diagnose(*pair, images, options, component_classes=names, callback=said.append)
    draws = draw(*pair, images, 120, seed=10)
    predictive = predictive_check(*pair, images, draws, 20, seed=11)
    # A hundred replicates of each image are kept.
    replicates = replicate(*pair, draws.z[:100, :5], seed=12)
    under_mixture = log_likelihood(pair[0], draws, mixture, seed=16) if fitted else None
    simulated = simulate(*pair, 60, seed=13)
    of_simulated = draw(*pair, simulated.x, 120, seed=14)
    ranks = calibrate_weighted(of_simulated, simulated, 99, seed=14)
    of_guide = calibrate(*pair, simulated, 99, seed=14)
    curves = {
        "labels": labelled_reliability(draws.q_y, images.labels, names),
        "simulated": reliability(of_simulated.p_y, simulated.y.numpy()),
    }
    rows = chosen_images(draws.khat, 2, 1, seed=10)
    ((model, guide, x, n_draws, seed),) = some_reference
    assert (model, guide, n_draws, seed) == (*pair, 11, 10)
    assert torch.equal(x, images.tensor(rows))
    expected = [
        *importance_rows(draws),
        *simulation_rows(ranks, of_guide, ""),
        *nuts_rows(found.reference, rows, draws.log_evidence[rows]),
        *fit_rows(*pair, draws),
        *predictive_rows(predictive),
        *(mixture_rows(mixture, leave_one_out(under_mixture)) if fitted else []),
        *calibration_rows(curves, "", named=names is not None),
    ]
    assert [check.as_dict() for check in found.checks] == [check.as_dict() for check in expected]
    assert np.array_equal(found.ranks.ranks, ranks.ranks)
    assert found.predictive.distance("ink") == predictive.distance("ink")
    assert {name: curve.ece for name, curve in found.reliability.items()} == {
        name: curve.ece for name, curve in curves.items()
    }
    assert found.nuts_rows.tolist() == rows.tolist()
    assert found.tree.identical(guide_tree(images, draws, replicates, True, mixture, under_mixture))
    assert found.nuts_tree.identical(nuts_tree(found.reference, rows))
    assert said == [
        "draws of the guide",
        "posterior predictive",
        *(["posterior of the mixture", "leaving images out"] if fitted else []),
        "simulated images",
        "NUTS on 3 images",
    ]


def test_a_mixture_that_is_given_is_not_fitted_again(monkeypatch):
    monkeypatch.setattr("gmvae.diagnostics.mixture._STEPS", 5)
    gmvae, images = tiny(), grey_images(8)
    mixture = fit_mixture(gmvae.model, gmvae.guide, images, 3, 25)
    options = Options(25, 2, 0, 0, simulated_images=20, mixture_components=4)
    said = []
    found = diagnose(
        gmvae.model, gmvae.guide, images, options, mixture=mixture, callback=said.append
    )
    assert "posterior of the mixture" not in said
    assert "leaving images out" in said
    assert np.array_equal(found.tree["posterior"]["weights"], mixture.weights[None])


def test_the_rows_of_the_verdict_are_in_the_order_of_the_questions(diagnosis):
    topics = [check.topic for check in diagnosis.checks]
    assert topics == ["guide"] * 12 + ["model"] * 9 + ["probabilities"] * 2
    json.dumps([check.as_dict() for check in diagnosis.checks], allow_nan=False)


@pytest.mark.parametrize("status", ["pass", "look", "fail", "note"])
def test_a_diagnosis_has_failed_where_a_check_has(status):
    figure = {"pass": 0.0, "look": 0.15, "fail": 0.3, "note": 0.0}[status]
    limits = None if status == "note" else Threshold(0.1, 0.2, "here")
    rows = (Check("model", "a", 0.0), Check("model", "b", figure, limits))
    assert Diagnosis(None, rows, None, None, {}, np.zeros(0)).failed == (status == "fail")


def test_how_much_is_done_by_default():
    assert vars(Options()) == {
        "n_draws": 500,
        "predictive_images": 64,
        "worst_images": 3,
        "random_images": 3,
        "nuts_draws": 200,
        "simulated_images": 1_000,
        "mixture_components": 0,
        "seed": 0,
    }


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("n_draws", 25),
        ("predictive_images", 1),
        ("worst_images", 0),
        ("random_images", 0),
        ("nuts_draws", 10),
        ("simulated_images", 20),
        ("seed", 0),
    ],
)
def test_too_little_is_refused(name, least):
    assert getattr(Options(**{name: least}), name) == least
    with pytest.raises(
        ArgumentError, match=f"^`{name}` expected at least {least}; got {least - 1}"
    ):
        Options(**{name: least - 1})


def test_a_mixture_has_two_components_at_least_or_none():
    assert Options(mixture_components=2).mixture_components == 2
    with pytest.raises(ArgumentError, match=r"^`mixture_components` expected at least 2; got 1\."):
        Options(mixture_components=1)


REFUSED = {
    "tensors": (
        lambda model, guide: diagnose(model, guide, torch.rand(5, *SHAPE)),
        "`images` expected gmvae.Images; got Tensor",
    ),
    "names of another number": (
        lambda model, guide: diagnose(model, guide, grey_images(5), component_classes=(1, 2)),
        "`component_classes` expected one a component, 3; got 2. Give None for those without a "
        "name.",
    ),
    "one image": (
        lambda model, guide: diagnose(model, guide, grey_images(1)),
        "`noise` expected at least 2 images to diagnose; got 1. Add some.",
    ),
    "more components than images": (
        lambda model, guide: diagnose(model, guide, grey_images(5), Options(mixture_components=6)),
        "`mixture_components` expected at most the number of images, 5; got 6. Choose fewer.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_a_line_that_says_what_to_do(case):
    call, words = REFUSED[case]
    gmvae = tiny()
    with pytest.raises((ArgumentError, ContentError)) as error:
        call(gmvae.model, gmvae.guide)
    assert str(error.value).startswith(words)


@pytest.mark.parametrize(("n", "components"), [(2, 0), (5, 5)])
def test_what_is_just_enough_is_diagnosed(n, components, monkeypatch):
    monkeypatch.setattr("gmvae.diagnostics.mixture._STEPS", 2)
    gmvae = tiny()
    options = Options(25, 1, 0, 0, simulated_images=20, mixture_components=components)
    found = diagnose(gmvae.model, gmvae.guide, grey_images(n), options)
    assert found.tree["posterior"].sizes["image"] == n


def test_a_posterior_of_the_mixture_joins_the_tree_and_the_verdict(monkeypatch):
    monkeypatch.setattr("gmvae.diagnostics.mixture._STEPS", 20)
    gmvae = tiny()
    options = Options(
        n_draws=25, worst_images=0, random_images=0, simulated_images=20, mixture_components=5
    )
    found = diagnose(gmvae.model, gmvae.guide, grey_images(8), options)
    posterior = found.tree["posterior"]
    assert posterior["weights"].dims == ("chain", "draw", "mixture_component")
    assert posterior["covariances"].shape == (1, 25, 5, 2, 2)
    given = found.tree["log_likelihood"]["x_given_mixture"]
    assert given.dims == ("chain", "draw", "image")
    elpd, _ = arviz_bridge.loo(given.to_numpy()[0])
    rows = {check.name: check for check in found.checks}
    assert rows["LOO over the mixture, given encoder and decoder, nats an image"].figure == (
        pytest.approx(elpd.mean())
    )
    assert "posterior of the mixture: effective number of components" in rows
    assert len(arviz_bridge.summary(found.tree, ["weights"])) == 5


def test_it_does_without_labels_and_without_nuts():
    gmvae = tiny(assignment="exact")
    options = Options(n_draws=25, worst_images=0, random_images=0, simulated_images=20)
    found = diagnose(gmvae.model, gmvae.guide, grey_images(5, labels=False), options)
    assert found.reference is None
    assert set(found.reliability) == {"simulated"}
    assert "label" not in found.tree["observed_data"]
    assert "forest" not in plot_diagnosis(found)


def test_what_cannot_be_diagnosed_is_refused():
    gmvae = tiny()
    with pytest.raises(ContentError, match="expected at least 2 images to diagnose; got 1"):
        diagnose(gmvae.model, gmvae.guide, grey_images(1))
    with pytest.raises(ArgumentError, match=r"`mixture_components` expected at most .* 5; got 6"):
        diagnose(gmvae.model, gmvae.guide, grey_images(5), Options(mixture_components=6))
    with pytest.raises(ArgumentError, match=r"`images` expected gmvae\.Images; got Tensor"):
        diagnose(gmvae.model, gmvae.guide, torch.rand(5, *SHAPE))
    with pytest.raises(ArgumentError, match="`component_classes` expected one a component, 3; got"):
        diagnose(gmvae.model, gmvae.guide, grey_images(5), component_classes=(1, 2))
    of_ink = tiny(grey=False)
    with pytest.raises(ContentError, match="expected pixels 0 or 1, as the model was trained on"):
        diagnose(of_ink.model, of_ink.guide, grey_images(5))
    with pytest.raises(ArgumentError, match="n_draws"):
        Options(n_draws=3)
    with pytest.raises(ArgumentError, match="mixture_components"):
        Options(mixture_components=1)
