"""The guides for contributors and on security: every path and every name in them is there."""

import pytest
from pages import Page, check_name, check_path

GUIDES = {path: Page(path) for path in ("CONTRIBUTING.md", "SECURITY.md")}
PATHS = [(guide, path) for guide, page in GUIDES.items() for path in page.paths]
# No public names of the package, and where they are.
HOMES = {
    "Check": "gmvae.diagnostics",
    "Length": "gmvae.training.phases",
    "LikelihoodName": "gmvae.support.choices",
    "Phase": "gmvae.training.phases",
    "State": "gmvae.training.state",
    "Threshold": "gmvae.diagnostics",
    "diagnose": "gmvae.diagnostics",
    "independent_pixels": "gmvae.training.outcome",
    "named_likelihood": "gmvae.probability.likelihood",
    "recipe": "gmvae.training.recipe",
    "train_phase": "gmvae.training.phases.phase",
}
# An attribute of a likelihood, variables of the shell, a package, the command and a file.
EXPLAINED = {
    "normalised",
    "GMVAE_DATA_ROOT",
    "GMVAE_AXE",
    "chromium",
    "gmvae",
    "config.json",
}
NAMES = {name for page in GUIDES.values() for name in page.names} - EXPLAINED


@pytest.mark.parametrize(("guide", "path"), PATHS)
def test_every_path_is_there(guide, path):
    check_path(path)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_is_there(name):
    check_name(name, HOMES)


def test_the_pages_name_what_they_are_about():
    """An empty list would be true of every page."""
    assert len(PATHS) > 20
    assert set(HOMES) <= NAMES
