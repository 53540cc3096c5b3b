"""What commands print and write, and where they may write it."""

import io
import json
import os
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_toys import one_line
from gmvae_cli import app, output, progress, run_folder
from PIL import Image as Picture

from gmvae.support.errors import ArgumentError
from gmvae.training.loop import Progress

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_reconstruct_keeps_channels(tmp_path: Path) -> None:
    import torch

    output.write_images(tmp_path / "a.npz", torch.zeros(2, 3, 4, 5))
    with np.load(tmp_path / "a.npz") as arrays:
        assert arrays["data"].shape == (2, 3, 4, 5)


def test_figures_that_are_not_finite_are_null_in_json() -> None:
    figures = {"elbo": float("-inf"), "overlap": [[1.0, float("nan")]], "n": 3}
    assert json.loads(output.as_json(figures)) == {"elbo": None, "overlap": [[1.0, None]], "n": 3}


def test_a_table_of_figures_is_not_cut_to_the_width(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    figures = [f"0.{i}" for i in range(10, 40)]
    output.table("Many", [["component 0", *figures]], ["component", *map(str, range(30))])
    assert " ".join(["component 0", *figures]) in " ".join(capsys.readouterr().out.split())


def test_an_output_by_a_folder_that_is_not_there(tmp_path: Path, named_run: Path) -> None:
    """``missing/../labels.csv`` is ``labels.csv``, and ``missing`` is not made on the way."""
    output = tmp_path / "missing" / ".." / "labels.csv"
    assert app.run(["classify", "--model", str(named_run), "-o", str(output)]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]
    assert app.run(["classify", "--model", str(named_run), "-o", str(output)]) == 2


def test_nothing_is_overwritten_without_force(
    named_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("vae.csv").write_text("precious")
    arguments = ["classify", "--model", str(named_run), "-o", "vae.csv"]
    assert app.run(arguments) == 2
    assert "--force" in capsys.readouterr().err
    assert Path("vae.csv").read_text() == "precious"
    assert app.run([*arguments, "--force"]) == 0
    assert Path("vae.csv").read_text() != "precious"


def test_force_replaces_a_run_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    output.check_folder(folder, False, frozenset({"config.json"}))  # an empty one is no loss
    (folder / "config.json").touch()
    with pytest.raises(FileExistsError, match="--force"):
        output.check_folder(folder, False, frozenset({"config.json"}))
    output.check_folder(folder, True, frozenset({"config.json"}))
    (folder / "thesis.tex").touch()
    with pytest.raises(FileExistsError, match=r"thesis\.tex"):
        output.check_folder(folder, True, frozenset({"config.json"}))


def test_the_current_folder_is_never_replaced() -> None:
    with pytest.raises(ArgumentError, match="of its own"):
        output.check_folder(Path(), True, frozenset())


def test_a_folder_that_cannot_be_written_is_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)  # root may write everywhere
    assert app.run(["train", "-o", "run"]) == 2
    assert f"got run, and {tmp_path} cannot be written (Permission denied)" in one_line(capsys)


def test_a_file_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "there.csv").touch()
    (tmp_path / "folder.csv").mkdir()
    output.check_file(tmp_path / "new" / "deep" / "a.csv", False, [".csv"])
    output.check_file(tmp_path / "A.CSV", False, [".png", ".csv"])
    output.check_file(tmp_path / "there.csv", True, [".csv"])
    for path, force, kind, words in (
        ("there.csv", False, FileExistsError, "there.csv exists. Choose another --output, or"),
        ("folder.csv", True, IsADirectoryError, "`--output` expected a file; got the folder"),
        ("a.txt", True, ArgumentError, "`--output` expected a .csv or .npz file; got "),
        ("there.csv/a.csv", True, NotADirectoryError, "`--output` expected to lie in a folder"),
    ):
        with pytest.raises(kind, match=re.escape(words)):
            output.check_file(tmp_path / path, force, [".csv", ".npz"])
    with pytest.raises(FileExistsError, match=r"there\.csv exists\. Choose another --report, or"):
        output.check_file(tmp_path / "there.csv", False, [".csv"], "--report")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.csv", "there.csv"]


def test_a_folder_is_refused_before_any_work(tmp_path: Path) -> None:
    files = frozenset({"a.json"})
    (tmp_path / "file").touch()
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours" / "a.json").touch()
    output.check_folder(tmp_path / "new" / "deep", False, files)
    output.check_folder(tmp_path / "ours", True, files)
    for path, force, kind, words in (
        (tmp_path / "file", True, NotADirectoryError, "`--output` expected a folder; got the fi"),
        (tmp_path / "file" / "a", True, NotADirectoryError, "`--output` expected to lie in a fo"),
        (tmp_path / "ours", False, FileExistsError, "ours exists. Choose another --output, or ov"),
        (tmp_path.parent, True, ArgumentError, "`--output` expected a folder of its own; got "),
        (tmp_path, True, ArgumentError, "`--output` expected a folder of its own; got "),
    ):
        with pytest.raises(kind, match=re.escape(words)):
            output.check_folder(path, force, files)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "ours"]


