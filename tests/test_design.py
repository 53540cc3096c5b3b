"""The page on the house: every path and every name on it is there, and its example runs."""

import re
from importlib import import_module
from pathlib import Path

import pytest

import gmvae

TOP = Path(__file__).parent.parent
PAGE = (TOP / "docs" / "design.md").read_text(encoding="utf-8")
PROSE, CODE = (
    re.sub(r"```python\n.*?```", "", PAGE, flags=re.DOTALL),
    re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL),
)
WORDS = sorted(set(re.findall(r"`([^`\n]+)`", PROSE)))
PATHS = [word for word in WORDS if "/" in word or word.endswith(".py")]
# Classes of the page that are no public names of the package, and where they are.
HOMES = {
    "Experiment": "gmvae_cli.experiment",
    "Loop": "gmvae.training.loop",
    "MutualInformation": "gmvae.training.regularisers",
    "State": "gmvae.training.state",
    "recipe": "gmvae.training.recipe",
}
NAMES = [
    word
    for word in WORDS
    if re.fullmatch(r"[A-Za-z_]+(\.[a-z_]+)?", word) and not word.endswith(".py")
]
# Arguments and sites, which the page explains itself, and the command.
EXPLAINED = {"x", "y", "z", "components", "gmvae_cli"}


@pytest.mark.parametrize("path", PATHS)
def test_every_path_is_there(path):
    assert (TOP / path).exists() or (TOP / "gmvae" / path).exists()


def test_every_entry_has_its_row():
    entries = {p.name for p in (TOP / "gmvae").iterdir() if not p.name.startswith(("_", "py"))}
    rows = re.findall(r"^\| \d \| `(\w+)(?:/|\.py)` \|", PAGE, flags=re.MULTILINE)
    assert sorted(rows) == sorted(entry.removesuffix(".py") for entry in entries)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in EXPLAINED])
def test_every_name_is_there(name):
    first, _, attribute = name.partition(".")
    home = import_module(HOMES[first]) if first in HOMES else gmvae
    found = getattr(home, first)
    if attribute:
        set_at_birth = found.__init__.__code__.co_names
        assert hasattr(found, attribute) or attribute in {*found.__annotations__, *set_at_birth}


def test_the_example_runs(capsys):
    (code,) = CODE
    space = {}
    exec(code, space)
    told = capsys.readouterr().out
    assert told.startswith("clusters of [")
    fitted = space["fit"]
    phases = list(dict.fromkeys(row["phase"] for row in fitted.history))
    assert phases == ["warm-up", "start", "assignment", "placing", "joint"]
    assert [step.gap for step in space["steps"] if step.name == "placing"] == [8.0]
