"""What a model was trained on and how goes with it; and what the results show of themselves."""

import dataclasses
import json

import numpy as np
import pytest
from toys import random_images, tiny

import gmvae
from gmvae.data import Images, load
from gmvae.gmvae import GMVAE
from gmvae.probability.prior import MixturePrior
from gmvae.settings import Settings
from gmvae.support.errors import ContentError
from gmvae.training.fitting import Fit, fit
from gmvae.training.loop import Progress
from gmvae.training.restarts import fit_restarts

QUICK = Settings(n_components=3, epochs=1, warmup_epochs=1, seed=5)


@pytest.fixture(scope="module")
def digits():
    return load("digits", part="train").only([1, 4, 8]).subset(slice(0, 80))


def record_of(digits, **changes):
    return {
        "version": gmvae.__version__,
        "data": "digits",
        "classes": [1, 4, 8],
        "class_names": {},
        "n_images": 80,
        "labels_observed": 0,
        "settings": dataclasses.asdict(QUICK),
    } | changes


def asked(record):
    """The record without what came of the run: what is left was asked for."""
    came = {"log_joint_quantiles", "log_joint_by_complexity", "prominences", "stabilities"}
    assert came <= record.keys()
    assert record["log_joint_quantiles"] == sorted(record["log_joint_quantiles"])
    return {name: value for name, value in record.items() if name not in came}


@pytest.mark.usefixtures("quick")
class TestRecord:
    def test_a_fit_is_saved_with_its_settings_its_seed_and_the_name_of_its_data(
        self, digits, tmp_path
    ):
        observed = np.where(np.arange(80) < 7, digits.labels, -1)
        model = fit(digits, QUICK, observed=observed).gmvae
        assert asked(model.training_record) == record_of(digits, labels_observed=7)
        model.save(tmp_path)
        written = json.loads((tmp_path / "config.json").read_text())
        assert asked(written["training"]) == record_of(digits, labels_observed=7)
        loaded = GMVAE.load(tmp_path)
        assert loaded.training_record == model.training_record
        assert Settings(**loaded.training_record["settings"]) == QUICK

    def test_restarts_are_recorded_as_they_were_asked_for(self, digits):
        result, restarts = fit_restarts(digits, QUICK, 2, n_jobs=1)
        runs = [dataclasses.asdict(run) for run in restarts]
        assert asked(result.gmvae.training_record) == record_of(digits, restarts=runs)

    def test_settings_of_numpy_and_words_for_classes_can_be_saved(self, digits, tmp_path):
        named = dataclasses.replace(digits, class_names={1: "one"})
        settings = dataclasses.replace(QUICK, seed=np.int64(5), lr=np.float64(2e-3))
        fit(named, settings).gmvae.save(tmp_path)
        record = GMVAE.load(tmp_path).training_record
        assert asked(record) == record_of(digits, class_names={"1": "one"})


def test_a_record_that_is_given_takes_the_place_of_the_model_s(tmp_path):
    model = tiny()
    model.training_record = {"data": "mine"}
    model.save(tmp_path, extra={"training": {"data": "theirs"}})
    assert GMVAE.load(tmp_path).training_record == {"data": "theirs"}
    assert model.training_record == {"data": "mine"}


def test_a_model_that_no_fit_made_has_none(tmp_path):
    tiny().save(tmp_path)
    assert "training" not in json.loads((tmp_path / "config.json").read_text())
    assert GMVAE.load(tmp_path).training_record is None


def test_a_spoilt_record_is_refused(tmp_path):
    tiny().save(tmp_path, extra={"training": [1]})
    with pytest.raises(ContentError, match=r"`training` in .* expected an object; got \[1\]"):
        GMVAE.load(tmp_path)


@pytest.mark.usefixtures("quick")
def test_progress_documents_every_figure_of_a_run(digits):
    told = set()
    fit(digits, QUICK, callback=lambda progress: told.update(progress.metrics))
    assert told == {
        "objective",
        "loss",
        "elbo",
        "reconstruction",
        "kl_z",
        "kl_y",
        "effective_components",
        "kept_by_views",
        "effective_share",
    }
    assert [name for name in told if f"``{name}``" not in Progress.__doc__] == []


class TestRepr:
    @pytest.mark.parametrize(
        ("labels", "names", "end"),
        [
            (None, {}, "no labels"),
            ([4, 1, 4, 1], {}, "classes 1, 4"),
            ([4, 1, 4, 1], {1: "one", 4: "four"}, "classes one, four"),
            ([0, 1, 2, 3] * 3, {}, "classes 0, 1, 2, 3"),
            (list(range(11)), {}, "classes 11 of them"),
        ],
    )
    def test_of_images(self, labels, names, end):
        n = 4 if labels is None else len(labels)
        labels = None if labels is None else np.array(labels)
        images = Images(random_images(n).numpy(), labels, "few", names)
        assert repr(images) == f"Images('few', {n} of (1, 3, 4) float32, {end})"

    def test_of_a_mixture(self):
        shown = repr(MixturePrior(5, 2, "diagonal"))
        assert shown == "MixturePrior(n_components=5, latent_dim=2, covariance='diagonal')"

    @pytest.mark.parametrize(
        ("n_epochs", "warnings", "figures", "shown"),
        [
            (
                1_234,
                (),
                {"elbo": -20.27, "effective_components": 2.04},
                "ELBO -20.3 nats an image, 2.0 of 3 components in use, 1,234 epochs, no warnings",
            ),
            (1, ("collapse",), {}, "3 components, 1 epoch, 1 warning"),
            (0, ("a", "b"), {}, "3 components, 0 epochs, 2 warnings"),
        ],
    )
    def test_of_a_fit(self, n_epochs, warnings, figures, shown):
        result = Fit(tiny(), [{"epoch": 1.0}] * n_epochs, warnings, figures)
        assert repr(result) == f"Fit({shown})"
