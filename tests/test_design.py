"""The page on the house: every path and every name on it is there, and its example runs."""

import re

import pytest
from pages import TOP, Page, check_name, check_path

PAGE = Page("docs/design.md")
# Classes of the page that are no public names of the package, and where they are.
HOMES = {
    "Experiment": "gmvae_cli.experiment",
    "Loop": "gmvae.training.loop",
    "MutualInformation": "gmvae.training.regularisers",
    "State": "gmvae.training.state",
    "recipe": "gmvae.training.recipe",
}
# Arguments and sites, which the page explains itself, the command and a file.
EXPLAINED = {"x", "y", "z", "components", "gmvae_cli", "report.html"}


@pytest.mark.parametrize("path", PAGE.paths)
def test_every_path_is_there(path):
    check_path(path)


def test_every_entry_has_its_row():
    entries = {p.name for p in (TOP / "gmvae").iterdir() if not p.name.startswith(("_", "py"))}
    rows = re.findall(r"^\| \d+ \| `(\w+)(?:/|\.py)` \|", PAGE.text, flags=re.MULTILINE)
    assert sorted(rows) == sorted(entry.removesuffix(".py") for entry in entries)


@pytest.mark.parametrize("name", [name for name in PAGE.names if name not in EXPLAINED])
def test_every_name_is_there(name):
    check_name(name, HOMES)


def test_the_example_runs(capsys):
    (code,) = PAGE.code
    space = {}
    exec(code, space)
    told = capsys.readouterr().out
    assert told.startswith("clusters of [")
    fitted = space["fit"]
    phases = list(dict.fromkeys(row["phase"] for row in fitted.history))
    assert phases == ["warm-up", "start", "trial", "assignment", "placing", "joint"]
    assert [step.gap for step in space["steps"] if step.name == "placing"] == [8.0]
