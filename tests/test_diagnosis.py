"""The whole diagnosis: what it runs on what, and what it refuses."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from diagnosed import grey_images
from toys import SHAPE, tiny

from gmvae.diagnostics import Options, arviz_bridge, diagnose
from gmvae.diagnostics.pictures import plot_diagnosis
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


def test_every_check_has_a_verdict_and_is_json(diagnosis):
    topics = [check.topic for check in diagnosis.checks]
    assert topics == sorted(topics)
    assert len({check.name for check in diagnosis.checks}) == len(topics) == 22
    assert {check.status for check in diagnosis.checks} <= {"pass", "look", "fail", "note"}
    assert diagnosis.failed == any(check.status == "fail" for check in diagnosis.checks)
    json.dumps([check.as_dict() for check in diagnosis.checks], allow_nan=False)


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
