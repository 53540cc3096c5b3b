"""What the commands that ask a model print and write, against the model itself."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from cli_spies import Spies, images_called, printed_json, save_run, spies, untrained
from gmvae_cli import classify, output
from gmvae_cli.figures import figure_rows
from toys import tiny

from gmvae import GMVAE
from gmvae.diagnostics import evaluation
from gmvae.gmvae import component_name

__all__ = ["spies"]


def lines_of(spies: Spies, *arguments: str) -> list[str]:
    return spies.run(arguments).at("command.out").splitlines()


def test_reconstruct_writes_what_the_model_makes_of_the_images(spies: Spies) -> None:
    lines = lines_of(spies, "reconstruct", "other")
    images = images_called("other")
    with np.load("gmvae-run-vae_reconstructed.npz", allow_pickle=False) as arrays:
        assert arrays.files == ["data"]
        data = arrays["data"]
    assert data.dtype == np.float32
    assert np.array_equal(data, untrained().reconstruct(images)[:, 0].numpy())
    assert lines == ["Reconstructions of 24 images (other): gmvae-run-vae_reconstructed.npz"]


@pytest.mark.parametrize(
    ("names", "line"),
    [
        (None, "No label was observed in training: Predicted_Label is the component's number."),
        (
            (None, 4, None),
            "Components named by the labels observed in training: 1 is class 4.",
        ),
        (
            ("cat", 4, None),
            "Components named by the labels observed in training: 0 is cat, 1 is class 4.",
        ),
    ],
)
def test_where_predicted_labels_come_from(names: Any, line: str) -> None:
    model: Any = SimpleNamespace(component_names=names, names_by_hand={})
    assert classify._naming(model) == line


def test_names_by_hand_are_said_to_be() -> None:
    model: Any = SimpleNamespace(component_names=("cat", None), names_by_hand={0: "cat"})
    assert classify._naming(model) == "Components named by hand: 0 is cat."
    model.component_names = ("cat", 8)
    assert classify._naming(model) == (
        "Components named by the labels observed in training: 1 is class 8; by hand: 0 is cat."
    )


def test_evaluate_prints_the_figures_of_the_library(spies: Spies) -> None:
    spies.run(["evaluate", "other", "--samples", "3", "--seed", "4", "--json", "-o", "a.json"])
    generator = torch.Generator().manual_seed(4)
    figures = evaluation.evaluate(
        untrained(), images_called("other"), n_samples=3, generator=generator
    )
    assert printed_json(spies) == figures
    assert json.loads(Path("a.json").read_text()) == figures


FIGURES = {
    "acc_named": 0.11111,
    "acc": 0.2,
    "acc_latent": 0.3,
    "nmi": 0.4,
    "ari": 0.5,
    "f1_macro": 0.6,
    "f1_micro": 0.7,
    "f1_mean": 0.8,
    "ssim": 0.9,
    "one_minus_mse": 0.95,
    "elbo": -1.0,
    "reconstruction": 2.0,
    "kl_z": 3.0,
    "kl_y": 4.0,
    "log_likelihood": -5.126,
    "effective_components": 2.5,
    "smallest_weight": 0.125,
    "likelihood_normalised": True,
}


def test_each_figure_stands_in_its_row() -> None:
    assert list(figure_rows(FIGURES)) == [
        ("accuracy of predicted labels", "0.1111"),
        ("accuracy, components matched to classes", "0.2000"),
        ("the same by p(y | z)", "0.3000"),
        ("normalised mutual information", "0.4000"),
        ("adjusted Rand index", "0.5000"),
        ("F1, macro", "0.6000"),
        ("F1, micro", "0.7000"),
        ("F1, mean of the two", "0.8000"),
        ("structural similarity (SSIM)", "0.9000"),
        ("1 - mean squared error", "0.9500"),
        ("ELBO (nats an image)", "-1.00"),
        ("   reconstruction", "2.00"),
        ("   KL of z", "3.00"),
        ("   KL of y", "4.00"),
        ("log-likelihood (nats an image)", "-5.13"),
        ("components in use", "2.50"),
        ("smallest weight", "0.1250"),
    ]
    without = dict.fromkeys(("acc_named", "acc", "acc_latent", "nmi", "ari", "ssim"))
    without |= dict.fromkeys(("f1_macro", "f1_micro", "f1_mean"))
    grey = FIGURES | without | {"likelihood_normalised": False}
    assert [name for name, _ in figure_rows(grey)] == [
        "1 - mean squared error",
        "ELBO (nats an image, no normalised density)",
        "   reconstruction",
        "   KL of z",
        "   KL of y",
        "log-likelihood (nats an image, no normalised density)",
        "components in use",
        "smallest weight",
    ]


def test_the_tables_of_evaluate(spies: Spies, monkeypatch: pytest.MonkeyPatch) -> None:
    tables: list[Any] = []
    monkeypatch.setattr(
        "gmvae_cli.evaluate.table",
        lambda title, rows, headings=(): tables.append((title, list(rows), headings)),
    )
    (line,) = lines_of(spies, "evaluate", "other")
    assert line.endswith(" gmvae-run-report.html")
    (title, rows, _), (overlap_title, overlap_rows, headings) = tables
    assert title == "other: 24 images"
    assert len(rows) == 17
    assert overlap_title == "Overlap of the Gaussians (Bhattacharyya coefficients)"
    assert headings == ("component", "0", "1", "2")
    overlap = untrained().model.prior.overlap().tolist()
    assert overlap_rows == [
        (component_name((1, 4, 8), k), *(f"{value:.2f}" for value in row))
        for k, row in enumerate(overlap)
    ]


@pytest.mark.parametrize("component", [None, 2])
def test_sample_writes_what_the_model_draws(component: int | None, spies: Spies) -> None:
    only = [] if component is None else ["--component", str(component)]
    lines = lines_of(spies, "sample", "-n", "7", "--seed", "3", "-o", "a.npz", *only)
    generator = torch.Generator().manual_seed(3)
    images, components = untrained().sample(7, component, generator)
    with np.load("a.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["data"], images[:, 0].numpy())
        assert np.array_equal(arrays["components"], components.numpy())
    whose = "all 3 components" if component is None else "component 2 (class 8)"
    assert lines == [f"7 samples of {whose}: a.npz"]


def test_a_picture_shows_what_the_model_draws(spies: Spies) -> None:
    lines = lines_of(spies, "sample", "-n", "1")
    images, components = untrained().sample(1, None, torch.Generator().manual_seed(0))
    assert torch.equal(spies.at("samples.images"), images)
    assert torch.equal(spies.at("samples.components"), components)
    assert spies.at("samples.component_names") == (1, 4, 8)
    assert lines == ["1 sample of all 3 components: gmvae-run-samples.png"]


def test_a_second_component_has_a_picture_of_its_own(spies: Spies) -> None:
    """By its number, whatever it was called by."""
    for word, k in (("0", 0), ("class 8", 2)):
        (line,) = lines_of(spies, "sample", "--component", word)
        assert line.endswith(f": gmvae-run-samples-{k}.png")
    assert spies.run(["sample", "--component", "2"]).at("command.code") == 2
    assert "gmvae-run-samples-2.png exists" in spies.at("command.err")
    assert spies.run(["sample", "-n", "10001", "--component", "1"]).at("command.code") == 2
    assert "sample" not in spies.calls


def test_as_many_images_as_a_picture_holds(spies: Spies) -> None:
    assert spies.run(["sample", "-n", "10000"]).at("command.code") == 0
    assert spies.run(["sample", "-n", "10001", "-o", "a.npz"]).at("command.code") == 0
    assert spies.run(["sample", "-n", "10001", "--force"]).at("command.code") == 2


@pytest.mark.parametrize(
    ("k", "classes", "words"),
    [
        (1, None, "expected a number from 0 to 0 or a component's name; got '30'"),
        (20, tuple(range(20)), "(0: class 0, 1: class 1,"),
        (21, tuple(range(21)), "expected a number from 0 to 20 or a component's name; got '30'"),
        (3, None, "expected a number from 0 to 2 or a component's name; got '30'"),
    ],
)
def test_components_are_named_where_they_are_few(
    k: int, classes: Any, words: str, spies: Spies
) -> None:
    model = tiny(n_components=k)
    model.component_classes = classes
    save_run(Path("mine"), model)
    spies.run(["sample", "--model", "mine", "--component", "30"])
    assert words in spies.at("command.err")
    assert spies.at("command.code") == 2
    assert spies.run(["sample", "--model", "mine"]).at("command.code") == 0
    whose = f"all {k} components" if k > 1 else "its only component"
    assert spies.at("command.first") == f"60 samples of {whose}: mine-samples.png"
    last = ["sample", "--model", "mine", "--component", str(k - 1), "--force"]
    assert spies.run(last).at("command.code") == 0


def test_a_name_of_two_components_means_neither(spies: Spies) -> None:
    model = tiny(n_components=3)
    model.component_classes = (5, 4, 5)
    model.class_names = {5: "cat"}
    save_run(Path("mine"), model)
    spies.run(["sample", "--model", "mine", "--component", "cat"])
    assert "got 'cat', the name of 2. Give a number: 0, 2." in spies.at("command.err")
    assert spies.at("command.code") == 2
    assert spies.run(["sample", "--model", "mine", "--component", "2"]).at("command.code") == 0


def test_auto_is_cuda_where_there_is_one(spies: Spies, monkeypatch: pytest.MonkeyPatch) -> None:
    for available, device in ((True, "cuda"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda value=available: value)
        spies.run(["sample", "--force"])
        assert spies.at("load_run.device") == device


def test_images_of_several_channels_keep_them(tmp_path: Path) -> None:
    images = torch.rand(2, 3, 4, 5)
    output.write_images(tmp_path / "a.npz", images, components=np.array([1, 0]))
    output.write_images(tmp_path / "b.npz", images[:, :1])
    with np.load(tmp_path / "a.npz") as arrays:
        assert np.array_equal(arrays["data"], images.numpy())
        assert arrays["components"].tolist() == [1, 0]
    with np.load(tmp_path / "b.npz") as arrays:
        assert np.array_equal(arrays["data"], images[:, 0].numpy())


def test_the_model_is_asked_in_evaluation_mode(spies: Spies) -> None:
    spies.run(["reconstruct", "other"])
    asked = spies.at("batches")["self"]
    assert isinstance(asked, GMVAE)
    assert not asked.training