def test_what_no_run_wrote_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("b.txt", "a.txt", "config.json"):
        (folder / name).touch()
    with pytest.raises(FileExistsError) as error:
        output.check_folder(folder, True, frozenset({"config.json"}))
    assert str(error.value) == (
        f"{folder} holds what no run wrote (a.txt), which --force would delete. Choose another "
        "--output."
    )


def test_a_table_in_two_columns(capsys: pytest.CaptureFixture[str]) -> None:
    output.table("Title", [("name", "value [bold]"), ("other", "2")])
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "Title"
    cells = [[cell.strip() for cell in line.strip("│").split("│")] for line in lines[2:-1]]
    assert cells == [["name", "value [bold]"], ["other", "2"]]


def test_a_table_with_headings(capsys: pytest.CaptureFixture[str]) -> None:
    output.table("Title", [("1", "22"), ("10", "3")], ("number", "figure"))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0] == "Title"
    assert lines[1].split() == ["number", "figure"]
    # The first column to the left, figures to the right.
    assert [line.split() for line in lines[-2:]] == [["1", "22"], ["10", "3"]]
    assert lines[-2].index("1") == lines[-1].index("10")
    assert len(lines[-2]) == len(lines[-1])


def test_json_is_indented_and_ends_its_file(tmp_path: Path) -> None:
    assert output.as_json({"a": [1.5, True]}) == '{\n  "a": [\n    1.5,\n    true\n  ]\n}'
    output.write_json(tmp_path / "a.json", {"a": "ä"})
    assert (tmp_path / "a.json").read_text(encoding="utf-8").endswith("}\n")


def test_refusals_of_a_place_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError) as error:
        output.check_file(tmp_path / "file" / "deep" / "a.csv", False, [".csv"])
    assert str(error.value) == (
        f"`--output` expected to lie in a folder; got {tmp_path / 'file' / 'deep' / 'a.csv'}, "
        f"where {tmp_path / 'file'} is a file. Choose another --output."
    )

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(PermissionError) as refused:
        output.check_folder(tmp_path / "a" / "b", False, frozenset())
    assert str(refused.value) == (
        f"`--output` expected to lie where one can write; got {tmp_path / 'a' / 'b'}, and "
        f"{tmp_path} cannot be written (Read-only file system). Choose another --output."
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("there.csv", "there.csv exists. Choose another --output, or overwrite with --force."),
        (
            "folder.csv",
            "`--output` expected a file; got the folder folder.csv. Name a file in it.",
        ),
        ("a.txt", "`--output` expected a .csv or .npz file; got a.txt. Rename it."),
    ],
)
def test_refusals_of_a_file_in_full(path: str, message: str) -> None:
    Path("there.csv").touch()
    Path("folder.csv").mkdir()
    with pytest.raises((FileExistsError, IsADirectoryError, ArgumentError)) as error:
        output.check_file(Path(path), False, [".csv", ".npz"])
    assert str(error.value) == message


def test_refusals_of_a_folder_in_full() -> None:
    Path("file").touch()
    for path, message in (
        (Path("file"), "`--output` expected a folder; got the file file. Choose another --output."),
        (Path(), "`--output` expected a folder of its own; got '.'. Name a new one."),
    ):
        with pytest.raises((NotADirectoryError, ArgumentError)) as error:
            output.check_folder(path, True, frozenset())
        assert str(error.value) == message


