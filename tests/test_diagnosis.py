"""The whole diagnosis: what it runs on what, and what it refuses."""

import dataclasses
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
    arviz_line,
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
    simulated_reliability,
)
from gmvae.diagnostics.calibration_rows import calibration_rows
from gmvae.diagnostics.certified import certified_draws, components_of, coverage
from gmvae.diagnostics.guide_rows import (
    chains_rows,
    guide_against_nuts_rows,
    guide_ranks_row,
    importance_rows,
)
from gmvae.diagnostics.marginal import log_marginals
from gmvae.diagnostics.model_checks import replicate
from gmvae.diagnostics.model_rows import fit_rows, mixture_rows, predictive_rows
from gmvae.diagnostics.nuts import chosen_images
from gmvae.diagnostics.pictures import plot_diagnosis
from gmvae.diagnostics.posterior_rows import against_nuts_rows, certified_rows, simulated_rows
from gmvae.diagnostics.sentences import summary
from gmvae.diagnostics.simulation import ranks_among
from gmvae.diagnostics.tree import draws_tree, nuts_tree
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
    assert len(said) == 5
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
    assert tree["log_likelihood"]["x"].dims == ("chain", "draw", "image")
    assert tree["observed_data"]["x"].dims == ("image", "pixel")
    weights = np.exp(tree["sample_stats"]["guide_smoothed_log_weight"]).sum("draw")
    assert np.allclose(weights, 1)
    assert len(diagnosis.posterior) == 40
    assert diagnosis.posterior.certified.all()
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


