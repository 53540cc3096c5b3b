"""What goes wrong is one line and an exit code."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from cli_spies import save_run, untrained
from cli_toys import COMMANDS, one_line
from gmvae_cli import app, entry, errors

from gmvae import GMVAE
from gmvae.support.errors import ArgumentError, ContentError, GMVAEError, TrainingError

pytestmark = pytest.mark.usefixtures("elsewhere")


SQUARES = np.zeros((6, 8, 8), np.uint8)


BAD_ARRAYS: dict[str, dict[str, Any]] = {
    "empty": {"data": SQUARES[:0]},
    "wrong-shape": {"data": np.zeros(6)},
    "nan": {"data": np.full((6, 8, 8), np.nan)},
    "objects": {"data": np.array([None] * 6)},
    "labels-of-another-length": {"data": SQUARES, "labels": np.arange(5)},
    "nothing-named-data": {"images": SQUARES},
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_content_that_does_not_fit_is_one_line_and_exit_1(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "bad.npz", **BAD_ARRAYS[case])
    assert app.run(["train", "bad.npz"]) == 1
    assert "Traceback" not in one_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["bad.npz"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "absent.npz"], "absent.npz"),
        (["train", "emnist"], "digits, mnist"),
        (["train", "digits", "--classes", "1,77"], "77"),
        (
            ["train", "digits", "--classes", "one"],
            "6, 7, 8, 9; got 'one'",
        ),
        (["train", "digits", "--labels", "9999"], "9999"),
        (["train", "digits", "--epochs", "0"], "--epochs"),
        (["train", "digits", "--epochs", "-7"], "-7"),
        (
            ["train", "digits", "--lr", "-1"],
            "`--lr` expected above 0, and finite; got -1.0. Choose such a number.",
        ),
        (["train", "emnist"], "`DATA` expected"),
        (["train", "absent.npz"], "`DATA` expected a path that exists"),
        (["train", "digits", "--val", "absent.npz"], "`--val` expected a path that exists"),
        (["train", "digits", "--val", "emnist"], "`--val` expected digits"),
        (["train", "digits", "--labels", "9999"], "`--labels` expected 0 to "),
        (["train", "digits", "--classes", "77"], "`--classes` expected some of 0, 1"),
        (["train", "digits", "--covariance", "round"], "'--covariance': 'round' is not one of"),
        (["train", "digits", "--device", "abacus"], "got 'abacus'. Name another, or leave it out."),
        (["train", "--output", "file/run"], "got file/run, where "),
        (["train", "--output", "file"], "got the file"),
        (["train", "--config", "absent.toml"], "got absent.toml, which does not exist. Check"),
        (["train", "--config", "."], "which is a folder"),
        (["train", "--bogus"], "No such option: --bogus. See `gmvae train --help`."),
        (["train", "--component", "3"], "--component. Did you mean --components? See"),
        (["train", "--warmup", "3"], "--warmup. Did you mean --warmup-epochs? See"),
        (["train", "--model", "run"], "No such option: --model. Did you mean --output? See"),
        (["classify", "--models", "run"], "Did you mean --model? See"),
        (["tarin"], "See `gmvae --help`."),
        (["classify", "--model", "absent"], "gmvae train"),
        (["classify", "--model", "absent", "--output", "file.csv"], "--force"),
        (
            ["classify", "--output", "vae.txt"],
            "expected a .csv or .parquet or .npz or .json file; got",
        ),
        (["reconstruct", "--output", "vae.csv"], "expected a .npz or .npy file; got vae.csv"),
        (["evaluate", "--output", "figures"], "expected a .json file; got figures"),
        (["sample", "--output", "samples.gif"], ".png or .svg or .pdf or .npz"),
        (["sample", "-n", "10001"], "at most 10,000 for a picture; got 10,001. Write them to an"),
    ],
)
def test_options_and_paths_that_are_wrong_are_one_line_and_exit_2(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("file", "file.csv"):
        (tmp_path / name).touch()
    assert app.run(arguments) == 2
    assert words in one_line(capsys)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "file.csv"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            ArgumentError("`n_components` expected 2; got 1. Leave `n_components` out."),
            "`--components` expected 2; got 1. Leave `--components` out.",
        ),
        (
            ArgumentError("`classes` expected labels. Leave `classes` out."),
            "`--classes` expected labels. Leave `--classes` out.",
        ),
        (FileNotFoundError("`source` expected a path."), "`DATA` expected a path."),
        (ContentError("`x` expected pixels 0 or 1."), "`DATA` expected pixels 0 or 1."),
        # What is no argument keeps its name: arrays in a file, a file called as an argument is.
        (
            ContentError("`a.npz` expected an array `data` (and maybe `labels`)."),
            "`a.npz` expected an array `data` (and maybe `labels`).",
        ),
        (ContentError("`classes` expected pictures."), "`classes` expected pictures."),
        (ArgumentError("`--lr` expected above 0."), "`--lr` expected above 0."),
        (ArgumentError("`observed` expected (3,)."), "`observed` expected (3,)."),
    ],
)
def test_errors_name_what_was_typed(
    error: Exception, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    errors.report(error)
    assert one_line(capsys) == f"Error: {words}"


def test_names_in_errors_are_options_that_exist(capsys: pytest.CaptureFixture[str]) -> None:
    shown = ""
    for command in COMMANDS:
        app.run([command, "--help"])
        shown += capsys.readouterr().out
    words = set(shown.replace(",", " ").split())
    for typed in {*errors.TYPED.values(), *errors.ELSEWHERE.values()} - {"DATA"}:
        assert typed in words


def test_an_unexpected_error_is_one_line_until_debugged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise KeyError("lost\nand gone")

    monkeypatch.setattr("gmvae_cli.info.open_run", fail)
    assert app.run(["info"]) == 1
    assert one_line(capsys).endswith("run again with --debug for the traceback.")
    assert app.run(["info", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_too_little_memory_is_said_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_run(tmp_path / "run", untrained())

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")

    monkeypatch.setattr(GMVAE, "sample", fail)
    assert app.run(["sample", "--model", "run"]) == 1
    assert "not enough memory for what was asked. Ask for less" in one_line(capsys)


def test_an_interruption_is_no_failure_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gmvae_cli.info.open_run", interrupt)
    assert app.run(["info"]) == 130
    assert "interrupted" in one_line(capsys)


def test_errors_of_the_system_name_their_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert errors.report(OSError(28, "No space left on device", "run")) == 1
    assert one_line(capsys) == "Error: No space left on device: run"


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ArgumentError("`lr` expected 1."), 2, "`--lr` expected 1."),
        (ContentError("`a` expected 1."), 1, "`a` expected 1."),
        (TrainingError("all 2 restarts diverged."), 1, "all 2 restarts diverged."),
        (GMVAEError("some"), 1, "some"),
        (FileNotFoundError("x is not there"), 2, "x is not there"),
        (FileExistsError("x exists"), 2, "x exists"),
        (PermissionError(13, "Permission denied", "x"), 2, "Permission denied: x"),
        (NotADirectoryError("x is a file"), 2, "x is a file"),
        (IsADirectoryError("x is a folder"), 2, "x is a folder"),
        (OSError(28, "No space left on device"), 1, "[Errno 28] No space left on device"),
        (
            MemoryError(),
            1,
            "not enough memory for what was asked. Ask for less: a smaller --batch-size, smaller "
            "images, fewer samples or dimensions.",
        ),
        (
            RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
            1,
            "not enough memory for what was asked. Ask for less: a smaller --batch-size, smaller "
            "images, fewer samples or dimensions.",
        ),
        (
            RuntimeError("cannot allocate memory"),
            1,
            "not enough memory for what was asked. Ask for less: a smaller --batch-size, smaller "
            "images, fewer samples or dimensions.",
        ),
        (
            ValueError("so\nand so."),
            1,
            "unexpected ValueError: so and so; run again with --debug for the traceback.",
        ),
        (
            ValueError(),
            1,
            "unexpected ValueError; run again with --debug for the traceback.",
        ),
        (KeyboardInterrupt(), 130, "interrupted; nothing was written."),
        (typer.Abort(), 130, "interrupted; nothing was written."),
    ],
)
def test_the_line_and_the_code_of_an_error(
    error: BaseException, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert errors.report(error) == code
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"Error: {line}\n")


def test_a_traceback_comes_before_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert errors.report(ValueError("so"), debug=True) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["ValueError: so", "Error: unexpected ValueError: so"]


def test_whoever_reads_may_stop_reading() -> None:
    code = "import sys; from gmvae_cli import errors; sys.exit(errors.report(BrokenPipeError()))"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["train", "--outputt", "x"],
            "No such option: --outputt. Did you mean --output? See `gmvae train --help`.",
        ),
        (["train", "--xyz"], "No such option: --xyz. See `gmvae train --help`."),
        (
            ["train", "--model", "x"],
            "No such option: --model. Did you mean --output? See `gmvae train --help`.",
        ),
        (["info", "--outp"], "No such option: --outp. See `gmvae info --help`."),
        (
            ["diagnose", "--draw", "9"],
            "No such option: --draw. Did you mean --draws? See `gmvae diagnose --help`.",
        ),
        (["select"], "Missing argument 'DATA'. See `gmvae select --help`."),
    ],
)
def test_errors_of_usage(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(arguments) == 2
    assert one_line(capsys) == f"Error: {line}"


@pytest.mark.parametrize("debug", [["--debug", "info"], ["info", "--debug"]])
def test_debug_may_stand_anywhere(debug: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(debug) == 2
    assert capsys.readouterr().err.startswith("Traceback")


def test_the_process_ends_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 8)
    monkeypatch.setattr(sys, "argv", ["gmvae", "info", "--model", "absent"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert ended.value.code == 2
    assert (os.environ["OMP_WAIT_POLICY"], os.environ["OMP_NUM_THREADS"]) == ("PASSIVE", "4")
    for cores in (None, 1, 2, 3):
        monkeypatch.delenv("OMP_NUM_THREADS")
        monkeypatch.setattr("os.cpu_count", lambda cores=cores: cores)
        with pytest.raises(SystemExit):
            entry.main()
        assert os.environ["OMP_NUM_THREADS"] == "1"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(sys, "argv", ["gmvae", "--version"])
    with pytest.raises(SystemExit) as ended:
        entry.main()
    assert (ended.value.code, os.environ["OMP_NUM_THREADS"]) == (0, "3")


def test_a_word_for_a_number_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["train", "--lr", "fast"]) == 2
    line = one_line(capsys)
    assert line.startswith(("Error: `--lr` expected a valid number", "Error: Invalid value"))
    assert line.count("'fast'") == 1
    assert line.endswith(". See `gmvae train --help`.")
    assert ".." not in line


SLIPS = """
import sys
from pathlib import Path
from gmvae_cli import app