def test_what_came_to_be_at_the_output_during_the_work_is_not_replaced(
    named_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even with --force, which was said of what lay there at the start."""
    for text, flags in (("another's", []), ("of a third", ["--force"])):

        def meanwhile(*arguments: Any, text: str = text, **options: Any) -> Any:
            Path("vae.csv").write_text(text)
            return run_folder.images_for(*arguments, **options)

        monkeypatch.setattr("gmvae_cli.classify.images_for", meanwhile)
        arguments = ["classify", "--model", str(named_run), "-o", "vae.csv", *flags]
        assert app.run(arguments) == 2
        line = one_line(capsys)
        assert "vae.csv could not be written at the end (another made or changed it" in line
        assert Path("vae.csv").read_text() == text
    assert "/vae-2.csv: move it from there." in line
    for name in ("vae-1.csv", "vae-2.csv"):
        assert Path(name).read_text().startswith("Row,Predicted_Label,Component,Probability\n")


def test_a_model_is_not_overwritten_by_the_figures_of_it(
    named_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (named_run / "config.json").read_bytes()
    target = str(named_run / "config.json")
    assert app.run(["evaluate", "--model", str(named_run), "-o", target, "--force"]) == 2
    assert f"a file of its own; got {target}, which a model is read from" in one_line(capsys)
    assert (named_run / "config.json").read_bytes() == before


@pytest.mark.parametrize("name", ["n" * 256, "ä" * 128])
def test_a_name_that_no_file_can_have_is_refused_first(tmp_path: Path, name: str) -> None:
    for place in (tmp_path / name, tmp_path / "new" / name, tmp_path / name / "deep"):
        with pytest.raises(PermissionError, match="File name too long"):
            output.check_folder(place, False, frozenset())
    with pytest.raises(PermissionError, match="File name too long"):
        output.check_file(tmp_path / f"{name}.csv", False, [".csv"])
    output.check_folder(tmp_path / name[:120], False, frozenset())
    assert not list(tmp_path.iterdir())


def test_a_mount_point_and_a_folder_without_permission_are_refused_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    with pytest.raises(PermissionError, match="got /dev/shm, a mount point"):
        output.check_folder(Path("/dev/shm"), True, frozenset(os.listdir("/dev/shm")))
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with pytest.raises(PermissionError, match="run, which may not be written"):
        output.check_folder(tmp_path / "run", True, frozenset())


# A name that clears the screen, one that is no UTF-8, one that turns the direction of writing.
NAMES = {"a\x1b[2Jb": r"a\x1b[2Jb", "c\udcff": r"c\udcff", "d\u202ee": r"d\u202ee", "f\n": r"f\n"}


def test_names_reach_the_terminal_as_letters(
    tmp_path: Path, named_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in NAMES:
        (tmp_path / "data" / name).mkdir(parents=True)
        Picture.new("L", (8, 8), 200).save(tmp_path / "data" / name / "a.png")
    assert app.run(["classify", "data", "--model", str(named_run), "-o", "vae.csv"]) == 0
    said = capsys.readouterr()
    assert all(shown in said.out for shown in NAMES.values())
    assert all(letter.isprintable() or letter == "\n" for letter in said.out)
    for name, shown in NAMES.items():
        assert app.run(["classify", f"{name}x.txt", "--model", str(named_run), "-o", "b.csv"]) == 2
        line = one_line(capsys)
        assert line.isprintable()
        assert shown in line.replace("\\\\", "\\")


def test_a_terminal_of_few_letters_is_told_in_these(
    monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", narrow)
    output.say("The classes are 0 (Käse).")
    output.table("Käse", [["Käse", "1"]], ["", "ä"])
    narrow.flush()
    said = narrow.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
    assert said.startswith("The classes are 0 (K\\xe4se).\nK\\xe4se")


def test_a_line_about_much_is_short(
    tmp_path: Path, named_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with zipfile.ZipFile("many.npz", "w") as archive:
        for number in range(3_000):
            archive.writestr(f"{number:0400}.npy", b"")
    assert app.run(["classify", "many.npz", "--model", str(named_run), "-o", "vae.csv"]) == 1
    line = one_line(capsys)
    assert "and 2,995 more. Save it with" in line
    assert len(line) < 2_000


@pytest.mark.parametrize("flag", ["-q", "--quiet"])
@pytest.mark.parametrize("first", [True, False])
def test_quiet_says_nothing_but_what_was_asked_for(
    flag: str, first: bool, named_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def said(*arguments: str, code: int = 0) -> tuple[str, str]:
        assert app.run([flag, *arguments] if first else [*arguments, flag]) == code
        shown = capsys.readouterr()
        return shown.out, shown.err

    model = ("--model", str(named_run))
    assert said("classify", *model, "-o", "quiet.csv", "--force") == ("", "")
    out, err = said("info", *model, "--json")
    assert json.loads(out)["training"]["data"] == "digits"
    assert err == ""
    assert "weight" in said("info", *model)[0]
    assert said("classify", *model, "-o", "a.txt", code=2)[1].startswith("Error: ")
    # What comes after it is as loud as ever.
    assert app.run(["classify", *model, "-o", "loud.csv", "--force"]) == 0
    assert "Predicted labels" in capsys.readouterr().out


def test_quiet_training_shows_no_progress() -> None:
    with output.quietly(True), progress.progress() as show:
        assert show(Progress("joint", 1, 1, {"elbo": -1.0})) is None


def test_completion_is_offered(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["--help"]) == 0
    assert "--install-completion" in capsys.readouterr().out
