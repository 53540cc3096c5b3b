"""A setting is declared once: one field more is a check, an option, a key, a row, more."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
import typer
from cli_spies import spies
from gmvae_cli import app, config_file, errors, info, options, select, train

import gmvae
from gmvae.settings import Settings, markdown, settings_or_defaults
from gmvae.support.declarations import declarations, setting
from gmvae.support.errors import ArgumentError

__all__ = ["spies"]
DOCS = Path(__file__).parents[1] / "docs" / "settings.md"


@dataclasses.dataclass(frozen=True)
class More(Settings):
    """The settings, and one of each kind more."""

    sharpness: float = setting(1.5, "How sharp it is.", group="weights", least=0, below=3)
    blocks: int | None = setting(None, "Number of blocks; left out, none.", group="model", least=2)
    mood: Literal["calm", "wild"] = setting("calm", "How it feels.", group="data")


MORE = ("sharpness", "blocks", "mood")


def command_of(function):
    """The command line of one command, its settings those of ``More``."""
    changed = {"n_components": train.A_COMPONENT_A_CLASS} if function is train.train else {}
    made = options.with_settings(More, changed=changed)(function.__wrapped__)
    cli = typer.Typer()
    cli.command(cls=options.PanelCommand)(made)
    return typer.main.get_command(cli)


@pytest.mark.parametrize("function", [train.train, select.select])
def test_a_field_more_is_an_option_more(function, capsys):
    command = command_of(function)
    texts = {p.name: p.get_help_record(typer.Context(command)) for p in command.params}
    assert texts["sharpness"][0].startswith("--sharpness")
    assert texts["sharpness"][1].startswith("How sharp it is.  [default: 1.5; x>=0")
    assert texts["blocks"][1] == "Number of blocks; left out, none.  [x>=2]"
    assert "calm|wild" in texts["mood"][0]
    names = {p.name: p.rich_help_panel for p in command.params if p.name in MORE}
    assert names == {"sharpness": "Weights", "blocks": "Model", "mood": "Data"}


def test_a_field_more_is_a_key_of_the_configuration():
    assert set(MORE) <= set(config_file._parameters(typer.Context(command_of(train.train))))


def test_a_field_more_reaches_the_library(spies, monkeypatch):
    import shutil

    shutil.rmtree("gmvae-run")
    monkeypatch.setattr(gmvae, "Settings", More)
    command = command_of(train.train)
    Path("run.toml").write_text('mood = "wild"')
    typed = ["data.npz", "--sharpness", "2.5", "--config", "run.toml"]
    command.main(typed, standalone_mode=False)
    settings = spies.at("fit_restarts.settings")
    assert (settings.sharpness, settings.blocks, settings.mood) == (2.5, None, "wild")


def test_a_field_more_is_checked():
    for value, words in (
        ({"sharpness": 3}, "`sharpness` expected 0 to below 3; got 3"),
        ({"sharpness": None}, "`sharpness` expected 0 to below 3; got None"),
        ({"blocks": 1}, "`blocks` expected at least 2; got 1"),
        ({"mood": "sad"}, "`mood` expected one of calm, wild; got 'sad'"),
        ({"latent_dim": 0}, "`latent_dim` expected 1 to 10000; got 0"),
    ):
        with pytest.raises(ArgumentError) as error:
            More(**value)
        assert str(error.value).startswith(words)
    assert More(blocks=None, sharpness=0).blocks is None


def test_a_field_more_is_a_row_of_info_and_of_the_page():
    rows = list(info.settings_rows({"blocks": 3, "sharpness": 2.5}, More))
    assert rows == [
        ("data", ""),
        ("model", ""),
        ("   --blocks", "3"),
        ("training", ""),
        ("weights", ""),
        ("   --sharpness", "2.5"),
    ]
    page = markdown(More).splitlines()
    assert "| `sharpness` | 0 to below 3 | `1.5` | How sharp it is. |" in page
    assert "| `blocks` | at least 2 | left out | Number of blocks; left out, none. |" in page
    assert "| `mood` | calm, wild | `calm` | How it feels. |" in page


def test_the_page_is_made_from_the_declarations():
    assert DOCS.read_text(encoding="utf-8") == markdown()


def test_the_page_says_how_it_is_made():
    code = 'from gmvae.settings import markdown; print(markdown(), end="")'
    assert f"python -c '{code}' > docs/settings.md" in markdown()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout.decode() == markdown()


def test_the_page_names_the_option_that_is_called_otherwise():
    renamed = {
        setting.name: options.option_name(setting.name)
        for setting in declarations(Settings)
        if options.option_name(setting.name) != "--" + setting.name.replace("_", "-")
    }
    assert renamed == {"n_components": "--components"}
    assert "only `n_components` is `--components`" in markdown()


def test_errors_name_the_option_of_every_setting():
    command = typer.main.get_command(app.app).commands["train"]
    opts = {p.name: p.opts[0] for p in command.params}
    for field in dataclasses.fields(Settings):
        assert errors.TYPED[field.name] == opts[field.name]


def test_the_declarations_of_the_settings():
    kinds = {d.name: (d.kind, d.default, d.values, d.optional) for d in declarations(Settings)}
    assert [field.name for field in dataclasses.fields(Settings)] == list(kinds)
    assert kinds["latent_dim"] == (int, 2, "1 to 10000", False)
    assert kinds["epochs"] == (int, None, "at least 1", True)
    assert kinds["lr"] == (float, 2e-3, "above 0, and finite", False)
    assert kinds["held_out"] == (float, 0.05, "0 to below 1", False)
    assert kinds["information_weight"] == (float, 20.0, "at least 0, and finite", False)
    assert kinds["seed"] == (int, 0, f"0 to {2**63 - 1}", False)
    assert kinds["effort"][1:] == ("standard", "quick, standard, thorough", False)


def test_every_setting_is_told_in_the_docstring():
    for d in declarations(Settings):
        assert f"{d.name}: {d.help[:20]}" in Settings.__doc__


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"latent_dim": 0}, "`latent_dim` expected 1 to 10000; got 0. Choose a number in this"),
        ({"latent_dim": 10_001}, "`latent_dim` expected 1 to 10000; got 10001"),
        ({"n_components": 0}, "`n_components` expected at least 1; got 0"),
        ({"batch_size": 0}, "`batch_size` expected at least 1; got 0"),
        ({"patience": 0}, "`patience` expected at least 1; got 0"),
        ({"epochs": 0}, "`epochs` expected at least 1; got 0"),
        ({"warmup_epochs": 0}, "`warmup_epochs` expected at least 1; got 0"),
        ({"rounds": 0}, "`rounds` expected at least 1; got 0"),
        ({"rounds": 1.0}, "`rounds` expected a whole number; got 1.0"),
        ({"seed": -1}, "`seed` expected 0 to 9223372036854775807; got -1"),
        ({"seed": 2**63}, "`seed` expected 0 to 9223372036854775807; got 9223372036854775808"),
        ({"lr": 0.0}, "`lr` expected above 0, and finite; got 0.0. Choose such a number."),
        ({"lr": float("inf")}, "`lr` expected above 0, and finite; got inf"),
        ({"lr": True}, "`lr` expected above 0, and finite; got True"),
        ({"held_out": 1.0}, "`held_out` expected 0 to below 1; got 1.0"),
        ({"held_out": -0.1}, "`held_out` expected 0 to below 1; got -0.1"),
        ({"held_out": float("nan")}, "`held_out` expected 0 to below 1; got nan"),
        ({"information_weight": -1}, "`information_weight` expected at least 0, and finite; got"),
        ({"classification_weight": -1}, "`classification_weight` expected at least 0, and fin"),
        ({"agreement_weight": float("inf")}, "`agreement_weight` expected at least 0, and fini"),
        ({"augment": "cut"}, "`augment` expected one of affine, photo, none; got 'cut'. C"),
        ({"effort": "lazy"}, "`effort` expected one of quick, standard, thorough; got 'lazy'"),
        ({"network": "rnn"}, "`network` expected one of mlp, conv; got 'rnn'"),
        ({"likelihood": None}, "`likelihood` expected one of bernoulli, continuous-bernoulli, ga"),
        ({"assignment": "hard"}, "`assignment` expected one of amortised, exact; got 'hard'"),
    ],
)
def test_what_a_setting_may_not_be(values, message):
    with pytest.raises(ArgumentError) as error:
        Settings(**values)
    assert str(error.value).startswith(message)


def test_what_a_setting_may_be():
    edges = {"latent_dim": 10_000, "seed": 2**63 - 1, "held_out": 0, "information_weight": 0}
    assert dataclasses.asdict(Settings(**edges, rounds=None)) == {
        **dataclasses.asdict(Settings()),
        **edges,
    }


def test_settings_or_the_defaults():
    assert settings_or_defaults(None) == Settings()
    settings = Settings(lr=0.5)
    assert settings_or_defaults(settings) is settings
    with pytest.raises(ArgumentError, match=r"^`settings` expected gmvae.Settings; got dict. Of a"):
        settings_or_defaults({})
