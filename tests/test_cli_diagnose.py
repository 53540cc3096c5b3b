"""``gmvae diagnose``: what it prints, writes and returns."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from gmvae_cli import app, diagnose
from toys import SHAPE, tiny

from gmvae.diagnostics import arviz_bridge
from gmvae.diagnostics.verdict import QUESTIONS, Check, Threshold


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
    assert "Verdict: fail" in shown
    assert all(question in shown for question in QUESTIONS.values())
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
        Check("guide", "ranks", figure, limits, lenient=True),
        Check("model", "ink", figure, limits),
    )
    reference = None if modes is None else SimpleNamespace(modes=np.array(modes))
    diagnose._print("some", SimpleNamespace(checks=checks, reference=reference))
    shown = capsys.readouterr().out
    assert ("look*" in shown) == ("counts as look" in shown) == (figure == 0.0)
    assert ("The model fails" in shown) == (figure == 0.0)
    assert "The guide fails" not in shown
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
