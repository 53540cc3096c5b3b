"""The command line, from arguments to files, exit codes and messages."""

import csv
import dataclasses
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gmvae_cli import app, errors, experiment, output, progress, select, train
from PIL import Image as Picture
from safetensors.torch import load_file, save_file
from torch import nn

from gmvae import GMVAE, Config, Images, load
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.training.loop import Progress
from gmvae.training.selection import Candidate

COMMANDS = (
    "train",
    "classify",
    "reconstruct",
    "evaluate",
    "diagnose",
    "sample",
    "info",
    "select",
)
QUICK = ("--epochs", "1", "--warmup-epochs", "1")


def save(path: Path, images: Images) -> str:
    """Write images in the original's format; return the path as an argument."""
    arrays: dict[str, Any] = {} if images.labels is None else {"labels": images.labels}
    np.savez(path, data=(images.pixels[:, 0] * 255).astype(np.uint8), **arrays)
    return str(path)


@pytest.fixture(scope="module")
def digits() -> Images:
    return load("digits").only([1, 4, 8]).subset(slice(0, 60))


@pytest.fixture(scope="module")
def named_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The original's experiment, hardly trained."""
    folder = tmp_path_factory.mktemp("named") / "run"
    assert app.run(["train", "--output", str(folder), *QUICK]) == 0
    return folder


