"""The site: its commands and Python work as typed, in order, and it is built without a warning."""

import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
import typer
from cli_toys import save, untrained_run
from gmvae_cli import app
from pages import TOP

import gmvae
from gmvae import load
from gmvae.outliers import QUANTILES
from gmvae.training.recipe import EFFORTS

DOCS = TOP / "docs"
# Settings and house have tests of their own; what is in `site` makes the pages.
PAGES = [
    path.relative_to(TOP).as_posix()
    for path in sorted(DOCS.rglob("*.md"))
    if path.name not in ("settings.md", "design.md")
]
FENCED = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Lines of a shell that are no commands of ours.
OTHERS = ("python3.11 -m venv ", "source ", "pip install ", ".venv/bin/", "export ")
# What makes a command quick; what it does is another test's.
QUICKER = {
    "diagnose": ["--simulated-images", "20", "--nuts-images", "0", "--draws", "25"],
    "evaluate": ["--samples", "2"],
    "posterior": ["--draws", "25", "--hmc-draws", "0"],
}
# Parsed alone: data that are not here, extras, processes of their own, what another page has typed.
NOT_RUN = re.compile(
    r"^train$|^select|^export|mnist|--(resume|config|mixture|diagnosis)|latent-dim 10|with-val"
)
# Each is typed on a page of its own.
NOT_IN_THE_TUTORIAL = (["posterior"], ["diagnose"])
BUILD = ["build", "--strict", "--quiet", "-f", "docs/site/mkdocs.yml"]


def blocks(page):
    """Language and text of the blocks of a page, in order."""
    return FENCED.findall((TOP / page).read_text(encoding="utf-8"))


def commands(text):
    """The arguments of the commands in a block of shell; fail at a line that is none."""
    for line in text.splitlines():
        words = shlex.split(line, comments=True)
        words = [w for w in words if not re.fullmatch(r"[A-Z_]+=\S*", w)]
        if not words or line.startswith(OTHERS):
            continue
        if words[0] == "torchrun":
            words = words[words.index("-m") + 1 :]
        assert words[0] == "gmvae", line
        yield words[1:]


def inline(page):
    """The commands named in sentences of a page."""
    prose = FENCED.sub("", (TOP / page).read_text(encoding="utf-8"))
    return [shlex.split(found)[1:] for found in re.findall(r"`(gmvae [^`\n]+)`", prose)]


def check_parsed(arguments):
    """Fail where a command has an argument or an option that is not there."""
    group = typer.main.get_command(app.app)
    context = group.make_context("gmvae", [], resilient_parsing=True)
    if "--config" in arguments:  # it would be read
        at = arguments.index("--config")
        arguments = arguments[:at] + arguments[at + 2 :]
    if arguments[0] in ("--help", "--version", "--install-completion"):
        return
    name, command, rest = group.resolve_command(context, arguments)
    with command.make_context(name, list(rest), parent=context):
        pass


@pytest.mark.parametrize("page", ["README.md", *PAGES])
def test_every_command_of_a_page_can_be_typed(page):
    for language, text in blocks(page):
        for arguments in commands(text) if language == "sh" else ():
            check_parsed(arguments)
    for arguments in inline(page):
        # Where a sentence is about a command it may leave out what the command needs.
        if arguments[1:] and "RUN" not in arguments:
            check_parsed(arguments)


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    """A run of 24 digits, its model not trained at all."""
    folder = tmp_path_factory.mktemp("small")
    images = gmvae.load("digits").only([1, 4, 8]).subset(slice(0, 24))
    record = {"data": save(folder / "digits.npz", images), "classes": None, "labels_observed": 15}
    record[QUANTILES] = np.linspace(-60.0, -20.0, 101).tolist()
    return untrained_run(folder, (1, 4, 8), record)


