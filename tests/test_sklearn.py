"""The estimator: what scikit-learn's checks do not ask, against toys whose answer is known."""

import inspect
import math

import joblib
import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment
from scipy.stats import norm
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.datasets import load_breast_cancer, load_digits, load_wine, make_blobs
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gmvae import Settings
from gmvae.rows import Columns
from gmvae.sklearn import SETTINGS, GaussianMixtureVAE

BLOBS, KINDS = make_blobs(
    n_samples=90, centers=[[0, 0, 0], [9, 9, 0], [0, 9, 9]], random_state=0
)  # fmt: skip


def accuracy(labels, predicted):
    """With one cluster matched to each class (Hungarian)."""
    table = np.zeros((labels.max() + 1, predicted.max() + 1))
    np.add.at(table, (labels, predicted), 1)
    rows, columns = linear_sum_assignment(-table)
    return table[rows, columns].sum() / len(labels)


@pytest.fixture(scope="module")
def trained():
    # Of a step an epoch: 60 lead back to the blobs with some seeds, 300 with all that were tried.
    return GaussianMixtureVAE(3, epochs=300).fit(BLOBS)


@pytest.mark.parametrize(("load", "least"), [(load_wine, 0.93), (load_breast_cancer, 0.92)])
def test_raw_columns_of_known_sets(load, least):
    """Default settings, K given, seeds 0 to 4: as good as k-means on standardised columns."""
    rows, labels = load(return_X_y=True)
    k = len(np.unique(labels))
    ours, theirs = [], []
    for seed in range(5):
        model = GaussianMixtureVAE(k, random_state=seed)
        ours.append(accuracy(labels, model.fit_predict(rows)))
        means = KMeans(k, n_init=10, random_state=seed)
        theirs.append(accuracy(labels, means.fit_predict(StandardScaler().fit_transform(rows))))
    assert np.mean(ours) >= least, ours
    assert np.mean(ours) >= np.mean(theirs) - 0.01, (ours, theirs)


def test_what_is_known_of_three_blobs(trained):
    assert accuracy(KINDS, trained.labels_) >= 0.98
    assert np.array_equal(trained.predict(BLOBS), trained.labels_)
    probabilities = trained.predict_proba(BLOBS)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert np.array_equal(probabilities.argmax(1), trained.labels_)
    assert (trained.means_.shape, trained.weights_.shape) == ((3, 2), (3,))
    assert trained.weights_.sum() == pytest.approx(1)
    # A third of the rows are in each.
    assert trained.weights_ == pytest.approx([1 / 3] * 3, abs=0.1)
    assert trained.classes_ is None


def test_latents_lead_back_to_their_rows(trained):
    latents = trained.transform(BLOBS)
    assert latents.shape == (90, 2)
    back = trained.inverse_transform(latents)
    # What is left is within the blobs, whose standard deviation is 1, where between them it is 9.
    for kind in range(3):
        own = BLOBS[kind == KINDS].mean(0)
        assert np.abs(back[kind == KINDS].mean(0) - own).max() < 3


def test_draws_are_like_the_rows(trained):
    rows, components = trained.sample(2_000)
    assert rows.shape == (2_000, 3)
    shares = np.bincount(components, minlength=3) / 2_000
    np.testing.assert_allclose(shares, trained.weights_, atol=0.04)
    nearest = (rows[:, None] - np.stack([BLOBS[k == KINDS].mean(0) for k in range(3)])) ** 2
    assert np.median(np.sqrt(nearest.sum(-1).min(1))) < 4  # a blob's own is about 1.5
    assert np.array_equal(trained.sample(5)[0], trained.sample(5)[0])


def test_a_density_in_the_units_of_the_rows(trained):
    """In units ten times smaller the density is 1,000 times smaller: three columns."""
    larger = clone(trained).fit(BLOBS * 10)
    assert larger.score(BLOBS * 10) == pytest.approx(
        trained.score(BLOBS) - 3 * math.log(10), abs=0.1
    )
    # Between the blobs are no rows.
    between = trained.score_samples([[4.5, 4.5, 4.5]])[0]
    assert between < trained.score(BLOBS) - 5
    assert trained.score(BLOBS) == pytest.approx(trained.score_samples(BLOBS).mean())


def test_answers_do_not_depend_on_the_other_rows(trained):
    for query in ("predict_proba", "transform", "score_samples"):
        whole = getattr(trained, query)(BLOBS)
        single = np.concatenate([getattr(trained, query)(BLOBS[i : i + 1]) for i in range(9)])
        np.testing.assert_allclose(single, whole[:9], rtol=1e-9, atol=1e-12)


def test_a_classifier_on_the_latents():
    rows, labels = load_wine(return_X_y=True)
    pipeline = make_pipeline(GaussianMixtureVAE(3), LogisticRegression())
    # Of labels that the latents have seen; a half that neither has seen judges.
    assert pipeline.fit(rows[::2], labels[::2]).score(rows[1::2], labels[1::2]) >= 0.9


def test_the_number_of_components_is_searched():
    search = GridSearchCV(GaussianMixtureVAE(), {"n_components": [1, 3]}, cv=2)
    search.fit(BLOBS)
    assert search.best_params_ == {"n_components": 3}
    assert len(search.cv_results_["mean_test_score"]) == 2


