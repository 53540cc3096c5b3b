"""``gmvae --help`` and its like."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from cli_toys import COMMANDS
from gmvae_cli import app

pytestmark = pytest.mark.usefixtures("elsewhere")


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


def test_the_help_explains_every_phase(named_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["train", "--help"]) == 0
    explained = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}
    with (named_run / "history.csv").open(newline="") as file:
        assert {row["phase"] for row in csv.DictReader(file)} <= explained
