"""Every row of the verdict, from draws whose figures are known: name, figure, limits, detail."""

from types import SimpleNamespace

import numpy as np
import pytest

from gmvae.diagnostics import LeaveOneOut, MixturePosterior, Ranks, Reference, Threshold
from gmvae.diagnostics.calibration import Reliability
from gmvae.diagnostics.calibration_rows import calibration_rows, sureness
from gmvae.diagnostics.draws import Draws
from gmvae.diagnostics.guide_rows import importance_rows, nuts_rows, simulation_rows
from gmvae.diagnostics.model_checks import Predictive
from gmvae.diagnostics.model_rows import (
    enough_components,
    fit_rows,
    mixture_rows,
    predictive_rows,
)

KHAT = "k-hat: Vehtari et al. 2024; shares: convention of gmvae"
CHAINS = "Vehtari et al. 2021"
OURS = "convention of gmvae"
UNIFORM = "Talts et al. 2018; limits: convention of gmvae"
HONEST = "error: Guo et al. 2017; limits: convention of gmvae"


def assert_row(check, topic, name, figure, limits, detail, status, lenient=False):
    """The whole row; ``limits`` are good, bad and source, or None."""
    assert (check.topic, check.name, check.detail) == (topic, name, detail)
    assert check.figure == pytest.approx(figure, rel=1e-9, abs=1e-12)
    assert type(check.figure) is float
    assert check.threshold == (None if limits is None else Threshold(*limits))
    assert (check.status, check.lenient) == (status, lenient)


def known_draws(z=None):
    """100 draws of 4 images whose every figure differs from every other.

    The k-hats' limit for 100 draws is 1 - 1 / log10(100) = 0.5. Half of an image's log-weights
    are above their mean by h and half below: log p(x) is the mean and log cosh h.
    """
    half = np.arange(4.0)
    signs = np.tile([-1.0, 1.0], 50)[:, None]
    right = np.array([0.5, 0.6, 0.7, 0.9])
    return Draws(
        z=np.zeros((100, 4, 3)) if z is None else z,
        y=np.broadcast_to(np.stack([right, 1 - right], -1), (100, 4, 2)),
        q_y=np.full((4, 2), 0.5),
        log_weights=np.array([-10.0, -20.0, -30.0, -60.0]) + signs * half,
        smoothed=np.full((100, 4), -np.log(100)),
        khat=np.array([0.4, 0.44, 0.5, 0.9]),
        gap_y=np.array([0.1, 0.2, 0.3, 0.8]),
    )


EVIDENCE = np.array([-10.0, -20.0, -30.0, -60.0]) + np.log(np.cosh(np.arange(4.0)))


def test_rows_of_the_guide():
    khat, gap_y, gap_z, variation = importance_rows(known_draws())
    name = "share of images with k-hat above 0.50"
    assert_row(khat, "guide", name, 0.25, (0.05, 0.20, KHAT), "median k-hat 0.47", "fail")
    name = "gap from q(y | x), nats"
    assert_row(gap_y, "guide", name, 0.35, None, "at most 0.80; of q(z | x) alone", "note")
    name, mean = "gap from q(z | x), nats", np.log(np.cosh(np.arange(4.0))).mean()
    assert_row(gap_z, "guide", name, mean, (1.0, 3.0, OURS), "at most 2.31", "look")
    name = "total variation of q(y | x) and p(y | x)"
    assert_row(variation, "guide", name, 0.175, (0.05, 0.15, OURS), "at most 0.40", "fail")


