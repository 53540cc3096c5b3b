"""``--components``: a number, ``auto``, or left out; what is said of those that were found."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_spies import Spies, spies
from cli_toys import QUICK, one_line
from gmvae_cli import app, summary
from toys import tiny

from gmvae.training.density import PROMINENT
from gmvae.training.fitting import Fit
from gmvae.training.loop import Loop

__all__ = ["spies"]

N = 90
FOUND = "Components: 3 found, as many as the density of the images has prominent peaks."


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three patterns in sizes of 60, 20 and 10, a little noise on each, of two classes.

    Of their runs no pictures are drawn, which take two seconds each.
    """
    monkeypatch.setattr("gmvae_cli.run_folder.draw", lambda *_, **__: {})
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.repeat([0, 1, 2], [60, 20, 10]))
    patterns = rng.random((3, 6, 6)) > 0.5
    pixels = np.abs(patterns[kinds] - 0.15 * rng.random((N, 6, 6)))
    pixels = np.rint(255 * pixels).astype(np.uint8)
    np.save("pixels.npy", pixels)
    np.savez("labelled.npz", data=pixels, labels=np.minimum(kinds, 1))


def n_components(folder: str) -> int:
    number: int = json.loads((Path(folder) / "config.json").read_text())["model"]["n_components"]
    return number


def weights(folder: str) -> bytes:
    return (Path(folder) / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("quick", "data")
def test_of_an_array_the_number_is_found_and_the_runners_up_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert app.run(["train", "pixels.npy", "-o", "run", *QUICK]) == 0
    lines = capsys.readouterr().out.splitlines()
    said = lines[lines.index(FOUND) + 1]
    before, _, after = said.partition(": ")
    assert before == (
        "The split that makes one more cluster stands out of the noise by so many standard "
        f"deviations, {PROMINENT:g} or more for a cluster"
    )
    by_number = dict(part.split(" by ") for part in after.rstrip(".").split(", "))
    prominent = [number for number, value in by_number.items() if float(value) >= PROMINENT]
    assert prominent == ["2", "3"]
    assert n_components("run") == 3
    # The run's own configuration runs the same again.
    assert app.run(["train", "--config", "run/config.json", "-o", "again"]) == 0
    assert FOUND in capsys.readouterr().out.splitlines()
    assert weights("again") == weights("run")


@pytest.mark.usefixtures("quick", "data")
def test_of_several_runs_the_kept_one_tells_it(capsys: pytest.CaptureFixture[str]) -> None:
    many = ["--restarts", "2", "--jobs", "1"]
    assert app.run(["train", "pixels.npy", "-o", "run", *QUICK, *many]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[lines.index(FOUND) + 1].startswith("The split that makes one more cluster")


@pytest.mark.usefixtures("quick", "data")
def test_auto_looks_for_more_than_the_classes_say(capsys: pytest.CaptureFixture[str]) -> None:
    """Two classes of three patterns: left out, two components; with auto, three."""
    assert app.run(["train", "labelled.npz", "-o", "two", *QUICK]) == 0
    assert "Components:" not in capsys.readouterr().out
    assert app.run(["train", "labelled.npz", "-o", "three", "--components", "auto", *QUICK]) == 0
    assert FOUND in capsys.readouterr().out.splitlines()
    assert (n_components("two"), n_components("three")) == (2, 3)


@pytest.mark.usefixtures("quick", "data")
def test_observed_labels_say_the_number_also_beside_auto(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["labelled.npz", "--labels", "3", "--components", "auto"]
    assert app.run(["train", *arguments, "-o", "run", *QUICK]) == 0
    assert "Components:" not in capsys.readouterr().out
    assert n_components("run") == 2


@pytest.mark.usefixtures("quick", "data")
def test_what_was_asked_for_is_kept_as_auto(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run that is stopped before it has found anything goes on to what it would have found."""
    run = Loop.run

    def interrupted(loop: Loop, state: Any, report: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        run(loop, state, report)

    arguments = ["train", "labelled.npz", "--components", "auto", *QUICK]
    with monkeypatch.context() as patch:
        patch.setattr(Loop, "run", interrupted)
        assert app.run([*arguments, "-o", "run"]) == 130
    capsys.readouterr()
    asked = json.loads(Path(".run.unfinished/asked.json").read_text())
    assert asked["settings"]["n_components"] == "auto"
    assert app.run(["train", "--resume", "run"]) == 0
    assert FOUND in capsys.readouterr().out.splitlines()
    assert app.run([*arguments, "-o", "whole"]) == 0
    assert weights("run") == weights("whole")
    assert n_components("run") == 3


@pytest.mark.parametrize("text", ["0", "-1", "x", "2.5", "AUTO", ""])
def test_what_is_no_number_of_components(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["train", "digits", f"--components={text}"]) == 2
    line = one_line(capsys)
    assert "--components" in line
    assert f"expected auto or a whole number, at least 1; got {text!r}." in line


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        ("bare.npz", None),
        ("bare.npz --components 4", 4),
        ("data.npz", 3),
        ("data.npz --components auto", None),
        ("bare.npz --components auto", None),
    ],
)
def test_what_the_library_is_asked(arguments: str, number: int | None, spies: Spies) -> None:
    spies.run(["train", *arguments.split(), "-o", "mine"])
    assert spies.at("fit_restarts.settings").n_components == number
    found = "Components: 3 found" in spies.at("command.out")
    assert found is (number is None)


@pytest.mark.parametrize(
    ("k", "prominences", "splits"),
    [
        (1, [1.24, 0.5, 0.2], "2 by 1.2, 3 by 0.5"),
        (2, [9.0, 1.0, 0.5, 0.2], "2 by 9.0, 3 by 1.0, 4 by 0.5"),
        (5, [9.0, 8.0, 7.0, 6.0, 2.96, 2.0, 1.0], "4 by 7.0, 5 by 6.0, 6 by 3.0, 7 by 2.0"),
        (3, [9.0, 8.0], "2 by 9.0, 3 by 8.0"),
    ],
)
def test_two_splits_to_either_side_are_told(k: int, prominences: list[float], splits: str) -> None:
    result = Fit(tiny(n_components=k), [], prominences=np.array(prominences))
    first, second = summary.components_found(result)
    assert first.startswith(f"Components: {k} found, ")
    assert second.endswith(f": {splits}.")


def test_of_too_few_images_there_is_nothing_more_to_tell() -> None:
    (line,) = summary.components_found(Fit(tiny(n_components=1), []))
    assert line == FOUND.replace("3", "1")
