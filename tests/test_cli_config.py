"""``--config FILE``."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from cli_toys import one_line
from gmvae_cli import app, config_file, experiment

from gmvae.support.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("elsewhere")


def parse(
    monkeypatch: pytest.MonkeyPatch, text: str, *arguments: str
) -> tuple[int, experiment.Request | None, dict[str, Any]]:
    """Run ``train`` with a configuration up to the point where it would load images."""
    seen: dict[str, Any] = {}

    def stop(request: experiment.Request) -> None:
        seen["request"] = request
        raise ArgumentError("enough")

    Path("run.toml").write_text(text)
    monkeypatch.setattr("gmvae_cli.training.prepare", stop)
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


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("latent_dim = 3", {"latent_dim": 3}),
        ("latent-dim = 3", {"latent_dim": 3}),
        ("components = 4\nlr = 0.5", {"n_components": 4, "lr": 0.5}),
        ('components = "auto"', {"n_components": "auto"}),
        ('network = "conv"\nepochs = 2', {"network": "conv", "epochs": 2}),
        ("force = true", {"force": True}),
        ("force = false", {"force": False}),
        ('output = "Mine"', {"output": Path("Mine")}),
        ("classes = [1, 4]", {"classes": "1,4"}),
        ('classes = "4"', {"classes": "4"}),
    ],
)
def test_the_values_of_a_configuration(
    text: str, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = typer.main.get_command(app.app).commands["train"]
    path = tmp_path / "run.toml"
    path.write_text(text)
    context = command.make_context("train", ["--config", str(path)])
    assert {name: context.params[name] for name in options} == options
    assert context.params["config"] == path


def test_every_option_of_train_may_stand_in_a_configuration() -> None:
    command = typer.main.get_command(app.app).commands["train"]
    names = config_file._parameters(typer.Context(command))
    assert set(names) == {parameter.opts[0].removeprefix("--") for parameter in command.params} - {
        "config"
    }
    assert names["components"].name == "n_components"
    assert names["data"].name == "data"
    assert names["output"].name == "output"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "xyz = 1",
            "`--config` expected keys named like the options; got 'xyz' in run.toml. Remove it.",
        ),
        (
            "lattent_dim = 1",
            "`--config` expected keys named like the options; got 'lattent_dim' in run.toml. Did "
            "you mean 'latent-dim'?",
        ),
        (
            "[train]",
            "`--config` expected plain keys; got the table [train] in run.toml. Write its keys "
            "above any table.",
        ),
        (
            "lr = inf",
            "`--config` expected a finite number for lr; got inf in run.toml. Change it.",
        ),
        (
            "force = 1",
            "`--config` expected true or false for force; got 1 in run.toml. Write one of the two.",
        ),
    ],
)
def test_what_is_wrong_with_a_configuration_in_full(
    text: str, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parse(monkeypatch, text)
    assert one_line(capsys) == f"Error: {line}"


def test_a_configuration_that_is_no_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run.toml").write_bytes(b"\xff\xfe")
    assert app.run(["train", "--config", "run.toml"]) == 1
    assert one_line(capsys) == (
        "Error: `--config` expected TOML; got run.toml, which is no text. Check the path."
    )


def test_a_value_of_the_command_line_is_not_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parse(monkeypatch, "epochs = 3", "--epochs", "0")
    assert "run.toml" not in one_line(capsys)


def test_a_number_out_of_range_names_its_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parse(monkeypatch, "epochs = 0")
    line = one_line(capsys)
    assert "--epochs" in line
    assert line.endswith(" in run.toml. See `gmvae train --help`.")


def test_a_configuration_is_read_before_other_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert app.run(["train", "--epochs", "0", "--config", "absent.toml"]) == 2
    assert one_line(capsys) == (
        "Error: `--config` expected a TOML file; got absent.toml, which does not exist. Check the "
        "path."
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 4_000, "expected TOML; got in run.toml: "),
        ("a = " + "9" * 4_990, "expected TOML; got in run.toml: Exceeds the limit"),
        ("a" + ".a" * 50_000 + " = 1", "at most 100,000 bytes, 5,000 a line; got more in run.toml"),
        ("# comment\n" * 20_000, "at most 100,000 bytes, 5,000 a line; got more in run.toml"),
        ("a" + ".a" * 2_400 + " = 1", "got the table [a] in run.toml"),
        ("a = 1\n" * 9_000, "expected TOML; got in run.toml: Cannot overwrite a value"),
        ("x" * 4_000 + " = 1", "xxx' in run.toml. Remove it."),
        ("epochs = '" + "x" * 4_000 + "'", "--epochs"),
        ("force = '" + "x" * 4_000 + "'", "true or false for force"),
        ("force = '\\x1b[2J'", "true or false for force"),
    ],
)
def test_a_configuration_made_to_hurt_is_refused_at_once_in_a_line(
    text: str, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    began = time.process_time()
    assert parse(monkeypatch, text)[0] in (1, 2)
    assert time.process_time() - began < 5
    line = one_line(capsys)
    assert words in line
    assert line.isprintable()
    assert len(line) < 10_100


def test_a_pipe_is_no_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo("run.toml")
    assert app.run(["train", "--config", "run.toml"]) == 2
    assert "got run.toml, which is no regular file. Check the path." in one_line(capsys)