@pytest.mark.parametrize("normalised", [True, False])
def test_rows_of_the_fit(normalised, monkeypatch):
    # Of three latent dimensions one has the same mean for all images.
    z = np.zeros((100, 4, 3)) + np.array([[0, 1, 0], [1, 2, 0], [2, 3, 0], [3, 4, 0]])
    draws = known_draws(z)
    draws.q_y[:] = [0.8, 0.2]
    prior = SimpleNamespace(latent_dim=3, n_components=2)
    model = SimpleNamespace(prior=prior, likelihood=SimpleNamespace(normalised=normalised))
    guide, told = object(), []
    monkeypatch.setattr(
        "gmvae.diagnostics.model_checks.prior_mismatch", lambda *what: told.append(what) or 0.7
    )
    monkeypatch.setattr(
        "gmvae.diagnostics.model_checks.weight_mismatch", lambda *what: told.append(what) or 0.1
    )
    evidence, unused, mismatch, weights, number = fit_rows(model, guide, draws)
    assert told == [(model, guide, draws), (model, draws)]
    density = "" if normalised else "; no normalised density"
    detail = f"+- {EVIDENCE.std(ddof=1) / 2:.2f}, importance weighted{density}"
    name = "log p(x), nats an image"
    assert_row(evidence, "model", name, EVIDENCE.mean(), None, detail, "note")
    name, source = "latent dimensions out of use", "active units: Burda et al. 2016"
    assert_row(unused, "model", name, 1, (0, 2, source), "of 3", "look")
    name = "two-sample test of the latents and the mixture"
    limits = (0.6, 0.75, "Lopez-Paz and Oquab 2017; limits: convention of gmvae")
    detail = "accuracy; 0.5 where they are the same"
    assert_row(mismatch, "model", name, 0.7, limits, detail, "look")
    name = "total variation of the use of components and their weights"
    assert_row(weights, "model", name, 0.1, (0.05, 0.15, OURS), "", "look")
    name = "effective number of components"
    figure = np.exp(-0.8 * np.log(0.8) - 0.2 * np.log(0.2))  # 1.65
    assert_row(number, "model", name, figure, (1.5, 1.25, OURS), "of 2", "pass")


def test_a_mixture_of_one_has_no_row_for_the_number_of_its_components(monkeypatch):
    for name in ("prior_mismatch", "weight_mismatch"):
        monkeypatch.setattr(f"gmvae.diagnostics.model_checks.{name}", lambda *_: 0.0)
    prior = SimpleNamespace(latent_dim=3, n_components=1)
    model = SimpleNamespace(prior=prior, likelihood=SimpleNamespace(normalised=True))
    names = [check.name for check in fit_rows(model, None, known_draws())]
    assert len(names) == 4
    assert "effective number of components" not in names


@pytest.mark.parametrize(
    ("n_components", "good", "bad"), [(2, 1.5, 1.25), (3, 2.0, 1.5), (10, 5.5, 3.25)]
)
def test_half_of_the_way_to_all_components_is_good_and_a_quarter_bad(n_components, good, bad):
    limits = enough_components(n_components)
    assert limits == Threshold(good, bad, OURS)
    assert limits.status(n_components) == "pass"
    assert limits.status(1.0) == "fail"


def test_rows_of_a_posterior_over_the_mixture():
    # Of 100 draws four have one component, three have four, the others two.
    weights = np.full((100, 4), [0.5, 0.5, 0.0, 0.0])
    weights[:4], weights[-3:] = [0, 1, 0, 0], 0.25
    mixture = MixturePosterior(weights, np.zeros((100, 4, 2)), np.zeros((100, 4, 2, 2)))
    elpd = np.array([-10.0, -12.0, -11.0, -15.0])
    loo = LeaveOneOut(elpd, np.array([0.4, 0.5, 0.6, 0.9]), 7.3)
    number, density, khat = mixture_rows(mixture, loo)
    name = "posterior of the mixture: effective number of components"
    # The 3 % quantile lies among the four, the 97 % one just before the three.
    detail = "of 4; 94 % between 1.00 and 2.06"
    assert_row(number, "model", name, 2.02, None, detail, "note")
    name = "LOO over the mixture, given encoder and decoder, nats an image"
    detail = f"+- {elpd.std(ddof=1) / 2:.2f}; 7.3 parameters in effect"
    assert_row(density, "model", name, -12.0, None, detail, "note")
    name = "LOO over the mixture: share of images with k-hat above 0.50"
    assert_row(khat, "model", name, 0.5, (0.05, 0.20, KHAT), "", "fail")


