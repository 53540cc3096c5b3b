"""``gmvae diagnose``: what it prints, writes and returns."""

import json

import numpy as np
import pytest
import typer
from gmvae_cli import diagnose
from toys import SHAPE, tiny
from typer.testing import CliRunner

from gmvae import arviz_bridge


@pytest.fixture
def run(tmp_path):
    """Call the command on an untrained model and noise, in as few draws as will do."""
    tiny().save(tmp_path / "model", extra={"training": {}})
    images = np.random.default_rng(0).random((12, *SHAPE), dtype=np.float32)
    np.savez(tmp_path / "noise.npz", data=images, labels=np.arange(12) % 3)
    app = typer.Typer()
    app.command()(diagnose.diagnose)
    few = ["--draws", "25", "--simulated-images", "20", "--nuts-images", "0"]
    paths = ["--model", str(tmp_path / "model"), "--output", str(tmp_path / "found")]

    def invoke(*more):
        return CliRunner().invoke(app, [str(tmp_path / "noise.npz"), *paths, *few, *more])

    return invoke


def test_it_prints_and_writes_the_verdict(run, tmp_path):
    done = run("--predictive-images", "2")
    assert done.exit_code == 0, done.output
    assert "Verdict: fail" in done.stdout
    written = {path.name for path in (tmp_path / "found").iterdir()}
    pictures = {"khat.png", "predictive.png", "ranks_simulated.png", "reliability.png"}
    assert written == {"verdict.json", "draws.nc"} | pictures
    tree = arviz_bridge.read(tmp_path / "found" / "draws.nc")
    assert tree["posterior_predictive"].sizes["image"] == 2
    # What is there is kept, unless --force.
    again = run()
    assert isinstance(again.exception, FileExistsError)


def test_strict_turns_a_failed_check_into_an_exit_code(run):
    done = run("--json", "--strict")
    assert done.exit_code == diagnose.FAILED == 3
    found = json.loads(done.stdout)
    assert found["verdict"] == "fail"
    assert found["n_images"] == 12
    assert {"check", "figure", "threshold", "status"} <= set(found["checks"][0])
