"""``gmvae train``: each line, file and figure by value, of a run that is not trained."""

import csv
import json
import shutil
from base64 import b64encode
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cli_spies import LOSS, Spies, images_called, spies, untrained
from gmvae_cli import summary
from gmvae_cli.figures import FIGURES, without_nameless

from gmvae import GMVAE, Settings, __version__
from gmvae.diagnostics.evaluation import evaluate
from gmvae.training.fitting import Fit
from gmvae.training.loop import Progress
from gmvae.training.outcome import training_record
from gmvae.training.restarts import Restart

__all__ = ["spies"]


@pytest.fixture(autouse=True)
def _room(spies: Spies) -> None:
    shutil.rmtree("gmvae-run")


def record() -> Any:
    return json.loads(Path("gmvae-run/config.json").read_text())["training"]


def test_the_lines_of_a_run(spies: Spies) -> None:
    lines = spies.run(["train", "data.npz", "--labels", "2"]).at("command.out").splitlines()
    metrics = json.loads(Path("gmvae-run/metrics.json").read_text())
    table = lines[4:8]
    assert table[0].split() == ["component", "images", "share", "probability", "class", "purity"]
    assert [row.split("  ")[0] for row in table[1:]] == ["0: class 1", "1: class 4", "2: class 8"]
    assert lines[:4] + lines[8:] == [
        "6 labels observed in training (2 of class 1, 2 of class 4, 2 of class 8). "
        "All other labels only score the result.",
        "a warning",
        "Stopped early, after 53 of 54 epochs: epoch 3 had the best held-out objective, and its "
        "model is kept.",
        "Scored on data.npz, the training images themselves but the 6 observed ones: 18 images.",
        f"Accuracy of Predicted_Label: {metrics['acc_named']:.3f}",
        f"Accuracy with components matched to classes: {metrics['acc']:.3f}",
        f"ELBO: {metrics['train_elbo']:.1f} on train, {metrics['elbo']:.1f} on the scored images "
        "(nats an image; the higher, the better)",
        "Model, figures and pictures: gmvae-run",
        "All of it on a page, for a browser: gmvae-run/report.html",
        "Next: gmvae classify",
    ]


def test_the_lines_of_restarts(spies: Spies) -> None:
    lines = spies.run(["train", "data.npz", "--restarts", "2"]).at("command.out").splitlines()
    assert lines[1:4] == [
        "a warning",
        "Restart 1, seed 1: held-out objective -6.00, ELBO -7.00",
        "Restart 2, seed 2: held-out objective -5.00, ELBO -8.00 (kept)",
    ]
    assert record()["restarts"] == [
        {"seed": 1, "objective": -6.0, "elbo": -7.0},
        {"seed": 2, "objective": -LOSS, "elbo": -8.0},
    ]


def test_without_labels_there_is_no_accuracy(spies: Spies) -> None:
    lines = spies.run(["train", "bare.npz", "-o", "mine"]).at("command.out").splitlines()
    assert lines[0] == "No labels observed in training."
    assert not [line for line in lines if line.startswith("Accuracy")]
    assert lines[-3:] == [
        "Model, figures and pictures: mine",
        "All of it on a page, for a browser: mine/report.html",
        "Next: gmvae classify --model mine",
    ]


@pytest.mark.parametrize(("options", "seed"), [([], 0), (["--seed", "3"], 3)])
def test_the_elbo_on_train_is_that_of_the_training_images(
    options: list[str], seed: int, spies: Spies
) -> None:
    spies.run(["train", "data.npz", "--labels", "2", *options])
    model, images = untrained(), images_called("data.npz")
    observed = spies.at("fit_restarts.observed")
    generator = torch.Generator().manual_seed(seed)
    figures = evaluate(model, images.subset(np.flatnonzero(observed < 0)), generator=generator)
    train_elbo = float(model.elbo(images, generator=generator).elbo.mean())
    metrics = json.loads(Path("gmvae-run/metrics.json").read_text())
    name = "data.npz, the training images themselves but the 6 observed ones"
    assert metrics == {"scored_on": name, "train_elbo": train_elbo, **figures}


