"""The examples in docstrings say what they say."""

import doctest
from importlib import import_module

import pytest
from pages import TOP

from gmvae.training.recipe import EFFORTS

MODULES = [
    ".".join(path.relative_to(TOP).with_suffix("").parts)
    for path in sorted((TOP / "gmvae").rglob("*.py"))
    if ">>>" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_are_true(name, monkeypatch):
    monkeypatch.setitem(EFFORTS, "quick", 0.01)
    done = doctest.testmod(import_module(name))
    assert done.attempted > 0
    assert done.failed == 0
