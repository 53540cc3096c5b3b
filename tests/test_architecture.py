"""The rule of floors: a module imports only from floors below its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import gmvae

PACKAGE = Path(gmvae.__file__).parent
# Each entry imports only from entries of a smaller number; within one, each file only from files
# of a smaller number.
FLOORS = {
    "support": 1,
    "networks": 2,
    "data": 2,
    "metrics": 2,
    "probability": 3,
    "settings": 2,
    "config": 3,
    "posterior": 4,
    "streaming": 4,
    "gmvae": 5,
    "outliers": 6,
    "answers": 7,
    "plots": 8,
    "training": 9,
    "diagnostics": 9,
    "portable": 8,
    "report": 10,
    "bars": 10,
    "rows": 10,
    "sklearn": 11,
    "explore": 11,
}
INSIDE = {
    "support": {
        "errors": 1,
        "files": 1,
        "locks": 1,
        "scratch": 2,
        "lazy": 1,
        "html": 1,
        "choices": 1,
        "names": 1,
        "version": 1,
        "hub": 2,
        "card": 2,
        "reading": 2,
        "checks": 2,
        "weights": 3,
        "declarations": 3,
    },
    "networks": {"modes": 1, "features": 1, "encoders": 2, "decoders": 2},
    "data": {
        "views": 1,
        "selection": 1,
        "images": 2,
        "npy": 1,
        "classes": 1,
        "archives": 1,
        "arrays": 3,
        "pictures": 3,
        "shaping": 3,
        "tables": 3,
        "folders": 4,
        "readers": 5,
        "named": 6,
        "sources": 7,
    },
    "probability": {
        "categorical": 1,
        "gaussians": 1,
        "likelihood": 1,
        "prior": 2,
        "model": 3,
        "families": 2,
        "guide": 4,
        "objectives": 4,
        "evidence": 5,
        "bayesian": 5,
        "dry_run": 5,
    },
    "posterior": {
        "effort": 1,
        "pareto": 1,
        "chance": 1,
        "chains": 2,
        "resampling": 2,
        "target": 2,
        "student": 2,
        "modes": 3,
        "importance": 3,
        "hamiltonian": 3,
        "block": 3,
        "schema": 4,
        "routes": 4,
        "result": 5,
        "work": 6,
        "files": 6,
    },
    "plots": {
        "style": 1,
        "mosaic": 2,
        "groups": 2,
        "plane": 2,
        "selection": 2,
        "curves": 2,
        "tiles": 3,
        "latent": 3,
        "clusters": 3,
    },
    "portable": {"functions": 1, "programs": 2},
    "report": {
        "pictures": 1,
        "answer": 1,
        "cards": 2,
        "contents": 3,
        "page": 4,
    },
    "explore": {
        "numbers": 1,
        "decoder": 1,
        "sheets": 1,
        "points": 2,
        "document": 3,
        "serving": 4,
    },
    "training": {
        "arrays": 1,
        "arguments": 1,
        "contrast": 1,
        "regularisers": 1,
        "optimiser": 1,
        "processes": 1,
        "neighbours": 2,
        "places": 2,
        "representation": 2,
        "loop": 2,
        "state": 3,
        "saved": 4,
        "stopping": 3,
        "held_out": 3,
        "candidates": 1,
        "communities": 3,
        "density": 3,
        "judges": 4,
        "clustering": 5,
        "links": 3,
        "outcome": 4,
        "stability": 4,
        "cluster_warnings": 7,
        "checkpoint": 5,
        "ordering": 4,
        "phases": 6,
        "recipe": 7,
        "growing": 7,
        "continuing": 8,
        "running": 9,
        "fitting": 10,
        "jobs": 11,
        "restarts": 12,
        "selection": 13,
    },
    "training.phases": {
        "phase": 1,
        "pixel_axes": 2,
        "warm_up": 2,
        "finding": 2,
        "cells": 3,
        "assignment": 2,
        "sharpening": 2,
        "trial": 3,
        "placing": 3,
        "covering": 2,
        "joint": 2,
    },
    "diagnostics": {
        "arviz_line": 1,
        "hdf5": 1,
        "evaluation": 1,
        "verdict": 1,
        "arviz_plots": 2,
        "nuts_pictures": 2,
        "arviz_bridge": 3,
        "draws": 4,
        "nuts": 5,
        "mixture": 5,
        "simulation": 5,
        "model_checks": 5,
        "calibration": 6,
        "certified": 6,
        "marginal": 6,
        "tree": 6,
        "guide_rows": 7,
        "posterior_rows": 7,
        "model_rows": 7,
        "calibration_rows": 7,
        "report": 8,
        "sentences": 9,
        "pictures": 9,
    },
}
# `python -m gmvae` hands over to the command line.
DOOR = PACKAGE / "__main__.py"
MODULES = sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py" and p != DOOR)
FOREIGN = {"typer", "rich", "gmvae_cli", "cli"}


def parts_of(dotted):
    """The entry of the house that a dotted name belongs to, the file in it, and one in that."""
    _, entry, *rest = dotted.split(".")
    return entry, (rest[0] if rest else None), (rest[1] if rest[1:] else None)


def dotted(path):
    return ".".join(("gmvae", *path.relative_to(PACKAGE).with_suffix("").parts))


def imports(path):
    """Dotted names that a file imports anywhere, inside functions and type checks too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: relative import, which this test cannot place"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_module_has_a_floor():
    places = [parts_of(dotted(path)) for path in MODULES]
    assert {entry for entry, *_ in places} == set(FLOORS)
    files = {(entry, file) for entry, file, _ in places if file}
    files |= {(f"{entry}.{file}", inner) for entry, file, inner in places if inner}
    assert files == {(entry, file) for entry, files in INSIDE.items() for file in files}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_come_from_floors_below(path):
    own, own_file, own_inner = parts_of(dotted(path))
    for imported in imports(path):
        if imported.split(".")[0] != "gmvae":
            continue
        entry, file, inner = parts_of(imported)
        assert entry in FLOORS, f"{own} imports {imported}, a public name and no module"
        if entry != own:
            assert FLOORS[entry] < FLOORS[own], f"{own} imports {imported}"
        elif own_file != file:
            inside = INSIDE[own]
            assert inside[file] < inside[own_file], f"{path.name} imports {imported}"
        else:
            inside = INSIDE[f"{own}.{own_file}"]
            assert inside[inner] < inside[own_inner], f"{path.name} imports {imported}"