def test_the_labels_that_are_observed_follow_the_seed(spies: Spies) -> None:
    images = images_called("data.npz")
    for seed in (0, 5):
        spies.run(["train", "data.npz", "--labels", "2", "--seed", str(seed), "--force"])
        rows = images.per_class(2, np.random.default_rng(seed))
        expected = np.full(24, -1)
        expected[rows] = images.labels[rows]
        assert spies.at("fit_restarts.observed").tolist() == expected.tolist()


def test_a_named_set_is_scored_on_its_test_part(spies: Spies) -> None:
    lines = spies.run(["train", "mnist", "--classes", "1,4"]).at("command.out").splitlines()
    assert "Scored on mnist, test part, classes 1, 4: 16 images." in lines
    assert spies.at("load.part") == "test"
    assert spies.at("load.source") == "mnist"


def test_the_files_of_a_run(spies: Spies, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Any] = []

    class Figure:
        def savefig(self, file: BytesIO, format: str) -> None:
            file.write(format.encode())

    def draw(told: Any, history: Any) -> dict[str, Figure]:
        drawn.append(told.images)
        return {"latent": Figure()}

    monkeypatch.setattr("gmvae_cli.run_folder.draw", draw)
    spies.run(["train", "data.npz", "--labels", "2"])
    folder = Path("gmvae-run")
    assert {path.name for path in folder.iterdir()} == {
        "config.json",
        "model.safetensors",
        "history.csv",
        "metrics.json",
        "latent.png",
        "report.html",
        "README.md",
    }
    # What is in the file is on the page.
    assert (folder / "latent.png").read_bytes() == b"png"
    address = f"data:image/png;base64,{b64encode(b'png').decode()}"
    assert address in (folder / "report.html").read_text()
    with (folder / "history.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"phase": "joint", "epoch": "1", "loss": "5.0"}]
    assert len(drawn[0]) == 18  # the scored images
    weights = GMVAE.load(folder).state_dict()
    assert all(torch.equal(weights[name], w) for name, w in untrained().state_dict().items())


def test_what_is_recorded_of_the_training(spies: Spies) -> None:
    spies.run(["train", "data.npz", "--val", "bare.npz", "--classes", "1,8", "--labels", "1"])
    training = record()
    assert 0 <= training.pop("seconds") < 60
    settings = training.pop("settings")
    assert (settings["n_components"], settings["seed"], settings["lr"]) == (2, 0, 2e-3)
    assert training.pop("version") == __version__
    assert training == {
        "data": str(Path("data.npz").resolve()),
        "val": str(Path("bare.npz").resolve()),
        "classes": [1, 8],
        "class_names": {},
        "labels_from": None,
        "resize": None,
        "grey": False,
        "n_images": 16,
        "labels_observed": 2,
        "labels": 1,
        "from": None,
        "restarts": [{"seed": 1, "objective": -LOSS, "elbo": -7.0}],
        "warnings": ["a warning"],
    }


def test_the_seconds_are_those_of_the_training(
    spies: Spies, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 107.25])
    monkeypatch.setattr("gmvae_cli.training.time.monotonic", lambda: next(clock, 200.0))
    monkeypatch.setattr("gmvae_cli.progress.Lines", lambda: lambda now: None)
    spies.run(["train", "data.npz"])
    assert record()["seconds"] == 7.2


def test_nothing_is_said_before_all_fits(spies: Spies) -> None:
    spies.run(["train", "data.npz", "--components", "24"])
    assert (spies.at("command.code"), spies.at("command.out")) == (2, "")
    assert spies.calls == ["load"]
    spies.run(["train", "data.npz", "--labels", "1", "--labels", "8", "--components", "24"])
    assert spies.at("command.code") == 0  # nothing is left to hold out


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous-bernoulli", "gaussian"])
def test_no_likelihood_of_ours_asks_for_an_excuse(spies: Spies, likelihood: str) -> None:
    told = spies.run(["train", "data.npz", "--likelihood", likelihood])
    assert "no normalised density" not in told.at("command.err") + told.at("command.out")