def test_rows_of_the_predictive_checks():
    same = [0.0, 1.0, 2.0, 3.0]
    replicated = {
        "ink": [same, same],
        "row": [same, [-10.0, 1.0, 2.0, 3.0]],
        "column": [[10.0, 1.0, 2.0, 3.0], [10.0, 1.0, 2.0, 3.0]],
        "distance": [[-10.0] * 4, [-10.0] * 4],
    }
    predictive = Predictive(
        {name: np.array(same) for name in replicated},
        {name: np.array(values) for name, values in replicated.items()},
    )
    expected = [
        ("ink", 0.0, "1.00", "pass"),
        ("vertical centre of mass", 0.125, "0.50", "look"),
        ("horizontal centre of mass", 0.25, "1.00", "fail"),
        ("pairwise distance", 1.0, "0.00", "fail"),
    ]
    found = predictive_rows(predictive)
    for check, (word, distance, p, status) in zip(found, expected, strict=True):
        detail = f"Kolmogorov-Smirnov distance; p of the mean {p}"
        name = f"posterior predictive: {word}"
        assert_row(check, "model", name, distance, (0.1, 0.2, OURS), detail, status)


@pytest.mark.parametrize("premise", ["", "; of no density"])
@pytest.mark.parametrize(("p", "status"), [(0.05, "pass"), (0.01, "look"), (0.0005, "fail")])
def test_the_rows_of_simulated_ranks(premise, p, status):
    ranks, of_guide = (Ranks(np.zeros((1_234, 2)), 99, value) for value in (p, 1e-9))
    check, alone = simulation_rows(ranks, of_guide, premise)
    assert (alone.figure, alone.status, alone.threshold) == (1e-9, "note", None)
    name = "simulation-based calibration, p of uniform ranks"
    detail = f"of weighted draws; 1,234 simulated images{premise}"
    spared = bool(premise)
    status = "look" if spared and status == "fail" else status
    assert_row(check, "guide", name, p, (0.05, 0.001, UNIFORM), detail, status, spared)


def curve(accuracy, excess=0.0, count=100, ece=0.1):
    """Two bins of so many predictions together, a tenth and nine tenths of them."""
    share = np.array([accuracy, accuracy])
    counts = np.array([count // 10, count - count // 10])
    return Reliability(share + excess, share, counts, ece)


@pytest.mark.parametrize("named", [True, False])
def test_rows_of_calibration(named):
    curves = {"labels": curve(0.8, 0.1, ece=0.16), "simulated": curve(0.5, 0.05, ece=0.05)}
    labels, simulated = calibration_rows(curves, "; premise", named)
    naming = "components as named in training" if named else "components matched to the labels"
    name, limits = "calibration error against the labels", (0.05, 0.15, HONEST)
    detail = f"too sure by 0.100; {naming}"
    assert_row(labels, "probabilities", name, 0.16, limits, detail, "fail")
    name = "calibration error on simulated images"
    detail = "no surer than right, but for chance (+0.050); premise"
    assert_row(simulated, "probabilities", name, 0.05, limits, detail, "pass", lenient=True)


def test_without_labels_the_simulated_images_are_the_only_row_and_strict():
    (check,) = calibration_rows({"simulated": curve(0.5, ece=0.2)}, "", named=False)
    assert check.name == "calibration error on simulated images"
    assert (check.status, check.lenient) == ("fail", False)
    assert check.detail == "no surer than right, but for chance (+0.000)"


@pytest.mark.parametrize(
    ("accuracy", "excess", "words"),
    [
        # Of 100 predictions, half of them right, two standard errors are 0.1; of 0.9, 0.06.
        (0.5, 0.09, "no surer than right, but for chance (+0.090)"),
        (0.5, -0.09, "no surer than right, but for chance (-0.090)"),
        (0.5, 0.11, "too sure by 0.110"),
        (0.5, -0.11, "too unsure by 0.110"),
        (0.9, 0.059, "no surer than right, but for chance (+0.059)"),
        (0.9, 0.061, "too sure by 0.061"),
        # Where all are right the noise is not 0: 2 sqrt(1e-9 / 100) = 6.3e-6.
        (1.0, -6e-6, "no surer than right, but for chance (-0.000)"),
        (1.0, -7e-6, "too unsure by 0.000"),
    ],
)
def test_sureness_is_told_from_chance(accuracy, excess, words):
    assert sureness(curve(accuracy, excess)) == words


def test_sureness_weighs_its_bins():
    """Of 100 predictions 99 are right at confidence 0.96, one is wrong at 0.5."""
    unlike = Reliability(np.array([0.5, 0.96]), np.array([0.0, 1.0]), np.array([1, 99]), 0.0)
    # Accuracy 0.99: two standard errors are 0.0199, and the excess is (0.5 - 99 * 0.04) / 100.
    assert sureness(unlike) == "too unsure by 0.035"


def known_reference(modes):
    """Three images, two latent dimensions, two chains of five draws."""
    return Reference(
        z=np.zeros((2, 5, 3, 2)),
        guide_mean=np.array([[0.1, 0.2], [0.6, 0.4], [3.0, 0.0]]),
        guide_sd=np.array([[1.0, 1.0], [2.0, 1.5], [0.5, 4.0]]),
        mean=np.zeros((3, 2)),
        sd=np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]),
        log_evidence=np.array([-9.0, -8.0, -5.0]),
        khat=np.array([0.2, 0.75, 0.3]),
        modes=np.array(modes),
        rhat=np.array([[1.0, 1.02], [1.9, 1.5], [1.01, 1.0]]),
        ess=np.array([[90.0, 300.0], [2.0, 5.0], [210.0, 400.0]]),
    )


