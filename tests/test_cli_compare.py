"""``gmvae compare``: runs side by side."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_spies import Spies, save_figures, save_run, spies, untrained
from gmvae_cli import compare
from parsed import check_whole
from PIL import Image as Picture

__all__ = ["spies"]


def run_of(folder: str, **figures: Any) -> str:
    save_run(Path(folder), untrained())
    save_figures(Path(folder), **figures)
    return folder


def rows() -> dict[str, list[str]]:
    page = check_whole(Path("gmvae-compare.html").read_text())
    return {name: values for name, *values in page.rows}


def test_figures_stand_side_by_side_and_the_best_is_told(spies: Spies) -> None:
    run_of("one", acc=0.25, nmi=0.5, elbo=-3.0, one_minus_mse=None)
    run_of("two", acc=0.75, nmi=0.50001, elbo=-4.125, one_minus_mse=0.5)
    lines = spies.run(["compare", "one", "two"]).at("command.out").splitlines()
    cells = [line.split() for line in lines]
    assert ["one", "3", "0.2500", "0.5000", "-3.00", "0.14"] in cells
    assert ["two", "3", "0.7500", "0.5000", "-4.12", "0.14"] in cells
    assert lines[-1] == "All of it on a page, for a browser: gmvae-compare.html"
    shown = rows()
    assert shown["accuracy, components matched to classes"] == ["0.2500", "0.7500"]
    assert shown["1 - mean squared error"] == ["", "0.5000"]
    assert shown["ELBO (nats an image)"] == ["-3.00", "-4.12"]
    assert shown["trained on"] == ["data.npz", "data.npz"]
    best = {name: place for name, _, place in compare._figures(opened("one", "two"))}
    assert best["accuracy, components matched to classes"] == 1
    assert best["ELBO (nats an image)"] == 0
    assert best["1 - mean squared error"] == 1
    # Alike as they are shown, and what is neither good nor bad.
    assert best["normalised mutual information"] is None
    assert best["components in use"] is None


def opened(*folders: str) -> list[compare.Compared]:
    return [compare.opened(Path(folder)) for folder in folders]


def test_figures_of_different_images_do_not_compare(spies: Spies) -> None:
    run_of("one", acc=0.25)
    run_of("two", acc=0.75, scored_on="those")
    lines = spies.run(["compare", "one", "two"]).at("command.out").splitlines()
    assert lines[-2] == (
        "The runs are scored on different images, so their figures do not compare: these (24 "
        "images); those (24 images)."
    )
    assert all(place is None for _, _, place in compare._figures(opened("one", "two")))


@pytest.mark.parametrize(
    ("likelihood", "normalised", "compared"),
    [("bernoulli", False, True), ("gaussian", True, False), ("gaussian", False, False)],
)
def test_bounds_of_different_likelihoods_do_not_compare(
    likelihood: str, normalised: bool, compared: bool, spies: Spies
) -> None:
    run_of("one", elbo=-1.0, acc=0.25)
    run_of("two", elbo=-2.0, acc=0.75, likelihood_normalised=normalised)
    config = json.loads(Path("two/config.json").read_text())
    config["model"]["likelihood"] = likelihood
    Path("two/config.json").write_text(json.dumps(config))
    runs = opened("one", "two")
    best = {name: place for name, _, place in compare._figures(runs)}
    assert best["ELBO (nats an image)"] == (0 if compared else None)
    assert best["accuracy, components matched to classes"] == 1
    assert [line.startswith("ELBO and log-like") for line in compare.remarks(runs)] == (
        [] if compared else [True]
    )


def test_densities_of_any_likelihood_compare(spies: Spies) -> None:
    for name, likelihood in (("one", "gaussian"), ("two", "continuous-bernoulli")):
        run_of(name, likelihood_normalised=True)
        config = json.loads(Path(f"{name}/config.json").read_text())
        config["model"]["likelihood"] = likelihood
        Path(f"{name}/config.json").write_text(json.dumps(config))
    assert list(compare.remarks(opened("one", "two"))) == []


def test_the_settings_that_differ(spies: Spies) -> None:
    run_of("one")
    save_run(Path("two"), untrained(), settings={"seed": 0, "lr": 0.5})
    save_figures(Path("two"))
    save_run(Path("three"), untrained(), settings={"seed": 4, "lr": 0.5})
    save_figures(Path("three"))
    found = list(compare._settings(opened("one", "two", "three")))
    assert found == [
        ("--lr", ["left out", "0.5", "0.5"]),
        ("--seed", ["0", "0", "4"]),
    ]
    assert list(compare._settings(opened("one", "one"))) == []


def test_pictures_stand_side_by_side(spies: Spies) -> None:
    Picture.new("L", (3, 2), 7).save("gmvae-run/latent.png")
    spies.run(["compare", "gmvae-run", "other-run"])
    page = check_whole(Path("gmvae-compare.html").read_text())
    assert [image["alt"] for image in page.all("img")] == ["The latent space, of gmvae-run"]
    assert "other-run: none" in page.text


def test_in_json(spies: Spies) -> None:
    shown = json.loads(spies.run(["compare", "gmvae-run", "other-run", "--json"]).at("command.out"))
    assert shown["output"] == "gmvae-compare.html"
    assert shown["remarks"] == []
    assert [run["run"] for run in shown["runs"]] == ["gmvae-run", "other-run"]
    assert [run["components"] for run in shown["runs"]] == [3, 3]
    assert shown["runs"][0]["acc"] == 0.01


def test_refusals(spies: Spies) -> None:
    def refused(*folders: str) -> tuple[int, str]:
        spies.run(["compare", *folders])
        return spies.at("command.code"), spies.at("command.err")

    assert refused("gmvae-run") == (
        2,
        "Error: `RUN...` expected two run folders or more; got 1. Name another, or see one with: "
        "gmvae evaluate --model gmvae-run\n",
    )
    assert refused("gmvae-run", "gone")[0] == 2
    Path("other-run/metrics.json").write_text('{"acc": "high"}')
    code, line = refused("gmvae-run", "other-run")
    assert code == 1
    assert "other-run expected config.json and metrics.json as gmvae train wrote them" in line
    Path("other-run/metrics.json").unlink()
    assert refused("gmvae-run", "other-run")[0] == 2
    assert not Path("gmvae-compare.html").exists()


def test_no_model_is_loaded(spies: Spies) -> None:
    heavy = "{'torch', 'pyro', 'sklearn', 'scipy', 'matplotlib'}"
    code = f"""
import sys
from gmvae_cli import app
assert app.run(["compare", "gmvae-run", "other-run", "-q"]) == 0
sys.exit(bool({heavy} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