Path("full").mkdir()
Path("full/a").touch()
Path("a.csv").touch()
Path(".begun.unfinished").mkdir()
Path(".begun.unfinished/asked.json").write_text('{"command": "train"}')
for line in %r:
    print(app.run(line.split()), file=sys.stderr)
print("torch" in sys.modules)
"""


def test_a_slip_of_the_pen_waits_for_nothing_heavy(tmp_path: Path) -> None:
    """And of two the data's comes first."""
    lines = {
        "train -o full": "full exists. Choose another --output",
        "train absent.npz -o full": "`DATA` expected a path that exists; got 'absent.npz'.",
        "train digit -o full": "`DATA` expected digits, mnist, fashion-mnist, kmnist, or the path",
        "train --val ./mnist -o full": "`--val` expected a path that exists; got './mnist'.",
        "train digits --from a-run -o full": "full exists. Choose another --output",
        "train -o begun": "Go on with it: gmvae train --resume begun",
        "select digits --components 2-3 -o full": "full exists. Choose another --output",
        "classify -o a.csv": "a.csv exists. Choose another --output",
        **{
            f"{command} absent.npz": "`DATA` expected a path that exists"
            for command in ("encode", "reconstruct", "posterior", "evaluate", "diagnose")
        },
    }
    code = SLIPS % list(lines)
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path
    )
    said = found.stderr.splitlines()
    assert said[1::2] == ["2"] * len(lines)
    for line, words in zip(said[::2], lines.values(), strict=True):
        assert words in line
    assert found.stdout == "False\n"
