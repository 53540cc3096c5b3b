"""``--log tensorboard``: what is written is what was told."""

import shutil
import sys
from pathlib import Path

import pytest
from cli_spies import Spies, spies
from gmvae_cli.tensorboard import Board
from matplotlib.figure import Figure

from gmvae.report import png
from gmvae.training.loop import Progress

__all__ = ["spies"]


def events(folder: Path):
    """The figures and pictures in a folder of logs, by name."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = accumulator.EventAccumulator(str(folder))
    log.Reload()
    tags = log.Tags()
    scalars = {name: [(e.step, e.value) for e in log.Scalars(name)] for name in tags["scalars"]}
    return scalars, {name: log.Images(name)[0] for name in tags["images"]}


def test_curves_and_pictures(tmp_path: Path) -> None:
    log = Board(tmp_path)
    for epoch, value in ((1, -8.0), (2, -7.5)):
        log(Progress("joint", epoch, 2, {"elbo": value, "kl_y": 0.25}))
    figure = Figure(figsize=(2, 1), dpi=50)
    log.show({"clusters": png(figure)})
    log.close()
    scalars, images = events(tmp_path)
    assert scalars == {
        "joint/elbo": [(1, -8.0), (2, -7.5)],
        "joint/kl_y": [(1, 0.25), (2, 0.25)],
    }
    assert {name: (i.width, i.height) for name, i in images.items()} == {"clusters": (100, 50)}


def test_runs_of_several_lie_apart(spies: Spies) -> None:
    shutil.rmtree("gmvae-run")
    spies.run(["train", "data.npz", "--restarts", "2", "--log", "tensorboard"])
    said = "Curves for TensorBoard: tensorboard --logdir gmvae-run-tensorboard\n"
    assert said in spies.at("command.out")
    (folder,) = Path("gmvae-run-tensorboard").iterdir()
    for number in (1, 2):
        scalars, _ = events(folder / f"restart-{number}")
        assert scalars == {"joint/elbo": [(53, -6.0)]}


def test_what_is_not_there_is_said_before_any_work(
    spies: Spies, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["train", "data.npz", "-o", "new", "--log"]
    assert spies.run([*command, "paper"]).at("command.code") == 2
    assert "`--log` expected tensorboard; got paper." in spies.at("command.err")
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert spies.run([*command, "tensorboard"]).at("command.code") == 2
    assert spies.at("command.err").count("\n") == 1
    assert "pip install 'gmvae[tensorboard]'" in spies.at("command.err")
    assert "fit_restarts" not in spies.calls
    assert not list(Path().glob("new*"))
