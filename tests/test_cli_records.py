"""Components as a table and as JSON; what each command answers with ``--json``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_spies import Spies, images_called, printed_json, save_run, spies, untrained
from gmvae_cli.components import component_records, component_table

from gmvae import GMVAE, Images
from gmvae.answers import answers

__all__ = ["spies"]


def images(labels: Any = (4, 4, 8, 8, 8)) -> Images:
    pixels = np.zeros((5, 1, 3, 4), np.uint8)
    return Images(pixels, None if labels is None else np.array(labels), "x", {4: "cat", 8: "dog"})


def test_what_a_set_of_images_has_of_each_component() -> None:
    model = untrained()  # of three, named by the classes 1, 4 and 8
    model.names_by_hand = {2: "pet"}
    components, probability = np.array([0, 2, 2, 2, 2]), np.array([0.5, 0.7, 0.8, 0.9, 1.0])
    records = component_records(model, images(), components, probability)
    shared = {"probability": None, "class": None, "purity": None}
    assert records == [
        {
            **{"component": 0, "name": 1, "images": 1, "share": 0.2},
            **{"probability": 0.5, "class": "cat", "purity": 1.0},
        },
        {"component": 1, "name": 4, "images": 0, "share": 0.0, **shared},
        {
            **{"component": 2, "name": "pet", "images": 4, "share": 0.8},
            **{"probability": pytest.approx(0.85), "class": "dog", "purity": 0.75},
        },
    ]
    assert list(component_table(records)) == [
        "component   images  share  probability  class  purity",
        "0: class 1       1  20.0%        0.500    cat  100.0%",
        "1: class 4       0   0.0%",
        "2: pet           4  80.0%        0.850    dog   75.0%",
    ]
    unlabelled = component_records(model, images(None), components, probability)
    assert list(component_table(unlabelled))[-1] == "2: pet           4  80.0%        0.850"


def test_of_many_components_the_largest_are_shown() -> None:
    records = [
        {"component": k, "name": None, "images": k, "share": k / 276, "probability": 0.5}
        for k in range(24)
    ]
    lines = list(component_table(records))
    assert [line.split()[1] for line in lines[1:-1]] == [str(k) for k in range(4, 24)]
    assert lines[-1] == "4 more, smaller ones: --json, or clusters.png."


def test_train_in_json(spies: Spies) -> None:
    spies.run(["train", "data.npz", "-o", "mine", "--restarts", "2", "--json"])
    record = printed_json(spies)
    assert list(record) == ["output", "warnings", "components", "metrics"]
    assert record["output"] == "mine"
    assert record["warnings"] == ["a warning"]
    assert record["metrics"] == json.loads(Path("mine/metrics.json").read_text())
    model, images = GMVAE.load("mine"), images_called("data.npz")
    result = answers(model, images)
    expected = component_records(model, images, result.components, result.probability)
    assert record["components"] == expected


@pytest.mark.parametrize("quiet", [[], ["-q"]])
def test_classify_in_json(quiet: list[str], spies: Spies) -> None:
    spies.run([*quiet, "classify", "other", "--into", "sorted", "--json"])
    result = answers(untrained(), images_called("other"))
    assert printed_json(spies) == {
        "output": "gmvae-run-vae.csv",
        "images": "other",
        "n_images": 24,
        "skipped": [],
        "into": "sorted",
        "components": component_records(
            untrained(), images_called("other"), result.components, result.probability
        ),
    }


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "encode other -o z.npy",
            {"output": "z.npy", "images": "other", "n_images": 24, "skipped": []},
        ),
        (
            "reconstruct other -o r.npz",
            {"output": "r.npz", "images": "other", "n_images": 24, "skipped": []},
        ),
        (
            "sample -n 7 -o s.npz --seed 3 --component cat",
            {"output": "s.npz", "n_images": 7, "component": 1, "seed": 3},
        ),
        (
            "interpolate cat 2 --steps 3 -o w.svg",
            {"output": "w.svg", "from": 1, "to": 2, "steps": 3},
        ),
        (
            "name gmvae-run 1= 0=a",
            {"run": "gmvae-run", "names_by_hand": {"0": "a"}},
        ),
    ],
)
def test_other_commands_in_json(command: str, expected: dict[str, Any], spies: Spies) -> None:
    model = untrained()
    model.names_by_hand = {1: "cat"}
    save_run(Path("gmvae-run"), model)
    spies.run([*command.split(), "--json"])
    assert printed_json(spies) == expected


def test_select_in_json(spies: Spies) -> None:
    spies.run(["select", "data.npz", "--components", "2-4", "-o", "mine", "--json"])
    record = printed_json(spies)
    candidates = json.loads(Path("mine/candidates.json").read_text())
    assert record == {
        "output": "mine",
        "most_stable": 4,
        "peaks": None,
        "candidates": candidates,
    }
    assert [row["marked"] for row in candidates] == [False, False, True]


@pytest.mark.parametrize(("word", "k"), [("cat", 1), ("2", 2), ("class 8", 2), ("class 1", 0)])
def test_samples_of_a_component_by_name(word: str, k: int, spies: Spies) -> None:
    model = untrained()
    model.names_by_hand = {1: "cat"}
    save_run(Path("gmvae-run"), model)
    assert spies.run(["sample", "--component", word]).at("sample.component") == k
    for absent in ("dog", "3", "-1"):
        assert spies.run(["sample", f"--component={absent}", "--force"]).at("command.code") == 2
        assert f"(0: class 1, 1: cat, 2: class 8); got {absent!r}" in spies.at("command.err")
