"""The checks of the model, the tree, the verdict and the whole diagnosis."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from torch import nn
from toys import tiny

from gmvae.data import Images
from gmvae.diagnostics import (
    Check,
    Options,
    Threshold,
    arviz_bridge,
    diagnose,
    draw,
    predictive_check,
)
from gmvae.diagnostics.calibration import Reliability
from gmvae.diagnostics.model_checks import (
    active_units,
    binarised,
    prior_mismatch,
    statistics,
    weight_mismatch,
)
from gmvae.diagnostics.pictures import _from_one, _of_nuts, plot_diagnosis, plot_reliability
from gmvae.diagnostics.report import _enough_components, _premise
from gmvae.diagnostics.verdict import khat_threshold
from gmvae.metrics import effective_number
from gmvae.probability.likelihood import Bernoulli, Gaussian
from gmvae.support.errors import ArgumentError, ContentError

SHAPE = (1, 3, 4)


def grey_images(n=40, labels=True):
    rng = np.random.default_rng(0)
    values = rng.integers(1, 4, n).astype(np.int64) if labels else None
    return Images(rng.random((n, *SHAPE), dtype=np.float32), values, "noise")


class PriorAsGuide(nn.Module):
    """Every image has the standard normal as its posterior."""

    def forward(self, x):
        return torch.zeros(len(x), 2), torch.ones(len(x), 2)


def standard_prior(gmvae):
    gmvae.model.prior.set(torch.full((3,), 1 / 3), torch.zeros(3, 2), torch.eye(2).expand(3, 2, 2))
    gmvae.guide.encoder = PriorAsGuide()
    return gmvae


def test_statistics_of_an_image_are_those_seen():
    x = torch.zeros(2, 1, 3, 4)
    x[0, 0, 2, 1] = 1.0
    found = statistics(x)
    assert found["ink"] == pytest.approx([1 / 12, 0])
    assert found["row"] == pytest.approx([2, 1])
    assert found["column"] == pytest.approx([1, 1.5])
    assert found["distance"] == pytest.approx([1, 1])


def test_images_of_the_model_look_like_its_replicates():
    gmvae = standard_prior(tiny(grey=False))
    with torch.no_grad():
        x = gmvae.model.likelihood(gmvae.model.decoder(torch.randn(600, 2))).sample()
    draws = draw(gmvae.model, gmvae.guide, x, 25)
    found = predictive_check(gmvae.model, gmvae.guide, x, draws)
    assert found.replicated["ink"].shape == (20, 600)
    for name in found.observed:
        assert found.distance(name) < 0.1
    white = predictive_check(gmvae.model, gmvae.guide, torch.ones_like(x), draws)
    assert white.distance("ink") > 0.9
    assert white.p_value("ink") == 0


def test_only_a_bernoulli_draws_black_and_white():
    """Another likelihood that is no density of its data draws what it draws."""
    gmvae, x = tiny(), torch.rand(3, *SHAPE)
    assert set(binarised(gmvae.model, x).unique().tolist()) <= {0, 1}
    assert "black and white" in _premise(gmvae.model.likelihood)
    gmvae.model.likelihood = Gaussian()
    assert _premise(gmvae.model.likelihood) == ""
    gmvae.model.likelihood.normalised = False
    assert torch.equal(binarised(gmvae.model, x), x)
    assert _premise(gmvae.model.likelihood) == "; the likelihood is no normalised density"
    gmvae.model.likelihood = Bernoulli(grey=False)
    assert torch.equal(binarised(gmvae.model, x), x)


def test_an_unused_latent_is_counted_out():
    gmvae = tiny()
    gmvae.guide.encoder = Used()
    draws = draw(gmvae.model, gmvae.guide, torch.rand(200, *SHAPE), 25)
    assert active_units(draws) == 1


class Used(nn.Module):
    """A posterior that depends on the image in its first dimension alone."""

    def forward(self, x):
        loc = torch.stack([10 * x.mean((1, 2, 3)), torch.zeros(len(x))], dim=-1)
        return loc, torch.full((len(x), 2), 0.1)


def test_the_effective_number_counts_components():
    assert effective_number(np.array([0.25, 0.25, 0.25, 0.25, 0])) == pytest.approx(4)
    assert effective_number(np.array([1.0, 0])) == 1


def test_latents_like_the_mixture_cannot_be_told_apart():
    gmvae = standard_prior(tiny())
    x = torch.rand(1_000, *SHAPE)
    draws = draw(gmvae.model, gmvae.guide, x, 25)
    assert prior_mismatch(gmvae.model, gmvae.guide, draws) == pytest.approx(0.5, abs=0.06)
    gmvae.model.prior.means.data += 5
    assert prior_mismatch(gmvae.model, gmvae.guide, draws) > 0.95


def test_use_of_components_is_compared_with_their_weights():
    gmvae = standard_prior(tiny())
    draws = draw(gmvae.model, gmvae.guide, torch.rand(5, *SHAPE), 25)
    draws.q_y[:] = [1, 0, 0]
    assert weight_mismatch(gmvae.model, draws) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("figure", "status"), [(0.1, "pass"), (0.15, "look"), (0.3, "fail"), (math.nan, "look")]
)
def test_a_low_figure_is_good_where_good_is_below_bad(figure, status):
    assert Threshold(0.1, 0.2, "here").status(figure) == status


def test_a_high_figure_is_good_where_good_is_above_bad():
    limits = Threshold(0.05, 0.001, "here")
    assert [limits.status(f) for f in (0.5, 0.01, 1e-5)] == ["pass", "look", "fail"]
    spared = Check("guide", "p", 0.0, limits, lenient=True)
    assert spared.status == "look"
    assert "counts as look" in spared.as_dict()["spared"]
    for figure in (0.01, 0.5):  # nothing was spared that would not fail
        assert Check("guide", "p", figure, limits, lenient=True).as_dict()["spared"] is None
    assert Check("guide", "p", 0.0).status == "note"
    assert Check("guide", "p", math.inf, limits).as_dict()["figure"] is None


@pytest.mark.parametrize("n_components", [2, 3, 10])
def test_all_components_in_use_pass_and_one_alone_fails(n_components):
    limits = _enough_components(n_components)
    assert limits.status(n_components) == "pass"
    assert limits.status(1.0) == "fail"


def test_the_threshold_of_khat_rises_to_its_limit():
    assert khat_threshold(500) == pytest.approx(0.6295, abs=1e-4)
    assert khat_threshold(100_000) == 0.7


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


def test_pictures_are_drawn(diagnosis, tmp_path):
    drawn = plot_diagnosis(diagnosis)
    assert set(drawn) == {
        "khat",
        "predictive",
        "ranks_simulated",
        "reliability",
        "forest",
        "rank",
        "pair",
    }
    for name, figure in drawn.items():
        figure.savefig(tmp_path / f"{name}.png")
    lines = [text.get_text() for text in drawn["khat"].axes[0].texts]
    limit = khat_threshold(diagnosis.tree["sample_stats"].sizes["draw"])
    assert f"above {limit:.2f}:\nunreliable" in lines
    assert sum(axes.get_legend() is not None for axes in drawn["predictive"].axes) <= 1
    (legend,) = drawn["reliability"].legends
    (axes,) = drawn["reliability"].axes
    assert legend.get_window_extent().y1 < axes.get_window_extent().y0


def test_latents_are_counted_from_one_in_pictures_alone(diagnosis):
    held = diagnosis.nuts_tree["posterior"]
    shown = _from_one(diagnosis.nuts_tree)["posterior"]
    assert held["latent"].values.tolist() == [0, 1]
    assert shown["latent"].values.tolist() == [1, 2]
    np.testing.assert_array_equal(shown["z"], held["z"])


def test_of_many_latents_the_pictures_show_some_and_say_so():
    draws = np.random.default_rng(0).normal(size=(2, 20, 1, 7))
    drawn = _of_nuts(nuts_draws(draws, modes=[1]))
    shown = {name: title.partition(": ")[2] for name, (_, title) in drawn.items()}
    assert shown == {
        "forest": "latents 1 to 6 of 7",
        "rank": "latents 1 to 4 of 7",
        "pair": "latents 1 to 4 of 7",
    }
    assert len(drawn["rank"][0].axes) == 4


def test_the_forest_says_which_images_have_several_modes():
    draws = np.random.default_rng(0).normal(size=(2, 20, 3, 1))
    _, title = _of_nuts(nuts_draws(draws, modes=[2, 1, 3]))["forest"]
    assert title.endswith("\nNo error bars, since they have several modes: images 5, 7")
    _, title = _of_nuts(nuts_draws(draws, modes=[1, 1, 1]))["forest"]
    assert "modes" not in title


def nuts_draws(z, modes):
    """Draws (chain, draw, image, latent) of images 5, 6 and so on, of so many modes each."""
    coords = dict(zip(("chain", "draw", "image", "latent"), map(range, z.shape), strict=True))
    coords["image"] = range(5, 5 + z.shape[2])
    groups = {
        "posterior": xr.Dataset({"z": (tuple(coords), z)}, coords),
        "sample_stats": xr.Dataset({"modes": ("image", modes)}, {"image": coords["image"]}),
    }
    return xr.DataTree.from_dict(groups)


def test_no_line_leads_to_a_bin_of_few_predictions():
    at = np.array([0.4, 0.5, 0.8, 0.9])
    curve = Reliability(at, at, np.array([50, 2, 30, 400]), 0.0)
    figure = plot_reliability({"labels": curve})
    _, line, _ = figure.axes[0].get_lines()
    assert np.isfinite(line.get_ydata()).tolist() == [True, False, True, True]
    many, few = figure.axes[0].collections
    assert few.get_offsets().tolist() == [[0.5, 0.5]]
    assert few.get_alpha() < many.get_alpha()
    assert "fewer than 10 predictions" in [t.get_text() for t in figure.legends[0].get_texts()]
    full = plot_reliability({"labels": Reliability(at, at, np.full(4, 50), 0.0)})
    assert len(full.axes[0].get_lines()) == 2


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


def test_no_image_is_left_without_a_neighbour():
    gmvae, images = tiny().eval(), grey_images(257)
    found = predictive_check(
        gmvae.model, gmvae.guide, images, draw(gmvae.model, gmvae.guide, images, 25)
    )
    assert (found.observed["distance"] > 0).all()