def rows_by_modes(modes):
    log_evidence = np.array([-9.5, -10.0, -12.0])
    return nuts_rows(known_reference(modes), np.array([7, 5, 9]), log_evidence)


def test_rows_of_nuts():
    """R-hat and sample size are those of images of one mode: 5 has two."""
    rhat, ess, khat, shift, spread, missed = rows_by_modes([1, 2, 1])
    name = "NUTS: largest R-hat, images of one mode"
    detail = "3 images; of several modes: images 5"
    assert_row(rhat, "guide", name, 1.02, (1.01, 1.05, CHAINS), detail, "look", lenient=True)
    name = "NUTS: smallest effective sample size, images of one mode"
    assert_row(ess, "guide", name, 90.0, (200.0, 50.0, CHAINS), "2 chains", "look", lenient=True)
    name = "NUTS: largest k-hat of the weighted chains"
    detail = "below it mean and spread hold, whatever the modes"
    # 8,000 candidates: 1 - 1 / log10(8000) is above 0.7, and so 0.7 is the limit.
    limits = (0.7, 1.0, "Vehtari et al. 2024")
    assert_row(khat, "guide", name, 0.75, limits, detail, "look", lenient=True)
    name = "shift of the guide's mean, in sd of NUTS"
    # Of 0, 0.1, 0.2, 0.4, 0.6 and 3.
    assert_row(shift, "guide", name, 0.3, (0.25, 1.0, OURS), "median; at most 3.00", "look")
    name = "ratio of sd, guide to NUTS, |log|"
    # Of log 1, 1, 1.5, 2, 2 and 4.
    figure = (np.log(1.5) + np.log(2)) / 2
    limits = (np.log(1.25), np.log(2), OURS)
    assert_row(spread, "guide", name, figure, limits, "median; ratios 0.50 to 4.00", "look")
    name = "log p(x) that draws of the guide miss, nats"
    detail = "median of the images for NUTS; at most 7.00"
    assert_row(missed, "guide", name, 2.0, None, detail, "note")


def test_where_every_image_has_several_modes_all_of_them_count():
    rhat, ess, *_ = rows_by_modes([2, 2, 3])
    assert (rhat.figure, ess.figure) == (1.9, 2.0)
    assert rhat.detail == "3 images; of several modes: images 7, 5, 9"


def test_where_every_image_has_one_mode_nothing_is_said_of_modes():
    rhat, ess, *_ = rows_by_modes([1, 1, 1])
    assert (rhat.figure, ess.figure) == (1.9, 2.0)
    assert rhat.detail == "3 images"


def test_a_reference_in_doubt_never_fails_the_guide():
    rhat, ess, *_ = rows_by_modes([1, 1, 1])
    for check in (rhat, ess):
        assert check.threshold.status(check.figure) == "fail"
        assert check.status == "look"