@pytest.fixture
def desk(tmp_path, monkeypatch, small_run):
    """A folder with the files that the pages speak of, where runs are short and data few."""
    for effort in EFFORTS:
        monkeypatch.setitem(EFFORTS, effort, 0.01)
    monkeypatch.chdir(tmp_path)
    # All of the test part, half of the train part.
    monkeypatch.setattr(gmvae, "load", lambda *a, **k: load(*a, **k).subset(slice(0, 600)))
    digits = gmvae.load("digits").only([1, 4, 8])
    names = ("train_data", "validate_data", "test_data", "rest", "more")
    for i, name in enumerate(names):
        save(tmp_path / f"{name}.npz", digits.subset(slice(20 * i, 20 * i + 40)))
    for name in ("gmvae-run", "three"):
        shutil.copytree(small_run, name)
    yield
    plt.close("all")


TYPED = [page for page in PAGES if {"sh", "python"} & {language for language, _ in blocks(page)}]


@pytest.mark.parametrize("page", TYPED)
def test_a_page_works_as_typed_in_order(page, desk, capsys):
    space = {}
    for language, text in blocks(page):
        if language == "python":
            exec(compile(text, page, "exec"), space)
        for arguments in commands(text) if language == "sh" else ():
            if NOT_RUN.search(" ".join(arguments)):
                continue
            if page == "docs/tutorial.md" and arguments in NOT_IN_THE_TUTORIAL:
                continue
            more = QUICKER.get(arguments[0], [])
            # The pages that train a run of this name are for those who have none.
            more = ["--force"] if arguments[0] == "train" and "-o" not in arguments else more
            assert app.run([*arguments, *more]) == 0, capsys.readouterr().err


def hook(name):
    """A module of docs/site, which is no package."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "site" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_command_and_option_is_on_the_page_of_commands():
    page = hook("commands").on_page_markdown((DOCS / "commands.md").read_text(encoding="utf-8"))
    group = typer.main.get_command(app.app)
    sections = dict(re.findall(r"^## (gmvae.*?)\n(.*?)(?=^## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert set(sections) == {"gmvae", *(f"gmvae {name}" for name in group.commands)}
    for name, command in group.commands.items():
        for parameter in command.params:
            for option in (*parameter.opts, *parameter.secondary_opts):
                if option.startswith("-"):
                    assert option in sections[f"gmvae {name}"], (name, option)
    assert hook("commands").on_page_markdown("text") == "text"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    for package in ("mkdocs", "material", "mkdocstrings", "latex2mathml"):
        pytest.importorskip(package, reason="pip install '.[docs]' to build the site")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", *BUILD, "-d", str(folder)],
        cwd=TOP,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def test_the_site_loads_nothing_from_elsewhere(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        tags = re.findall(r"<(?:script|link|img|iframe)\b[^>]*>", page.read_text(encoding="utf-8"))
        assert not [tag for tag in tags if re.search(r"(?:src|href)=[\"']?(?:https?:)?//", tag)]
    for style in site.rglob("*.css"):
        assert "@import" not in style.read_text(encoding="utf-8")


def test_the_library_is_there_with_formulas_and_links(site):
    page = (site / "library.html").read_text(encoding="utf-8")
    missing = [
        name
        for name in gmvae.__all__
        if f'id="gmvae.{name}"' not in page and not hasattr(getattr(gmvae, name), "__path__")
    ]
    assert missing == ["metrics"]  # a module, on the next page
    assert "<math" in page
    assert re.search(r'<a class="autorefs[^>]*href="#gmvae\.Guide"', page)
    parts = (site / "parts.html").read_text(encoding="utf-8")
    assert '<span class="gp">&gt;&gt;&gt; </span>' in parts
    # What of Sphinx, of formulas and of examples was not made HTML.
    left = re.compile(r":(?:class|func|meth|mod|math):|\.\. math|arithmatex|\$\$|&gt;&gt;&gt;")
    for path in site.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert not left.search(re.sub(r"<math.*?</math>|<pre.*?</pre>", "", text, flags=re.DOTALL))


def test_the_search_knows_every_page(site):
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {p.removeprefix("docs/").replace(".md", ".html") for p in PAGES} <= found
    assert any("k-hat" in entry["text"] for entry in index["docs"])
