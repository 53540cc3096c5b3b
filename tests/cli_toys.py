"""What the tests of the command line share: its commands, and two runs, one of them trained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gmvae_cli import app, experiment

from gmvae import GMVAE, Config, Images, load
from gmvae.training.recipe import EFFORTS

COMMANDS = (
    "train",
    "classify",
    "encode",
    "reconstruct",
    "evaluate",
    "compare",
    "explore",
    "diagnose",
    "posterior",
    "sample",
    "interpolate",
    "info",
    "name",
    "export",
    "select",
)


QUICK = ("--epochs", "1", "--warmup-epochs", "1")


def save(path: Path, images: Images) -> str:
    """Write images in the original's format; return the path as an argument."""
    arrays: dict[str, Any] = {} if images.labels is None else {"labels": images.labels}
    np.savez(path, data=(images.pixels[:, 0] * 255).astype(np.uint8), **arrays)
    return str(path)


@pytest.fixture(scope="session")
def digits() -> Images:
    return load("digits").only([1, 4, 8]).subset(slice(0, 60))


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The original's experiment, hardly trained: what ``--epochs`` leaves long is brief, too."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(EFFORTS, "standard", 0.01)
        assert app.run(["train", "--output", str(folder), *QUICK]) == 0
    return folder


@pytest.fixture(scope="session")
def named_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as of the original's experiment, its model not trained at all."""
    record = {"data": "digits", "classes": [1, 4, 8], "labels_observed": 15}
    return untrained_run(tmp_path_factory.mktemp("named"), (1, 4, 8), record)


@pytest.fixture(scope="session")
def unnamed_run(digits: Images, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a file without observed labels: no component has a name."""
    folder = tmp_path_factory.mktemp("unnamed")
    record = {"data": save(folder / "digits.npz", digits), "classes": None, "labels_observed": 0}
    return untrained_run(folder, None, record)


def untrained_run(folder: Path, classes: Any, record: dict[str, Any]) -> Path:
    torch.manual_seed(0)
    gmvae = GMVAE(Config((1, 8, 8), 3))
    gmvae.component_classes = classes
    gmvae.save(folder / "run", extra={"training": record | {"settings": {"seed": 0}}})
    return folder / "run"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands write their default files to a folder of the test's own."""
    monkeypatch.chdir(tmp_path)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The single line on standard error but for progress, which must be an error."""
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert len(lines) == 1
    assert lines[0].startswith("Error: ")
    return lines[0]


def prepared(**request: Any) -> experiment.Experiment:
    return experiment.prepare(experiment.Request(**request))
