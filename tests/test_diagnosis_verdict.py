"""From figures to pass, doubtful and fail."""

import math

import pytest

from gmvae.diagnostics import Check, Threshold
from gmvae.diagnostics.verdict import (
    BAD_KHATS,
    CONVENTION,
    LENIENT,
    QUESTIONS,
    khat_threshold,
    worst,
)


@pytest.mark.parametrize(
    ("figure", "status"), [(0.1, "pass"), (0.15, "doubtful"), (0.3, "fail"), (math.nan, "doubtful")]
)
def test_a_low_figure_is_good_where_good_is_below_bad(figure, status):
    assert Threshold(0.1, 0.2, "here").status(figure) == status


def test_a_high_figure_is_good_where_good_is_above_bad():
    limits = Threshold(0.05, 0.001, "here")
    assert [limits.status(f) for f in (0.5, 0.01, 1e-5)] == ["pass", "doubtful", "fail"]
    spared = Check("posterior", "p", 0.0, limits, lenient=True)
    assert spared.status == "doubtful"
    assert "counts as doubtful" in spared.as_dict()["spared"]
    for figure in (0.01, 0.5):  # nothing was spared that would not fail
        assert Check("posterior", "p", figure, limits, lenient=True).as_dict()["spared"] is None
    assert Check("posterior", "p", 0.0).status == "note"
    assert Check("posterior", "p", math.inf, limits).as_dict()["figure"] is None


def test_the_threshold_of_khat_rises_to_its_limit():
    assert khat_threshold(500) == pytest.approx(0.6295, abs=1e-4)
    assert khat_threshold(100_000) == 0.7


def test_figures_on_a_limit_are_still_the_better_of_the_two():
    low, high = Threshold(0.1, 0.2, "here"), Threshold(0.2, 0.1, "here")
    assert [low.status(f) for f in (0.1, 0.2, 0.21)] == ["pass", "doubtful", "fail"]
    assert [high.status(f) for f in (0.2, 0.1, 0.09)] == ["pass", "doubtful", "fail"]
    # With one limit there is nothing between: a figure up to it passes, another fails.
    one = Threshold(0.0, 0.0, "here")
    assert [one.status(f) for f in (-1.0, 0.0, 1.0)] == ["pass", "pass", "fail"]


def test_a_threshold_in_words():
    assert str(Threshold(0.05, 0.2, "here")) == "<= 0.05, fails beyond 0.2"
    assert str(Threshold(100.0, 25.0, "here")) == ">= 100, fails beyond 25"
    assert str(Threshold(1.0, 1.0, "here")) == "<= 1, fails beyond 1"


def test_a_row_ready_for_json():
    limits = Threshold(0.1, 0.2, "here")
    assert Check("posterior", "gap", 0.15, limits, "at most 3").as_dict() == {
        "topic": "posterior",
        "check": "gap",
        "figure": 0.15,
        "threshold": {"good": 0.1, "bad": 0.2, "source": "here"},
        "status": "doubtful",
        "spared": None,
        "detail": "at most 3",
    }
    note = Check("model", "log p(x)", math.nan).as_dict()
    assert (note["figure"], note["threshold"], note["status"]) == (None, None, "note")
    assert (note["detail"], note["spared"]) == ("", None)


def test_a_lenient_row_says_that_it_was_spared():
    spared = Check("posterior", "p", 0.3, Threshold(0.1, 0.2, "here"), lenient=True)
    assert (spared.spared, spared.status, spared.as_dict()["spared"]) == (True, "doubtful", LENIENT)
    # Without a threshold there is nothing that could fail.
    assert not Check("posterior", "p", 0.3, lenient=True).spared
    strict = Check("posterior", "p", 0.3, Threshold(0.1, 0.2, "here"))
    assert (strict.spared, strict.status) == (False, "fail")


@pytest.mark.parametrize(("n_draws", "limit"), [(25, 0.28466), (100, 0.5), (1_000, 2 / 3)])
def test_the_threshold_of_khat_is_one_minus_one_over_the_logarithm(n_draws, limit):
    assert khat_threshold(n_draws) == pytest.approx(limit, abs=1e-5)


def test_the_questions_and_the_word_for_a_limit_of_our_own():
    assert QUESTIONS == {
        "posterior": "Is the posterior right?",
        "model": "Does the model fit the images?",
        "probabilities": "Are the probabilities honest?",
    }
    assert CONVENTION == "convention of gmvae"
    source = "k-hat: Vehtari et al. 2024; shares: convention of gmvae"
    assert Threshold(0.05, 0.20, source) == BAD_KHATS
    assert LENIENT == (
        "its figure fails its threshold, and counts as doubtful: it rests on a reference that is "
        "in doubt itself"
    )


def test_the_worst_of_some_checks():
    limits = Threshold(0.1, 0.2, "here")
    good, between, bad = (Check("model", "a", figure, limits) for figure in (0.0, 0.15, 0.3))
    note = Check("model", "a", 9.0)
    assert worst([note, good, between, bad]) == "fail"
    assert worst([good, note, between]) == "doubtful"
    assert worst([note, good]) == "pass"
    assert worst([note]) == "note"