@pytest.mark.parametrize("words", [False, True])
def test_rows_of_known_class(words):
    """Six of ninety are known; the components are the classes, in their order."""
    classes = np.array(["ant", "bee", "cat"]) if words else np.array([7, 3, 5])
    y = np.full(90, "-1" if words else -1, dtype=classes.dtype if words else int)
    for kind in range(3):
        rows = np.flatnonzero(kind == KINDS)[:2]
        y[rows] = classes[kind]
    model = GaussianMixtureVAE(3).fit(BLOBS, y)
    assert (model.predict(BLOBS) == classes[KINDS]).mean() >= 0.98
    assert model.classes_.tolist() == np.sort(classes).tolist()
    # Labels lead: component 0 is the first class.
    assert (model.classes_[model.predict_proba(BLOBS).argmax(1)] == model.predict(BLOBS)).all()


def test_what_is_no_class_is_not_looked_at(trained):
    y = np.random.default_rng(0).random(90)
    model = GaussianMixtureVAE(3, epochs=300).fit(BLOBS, y)
    assert np.array_equal(model.labels_, trained.labels_)
    with pytest.raises(ValueError, match="`y` expected a class a row, 90; got 4"):
        GaussianMixtureVAE(3).fit(BLOBS, [0, 1, 2, 0])


def test_frames_in_and_out(trained):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(BLOBS, columns=["a", "b", "c"])
    model = clone(trained).set_output(transform="pandas").fit(frame)
    latents = model.transform(frame)
    assert list(latents.columns) == ["gaussianmixturevae0", "gaussianmixturevae1"]
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(latents, trained.transform(BLOBS))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename(columns={"a": "z"}))


def test_polars(trained):
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(BLOBS, schema=["a", "b", "c"], orient="row")
    model = clone(trained).set_output(transform="polars").fit(frame)
    assert isinstance(model.transform(frame), pl.DataFrame)
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]


def test_it_is_kept_by_joblib(trained, tmp_path):
    joblib.dump(trained, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    assert np.array_equal(loaded.predict_proba(BLOBS), trained.predict_proba(BLOBS))
    trained.gmvae_.save(tmp_path / "model")  # and without a pickle by the library's own way


def test_a_warm_start_begins_from_the_clusters_that_were():
    """The wrong clusters of a first fit, two blobs in one, stay; a cold start finds the right."""
    wrong = np.where(KINDS == 0, 0, 1)
    y = wrong.copy()
    model = GaussianMixtureVAE(2, warm_start=True).fit(BLOBS, y)
    assert (model.predict(BLOBS) == wrong).all()
    assert accuracy(wrong, model.fit(BLOBS).labels_) == 1
    again = GaussianMixtureVAE(3, warm_start=True).fit(BLOBS).fit(BLOBS)
    assert accuracy(KINDS, again.labels_) >= 0.98


def test_images_as_rows():
    pixels, labels = load_digits(n_class=2, return_X_y=True)
    rows = np.rint(pixels / 16 * 255)
    model = GaussianMixtureVAE(2, image_shape=(1, 8, 8)).fit(rows)
    assert accuracy(labels, model.labels_) >= 0.95
    assert model.gmvae_.config.likelihood == "bernoulli"
    back = model.inverse_transform(model.transform(rows))
    assert np.abs(back - rows).mean() < 40  # of 255
    assert model.sample(3)[0].max() > 64
    # As it was told at the start: 100 alone is no other range now.
    assert model.predict(np.full((1, 64), 60.0)).shape == (1,)
    with pytest.raises(ValueError, match=r"`image_shape` expected a shape of 64 pixels"):
        GaussianMixtureVAE(2, image_shape=(1, 9, 9)).fit(rows)


def test_its_parameters_are_the_settings():
    parameters = inspect.signature(GaussianMixtureVAE.__init__).parameters
    defaults = Settings()
    assert {*SETTINGS, "likelihood", "seed"} == {*vars(defaults)}
    # K has no good default: that of a toy. Tables are small, and searches try many.
    other = {"n_components": 3, "effort": "quick", "held_out": 0.0, "guide": "diagonal"}
    for name in SETTINGS:
        assert parameters[name].default == other.get(name, getattr(defaults, name)), name
    assert parameters["random_state"].default == defaults.seed


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_components": 0}, "`n_components` expected at least 1; got 0"),
        ({"lr": -1.0}, "`lr` expected above 0"),
        ({"network": "rnn"}, "`network` expected one of mlp, conv"),
        ({"n_components": 91}, "`n_components` expected at most the number of images"),
    ],
)
def test_settings_out_of_their_range(parameters, message):
    with pytest.raises(ValueError, match=message):
        GaussianMixtureVAE(**parameters).fit(BLOBS)


def test_columns_by_hand():
    rows = np.array([[1.0, 5.0], [3.0, 5.0]])  # mean 2, deviation 1; a column that does not vary
    columns = Columns.of(rows)
    assert (columns.mean.tolist(), columns.scale.tolist()) == ([2.0, 5.0], [1.0, 1.0])
    pixels = columns.pixels(rows)
    assert pixels.shape == (2, 1, 1, 2)
    # The normal distribution function at -1, 0 and 1.
    np.testing.assert_allclose(pixels[:, 0, 0], [[0.158655, 0.5], [0.841345, 0.5]], atol=1e-6)
    np.testing.assert_allclose(columns.rows(pixels.astype(float)), rows, atol=1e-5)
    expected = norm.logpdf([1.0, 1.0]) + norm.logpdf(0.0)
    np.testing.assert_allclose(columns.log_volume(rows), expected)
    far = columns.rows(columns.pixels(np.array([[1e9, 5.0]])).astype(float))
    assert far[0, 0] == pytest.approx(2 + 4, abs=0.01)  # four deviations