@pytest.fixture(scope="module")
def unnamed_run(digits: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on a file, without any label."""
    folder = tmp_path_factory.mktemp("unnamed")
    data = save(folder / "digits.npz", digits)
    assert app.run(["train", data, "--output", str(folder / "run"), "--lr", "1e-3", *QUICK]) == 0
    return folder / "run"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands write their default files to a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


# Help and speed


def test_help_waits_for_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "pyro", "matplotlib", "sklearn", "rich"}
    code = f"import gmvae_cli.app, sys; print({heavy} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help_lists_the_commands(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(arguments) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"Examples:\n    gmvae {command}" in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("gmvae ")


def test_choices_and_defaults_are_those_of_the_library(capsys: pytest.CaptureFixture[str]) -> None:
    from gmvae.settings import Settings

    app.run(["train", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for name in ("latent_dim", "covariance", "network", "likelihood", "augment", "batch_size"):
        assert f"({getattr(Settings(), name)})." in shown, name
    assert f"({Settings().lr:g})." in shown


# Which images, which labels


def prepared(**request: Any) -> experiment.Experiment:
    return experiment.prepare(experiment.Request(**request))


def test_without_data_it_is_the_experiment_of_the_original() -> None:
    found = prepared()
    assert found.train.classes == found.scored.classes == (1, 4, 8)
    assert found.n_components == 3
    seen = found.observed[found.observed >= 0]
    assert np.unique(seen, return_counts=True)[1].tolist() == [5, 5, 5]
    assert found.scored_name == "digits, test part, classes 1, 4, 8"
    assert len(found.scored) == len(load("digits", part="test").only([1, 4, 8]))


def test_named_data_observes_nothing() -> None:
    found = prepared(data="digits")
    assert found.n_components == 10
    assert found.n_observed == 0
    assert found.held_out is None


@pytest.mark.parametrize("seed", [0, 1])
def test_observed_labels_are_the_right_ones(seed: int) -> None:
    found = prepared(data="digits", labels=2, seed=seed)
    rows = np.flatnonzero(found.observed >= 0)
    assert found.train.labels is not None
    assert found.observed[rows].tolist() == found.train.labels[rows].tolist()
    assert len(rows) == 20


def test_other_seeds_observe_other_images() -> None:
    assert not np.array_equal(prepared(seed=0).observed, prepared(seed=1).observed)


def test_a_path_is_scored_on_what_was_not_observed(digits: Images, tmp_path: Path) -> None:
    found = prepared(data=save(tmp_path / "a.npz", digits), labels=3)
    assert len(found.scored) == len(digits) - 9
    assert "the training images themselves but the 9 observed ones" in found.scored_name


def test_labelled_val_is_observed_and_joins(digits: Images, tmp_path: Path) -> None:
    train = save(tmp_path / "train.npz", digits.subset(slice(0, 40)))
    val = save(tmp_path / "val.npz", digits.subset(slice(40, 60)))
    found = prepared(data=train, val=val)
    assert found.n_observed == 20
    assert len(found.train) == 60
    assert (found.observed[:40] == experiment.UNSEEN).all()
    assert digits.labels is not None
    assert found.observed[40:].tolist() == digits.labels[40:].tolist()
    assert len(found.scored) == 40
    assert found.held_out is None


def test_labels_chosen_from_val_leave_the_rest_held_out(digits: Images, tmp_path: Path) -> None:
    train = save(tmp_path / "train.npz", digits.subset(slice(0, 40)))
    val = save(tmp_path / "val.npz", digits.subset(slice(40, 60)))
    found = prepared(data=train, val=val, labels=1)
    assert found.n_observed == 3
    assert len(found.train) == 43
    assert found.held_out is not None
    assert len(found.held_out) == 17
    unseen = prepared(data=train, val=val, labels=0)
    assert unseen.held_out is not None
    assert (unseen.n_observed, len(unseen.train), len(unseen.held_out)) == (0, 40, 20)


def test_val_without_labels_is_held_out(digits: Images, tmp_path: Path) -> None:
    train = save(tmp_path / "train.npz", digits.subset(slice(0, 40)))
    val = save(tmp_path / "val.npz", Images(digits.pixels[40:]))
    found = prepared(data=train, val=val, labels=2)
    assert found.held_out is not None
    assert len(found.held_out) == 20
    assert (found.n_observed, len(found.train)) == (6, 40)


def test_labels_of_val_name_an_unlabelled_set(digits: Images, tmp_path: Path) -> None:
    train = save(tmp_path / "train.npz", Images(digits.pixels))
    found = prepared(data=train, val=save(tmp_path / "val.npz", digits))
    assert found.n_components == 3
    assert found.scored.labels is None


def test_without_any_label_there_are_ten_components(digits: Images, tmp_path: Path) -> None:
    found = prepared(data=save(tmp_path / "a.npz", Images(digits.pixels)))
    assert found.n_components == 10


def test_labels_are_refused_where_there_are_none(digits: Images, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="--val"):
        prepared(data=save(tmp_path / "a.npz", Images(digits.pixels)), labels=1)


@pytest.mark.parametrize("text", ["", "1,x", "1,,2", "-1", "1,1", "1.5"])
def test_class_lists_that_are_none(text: str) -> None:
    with pytest.raises(ArgumentError, match="--classes"):
        experiment.class_list(text)


def test_class_lists() -> None:
    assert experiment.class_list("1, 4,8") == (1, 4, 8)
    assert experiment.class_list(None) is None


# The run folder and what reads it


def test_train_writes_a_whole_run_folder(named_run: Path) -> None:
    assert {path.name for path in named_run.iterdir()} == {
        "config.json",
        "model.safetensors",
        "history.csv",
        "metrics.json",
        "latent.png",
        "reconstructions.png",
        "manifold.png",
        "mixture.png",
        "ambiguous.png",
    }
    assert [path.name for path in named_run.parent.iterdir()] == ["run"]
    training = json.loads((named_run / "config.json").read_text())["training"]
    assert training["data"] == "digits"
    assert training["classes"] == [1, 4, 8]
    assert training["labels_observed"] == 15
    assert training["settings"]["n_components"] == 3
    metrics = json.loads((named_run / "metrics.json").read_text())
    assert metrics["n_images"] == 134
    assert 0 <= metrics["acc_named"] <= 1


@pytest.mark.parametrize(
    ("training", "code", "words"),
    [
        ({"classes": [77]}, 1, "config.json names data that cannot be read: `classes` expected"),
        ({"data": "/gone.npz"}, 2, "`DATA` expected where "),
    ],
)
def test_a_run_whose_data_cannot_be_had(
    training: dict[str, object],
    code: int,
    words: str,
    named_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(named_run, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["training"] |= training
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    output = str(tmp_path / "vae.csv")
    assert app.run(["classify", "--model", str(tmp_path / "run"), "-o", output]) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        {"data": 5},
        {"classes": "148"},
        {"classes": [1.5]},
        {"settings": None},
        {"labels_observed": "many"},
        None,
    ],
)
@pytest.mark.parametrize("command", ["info", "classify"])
def test_a_damaged_record_of_the_training_is_said_to_be(
    change: dict[str, Any] | None,
    command: str,
    named_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = shutil.copytree(named_run, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["training"] = [] if change is None else config["training"] | change
    (copy / "config.json").write_text(json.dumps(config))
    assert app.run([command, "--model", str(copy)]) == 1
    assert "expected the section `training` as gmvae train wrote it" in one_line(capsys)


def test_weights_that_are_no_numbers(
    named_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(named_run, tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    weights["model.prior.means"][0, 0] = float("nan")
    save_file(weights, copy / "model.safetensors")
    assert app.run(["classify", "--model", str(copy)]) == 1
    assert "expected finite numbers; got NaN or infinity in model.prior.means" in one_line(capsys)


def test_a_model_with_a_decoder_of_ones_own_is_for_python(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(image_shape=(1, 8, 8), n_components=2)
    decoder = nn.Sequential(nn.Linear(2, 64), nn.Unflatten(-1, (1, 8, 8)))
    GMVAE(config, decoder=decoder).save(tmp_path / "own")
    assert app.run(["classify", "digits", "--model", str(tmp_path / "own")]) == 1
    line = one_line(capsys)
    assert "Load it in Python: gmvae.GMVAE.load(" in line
    assert line.endswith("decoder=...).")


def test_an_output_by_a_folder_that_is_not_there(tmp_path: Path, named_run: Path) -> None:
    """``missing/../labels.csv`` is ``labels.csv``, and ``missing`` is not made on the way."""
    output = tmp_path / "missing" / ".." / "labels.csv"
    assert app.run(["classify", "--model", str(named_run), "-o", str(output)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]
    assert app.run(["classify", "--model", str(named_run), "-o", str(output)]) == 2


def test_history_has_a_row_an_epoch(named_run: Path) -> None:
    with (named_run / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["phase"] for row in rows if row["phase"] in ("warm-up", "joint")] == [
        "warm-up",
        "joint",
    ]
    joint = rows[-1]
    bound = float(joint["reconstruction"]) - float(joint["kl_z"]) - float(joint["kl_y"])
    assert float(joint["elbo"]) == pytest.approx(bound, rel=1e-4)


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
    assert f"ELBO: {bounds} (no normalised density; the higher, the better)" in lines
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
    assert app.run(arguments) == 0
    shown = capsys.readouterr().out
    with Path("run/history.csv").open(newline="") as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file) if row["phase"] == "joint"]
    best, n = 1 + int(np.argmin(losses)), len(losses)
    assert f"Stopped early, after {n} of 40 epochs: epoch {best} had the best" in shown


@pytest.mark.parametrize(
    ("likelihood", "grey", "density"),
    [
        ("bernoulli", True, False),
        ("bernoulli", False, True),
        ("continuous-bernoulli", True, True),
        ("gaussian", True, True),
    ],
)
def test_what_is_a_density_of_the_pixels(
    likelihood: Any, grey: bool, density: bool, digits: Images, tmp_path: Path
) -> None:
    pixels = digits.pixels if grey else np.uint8(255) * (digits.pixels > 127)
    found = prepared(data=save(tmp_path / "digits.npz", Images(pixels, digits.labels)))
    assert found.is_density(likelihood) is density


def test_nothing_observed_leaves_no_other_labels(digits: Images, tmp_path: Path) -> None:
    source = save(tmp_path / "digits.npz", digits)
    assert train._observed(prepared(data=source)) == (
        "No labels observed in training. Labels only score the result."
    )
    bare = save(tmp_path / "bare.npz", Images(digits.pixels))
    assert train._observed(prepared(data=bare)) == "No labels observed in training."


def test_the_help_explains_every_phase(named_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["train", "--help"]) == 0
    explained = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}
    with (named_run / "history.csv").open(newline="") as file:
        assert {row["phase"] for row in csv.DictReader(file)} <= explained


def test_classify_writes_labels_components_and_probabilities(
    named_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["classify", "--model", str(named_run)]) == 0
    gmvae, images = GMVAE.load(named_run), load("digits", part="test").only([1, 4, 8])
    with Path("vae.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["Predicted_Label", "Component", "Probability"]
    assert [int(row[0]) for row in rows[1:]] == gmvae.predict(images).tolist()
    probabilities, components = gmvae.classify(images).max(-1)
    assert [int(row[1]) for row in rows[1:]] == components.tolist()
    assert [float(row[2]) for row in rows[1:]] == pytest.approx(probabilities.tolist(), abs=1e-6)
    shown = capsys.readouterr().out
    assert "0 is class 1, 1 is class 4, 2 is class 8" in shown
    assert "134 images (digits, test part, classes 1, 4, 8): vae.csv" in shown


def test_classify_writes_the_single_column_of_the_original(named_run: Path) -> None:
    arguments = ["classify", "digits", "--model", str(named_run), "--columns", "label"]
    assert app.run([*arguments, "-o", "labels.csv"]) == 0
    lines = Path("labels.csv").read_text().splitlines()
    assert lines[0] == "Predicted_Label"
    assert set(lines[1:]) <= {"1", "4", "8"}


def test_a_file_is_classified_whole_and_in_order(
    named_run: Path, digits: Images, tmp_path: Path
) -> None:
    data = save(tmp_path / "some.npz", digits)
    assert app.run(["classify", data, "--model", str(named_run)]) == 0
    assert len(Path("vae.csv").read_text().splitlines()) == 1 + len(digits)


def test_without_observed_labels_the_component_is_the_prediction(
    unnamed_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["classify", "--model", str(unnamed_run)]) == 0
    assert "No label was observed in training" in capsys.readouterr().out
    with Path("vae.csv").open(newline="") as file:
        assert all(row["Predicted_Label"] == row["Component"] for row in csv.DictReader(file))


def test_reconstruct_writes_images_in_the_format_of_the_original(named_run: Path) -> None:
    assert app.run(["reconstruct", "--model", str(named_run)]) == 0
    with np.load("vae_reconstructed.npz", allow_pickle=False) as arrays:
        data = arrays["data"]
    assert data.shape == (134, 8, 8)
    assert data.dtype == np.float32
    assert data.min() >= 0
    assert data.max() <= 1


def test_reconstruct_keeps_channels(tmp_path: Path) -> None:
    import torch

    output.write_images(tmp_path / "a.npz", torch.zeros(2, 3, 4, 5))
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["data"].shape == (2, 3, 4, 5)


def test_evaluate_prints_json_and_writes_it(
    named_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "--model", str(named_run), "--samples", "2", "--json"]
    assert app.run([*arguments, "-o", "figures.json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(Path("figures.json").read_text())
    assert len(printed["overlap"]) == 3
    metrics = json.loads((named_run / "metrics.json").read_text())
    assert printed["acc_named"] == pytest.approx(metrics["acc_named"])


def test_figures_that_are_not_finite_are_null_in_json() -> None:
    figures = {"elbo": float("-inf"), "overlap": [[1.0, float("nan")]], "n": 3}
    assert json.loads(output.as_json(figures)) == {"elbo": None, "overlap": [[1.0, None]], "n": 3}


def test_evaluate_prints_a_table(named_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["evaluate", "--model", str(named_run), "--samples", "2"]) == 0
    shown = capsys.readouterr().out
    assert "accuracy of predicted labels" in shown
    assert "no normalised density" in shown
    overlap = shown[shown.index("Overlap of the Gaussians") :]
    assert re.search(r"component +0 +1 +2\n", overlap.replace(" \n", "\n"))
    found = {
        name: figures.split() for name, figures in re.findall(r"(\d: class \d) +([\d. ]+)", overlap)
    }
    assert list(found) == ["0: class 1", "1: class 4", "2: class 8"]
    # A Gaussian overlaps with itself wholly, and as much with another as that with it.
    assert [found[name][i] for i, name in enumerate(found)] == ["1.00"] * 3
    assert found["0: class 1"][1] == found["1: class 4"][0]


def test_a_table_of_figures_is_not_cut_to_the_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    figures = [f"0.{i}" for i in range(10, 40)]
    output.table("Many", [["component 0", *figures]], ["component", *map(str, range(30))])
    assert " ".join(["component 0", *figures]) in " ".join(capsys.readouterr().out.split())


def test_evaluate_without_names_leaves_their_figures_out(
    unnamed_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["evaluate", "--model", str(unnamed_run), "--samples", "2"]) == 0
    shown = capsys.readouterr().out
    assert "accuracy of predicted labels" not in shown
    assert "components matched to classes" in shown


def test_sample_draws_a_picture_or_arrays(
    named_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["sample", "--model", str(named_run), "-n", "7"]) == 0
    assert "7 samples of all 3 components: samples.png" in capsys.readouterr().out
    assert Path("samples.png").read_bytes().startswith(b"\x89PNG")
    arguments = ["sample", "--model", str(named_run), "-n", "7", "-o", "samples.npz"]
    assert app.run([*arguments, "--component", "2"]) == 0
    with np.load("samples.npz") as arrays:
        assert arrays["data"].shape == (7, 8, 8)
        assert (arrays["components"] == 2).all()
    assert "7 samples of component 2 (class 8): samples.npz" in capsys.readouterr().out


def test_info_tells_what_the_model_is(named_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["info", "--model", str(named_run)]) == 0
    shown = capsys.readouterr().out
    assert "1 x 8 x 8" in shown
    assert "digits, classes 1, 4, 8" in shown
    assert "0: class 1" in shown
    assert app.run(["info", "--model", str(named_run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["labels_observed"] == 15


# What exists


def test_nothing_is_overwritten_without_force(
    named_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("vae.csv").write_text("precious")
    arguments = ["classify", "--model", str(named_run)]
    assert app.run(arguments) == 2
    assert "--force" in capsys.readouterr().err
    assert Path("vae.csv").read_text() == "precious"
    assert app.run([*arguments, "--force"]) == 0
    assert Path("vae.csv").read_text() != "precious"


def test_force_replaces_a_run_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    output.check_folder(folder, False, frozenset({"config.json"}))  # an empty one is no loss
    (folder / "config.json").touch()
    with pytest.raises(FileExistsError, match="--force"):
        output.check_folder(folder, False, frozenset({"config.json"}))
    output.check_folder(folder, True, frozenset({"config.json"}))
    (folder / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        output.check_folder(folder, True, frozenset({"config.json"}))


def test_the_current_folder_is_never_replaced() -> None:
    with pytest.raises(ArgumentError, match="of its own"):
        output.check_folder(Path(), True, frozenset())


def test_a_folder_that_cannot_be_written_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)  # root may write everywhere
    assert app.run(["train", "-o", "run"]) == 2
    assert f"got run, and {tmp_path} cannot be written (Permission denied)" in one_line(capsys)


# Errors


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The single line on standard error but for progress, which must be an error."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    return lines[0]


SQUARES = np.zeros((6, 8, 8), np.uint8)
BAD_ARRAYS: dict[str, dict[str, Any]] = {
    "empty": {"data": SQUARES[:0]},
    "wrong-shape": {"data": np.zeros(6)},
    "nan": {"data": np.full((6, 8, 8), np.nan)},
    "objects": {"data": np.array([None] * 6)},
    "labels-of-another-length": {"data": SQUARES, "labels": np.arange(5)},
    "nothing-named-data": {"images": SQUARES},
}


def test_words_for_classes_are_told_and_may_not_change(
    digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"one": 1, "four": 4, "eight": 8}.items():
        pictures = (digits.only([value]).pixels[:8, 0] * 255).astype(np.uint8)
        for folder in ("pics", "others") if name != "eight" else ("pics",):
            (tmp_path / folder / name).mkdir(parents=True)
            for i, pixels in enumerate(pictures):
                Picture.fromarray(pixels).save(tmp_path / folder / name / f"{i}.png")
    assert app.run(["train", "pics", *QUICK]) == 0
    assert "The classes are 0 (eight), 1 (four), 2 (one)." in capsys.readouterr().out
    assert app.run(["classify", "pics"]) == 0
    assert "The classes are 0 (eight), 1 (four), 2 (one)." in capsys.readouterr().out
    assert app.run(["info"]) == 0
    assert "0 (eight), 1 (four), 2 (one)" in capsys.readouterr().out
    assert app.run(["evaluate", "others"]) == 1
    words = "on, 0 (eight), 1 (four), 2 (one); got 0 (four), 1 (one) in others. Give it a subf"
    assert words in one_line(capsys)
    assert app.run(["train", "pics", "--val", "others", "--output", "never"]) == 2
    assert "`--val` expected class 0 to be eight, as in pics; got four" in one_line(capsys)


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_content_that_does_not_fit_is_one_line_and_exit_1(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "bad.npz", **BAD_ARRAYS[case])
    assert app.run(["train", "bad.npz"]) == 1
    assert "Traceback" not in one_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.npz"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "absent.npz"], "absent.npz"),
        (["train", "emnist"], "digits, mnist"),
        (["train", "digits", "--classes", "1,77"], "77"),
        (["train", "digits", "--classes", "one"], "1,4,8"),
        (["train", "digits", "--labels", "9999"], "9999"),
        (["train", "digits", "--epochs", "0"], "--epochs"),
        (["train", "digits", "--epochs", "-7"], "-7"),
        (
            ["train", "digits", "--lr", "-1"],
            "`--lr` expected above 0, and finite; got -1.0. Choose such a number.",
        ),
        (["train", "emnist"], "`DATA` expected"),
        (["train", "absent.npz"], "`DATA` expected a path that exists"),
        (["train", "digits", "--val", "absent.npz"], "`--val` expected a path that exists"),
        (["train", "digits", "--val", "emnist"], "`--val` expected digits"),
        (["train", "digits", "--labels", "9999"], "`--labels` expected 0 to "),
        (["train", "digits", "--classes", "77"], "`--classes` expected some of 0, 1"),
        (["train", "digits", "--covariance", "round"], "'--covariance': 'round' is not one of"),
        (["train", "digits", "--device", "abacus"], "got 'abacus'. Name another, or leave it out."),
        (["train", "--output", "file/run"], "got file/run, where "),
        (["train", "--output", "file"], "got the file"),
        (["train", "--config", "absent.toml"], "got absent.toml, which does not exist. Check"),
        (["train", "--config", "."], "which is a folder"),
        (["train", "--bogus"], "No such option: --bogus. See `gmvae train --help`."),
        (["train", "--component", "3"], "--component. Did you mean --components? See"),
        (["train", "--warmup", "3"], "--warmup. Did you mean --warmup-epochs? See"),
        (["train", "--model", "run"], "No such option: --model. Did you mean --output? See"),
        (["classify", "--models", "run"], "Did you mean --model? See"),
        (["tarin"], "See `gmvae --help`."),
        (["classify", "--model", "absent"], "gmvae train"),
        (["classify", "--model", "absent", "--output", "file.csv"], "--force"),
        (["classify", "--output", "vae.txt"], "expected a .csv file; got vae.txt. Rename it."),
        (["reconstruct", "--output", "vae.csv"], "expected a .npz file; got vae.csv"),
        (["evaluate", "--output", "figures"], "expected a .json file; got figures"),
        (["sample", "--output", "samples.gif"], ".png or .npz"),
        (["sample", "-n", "10001"], "at most 10,000 for a picture; got 10,001. Write them to an"),
    ],
)
def test_options_and_paths_that_are_wrong_are_one_line_and_exit_2(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("file", "file.csv"):
        (tmp_path / name).touch()
    assert app.run(arguments) == 2
    assert words in one_line(capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "file.csv"]


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


def test_select_checks_every_number_before_it_trains(
    digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save(tmp_path / "few.npz", digits)
    assert app.run(["select", data, "--components", "2,400"]) == 2
    line = one_line(capsys)  # and so no progress of the two components
    assert "`--components` expected at most the number of images to train on, 57" in line
    assert "(60 less 3 held out); got 400." in line


def test_select_needs_images_to_hold_out(
    digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save(tmp_path / "few.npz", digits.subset(slice(0, 5)))
    assert app.run(["select", data, "--components", "2"]) == 1
    assert "`few.npz` expected images enough to hold 5% of them out" in one_line(capsys)


def test_a_second_set_without_a_class_of_the_first(
    digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert digits.labels is not None
    data = save(tmp_path / "data.npz", digits)
    val = save(tmp_path / "val.npz", dataclasses.replace(digits, labels=digits.labels + 20))
    assert app.run(["train", data, "--val", val, *QUICK]) == 1
    assert "`--val` expected some of the classes of data.npz, 1, 4, 8; got 21, 24" in one_line(
        capsys
    )


@pytest.mark.parametrize("labelled", [True, False])
def test_a_second_set_of_another_shape_is_refused_before_training(
    labelled: bool, digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save(tmp_path / "data.npz", digits)
    labels = {"labels": np.arange(6)} if labelled else {}
    np.savez(tmp_path / "val.npz", data=np.zeros((6, 9, 9), np.uint8), **labels)
    assert app.run(["train", data, "--val", "val.npz"]) == 1
    assert "`--val` expected images of shape (1, 8, 8), as in data.npz" in one_line(capsys)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ArgumentError("`n_components` expected 2; got 1. Leave `n_components` out."),
            "`--components` expected 2; got 1. Leave `--components` out.",
        ),
        (
            ArgumentError("`classes` expected labels. Leave `classes` out."),
            "`--classes` expected labels. Leave `--classes` out.",
        ),
        (FileNotFoundError("`source` expected a path."), "`DATA` expected a path."),
        (ContentError("`x` expected pixels 0 or 1."), "`DATA` expected pixels 0 or 1."),
        # What is no argument keeps its name: arrays in a file, a file called as an argument is.
        (
            ContentError("`a.npz` expected an array `data` (and maybe `labels`)."),
            "`a.npz` expected an array `data` (and maybe `labels`).",
        ),
        (ContentError("`classes` expected pictures."), "`classes` expected pictures."),
        (ArgumentError("`--lr` expected above 0."), "`--lr` expected above 0."),
        (ArgumentError("`observed` expected (3,)."), "`observed` expected (3,)."),
    ],
)
def test_errors_name_what_was_typed(
    error: Exception, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    errors.report(error)
    assert one_line(capsys) == f"Error: {words}"


def test_names_in_errors_are_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ""
    for command in COMMANDS:
        app.run([command, "--help"])
        shown += capsys.readouterr().out
    words = set(shown.replace(",", " ").split())
    for typed in {*errors.TYPED.values(), *errors.ELSEWHERE.values()} - {"DATA"}:
        assert typed in words


def test_every_setting_of_train_has_its_option_in_errors() -> None:
    import inspect

    from gmvae.settings import Settings

    settings = {field.name for field in dataclasses.fields(Settings)}
    for name in settings & set(inspect.signature(train.train).parameters):
        assert name in errors.TYPED, name


@pytest.mark.parametrize("command", ["classify", "reconstruct", "evaluate"])
def test_images_of_another_shape_than_the_model(
    command: str, named_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "large.npz", data=np.zeros((4, 28, 28), np.uint8))
    assert app.run([command, "large.npz", "--model", str(named_run)]) == 1
    assert "(1, 8, 8)" in one_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["large.npz"]


def test_a_component_that_is_not_there(named_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["sample", "--model", str(named_run), "--component", "9"]) == 2
    shown = one_line(capsys)
    assert "`--component` expected 0 to 2 (0: class 1, 1: class 4, 2: class 8); got 9." in shown
    assert "leave it out for all" in shown
    assert not Path("samples.png").exists()


def test_an_unexpected_error_is_one_line_until_debugged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("lost\nand gone")

    monkeypatch.setattr("gmvae_cli.info.open_run", fail)
    assert app.run(["info"]) == 1
    assert one_line(capsys).endswith("run again with --debug for the traceback.")
    assert app.run(["info", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_too_little_memory_is_said_to_be(
    named_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")

    monkeypatch.setattr(GMVAE, "sample", fail)
    assert app.run(["sample", "--model", str(named_run)]) == 1
    assert "not enough memory for what was asked. Ask for less" in one_line(capsys)


def test_an_interruption_is_no_failure_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gmvae_cli.info.open_run", interrupt)
    assert app.run(["info"]) == 130
    assert "interrupted" in one_line(capsys)


def test_errors_of_the_system_name_their_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert errors.report(OSError(28, "No space left on device", "run")) == 1
    assert one_line(capsys) == "Error: No space left on device: run"


# --config


def parse(
    monkeypatch: pytest.MonkeyPatch, text: str, *arguments: str
) -> tuple[int, experiment.Request | None, dict[str, Any]]:
    """Run ``train`` with a configuration up to the point where it would load images."""
    seen: dict[str, Any] = {}

    def stop(request: experiment.Request) -> None:
        seen["request"] = request
        raise ArgumentError("enough")

    Path("run.toml").write_text(text)
    monkeypatch.setattr("gmvae_cli.train.prepare", stop)
    code = app.run(["train", "--config", "run.toml", *arguments])
    return code, seen.get("request"), seen


def test_a_configuration_gives_what_flags_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'data = "digits"\nclasses = [1, 4]\nseed = 3\nlabels = 2\n'
    _, request, _ = parse(monkeypatch, text, "--seed", "5")
    assert request == experiment.Request("digits", None, (1, 4), 2, None, 5)
    _, request, _ = parse(monkeypatch, text, "mnist", "--classes", "7")
    assert request == experiment.Request("mnist", None, (7,), 2, None, 3)


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("latent-dims = 2", 2, "'latent-dim'"),
        ("labells = 2", 2, "'labels'"),
        ("latent_dim = 0", 2, "--latent-dim"),
        ("epochs = 2.7", 2, "--epochs"),
        ("epochs = 2.7", 2, "in run.toml"),
        ('force = "yes"', 2, "true or false for force; got 'yes' in run.toml"),
        ("epochs = true", 2, "--epochs"),
        ("config = 'other.toml'", 2, "got 'config' in run.toml. Remove it"),
        ("latent_dims = 3", 2, "Did you mean 'latent-dim'?"),
        ("latent_dim = 3\nlatent-dim = 4", 2, "each option once; got 'latent-dim'"),
        ("lr = nan", 2, "a finite number for lr; got nan in run.toml"),
        ("epochs = ", 1, "Write a line an option, as in: network ="),
        ("\0", 1, "expected TOML"),
        ("[train]\nepochs = 2", 1, "the table [train]"),
        ("epochs = {joint = 2}", 1, "the table [epochs]"),
    ],
)
def test_a_configuration_that_is_wrong(
    text: str,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert parse(monkeypatch, text)[0] == code
    assert words in one_line(capsys)


# Progress


def epochs(phase: str, n: int) -> list[Progress]:
    return [Progress(phase, i + 1, n, {"elbo": -100.0 + i, "kl_z": 1.5}) for i in range(n)]


def test_lines_are_few_and_hold_the_last_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    show = progress.Lines()
    for now in (*epochs("warm-up", 100), Progress("start", 1, 1), *epochs("joint", 3)):
        show(now)
    lines = capsys.readouterr().err.splitlines()
    phases = [line.split()[0] for line in lines]
    assert 0 < phases.count("warm-up") <= progress.LINES_A_PHASE + 1
    assert lines[-1] == "joint 3/3: ELBO -98.0, KL of z 1.50"
    assert any("s left" in line for line in lines)


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("normalised", [False, True])
def test_progress_says_once_that_the_elbo_is_of_no_density(
    normalised: bool,
    terminal: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    import rich.console

    console = rich.console.Console
    monkeypatch.setattr(
        rich.console, "Console", lambda stderr: console(stderr=stderr, force_terminal=terminal)
    )
    with progress.progress(normalised) as show:
        for now in (Progress("start", 1, 1), *epochs("warm-up", 3), *epochs("joint", 2)):
            show(now)
    shown = " ".join(capsys.readouterr().err.split())
    assert shown.count(progress.NOTE) == (not normalised)
    assert normalised or shown.index(progress.NOTE) < shown.index("ELBO -99.0")


def test_bars_show_every_phase_and_the_newest_figures() -> None:
    from rich.console import Console

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with progress._bars(console) as show:
        for now in (*epochs("warm-up", 3), *epochs("joint", 2)):
            show(now)
    last = screen.getvalue()
    assert "3/3" in last
    assert "joint" in last
    assert "ELBO -99.0, KL of z 1.50" in last


def test_select_says_which_numbers_are_equally_stable() -> None:
    found = [
        Candidate(k, (log_likelihood,), True, 0.1, stability, float(k))
        for k, log_likelihood, stability in ((2, -5.0, 0.7), (5, -4.0, 0.999), (6, -4.05, 1.0))
    ]
    assert select._most_stable(found[:2]) == "Most stable: 5 components."
    tie = select._most_stable(found)
    assert tie.startswith("Most stable: 5, 6 components, alike to two decimals. Of these 6 is")


@pytest.mark.usefixtures("quick")
def test_select_compares_numbers_of_components(
    digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path / "digits.npz", digits)
    output = tmp_path / "compared"
    arguments = ["select", source, "--components", "2,3", "--latent-dim", "2", "--jobs", "1"]
    assert app.run([*arguments, *QUICK, "-o", str(output)]) == 0
    shown = capsys.readouterr().out
    assert {path.name for path in output.iterdir()} == {"candidates.json", "candidates.png"}
    two, three = json.loads((output / "candidates.json").read_text())
    assert (two["n_components"], three["n_components"]) == (2, 3)
    assert len(two["log_likelihoods"]) == 2
    assert two["likelihood_normalised"] is False
    best = max((two, three), key=lambda found: round(found["stability"], 2))
    assert f"Most stable: {best['n_components']} components." in shown
    assert f"{three['stability']:.3f}" in shown
    assert "no normalised density" in shown


@pytest.mark.parametrize("text", ["", "0", "3-2", "2,2", "a", "2-", "-2", "1-2-3", "2,,3"])
def test_numbers_of_components_that_are_none(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["select", "digits", f"--components={text}"]) == 2
    assert "`--components` expected a range or distinct whole numbers" in one_line(capsys)


@pytest.mark.parametrize(("text", "numbers"), [("2-4", (2, 3, 4)), ("7", (7,)), ("2,9", (2, 9))])
def test_numbers_of_components(text: str, numbers: tuple[int, ...]) -> None:
    from gmvae_cli.select import number_list

    assert number_list(text) == numbers


@pytest.mark.usefixtures("quick")
def test_restarts_are_compared_and_recorded(
    digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path / "digits.npz", digits)
    run = tmp_path / "run"
    assert app.run(["train", source, *QUICK, "--restarts", "2", "--jobs", "1", "-o", str(run)]) == 0
    shown = capsys.readouterr()
    restarts = json.loads((run / "config.json").read_text())["training"]["restarts"]
    kept = max(range(2), key=lambda i: restarts[i]["objective"])
    assert restarts[0]["seed"] == 0
    for number, found in enumerate(restarts, start=1):
        line = (
            f"Restart {number}, seed {found['seed']}: held-out objective {found['objective']:.2f}"
        )
        (said,) = [words for words in shown.out.splitlines() if words.startswith(line)]
        assert said.endswith("(kept)") == (number - 1 == kept)
        assert ", no normalised density" in said
    assert "2: joint 1/1" in shown.err
    assert shown.err.count(progress.NOTE) == 1