@pytest.mark.parametrize("name", ["draws", "nuts"])
def test_plain_arviz_takes_the_files(diagnosis, name, tmp_path):
    """As its documentation types it, with no word of ours."""
    tree = diagnosis.tree if name == "draws" else diagnosis.nuts_tree
    arviz_bridge.write(tree, tmp_path / "a.nc")
    az, old = arviz_line.arviz(), arviz_line.is_old()
    image = int(tree["posterior"]["image"][0])
    with arviz_line.quiet():
        data = az.from_netcdf(tmp_path / "a.nc")
        n, d = tree["posterior"].sizes["image"], 2
        loo = az.loo(data, pointwise=True)
        assert len(az.summary(data, var_names=["z"])) == n * d
        assert (
            az.extract(data, keep_dataset=True)["z"].sizes["sample"]
            == tree["posterior"]["z"][..., 0, 0].size
        )
        for group in ("log_likelihood", "posterior_predictive"):
            assert "x" in getattr(az.extract(data, group=group), "data_vars", {"x"})
        az.plot_pair(data, var_names=["z"], coords={"image": image})
        az.plot_forest(data, var_names=["z"], coords={"image": [image]})
        (az.plot_ppc if old else az.plot_ppc_dist)(data)
        if name == "nuts":
            az.plot_energy(data)
            assert az.bfmi(data).shape == (4,) if old else True
            coords = {"image": image}
            az.plot_pair(
                data, var_names=["z"], coords=coords, **({"divergences": True} if old else {})
            )
    elpd = float(loo.elpd_loo if old else loo.elpd)
    rows = slice(None) if name == "draws" else diagnosis.nuts_rows
    expected = diagnosis.posterior.log_evidence[rows]
    # By 50 draws, or by chains of two modes that are worth about ten; of more it is closer
    # (`test_diagnosis_certified.py`).
    assert elpd == pytest.approx(expected.sum(), abs=(0.15 if name == "draws" else 0.4) * n)
    assert np.median(loo.pareto_k) < 0.6


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
        z = rng.random((4, n_draws, len(x), 2))
        of_draws = {"energy": z[..., 0], "diverging": z[0, ..., 0] > 0.5}
        return Reference(z=z, **by_latent, **by_image, **of_draws)

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
    posterior = certified_draws(*pair, images, 120, seed=17)
    y = components_of(*pair, posterior.z)
    right = dataclasses.replace(draws, z=np.moveaxis(posterior.z, 0, 1), y=y)
    predictive = predictive_check(*pair, images, right, 20, seed=11)
    # A hundred replicates of each image are kept.
    replicates = replicate(*pair, right.z[:100, :5], seed=12)
    under_mixture = log_likelihood(pair[0], draws, mixture, seed=16) if fitted else None
    simulated = simulate(*pair, 60, seed=13)
    of_simulated = certified_draws(*pair, simulated.x, 500, seed=18)
    ranks = ranks_among(of_simulated.z, simulated, 499)
    curves = {
        "labels": labelled_reliability(draws.q_y, images.labels, names),
        "simulated": reliability(of_simulated.p_y, simulated.y.numpy()),
    }
    rows = chosen_images(posterior.tree["sample_stats"]["khat"].to_numpy(), 2, 1, seed=10)
    ((model, guide, x, n_draws, seed),) = some_reference
    assert (model, guide, n_draws, seed) == (*pair, 11, 10)
    assert torch.equal(x, images.tensor(rows))
    expected = [
        *certified_rows(posterior),
        *simulated_rows(ranks, coverage(of_simulated.z, simulated.z.numpy(), 0.9)),
        *against_nuts_rows(found.reference, posterior, rows),
        *chains_rows(found.reference, rows),
        *importance_rows(draws),
        guide_ranks_row(calibrate(*pair, simulated, 99, seed=14)),
        *guide_against_nuts_rows(found.reference, draws.log_evidence[rows]),
        *fit_rows(*pair, right, posterior.log_evidence),
        *predictive_rows(predictive),
        *(mixture_rows(mixture, leave_one_out(under_mixture)) if fitted else []),
        *calibration_rows(curves, simulated_reliability(*pair, simulated), names is not None),
    ]
    assert [check.as_dict() for check in found.checks] == [check.as_dict() for check in expected]
    assert np.array_equal(found.ranks.ranks, ranks.ranks)
    assert found.predictive.distance("ink") == predictive.distance("ink")
    assert {name: curve.ece for name, curve in found.reliability.items()} == {
        name: curve.ece for name, curve in curves.items()
    }
    assert found.nuts_rows.tolist() == rows.tolist()
    values = under_mixture if fitted else log_marginals(*pair, images, posterior.z)
    tree = draws_tree(images, posterior, draws, y, replicates, values, mixture)
    assert found.tree.identical(tree)
    flat = found.reference.z.reshape(-1, 3, 2)
    some = images.subset(rows)
    values = log_marginals(*pair, some, np.moveaxis(flat, 0, 1)).reshape(4, 11, 3)
    replicates = replicate(*pair, flat[:100], seed=19)
    assert found.nuts_tree.identical(nuts_tree(found.reference, rows, some, replicates, values))
    assert said == [
        "draws of the guide",
        "posterior of every image",
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
    assert topics == ["posterior"] * 17 + ["model"] * 9 + ["probabilities"] * 3
    json.dumps([check.as_dict() for check in diagnosis.checks], allow_nan=False)


@pytest.mark.parametrize("status", ["pass", "doubtful", "fail", "note"])
def test_a_diagnosis_has_failed_where_a_check_has(status):
    figure = {"pass": 0.0, "doubtful": 0.15, "fail": 0.3, "note": 0.0}[status]
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
    given = found.tree["log_likelihood"]["x"]
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
    assert "constant_data" not in found.tree.children
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


class TestSummary:
    """The verdict in three sentences."""

    def changed(self, diagnosis, **figures):
        """The diagnosis, its checks of these topics with other figures."""
        limits = Threshold(0.1, 0.2, "here")
        checks = tuple(
            Check(topic, f"{topic} {i}", figure, limits)
            for topic, values in figures.items()
            for i, figure in enumerate(values)
        )
        return dataclasses.replace(diagnosis, checks=checks)

    def test_an_answer_each(self, diagnosis):
        answers = summary(diagnosis)
        assert [answer.topic for answer in answers] == ["posterior", "model", "probabilities"]
        assert answers[0].question == "Is the posterior right?"
        assert "of 40 images 40 certified (" in answers[0].sentence
        alone = (diagnosis.tree["sample_stats"]["guide_khat"] <= 1 - 1 / np.log10(500)).sum()
        words = f"the bare guide's k-hat would do for {int(alone)} (up to 0.63, of 500 draws)"
        assert words in answers[0].sentence
        ece = diagnosis.reliability["labels"].ece
        assert f"off by {ece:.3f} against the labels, by q(y | x) and " in answers[2].sentence

    def test_what_speaks_against_it_is_named_the_worst_first(self, diagnosis):
        figures = {"posterior": [0.0], "model": [0.15, 0.3, 0.16, 0.0], "probabilities": [0.15]}
        right, model, honest = summary(self.changed(diagnosis, **figures))
        assert (right.status, model.status, honest.status) == ("pass", "fail", "doubtful")
        assert right.sentence.startswith("yes: of 40 images ")
        assert "but" not in right.sentence
        assert model.sentence.startswith("no: replicates differ from the images by ")
        against = "; but model 1: 0.3 (<= 0.1, fails beyond 0.2); but model 0: 0.15 (<= 0.1, fails"
        assert against in model.sentence
        assert model.sentence.endswith("; and 1 more")
        assert honest.sentence.startswith("doubtful: a confidence is off by ")

    def test_images_without_a_certificate_are_named(self, diagnosis):
        tree = diagnosis.tree.copy()
        route = tree["sample_stats"]["route"].copy()
        route[:12] = "unresolved"
        tree["sample_stats"]["route"] = route
        changed = dataclasses.replace(diagnosis, tree=tree)
        sentence = summary(changed)[0].sentence
        assert "12 unresolved: images 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more; the bare" in sentence
