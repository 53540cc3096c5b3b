"""``gmvae diagnose``: what it prints, writes and returns."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from cli_spies import spies, untrained
from gmvae_cli import app, diagnose, verdicts
from toys import SHAPE, tiny

from gmvae.diagnostics import arviz_bridge
from gmvae.diagnostics.report import Options
from gmvae.diagnostics.verdict import QUESTIONS, Check, Threshold

__all__ = ["spies"]


@pytest.fixture
def run(tmp_path):
    """Call the command on an untrained model and noise, in as few draws as will do."""
    tiny().save(tmp_path / "model", extra={"training": {}})
    images = np.random.default_rng(0).random((12, *SHAPE), dtype=np.float32)
    np.savez(tmp_path / "noise.npz", data=images, labels=np.arange(12) % 3)
    np.savez(tmp_path / "larger.npz", data=np.zeros((4, 1, 5, 5), dtype=np.float32))
    few = ["--draws", "25", "--simulated-images", "20", "--nuts-images", "0"]

    def invoke(*more, data="noise.npz", model="model"):
        paths = ["--model", str(tmp_path / model), "--output", str(tmp_path / "found")]
        return app.run(["diagnose", str(tmp_path / data), *paths, *few, *more])

    return invoke


def test_it_prints_and_writes_the_verdict(run, tmp_path, capsys):
    assert run("--predictive-images", "2") == 0
    shown = capsys.readouterr().out
    assert "Verdict: fail (all checks: --full)" in shown
    # One screen: a title, an answer each, what follows from a fail, and the verdict.
    lines = shown.splitlines()
    assert lines[0].endswith("noise.npz: 12 images")
    questions = tuple(QUESTIONS.values())
    assert [line.startswith(q) for line, q in zip(lines[1:4], questions, strict=True)] == [True] * 3
    assert "Is the posterior right? " in lines[1]
    assert "of 12 images 12 certified" in lines[1]
    assert len(lines) <= 4 + 3 + 1
    assert "│" not in shown
    written = {path.name for path in (tmp_path / "found").iterdir()}
    pictures = {"khat.png", "predictive.png", "ranks_simulated.png", "reliability.png"}
    assert written == {"verdict.json", "draws.nc"} | pictures
    tree = arviz_bridge.read(tmp_path / "found" / "draws.nc")
    assert tree["posterior_predictive"].sizes["image"] == 2
    # What is there is kept, unless --force.
    assert run() == 2
    assert "--force" in capsys.readouterr().err
    assert run("--force") == 0
    tree = arviz_bridge.read(tmp_path / "found" / "draws.nc")
    assert tree["posterior_predictive"].sizes["image"] == 12


def test_strict_turns_a_failed_check_into_an_exit_code(run, capsys):
    assert run("--json", "--strict") == diagnose.FAILED == 3
    found = json.loads(capsys.readouterr().out)
    assert found["verdict"] == "fail"
    assert found["n_images"] == 12
    assert {"check", "figure", "threshold", "status"} <= set(found["checks"][0])
    assert set(found["answers"]) == set(QUESTIONS)


def test_the_table_is_shown_where_it_is_asked_for(run, capsys):
    assert run("--full") == 0
    shown = capsys.readouterr().out
    assert "Verdict: fail. Table" in shown
    assert shown.count("bare guide: ") >= 4
    assert "pass: good; doubtful: in between; fail: bad; note: no threshold." in shown


def test_a_mixture_with_a_posterior_is_written_too(run, tmp_path, monkeypatch):
    monkeypatch.setattr("gmvae.diagnostics.mixture._STEPS", 20)
    assert run("--mixture", "4") == 0
    posterior = arviz_bridge.read(tmp_path / "found" / "draws.nc")["posterior"]
    assert posterior["weights"].shape == (1, 25, 4)


@pytest.mark.parametrize("modes", [None, [1, 1], [1, 2]])
@pytest.mark.parametrize("figure", [0.0, 0.01])
def test_what_the_words_of_the_table_mean_is_said_below_it(modes, figure, capsys):
    limits = Threshold(0.05, 0.001, "here")
    checks = (
        Check("posterior", "ranks", figure, limits, lenient=True),
        Check("model", "ink", figure, limits),
    )
    reference = None if modes is None else SimpleNamespace(modes=np.array(modes))
    found = SimpleNamespace(checks=checks, reference=reference)
    diagnose._print("some", found)
    shown = capsys.readouterr().out
    assert ("doubtful*" in shown) == ("counts as doubtful" in shown) == (figure == 0.0)
    pairs = [(check.topic, check.status) for check in found.checks]
    consequences = list(verdicts.consequences(pairs))
    assert consequences == ([verdicts.CONSEQUENCES["model"]] if figure == 0.0 else [])
    assert ("Several modes: " in shown) == (modes == [1, 2])


@pytest.mark.parametrize(
    ("options", "changes", "code", "words"),
    [
        (["--draws", "3"], {}, 2, "--draws"),
        (["--mixture", "1"], {}, 2, "at least 2"),
        (
            ["--mixture", "13"],
            {},
            2,
            "`--mixture` expected at most the number of images, 12; got 13",
        ),
        ([], {"model": "absent"}, 2, "gmvae train"),
        ([], {"data": "absent.npz"}, 2, "absent.npz"),
        ([], {"data": "larger.npz"}, 1, "shape"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(
    run, tmp_path, capsys, options, changes, code, words
):
    assert run(*options, **changes) == code
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("Error: ")
    assert words in last
    assert not (tmp_path / "found").exists()


def shown_by(spies, *options):
    """The command with a diagnosis of the test's own, in lines."""
    spies.run(["diagnose", "other", *options])
    return [line.rstrip() for line in spies.at("command.out").splitlines()]