def test_the_loop_knows_no_mixture():
    words = ("mixture", "prior", "component", "categorical")
    source = ast.parse((PACKAGE / "training" / "loop.py").read_text(encoding="utf-8"))
    names = {n.id for n in ast.walk(source) if isinstance(n, ast.Name)}
    names |= {n.attr for n in ast.walk(source) if isinstance(n, ast.Attribute)}
    assert not [name for name in names if any(word in name.lower() for word in words)]


@pytest.mark.parametrize("path", sorted({*PACKAGE.rglob("*.py")} - {DOOR}), ids=lambda p: p.stem)
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
assert before == (pyro.settings.get(), torch.get_default_dtype(), torch.initial_seed(),
                  torch.random.get_rng_state().sum())
assert len(pyro.get_param_store()) == 0
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b""), done.stderr.decode()


def test_public_names_exist():
    assert dir(gmvae) == sorted(gmvae.__all__)
    for package in (gmvae, gmvae.posterior, gmvae.probability, gmvae.diagnostics):
        for name in package.__all__:
            value = getattr(package, name)
            # STOP is a value, and shows its name.
            assert getattr(value, "__name__", repr(value)).split(".")[-1] == name
    with pytest.raises(AttributeError, match="no attribute 'vae'"):
        gmvae.vae  # noqa: B018
