"""What is released: one version, and archives that install and run outside the checkout."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile

import pytest
from pages import TOP

import gmvae
from gmvae.support.version import VERSION

BUILD = "import sys; from setuptools import build_meta as b; print(getattr(b, sys.argv[1])('{}'))"


def test_the_version_is_written_once():
    assert gmvae.__version__ == VERSION
    assert tomllib.loads((TOP / "pyproject.toml").read_text())["project"]["dynamic"] == ["version"]
    cited = re.search(r"^version: (.*)$", (TOP / "CITATION.cff").read_text(), flags=re.MULTILINE)
    assert cited[1] == VERSION


def test_the_changelog_knows_this_version():
    changes = (TOP / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[{re.escape(VERSION)}\]|^What will be {VERSION},", changes, re.M)


def build(kind, source, folder):
    """The path of the archive that a build of ``source`` leaves in ``folder``; no network."""
    done = subprocess.run(
        [sys.executable, "-c", BUILD.format(folder), f"build_{kind}"],
        cwd=source,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with what the wheel of the sdist holds: neither knows the checkout."""
    setuptools = pytest.importorskip("setuptools", reason="no setuptools to build with")
    if int(setuptools.__version__.split(".")[0]) < 77:
        pytest.skip(f"setuptools {setuptools.__version__}, and 77 builds this project")
    work = tmp_path_factory.mktemp("release")
    names = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=False,
    )
    if names.returncode:
        pytest.skip("no git checkout to build from")
    copy = work / "copy"
    for name in names.stdout.splitlines():
        if (TOP / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((TOP / name).read_bytes())
    sdist = build("sdist", copy, work)
    with tarfile.open(sdist) as archive:
        archive.extractall(work, filter="data")
    wheel = build("wheel", work / sdist.name.removesuffix(".tar.gz"), work)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(work / "installed")
    return work / "installed"


def run(installed, *arguments):
    """The output of a Python that finds the package there, in another folder."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=installed.parent,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_what_the_checkout_does(installed):
    """Every module, and what is no module: a list of packages forgets a new one."""
    for package, source in (("gmvae", TOP / "gmvae"), ("gmvae_cli", TOP / "cli")):
        kept = {path for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc"}
        names = {str(path.relative_to(source)) for path in kept}
        assert names == {
            str(path.relative_to(installed / package))
            for path in (installed / package).rglob("*")
            if path.is_file() and path.suffix != ".pyc"
        }


def test_it_runs_outside_the_checkout(installed, named_run):
    where = run(
        installed, "-c", "import gmvae, gmvae_cli; print(gmvae.__file__, gmvae_cli.__file__)"
    )
    assert where.split() == [str(installed / p / "__init__.py") for p in ("gmvae", "gmvae_cli")]
    assert run(installed, "-m", "gmvae", "--version") == f"gmvae {VERSION}\n"
    shown = run(installed, "-m", "gmvae", "sample", "--model", str(named_run), "-n", "3")
    assert "3 samples of all 3 components" in shown
    (metadata,) = installed.glob("gmvae-*.dist-info/METADATA")
    assert f"Version: {VERSION}\n" in metadata.read_text()