def test_the_defaults_that_reach_the_library(spies):
    shown_by(spies)
    assert spies.at("diagnose.options") == Options(
        n_draws=500,
        predictive_images=64,
        worst_images=3,
        random_images=3,
        simulated_images=1_000,
        mixture_components=0,
        seed=0,
    )
    for part in ("model", "guide"):
        weights = getattr(untrained(), part).state_dict()
        asked = spies.at("diagnose")[part].state_dict()
        assert weights
        assert all(torch.equal(asked[name], value) for name, value in weights.items())
    assert spies.at("diagnose.component_classes") == (1, 4, 8)
    spies.arguments["diagnose"]["callback"]("NUTS")
    assert spies.capture.readouterr().err == "NUTS ...\n"


def test_the_verdict_is_the_worst_of_the_checks(spies):
    limits = Threshold(0.05, 0.001, "here")
    passed, look, fail = (
        Check("posterior", name, figure, limits)
        for name, figure in (("a", 0.5), ("b", 0.01), ("c", 0))
    )
    note = Check("posterior", "d", 1.0)
    run = SimpleNamespace(config={"weights_sha256": "ab"})
    for checks, verdict in (
        ((note, passed, look, fail), "fail"),
        ((look, passed, note), "doubtful"),
        ((note, passed), "pass"),
        ((note,), "note"),
    ):
        record = diagnose._verdict(SimpleNamespace(checks=checks), run, "some", 12)
        assert record == {
            "images": "some",
            "n_images": 12,
            "verdict": verdict,
            "weights_sha256": "ab",
            "answers": {"model": "no: the ink is not the images'"},
            "checks": [check.as_dict() for check in checks],
        }


def test_what_diagnose_says(spies):
    lines = shown_by(spies)
    assert lines == [
        "other: 24 images",
        "Does the model fit the images? No: the ink is not the images'.",
        verdicts.CONSEQUENCES["model"],
        "Verdict: fail (all checks: --full). Table, draws and pictures: gmvae-diagnosis",
    ]
    full = shown_by(spies, "--full", "--force")
    assert full[-1] == "Verdict: fail. Table, draws and pictures: gmvae-diagnosis"
    assert full[-3] == "pass: good; doubtful: in between; fail: bad; note: no threshold."
    assert spies.at("_write.verdict")["n_images"] == 24
    assert json.loads("\n".join(shown_by(spies, "--json", "--force"))) == {
        **spies.at("_write.verdict"),
        "checks": [dict(check) for check in spies.at("_write.verdict")["checks"]],
    }


def test_a_row_of_the_table(capsys):
    limits = Threshold(0.05, 0.001, "Somebody, 2024")
    checks = (
        Check("posterior", "ranks [z]", 0.5, limits, detail="so many"),
        Check("posterior", "other", 0.0, limits, lenient=True),
        Check("model", "ink", 123.456),
    )
    diagnose._print("some", SimpleNamespace(checks=checks, reference=None))
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    rows = [[cell.strip() for cell in line.strip("│┃").split("│")] for line in lines if "│" in line]
    figures = [line.strip("│").split("│")[2] for line in lines if "│" in line]
    assert {len(figure.rstrip()) for figure in figures if figure.strip()} == {len("figure") + 1}
    assert rows == [
        ["", QUESTIONS["posterior"], "", "", ""],
        [
            "pass",
            "ranks [z]",
            "0.5",
            ">= 0.05, fails beyond 0.001",
            "so many; Somebody, 2024",
        ],
        ["doubtful*", "other", "0", ">= 0.05, fails beyond 0.001", "Somebody, 2024"],
        ["", QUESTIONS["model"], "", "", ""],
        ["note", "ink", "123.5", "", ""],
    ]


def test_no_mixture_of_one(spies):
    for number, code in (("0", 0), ("1", 2), ("2", 0)):
        spies.run(["diagnose", "--mixture", number, "--force"])
        assert spies.at("command.code") == code
    for number, worst, random in (("0", 0, 0), ("1", 1, 0), ("2", 1, 1)):
        spies.run(["diagnose", "--nuts-images", number, "--force"])
        options = spies.at("diagnose.options")
        assert (options.worst_images, options.random_images) == (worst, random)


def test_strict_and_good_is_no_failure(spies, monkeypatch):
    good = SimpleNamespace(
        checks=(Check("model", "ink", 1.0),), reference=None, failed=False, tree=None
    )
    monkeypatch.setattr("gmvae.diagnostics.diagnose", lambda *_, **__: good)
    assert spies.run(["diagnose", "--strict"]).at("command.code") == 0
    assert spies.at("command.out").splitlines()[-1].startswith("Verdict: note (all")
