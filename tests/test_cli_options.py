"""Each option of each command reaches the library: one table, and no option without its row."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from cli_spies import CLASSES, Spies, spies
from gmvae_cli import app

__all__ = ["spies"]

# What each setting's option reads, and the value of the setting then.
SETTINGS: dict[str, tuple[str, Any]] = {
    "latent_dim": ("--latent-dim 3", 3),
    "n_components": ("--components 4", 4),
    "covariance": ("--covariance diagonal", "diagonal"),
    "network": ("--network conv", "conv"),
    "likelihood": ("--likelihood gaussian", "gaussian"),
    "guide": ("--guide full", "full"),
    "assignment": ("--assignment exact", "exact"),
    "augment": ("--augment none", "none"),
    "effort": ("--effort quick", "quick"),
    "epochs": ("--epochs 7", 7),
    "warmup_epochs": ("--warmup-epochs 8", 8),
    "rounds": ("--rounds 3", 3),
    "batch_size": ("--batch-size 9", 9),
    "lr": ("--lr 0.5", 0.5),
    "information_weight": ("--information-weight 1.5", 1.5),
    "classification_weight": ("--classification-weight 2.5", 2.5),
    "agreement_weight": ("--agreement-weight 3.5", 3.5),
    "held_out": ("--held-out 0.25", 0.25),
    "patience": ("--patience 11", 11),
    "seed": ("--seed 12", 12),
}
OBSERVED = (
    "6 labels observed in training (2 of class 1, 2 of class 4, 2 of class 8). "
    "All other labels only score the result."
)
FROM_TABLE = (
    "2 labels observed in training (1 of class 1, 1 of class 4). "
    "All other labels only score the result."
)
# Command, parameter, what is typed, and what is then true; of a command alone it is not.
Row = tuple[str, str, str, dict[str, Any]]
ROWS: list[Row] = [
    *(
        ("train", name, typed, {f"fit_restarts.settings.{name}": value})
        for name, (typed, value) in SETTINGS.items()
        if name != "seed"
    ),
    (
        "train",
        "seed",
        "--seed 12",
        {"fit_restarts.settings.seed": 12, "evaluate.generator.initial_seed": 12},
    ),
    ("train", "data", "other", {"fit_restarts.images.name": "other"}),
    ("train", "val", "data.npz --val bare.npz", {"fit_restarts.held_out.name": "bare.npz"}),
    ("train", "classes", "data.npz --classes 1,4", {"fit_restarts.images.classes": (1, 4)}),
    ("train", "labels", "data.npz --labels 2", {"command.first": OBSERVED}),
    ("train", "restarts", "--restarts 3", {"fit_restarts.n_restarts": 3}),
    ("train", "start", "data.npz --from other-run", {"load_run.folder": Path("other-run")}),
    ("train", "checkpoint", "--no-checkpoint", {"fit_restarts.checkpoint": None}),
    ("train", "jobs", "--jobs 2", {"fit_restarts.n_jobs": 2}),
    ("train", "device", "--device abacus", {"fit_restarts.device": "abacus"}),
    ("train", "data_root", "--data-root root", {"load.root": Path("root")}),
    ("train", "output", "--output mine", {"command.made": ["mine"]}),
    ("train", "log", "--log tensorboard", {"command.made": ["gmvae-run", "gmvae-run-tensorboard"]}),
    (
        "train",
        "report_every",
        "--report-every 2",
        {"command.made": ["gmvae-run", "gmvae-run-report.html"]},
    ),
    ("train", "config", "--config run.toml", {"fit_restarts.settings.lr": 0.25}),
    *(
        ("select", name, f"data.npz {typed}", {f"compare_components.settings.{name}": value})
        for name, (typed, value) in SETTINGS.items()
        if name != "n_components"
    ),
    ("select", "data", "other", {"compare_components.images.name": "other"}),
    ("select", "components", "data.npz --components 3,5", {"compare_components.numbers": (3, 5)}),
    ("select", "restarts", "data.npz --restarts 4", {"compare_components.n_restarts": 4}),
    ("select", "classes", "data.npz --classes 1,4", {"compare_components.images.classes": (1, 4)}),
    ("select", "jobs", "data.npz --jobs 2", {"compare_components.n_jobs": 2}),
    ("select", "device", "data.npz --device abacus", {"compare_components.device": "abacus"}),
    ("select", "data_root", "data.npz --data-root root", {"load.root": Path("root")}),
    ("select", "output", "data.npz --output mine", {"command.made": ["mine"]}),
    *(
        row
        for command, query in (
            ("classify", "answers.images"),
            ("encode", "batches.x"),
            ("reconstruct", "batches.x"),
            ("evaluate", "evaluate.images"),
            ("explore", "page.images"),
            ("diagnose", "diagnose.images"),
            ("posterior", "posterior_blocks.x"),
        )
        for row in (
            (command, "data", "other", {f"{query}.name": "other"}),
            (command, "data_root", "--data-root root", {"load.root": Path("root")}),
        )
    ),
    *(
        row
        for command in (
            "classify",
            "encode",
            "reconstruct",
            "evaluate",
            "explore",
            "diagnose",
            "posterior",
            "sample",
            "interpolate",
        )
        for row in (
            (command, "model", "--model other-run", {"load_run.folder": Path("other-run")}),
            (command, "device", "--device abacus", {"load_run.device": "abacus"}),
        )
    ),
    ("classify", "output", "-o mine.csv", {"command.made": ["mine.csv"]}),
    ("classify", "columns", "--columns label", {"gmvae-run-vae.csv": "Predicted_Label"}),
    ("classify", "into", "--into sorted", {"command.made": ["gmvae-run-vae.csv", "sorted"]}),
    ("interpolate", "output", "-o mine.svg", {"command.made": ["mine.svg"]}),
    ("interpolate", "steps", "--steps 3", {"interpolation.n": 3}),
    ("encode", "output", "-o mine.npy", {"command.made": ["mine.npy"]}),
    ("train", "resize", "data.npz --resize 9", {"load.resize": 9}),
    ("train", "grey", "data.npz --grey", {"load.grey": True}),
    ("train", "labels_from", "data.npz --labels-from labels.csv", {"command.first": FROM_TABLE}),
    ("select", "resize", "data.npz --resize 9", {"load.resize": 9}),
    ("select", "grey", "data.npz --grey", {"load.grey": True}),
    *(
        (command, "strict", "data.npz --strict", {"load.strict": True})
        for command in (
            "train",
            "select",
            "classify",
            "encode",
            "reconstruct",
            "evaluate",
            "explore",
            "posterior",
        )
    ),
    ("reconstruct", "output", "-o mine.npz", {"command.made": ["mine.npz"]}),
    ("explore", "output", "-o mine.html", {"command.made": ["mine.html"]}),
    ("explore", "serve", "--serve", {"server.title": "Latent space of data.npz"}),
    ("evaluate", "samples", "--samples 3", {"evaluate.n_samples": 3, "log_prob.n_samples": 3}),
    ("evaluate", "json", "--json", {"command.first": "{"}),
    (
        "evaluate",
        "output",
        "--output mine.json",
        {"command.made": ["gmvae-run-report.html", "mine.json"]},
    ),
    ("evaluate", "report", "--report mine.html", {"command.made": ["mine.html"]}),
    ("evaluate", "diagnosis", "--diagnosis made", {"read.folder": Path("made")}),
    ("export", "model", "--model other-run", {"load_run.folder": Path("other-run")}),
    ("export", "onnx", "--onnx", {"export_onnx.part.name": "decoder"}),
    ("export", "output", "-o mine", {"command.made": ["mine"]}),
    ("compare", "output", "-o mine.html", {"command.made": ["mine.html"]}),
    ("compare", "json", "--json", {"command.first": "{"}),
    ("evaluate", "seed", "--seed 12", {"evaluate.generator.initial_seed": 12}),
    ("diagnose", "draws", "--draws 30", {"diagnose.options.n_draws": 30}),
    (
        "diagnose",
        "predictive_images",
        "--predictive-images 3",
        {"diagnose.options.predictive_images": 3},
    ),
    (
        "diagnose",
        "nuts_images",
        "--nuts-images 9",
        {"diagnose.options.worst_images": 5, "diagnose.options.random_images": 4},
    ),
    (
        "diagnose",
        "simulated_images",
        "--simulated-images 21",
        {"diagnose.options.simulated_images": 21},
    ),
    ("diagnose", "mixture", "--mixture 5", {"diagnose.options.mixture_components": 5}),
    ("diagnose", "full", "--full", {"command.lines": 12}),
    ("diagnose", "json", "--json", {"command.first": "{"}),
    ("diagnose", "strict", "--strict", {"command.code": 3}),
    ("diagnose", "output", "--output mine", {"_write.output": Path("mine")}),
    ("diagnose", "seed", "--seed 12", {"diagnose.options.seed": 12}),
    ("posterior", "output", "-o mine.nc", {"command.made": ["mine.nc"]}),
    ("posterior", "draws", "--draws 30", {"posterior_blocks.n_draws": 30}),
    ("posterior", "starts", "--starts 2", {"posterior_blocks.effort.starts": 2}),
    ("posterior", "rounds", "--rounds 2", {"posterior_blocks.effort.rounds": 2}),
    ("posterior", "hmc_draws", "--hmc-draws 20", {"posterior_blocks.effort.hmc_draws": 20}),
    ("posterior", "weights", "--weights", {"posterior_blocks.weights": True}),
    ("posterior", "seed", "--seed 12", {"posterior_blocks.generator.initial_seed": 12}),
    ("sample", "number", "--number 7", {"sample.n": 7}),
    ("sample", "component", "--component 2", {"sample.component": 2}),
    *(
        (command, "json", f"{typed} --json".strip(), {"command.first": "{"})
        for command, typed in (
            ("train", "data.npz"),
            ("select", "data.npz"),
            ("classify", ""),
            ("encode", ""),
            ("reconstruct", ""),
            ("posterior", "other"),
            ("explore", ""),
            ("sample", ""),
            ("interpolate", "0 1"),
            ("name", "gmvae-run 0=cat"),
            ("export", "--pt2"),
        )
    ),
    ("sample", "output", "--output mine.npz", {"command.made": ["mine.npz"]}),
    ("sample", "seed", "--seed 12", {"sample.generator.initial_seed": 12}),
    ("info", "model", "--model other-run", {"load_run.folder": Path("other-run")}),
    ("info", "json", "--json", {"command.first": "{"}),
]
# Each command alone: as little as it takes to run it.
ALONE = {
    "compare": "gmvae-run other-run",
    "export": "--pt2",
    "train": "data.npz",
    "select": "data.npz",
    "interpolate": "0 1",
    "name": "gmvae-run 0=cat",
}
# Tested elsewhere: `--force` by `test_force_overwrites`, which takes all commands that can;
# `--resume`, which needs what was stopped, in `test_cli_unfinished.py` and `test_cli_scoring.py`;
# `--copy` and the arguments of `name` and `interpolate` in `test_cli_answers.py`, those of
# `compare` in its own file; `--pt2`, without which `export` does nothing here, in
# `test_portable.py`.
ELSEWHERE = ("pt2", "force", "resume", "copy", "run", "runs", "names", "first", "last")


def parameters() -> set[tuple[str, str]]:
    """Every option and argument of every command."""
    commands = typer.main.get_command(app.app).commands
    return {(name, p.name) for name, command in commands.items() for p in command.params}


def words(row: Row) -> list[str]:
    command, _, typed, _ = row
    bare = typed.startswith("-") and command in ALONE
    return [command, *(ALONE[command].split() if bare else []), *typed.split()]


def test_no_option_is_without_a_row() -> None:
    rows = {(command, name) for command, name, *_ in ROWS}
    assert rows == {(command, name) for command, name in parameters() if name not in ELSEWHERE}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_an_option_reaches_the_library(row: Row, spies: Spies) -> None:
    command, _, _, expected = row
    Path("run.toml").write_text("lr = 0.25\n")
    Path("labels.csv").write_text("0,1\n1,4\n")
    make_room(command)
    alone = [command, *ALONE.get(command, "").split()]
    assert spies.run(alone).at("command.code") == 0
    without = {path: at(spies, path) for path in expected}
    for path in spies.at("command.made"):
        remove(Path(path))
    spies.run(words(row))
    assert {path: at(spies, path) for path in expected} == expected
    # The row can fail: what it expects is not so without the option.
    assert not [path for path in expected if without[path] == expected[path]]


def at(spies: Spies, path: str) -> Any:
    """What became of a run: an argument of a call, or the first line of a file."""
    if Path(path).suffix == ".csv":
        return Path(path).read_text().splitlines()[0]
    try:
        return spies.at(path)
    except (AttributeError, KeyError):  # without it there is no such argument, or no call
        return None


def make_room(command: str) -> None:
    """The folder that the other commands read is the one that ``train`` writes."""
    if command == "train":
        shutil.rmtree("gmvae-run")


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


@pytest.mark.parametrize("command", sorted(name for name, p in parameters() if p == "force"))
def test_force_overwrites(command: str, spies: Spies) -> None:
    alone = [command, *ALONE.get(command, "").split()]
    alone += ["--output", "figures.json"] if command == "evaluate" else []
    make_room(command)
    assert spies.run(alone).at("command.code") == 0
    assert spies.run(alone).at("command.code") == 2
    assert "--force" in spies.at("command.err")
    assert "fit_restarts" not in spies.calls
    assert spies.run([*alone, "--force"]).at("command.code") == 0


def test_what_train_hands_over_by_default(spies: Spies) -> None:
    make_room("train")
    spies.run(["train", "data.npz"])
    assert spies.at("fit_restarts.settings.n_components") == len(CLASSES)
    assert spies.at("fit_restarts.observed") is None
    assert spies.at("fit_restarts.held_out") is None
    assert spies.at("fit_restarts.device") == "cpu"
