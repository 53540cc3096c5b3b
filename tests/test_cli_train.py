"""``gmvae train``: what it writes and says."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from cli_toys import QUICK, prepared, save
from gmvae_cli import app, summary

from gmvae import Images

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_train_writes_a_whole_run_folder(trained_run: Path) -> None:
    assert {path.name for path in trained_run.iterdir()} == {
        "config.json",
        "model.safetensors",
        "history.csv",
        "metrics.json",
        "latent.png",
        "reconstructions.png",
        "manifold.png",
        "mixture.png",
        "classes.png",
        "clusters.png",
        "curves.png",
        "ambiguous.png",
        "report.html",
        "README.md",
    }
    assert [path.name for path in trained_run.parent.iterdir()] == ["run"]
    training = json.loads((trained_run / "config.json").read_text())["training"]
    assert training["data"] == "digits"
    assert training["classes"] == [1, 4, 8]
    assert training["labels_observed"] == 15
    assert training["settings"]["n_components"] == 3
    metrics = json.loads((trained_run / "metrics.json").read_text())
    assert metrics["n_images"] == 134
    assert 0 <= metrics["acc_named"] <= 1


def test_history_has_a_row_an_epoch(trained_run: Path) -> None:
    with (trained_run / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["phase"] for row in rows if row["phase"] in ("warm-up", "joint")] == [
        "warm-up",
        "joint",
    ]
    (joint,) = (row for row in rows if row["phase"] == "joint")
    bound = float(joint["reconstruction"]) - float(joint["kl_z"]) - float(joint["kl_y"])
    assert float(joint["elbo"]) == pytest.approx(bound, rel=1e-4)


@pytest.mark.usefixtures("quick")
def test_train_says_what_it_saw_and_what_comes_next(
    digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save(tmp_path / "digits.npz", digits)
    assert app.run(["train", data, "--labels", "2", "-o", "deep/run", *QUICK]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("6 labels observed in training (2 of class 1, 2 of class 4, 2 of")
    assert any("the training images themselves but the 6 observed ones" in line for line in lines)
    assert any(line.startswith("Accuracy of Predicted_Label: ") for line in lines)
    figures = json.loads(Path("deep/run/metrics.json").read_text())
    bounds = f"{figures['train_elbo']:.1f} on train, {figures['elbo']:.1f} on the scored images"
    assert f"ELBO: {bounds} (nats an image; the higher, the better)" in lines
    assert not any(line.startswith("Stopped early") for line in lines)
    assert any("deep/run" in line for line in lines)
    assert lines[-1] == "Next: gmvae classify --model deep/run"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("restarts", ["1", "2"])
def test_train_says_that_it_stopped_early(
    restarts: str, digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At this rate the first epoch is hardly ever bettered, and one without that is enough."""
    data = save(tmp_path / "digits.npz", digits)
    arguments = ["train", data, "--lr", "0.3", "--patience", "1", "--epochs", "40"]
    arguments += ["--warmup-epochs", "1", "--restarts", restarts, "--jobs", "1", "-o", "run"]
    arguments += ["--guide", "diagonal"]  # of which this rate makes no infinities
    assert app.run(arguments) == 0
    shown = capsys.readouterr().out
    with Path("run/history.csv").open(newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file) if row["phase"] == "joint"]
    best, n = 1 + int(np.argmin(losses)), len(losses)
    assert f"Stopped early, after {n} of 40 epochs: epoch {best} had the best" in shown


def test_nothing_observed_leaves_no_other_labels(digits: Images, tmp_path: Path) -> None:
    source = save(tmp_path / "digits.npz", digits)
    assert list(summary.opening(prepared(data=source))) == [
        "No labels observed in training. Labels only score the result."
    ]
    bare = save(tmp_path / "bare.npz", Images(digits.pixels))
    assert list(summary.opening(prepared(data=bare))) == ["No labels observed in training."]


def test_more_components_than_images(
    digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save(tmp_path / "few.npz", digits.subset(slice(0, 20)))
    assert app.run(["train", data, "--components", "20"]) == 2
    shown = capsys.readouterr()
    assert "`--components` expected at most the number of images to train on, 19" in shown.err
    assert "(20 less 1 held out); got 20." in shown.err
    assert shown.out == ""  # nothing about labels before the error
    assert [path.name for path in tmp_path.iterdir()] == ["few.npz"]


@pytest.mark.usefixtures("quick")
def test_restarts_are_compared_and_recorded(
    digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path / "digits.npz", digits)
    run = tmp_path / "run"
    assert app.run(["train", source, *QUICK, "--restarts", "2", "--jobs", "1", "-o", str(run)]) == 0
    shown = capsys.readouterr()
    config = json.loads((run / "config.json").read_text())
    assert config["component_classes"] is None  # no label was observed
    restarts = config["training"]["restarts"]
    kept = max(range(2), key=lambda i: restarts[i]["objective"])
    assert restarts[0]["seed"] == 0
    for number, found in enumerate(restarts, start=1):
        line = (
            f"Restart {number}, seed {found['seed']}: held-out objective {found['objective']:.2f}"
        )
        (said,) = [words for words in shown.out.splitlines() if words.startswith(line)]
        assert said.endswith("(kept)") == (number - 1 == kept)
    assert "2: joint 1/1" in shown.err
