"""The rule of floors: a module imports only from floors below its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gmvae

PACKAGE = Path(gmvae.__file__).parent
FLOORS = {
    "errors": -2,
    "files": -2,
    "checks": -1,
    "arviz_bridge": 0,
    "contrast": 1,
    "networks": 0,
    "data": 0,
    "metrics": 0,
    "views": 0,
    "start": 0,
    "prior": 1,
    "likelihood": 1,
    "model": 2,
    "config": 3,
    "guide": 3,
    "objectives": 3,
    "evidence": 4,
    "dry_run": 4,
    "bayesian": 4,
    "regularisers": 4,
    "settings": 4,
    "gmvae": 5,
    "training": 5,
    "evaluation": 6,
    "plots": 6,
    "held_out": 6,
    "diagnostics": 7,
    "recipe": 8,
    "jobs": 9,
    "restarts": 10,
    "selection": 11,
}
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py")
FOREIGN = {"typer", "rich", "gmvae_cli", "cli"}


def name_of(path):
    """The row of the table that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path):
    """Dotted names that a file imports anywhere, inside functions and type checks too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import, which this test cannot place"
            if node.module == "gmvae":
                yield from (f"gmvae.{alias.name}" for alias in node.names)
            else:
                yield node.module


def test_every_module_has_a_floor():
    assert {name_of(path) for path in MODULES} == set(FLOORS)


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_come_from_floors_below(path):
    own = name_of(path)
    for imported in imports(path):
        parts = imported.split(".")
        if parts[0] != "gmvae":
            continue
        assert len(parts) > 1, f"{own} imports the whole package"
        other = parts[1]
        inside_a_folder = other == own and path.parent != PACKAGE
        assert inside_a_folder or FLOORS[other] < FLOORS[own], f"{own} imports {imported}"


def test_the_loop_knows_no_mixture():
    words = ("mixture", "prior", "component", "categorical")
    source = ast.parse((PACKAGE / "training.py").read_text(encoding="utf-8"))
    names = {n.id for n in ast.walk(source) if isinstance(n, ast.Name)}
    names |= {n.attr for n in ast.walk(source) if isinstance(n, ast.Attribute)}
    assert not [name for name in names if any(word in name.lower() for word in words)]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: p.stem)
def test_the_library_knows_no_command_line(path):
    assert not {name.split(".")[0] for name in imports(path)} & FOREIGN


def test_importing_gmvae_is_light_and_silent():
    heavy = "{'torch', 'pyro', 'numpy', 'sklearn', 'scipy', 'matplotlib'}"
    code = f"import sys, gmvae; sys.exit(bool({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_importing_all_of_it_changes_nothing_global():
    code = """
import pyro, torch
before = (pyro.settings.get(), torch.get_default_dtype(), torch.initial_seed(),
          torch.random.get_rng_state().sum())
import gmvae
for name in gmvae.__all__:
    getattr(gmvae, name)
import gmvae.evaluation, gmvae.plots
assert before == (pyro.settings.get(), torch.get_default_dtype(), torch.initial_seed(),
                  torch.random.get_rng_state().sum())
assert len(pyro.get_param_store()) == 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr.decode()


def test_public_names_exist():
    assert dir(gmvae) == sorted(gmvae.__all__)
    for name in gmvae.__all__:
        assert getattr(gmvae, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'vae'"):
        gmvae.vae  # noqa: B018


def test_modules_that_the_readme_and_messages_name_are_there():
    code = (
        "import gmvae\n"
        "for name in ('data', 'diagnostics', 'errors', 'likelihood', 'plots', 'restarts',\n"
        "             'selection'):\n"
        "    assert getattr(gmvae, name).__name__ == f'gmvae.{name}'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
