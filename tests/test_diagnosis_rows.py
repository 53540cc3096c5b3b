"""Every row of the verdict, from draws whose figures are known: name, figure, limits, detail."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from gmvae.diagnostics import LeaveOneOut, MixturePosterior, Ranks, Reference, Threshold
from gmvae.diagnostics.calibration import Reliability
from gmvae.diagnostics.calibration_rows import calibration_rows, sureness
from gmvae.diagnostics.draws import Draws
from gmvae.diagnostics.guide_rows import (
    chains_rows,
    guide_against_nuts_rows,
    guide_ranks_row,
    importance_rows,
)
from gmvae.diagnostics.model_checks import Predictive
from gmvae.diagnostics.model_rows import (
    enough_components,
    fit_rows,
    mixture_rows,
    predictive_rows,
)
from gmvae.diagnostics.posterior_rows import against_nuts_rows, certified_rows, simulated_rows
from gmvae.posterior import Posterior

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
    name = "bare guide: share of images with k-hat above 0.50 (of 100 draws)"
    assert_row(khat, "posterior", name, 0.25, None, "median k-hat 0.47", "note")
    name = "bare guide: gap from q(y | x), nats"
    assert_row(gap_y, "posterior", name, 0.35, None, "at most 0.80", "note")
    name, mean = "bare guide: gap from q(z | x), nats", np.log(np.cosh(np.arange(4.0))).mean()
    assert_row(gap_z, "posterior", name, mean, None, "at most 2.31", "note")
    name = "bare guide: total variation of q(y | x) and p(y | x)"
    assert_row(variation, "posterior", name, 0.175, None, "at most 0.40", "note")


def known_posterior(n=400, n_unresolved=0, mean=0.0, sd=1.0, log_evidence=-9.0):
    """Of n images in two latent dimensions, by 500 draws."""
    route = np.array(["guide", *["refined"] * (n - 1)], dtype="<U10")
    route[n - n_unresolved :] = "unresolved"
    by_latent = {
        name: (("image", "latent"), np.full((n, 2), value))
        for name, value in (("mean", mean), ("sd", sd))
    }
    stats = {"route": ("image", route), "log_evidence": ("image", np.full(n, log_evidence))}
    z = (("chain", "draw", "image", "latent"), np.zeros((1, 500, n, 2)))
    groups = {"posterior": xr.Dataset({"z": z}), "sample_stats": xr.Dataset(stats | by_latent)}
    return Posterior(xr.DataTree.from_dict(groups))


@pytest.mark.parametrize(
    ("n_unresolved", "status", "words"),
    [
        (0, "pass", "400 certified (1 guide, 399 refined); "),
        (2, "pass", "398 certified (1 guide, 397 refined), 2 unresolved; "),
        (3, "doubtful", "397 certified (1 guide, 396 refined), 3 unresolved; "),
        (21, "fail", "379 certified (1 guide, 378 refined), 21 unresolved; "),
    ],
)
def test_the_row_of_certificates(n_unresolved, status, words):
    (check,) = certified_rows(known_posterior(n_unresolved=n_unresolved))
    name, share = "share of images whose posterior is certified", 1 - n_unresolved / 400
    detail = words + (
        "k-hat at most 0.63 (of 500 draws) to 0.70 (of 2,155 and more), or R-hat at most 1.01"
    )
    assert_row(check, "posterior", name, share, (0.995, 0.95, OURS), detail, status)


@pytest.mark.parametrize(
    ("covered", "status"),
    [
        ([0.9, 0.9], "pass"),
        ([0.88, 0.88], "pass"),
        ([0.87, 0.87], "doubtful"),
        ([0.84, 0.86], "fail"),
        ([0.96, 0.96], "fail"),
    ],
)
def test_the_row_of_intervals(covered, status):
    """Of 1,000 images 2.6 standard errors are 2.6 sqrt(.9 .1 / 1000) = .0247."""
    _, check = simulated_rows(Ranks(np.zeros((1_000, 2)), 99, 0.5), np.array(covered))
    chance = check.threshold.good
    assert chance == pytest.approx(2.6 * np.sqrt(0.09 / 1_000))
    name = "central 90 % intervals: how far from 90 % of latents they hold"
    detail = f"they hold {50 * sum(covered):.1f} %; limits of 1,000 simulated images"
    limits = (chance, 2 * chance, "2.6 standard errors; convention of gmvae")
    assert_row(check, "posterior", name, abs(sum(covered) / 2 - 0.9), limits, detail, status)


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
    evidence, unused, mismatch, weights, number = fit_rows(model, guide, draws, EVIDENCE)
    assert told == [(model, guide, draws), (model, draws)]
    density = "" if normalised else "; no normalised density"
    detail = f"+- {EVIDENCE.std(ddof=1) / 2:.2f}, of the certified posterior{density}"
    name = "log p(x), nats an image"
    assert_row(evidence, "model", name, EVIDENCE.mean(), None, detail, "note")
    name, source = "latent dimensions out of use", "active units: Burda et al. 2016"
    assert_row(unused, "model", name, 1, (0, 2, source), "of 3", "doubtful")
    name = "two-sample test of the latents and the mixture"
    limits = (0.6, 0.75, "Lopez-Paz and Oquab 2017; limits: convention of gmvae")
    detail = "accuracy; 0.5 where they are the same"
    assert_row(mismatch, "model", name, 0.7, limits, detail, "doubtful")
    name = "total variation of the use of components and their weights"
    assert_row(weights, "model", name, 0.1, (0.05, 0.15, OURS), "", "doubtful")
    name = "effective number of components"
    figure = np.exp(-0.8 * np.log(0.8) - 0.2 * np.log(0.2))  # 1.65
    assert_row(number, "model", name, figure, (1.5, 1.25, OURS), "of 2", "pass")


def test_a_mixture_of_one_has_no_row_for_the_number_of_its_components(monkeypatch):
    for name in ("prior_mismatch", "weight_mismatch"):
        monkeypatch.setattr(f"gmvae.diagnostics.model_checks.{name}", lambda *_: 0.0)
    prior = SimpleNamespace(latent_dim=3, n_components=1)
    model = SimpleNamespace(prior=prior, likelihood=SimpleNamespace(normalised=True))
    names = [check.name for check in fit_rows(model, None, known_draws(), EVIDENCE)]
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
    assert_row(khat, "model", name, 0.5, (0.05, 0.20, KHAT), "limit of 100 draws", "fail")


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
        ("vertical centre of mass", 0.125, "0.50", "doubtful"),
        ("horizontal centre of mass", 0.25, "1.00", "fail"),
        ("pairwise distance", 1.0, "0.00", "fail"),
    ]
    found = predictive_rows(predictive)
    for check, (word, distance, p, status) in zip(found, expected, strict=True):
        detail = f"Kolmogorov-Smirnov distance; p of the mean {p}"
        name = f"posterior predictive: {word}"
        assert_row(check, "model", name, distance, (0.1, 0.2, OURS), detail, status)


@pytest.mark.parametrize(("p", "status"), [(0.05, "pass"), (0.01, "doubtful"), (0.0005, "fail")])
def test_the_row_of_simulated_ranks(p, status):
    ranks = Ranks(np.zeros((1_234, 2)), 99, p)
    check, _ = simulated_rows(ranks, np.array([0.9, 0.9]))
    name = "simulation-based calibration, p of uniform ranks"
    detail = "1,234 simulated images"
    assert_row(check, "posterior", name, p, (0.05, 0.001, UNIFORM), detail, status)
    check = guide_ranks_row(ranks)
    detail += (
        "; small where q(z | x) is narrower than the posterior, or wider, as the last phase of "
        "training makes it"
    )
    assert_row(check, "posterior", f"bare guide: {name}", p, None, detail, "note")


def curve(accuracy, excess=0.0, count=100, ece=0.1):
    """Two bins of so many predictions together, a tenth and nine tenths of them."""
    share = np.array([accuracy, accuracy])
    counts = np.array([count // 10, count - count // 10])
    return Reliability(share + excess, share, counts, ece)


@pytest.mark.parametrize("named", [True, False])
def test_rows_of_calibration(named):
    curves = {"labels": curve(0.8, 0.1, ece=0.16), "simulated": curve(0.5, 0.05, ece=0.05)}
    labels, simulated, guide = calibration_rows(curves, curve(0.5, 0.2, ece=0.3), named)
    naming = "components as named in training" if named else "components matched to the labels"
    name, limits = "calibration error of q(y | x) against the labels", (0.05, 0.15, HONEST)
    detail = f"too sure by 0.100; {naming}"
    assert_row(labels, "probabilities", name, 0.16, limits, detail, "fail")
    name = "calibration error of p(y | x) on simulated images"
    detail = "no surer than right, but for chance (+0.050)"
    assert_row(simulated, "probabilities", name, 0.05, limits, detail, "pass")
    name = "bare guide: calibration error of q(y | x) on simulated images"
    assert_row(guide, "probabilities", name, 0.3, None, "too sure by 0.200", "note")


def test_without_labels_simulated_images_are_all_there_is():
    check, note = calibration_rows({"simulated": curve(0.5, ece=0.2)}, curve(0.5), named=False)
    assert check.name == "calibration error of p(y | x) on simulated images"
    assert (check.status, check.lenient, note.status) == ("fail", False, "note")
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
        energy=np.zeros((2, 5, 3)),
        diverging=np.zeros((5, 3), bool),
    )


def rows_by_modes(modes):
    return chains_rows(known_reference(modes), np.array([7, 5, 9]))


def test_rows_of_nuts():
    """R-hat and sample size are those of images of one mode: 5 has two."""
    rhat, ess, khat = rows_by_modes([1, 2, 1])
    name = "NUTS: largest R-hat, images of one mode"
    detail = f"3 images, good up to 1.01; of several modes: images 5; {CHAINS}"
    assert_row(rhat, "posterior", name, 1.02, None, detail, "note")
    name = "NUTS: smallest effective sample size, images of one mode"
    detail = f"2 chains, good from 200; {CHAINS}"
    assert_row(ess, "posterior", name, 90.0, None, detail, "note")
    name = "NUTS: largest k-hat of the weighted chains"
    # 8,000 candidates: 1 - 1 / log10(8000) is above 0.7, and so 0.7 is the limit.
    detail = "up to 0.70 mean and spread hold, whatever the modes"
    assert_row(khat, "posterior", name, 0.75, None, detail, "note")


def test_the_bare_guide_against_nuts():
    reference, log_evidence = known_reference([1, 2, 1]), np.array([-9.5, -10.0, -12.0])
    shift, spread, missed = guide_against_nuts_rows(reference, log_evidence)
    name = "bare guide: shift of the mean, in sd of NUTS"
    # Of 0, 0.1, 0.2, 0.4, 0.6 and 3.
    assert_row(shift, "posterior", name, 0.3, None, "median; at most 3.00", "note")
    name = "bare guide: ratio of sd to that of NUTS, |log|"
    # Of log 1, 1, 1.5, 2, 2 and 4.
    figure = (np.log(1.5) + np.log(2)) / 2
    assert_row(spread, "posterior", name, figure, None, "median; ratios 0.50 to 4.00", "note")
    name = "bare guide: log p(x) that its draws miss, nats"
    detail = "median of the images for NUTS; at most 7.00"
    assert_row(missed, "posterior", name, 2.0, None, detail, "note")


@pytest.mark.parametrize(
    ("mean", "sd", "statuses"),
    [
        (0.2, 1.2, ["pass", "pass", "note"]),
        (0.3, 1.3, ["doubtful", "doubtful", "note"]),
        # Beyond their limits they still do not fail.
        (1.1, 2.1, ["doubtful", "doubtful", "note"]),
    ],
)
def test_the_posterior_against_nuts(mean, sd, statuses):
    posterior = known_posterior(12, mean=mean, sd=sd, log_evidence=-8.5)
    rows = against_nuts_rows(known_reference([1, 2, 1]), posterior, np.array([7, 5, 9]))
    shift, spread, missed = rows
    name, limits = "shift of the mean, in sd of NUTS", (0.25, 1.0, OURS)
    detail = f"median; at most {mean:.2f}"
    assert_row(shift, "posterior", name, mean, limits, detail, statuses[0], lenient=True)
    name, limits = "ratio of sd to that of NUTS, |log|", (np.log(1.25), np.log(2), OURS)
    detail = f"median; ratios {sd:.2f} to {sd:.2f}"
    assert_row(spread, "posterior", name, np.log(sd), limits, detail, statuses[1], lenient=True)
    name = "log p(x) of NUTS less that of the posterior, nats"
    # Of -9, -8 and -5.
    detail = "median of 3 images; -0.50 to 3.50"
    assert_row(missed, "posterior", name, 0.5, None, detail, statuses[2])


def test_where_every_image_has_several_modes_all_of_them_count():
    rhat, ess, *_ = rows_by_modes([2, 2, 3])
    assert (rhat.figure, ess.figure) == (1.9, 2.0)
    assert "; of several modes: images 7, 5, 9; " in rhat.detail


def test_where_every_image_has_one_mode_nothing_is_said_of_modes():
    rhat, ess, *_ = rows_by_modes([1, 1, 1])
    assert (rhat.figure, ess.figure) == (1.9, 2.0)
    assert "modes" not in rhat.detail