def test_the_early_stop_is_that_of_the_kept_run(
    spies: Spies, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gmvae.training import restarts

    def fit_restarts(*_: Any, callback: Any, **__: Any) -> Any:
        callback(Progress("joint", 60, 90, {}, 1))  # of the kept run
        callback(Progress("joint", 90, 90, {}, 2))
        runs = (Restart(7, -LOSS, -6.0), Restart(8, None, None))
        return Fit(untrained(), [{"phase": "joint"}], (), {"loss": LOSS}), runs

    monkeypatch.setattr(restarts, "fit_restarts", fit_restarts)
    lines = spies.run(["train", "data.npz", "--restarts", "2"]).at("command.out").splitlines()
    assert lines[1:4] == [
        "Restart 1, seed 7: held-out objective -5.00, ELBO -6.00 (kept)",
        "Restart 2, seed 8: diverged",
        "Stopped early, after 60 of 90 epochs: epoch 10 had the best held-out objective, and its "
        "model is kept.",
    ]


def test_a_run_to_the_end_was_not_stopped() -> None:
    assert list(summary.early_stop(Progress("joint", 9, 9), 5)) == []
    assert len(list(summary.early_stop(Progress("joint", 8, 9), 5))) == 1


def test_the_closing_lines_of_a_density() -> None:
    metrics = {
        "n_images": 1_234,
        "acc_named": None,
        "acc": 0.25,
        "train_elbo": -1.25,
        "elbo": 2.0,
        "likelihood_normalised": True,
    }
    component = {"component": 0, "name": "cat", "images": 1_234, "share": 1.0, "probability": 0.5}
    assert list(summary.closing(metrics, [component], "these", Path("gmvae-run"))) == [
        "Scored on these: 1,234 images.",
        "component  images   share  probability",
        "0: cat      1,234  100.0%        0.500",
        "Accuracy with components matched to classes: 0.250",
        "ELBO: -1.2 on train, 2.0 on the scored images (nats an image; the higher, the better)",
        "Model, figures and pictures: gmvae-run",
        "All of it on a page, for a browser: gmvae-run/report.html",
        "Next: gmvae classify",
    ]


def test_new_components_without_a_name_are_not_scored_by_names(spies: Spies) -> None:
    """Their images are of classes that no name stands for yet: each would count as wrong."""
    figures = dict.fromkeys([figure.key for figure in FIGURES], 0.5)
    model = untrained()
    model.component_classes = (1, 4, None)
    assert without_nameless(figures, model, {"from": None}) == figures
    named = without_nameless(figures, model, {"from": "gmvae-run"})
    assert {name for name, value in named.items() if value is None} == {
        *("acc_named", "f1_macro", "f1_micro", "f1_mean"),
    }
    model.component_classes = (1, 4, 8)
    assert without_nameless(figures, model, {"from": "gmvae-run"}) == figures


def test_a_run_that_goes_on_says_which_components_have_no_name(
    spies: Spies, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = untrained()
    model.component_classes = (1, 4, None)
    settings = Settings(n_components=3)
    model.training_record = training_record(images_called("data.npz"), settings, None)
    fit = Fit(model, [], ("warned: a larger `latent_dim`",), {"loss": LOSS, "elbo": -6.0})
    runs = (Restart(0, -LOSS, -6.0),)
    monkeypatch.setattr("gmvae.training.restarts.fit_restarts", lambda *_, **__: (fit, runs))
    command = ["train", "data.npz", "--from", "other-run", "-o", "new"]
    out = spies.run(command).at("command.out")
    assert spies.at("command.code") == 0
    assert "Accuracy of Predicted_Label" not in out
    assert "Without a name: component 2. To see all, and to name them: gmvae name new\n" in out
    assert "warned: a larger `--latent-dim`\n" in out
    record = json.loads(Path("new/config.json").read_text())
    assert record["training"]["warnings"] == ["warned: a larger `--latent-dim`"]
    page = Path("new/report.html").read_text()
    assert "accuracy of predicted labels" not in page
    assert json.loads(Path("new/metrics.json").read_text())["acc_named"] is None
    spies.run(["evaluate", "--model", "new", "--json"])
    assert json.loads(spies.at("command.out"))["acc_named"] is None
