"""What options are where they are left out, and where their range ends."""

from pathlib import Path
from typing import Any

import pytest
import typer
from cli_spies import Spies, spies
from gmvae_cli import app

from gmvae.settings import Settings
from gmvae.support.declarations import declarations

__all__ = ["spies"]

SETTINGS = {declaration.name for declaration in declarations(Settings)}
# Of all commands but for the settings, which `test_cli_help.py` holds to their declarations.
DEFAULTS: dict[str, dict[str, Any]] = {
    "train": {
        "data": None,
        "val": None,
        "classes": None,
        "n_components": None,
        "labels": None,
        "labels_from": None,
        "resize": None,
        "grey": False,
        "strict": False,
        "restarts": 1,
        "start": None,
        "jobs": None,
        "device": "auto",
        "data_root": None,
        "output": Path("gmvae-run"),
        "force": False,
        "checkpoint": True,
        "log": None,
        "report_every": None,
        "json": False,
        "resume": None,
        "config": None,
    },
    "select": {
        "data": None,
        "components": "2-12",
        "restarts": 2,
        "classes": None,
        "resize": None,
        "grey": False,
        "strict": False,
        "jobs": None,
        "device": "auto",
        "data_root": None,
        "output": Path("gmvae-select"),
        "force": False,
        "json": False,
        "resume": None,
    },
    "classify": {
        "data": None,
        "model": Path("gmvae-run"),
        "output": None,
        "columns": "",
        "into": None,
        "copy": False,
        "device": "auto",
        "data_root": None,
        "strict": False,
        "resume": False,
        "force": False,
        "json": False,
    },
    "encode": {
        "data": None,
        "model": Path("gmvae-run"),
        "output": None,
        "device": "auto",
        "data_root": None,
        "strict": False,
        "resume": False,
        "force": False,
        "json": False,
    },
    "name": {"run": None, "names": None, "json": False},
    "interpolate": {
        "first": None,
        "last": None,
        "steps": 12,
        "model": Path("gmvae-run"),
        "output": None,
        "device": "auto",
        "force": False,
        "json": False,
    },
    "reconstruct": {
        "data": None,
        "model": Path("gmvae-run"),
        "output": None,
        "device": "auto",
        "data_root": None,
        "strict": False,
        "resume": False,
        "force": False,
        "json": False,
    },
    "evaluate": {
        "data": None,
        "model": Path("gmvae-run"),
        "samples": 50,
        "json": False,
        "output": None,
        "report": None,
        "diagnosis": None,
        "seed": 0,
        "device": "auto",
        "data_root": None,
        "strict": False,
        "force": False,
    },
    "explore": {
        "data": None,
        "model": Path("gmvae-run"),
        "output": None,
        "serve": False,
        "device": "auto",
        "data_root": None,
        "strict": False,
        "force": False,
        "json": False,
    },
    "diagnose": {
        "data": None,
        "model": Path("gmvae-run"),
        "draws": 500,
        "predictive_images": 64,
        "nuts_images": 6,
        "simulated_images": 1_000,
        "mixture": 0,
        "full": False,
        "json": False,
        "strict": False,
        "output": Path("gmvae-diagnosis"),
        "seed": 0,
        "device": "auto",
        "data_root": None,
        "force": False,
    },
    "posterior": {
        "data": None,
        "model": Path("gmvae-run"),
        "output": None,
        "draws": 500,
        "starts": 6,
        "rounds": 10,
        "hmc_draws": 500,
        "weights": False,
        "seed": 0,
        "device": "auto",
        "data_root": None,
        "strict": False,
        "resume": False,
        "force": False,
        "json": False,
    },
    "sample": {
        "number": 60,
        "component": None,
        "model": Path("gmvae-run"),
        "output": None,
        "seed": 0,
        "device": "auto",
        "force": False,
        "json": False,
    },
    "info": {"model": Path("gmvae-run"), "json": False},
    "export": {
        "model": Path("gmvae-run"),
        "onnx": False,
        "pt2": False,
        "output": None,
        "force": False,
        "json": False,
    },
    "compare": {
        "runs": None,
        "output": Path("gmvae-compare.html"),
        "json": False,
        "force": False,
    },
}


@pytest.mark.parametrize("command", DEFAULTS)
def test_what_is_left_out(command: str) -> None:
    called = typer.main.get_command(app.app).commands[command]
    defaults = {p.name: p.default for p in called.params}
    if command in ("train", "select"):
        own = {name: defaults[name] for name in defaults if name not in SETTINGS}
        defaults = own | ({"n_components": defaults["n_components"]} if command == "train" else {})
    assert defaults == DEFAULTS[command]


def test_the_order_of_the_commands() -> None:
    assert list(typer.main.get_command(app.app).commands) == [
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
    ]


@pytest.mark.parametrize(
    ("command", "option", "least", "most"),
    [
        ("train data.npz -o new", "--labels", 0, None),
        ("train data.npz -o new", "--restarts", 1, None),
        ("train data.npz -o new", "--jobs", 1, None),
        ("train data.npz -o new", "--components", 1, None),
        ("train data.npz -o new", "--latent-dim", 1, 10_000),
        ("train data.npz -o new", "--epochs", 1, None),
        ("train data.npz -o new", "--warmup-epochs", 1, None),
        ("train data.npz -o new", "--rounds", 1, None),
        ("train data.npz -o new", "--batch-size", 1, None),
        ("train data.npz -o new", "--patience", 1, None),
        ("train data.npz -o new", "--information-weight", 0, None),
        ("train data.npz -o new", "--classification-weight", 0, None),
        ("train data.npz -o new", "--agreement-weight", 0, None),
        ("train data.npz -o new", "--held-out", 0, None),
        ("train data.npz -o new", "--seed", 0, 2**63 - 1),
        ("select data.npz", "--restarts", 2, None),
        ("evaluate", "--samples", 1, None),
        ("evaluate", "--seed", 0, 2**63 - 1),
        ("diagnose", "--draws", 25, None),
        ("diagnose", "--predictive-images", 1, None),
        ("diagnose", "--nuts-images", 0, None),
        ("diagnose", "--simulated-images", 20, None),
        ("diagnose", "--mixture", 0, None),
        ("posterior", "--draws", 25, None),
        ("posterior", "--starts", 0, None),
        ("posterior", "--rounds", 0, None),
        ("posterior", "--hmc-draws", 0, None),
        ("sample", "--number", 1, None),
    ],
)
def test_where_a_range_ends(
    command: str, option: str, least: int, most: int | None, spies: Spies
) -> None:
    def code(number: int) -> int:
        force = [] if command == "evaluate" else ["--force"]
        spies.run([*command.split(), *force, f"{option}={number}"])
        code: int = spies.at("command.code")
        return code

    assert (code(least), code(least - 1)) == (0, 2)
    assert option in spies.at("command.err")
    assert "--help`" in spies.at("command.err")  # before anything is loaded
    if most is not None:
        assert (code(most), code(most + 1)) == (0, 2)
        assert option in spies.at("command.err")
