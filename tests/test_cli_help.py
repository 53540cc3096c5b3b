"""``gmvae --help`` and its like."""

import csv
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from cli_toys import COMMANDS
from gmvae_cli import app

from gmvae.settings import Settings
from gmvae.support.declarations import declarations

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_help_waits_for_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "pyro", "matplotlib", "sklearn", "rich", "importlib.metadata"}
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


@pytest.mark.parametrize("command", ["train", "select"])
def test_choices_and_defaults_are_those_of_the_library(command: str) -> None:
    """But for the latent dimensions of ``select``."""
    called = typer.main.get_command(app.app).commands[command]
    options = {parameter.name: parameter for parameter in called.params}
    context = typer.Context(called)
    defaults = dataclasses.asdict(Settings()) | ({"latent_dim": 10} if command == "select" else {})
    del defaults["n_components"]
    for name, default in defaults.items():
        assert options[name].default == default, name
        _, text = options[name].get_help_record(context)
        assert (f"[default: {default}" in text) == (default is not None), name
    for setting in declarations(Settings):
        if setting.choices and setting.name in options:
            choices = "|".join(setting.choices)
            assert choices in options[setting.name].get_help_record(context)[0]


def test_the_options_of_train_stand_in_panels(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["train", "--help"]) == 0
    panels: dict[str, list[str]] = {}
    for line in capsys.readouterr().out.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            panels[line[:-1]] = []
        elif line.startswith("  -"):
            panels[next(reversed(panels))] += re.findall(r"^  (?:-., )?(--[\w-]+)", line)
    del panels["Arguments"]
    assert {title: set(options) for title, options in panels.items()} == {
        "Data": {
            "--val",
            "--classes",
            "--labels",
            "--labels-from",
            "--resize",
            "--grey",
            "--strict",
            "--augment",
            "--held-out",
            "--data-root",
        },
        "Model": {
            "--latent-dim",
            "--components",
            "--covariance",
            "--network",
            "--likelihood",
            "--guide",
            "--assignment",
        },
        "Training": {
            "--effort",
            "--epochs",
            "--warmup-epochs",
            "--rounds",
            "--batch-size",
            "--lr",
            "--patience",
            "--seed",
            "--restarts",
            "--from",
            "--jobs",
            "--device",
        },
        "Weights": {"--information-weight", "--classification-weight", "--agreement-weight"},
        "Output": {"--output", "--force", "--checkpoint", "--log", "--report-every"},
        "Options": {"--json", "--config", "--resume", "--help"},
    }
    assert list(panels) == ["Data", "Model", "Training", "Weights", "Output", "Options"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_is_a_whole_sentence(command: str) -> None:
    called = typer.main.get_command(app.app).commands[command]
    for parameter in called.params:
        text = parameter.help.partition(" [default")[0]
        assert re.fullmatch(r"[\w.\-].*[.0-9]", text, re.S), parameter.name
        assert not text.startswith(("Of ", "of ")), parameter.name


def test_the_help_explains_every_phase(
    trained_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["train", "--help"]) == 0
    explained = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}
    with (trained_run / "history.csv").open(newline="") as file:
        assert {row["phase"] for row in csv.DictReader(file)} <= explained
