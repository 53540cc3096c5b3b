"""A scoring that is stopped goes on to the same bytes; one of other things is refused."""

import errno
import json
import sys
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import xarray as xr
from cli_spies import save_run, untrained
from gmvae_cli import answer_files, app, progress, scoring
from gmvae_cli.drafts import Draft
from toys import SHAPE

from gmvae import Images
from gmvae.posterior import work
from gmvae.support import files

COMMANDS = {
    "a.csv": "classify --columns all",
    "a.parquet": "classify",
    "a.json": "classify --columns log_prob",
    "b.csv": "classify --columns label",
    "z.npz": "encode",
    "z.npy": "encode",
    "r.npz": "reconstruct",
    "r.npy": "reconstruct",
    "p.nc": "posterior --weights --draws 50",
}
GO_ON = "Go on: the same command with --resume.\n"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Two models and two files of 23 images, of which five are scored at a time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gmvae.gmvae.ROWS", 5)
    monkeypatch.setattr("gmvae.posterior.work._IMAGES", 5)
    monkeypatch.setattr(scoring, "SILENT", 600.0)
    for seed, name in enumerate(("run", "other")):
        save_run(Path(name), untrained(seed), data=f"{name}.npy")
        rng = np.random.default_rng(seed)
        np.save(f"{name}.npy", rng.integers(0, 256, (23, *SHAPE[1:]), dtype=np.uint8))


def run(command, output, *more, data="run.npy", model="run"):
    return app.run([*command.split(), data, "--model", model, "-o", output, *more])


def content(path):
    """The bytes of a file; of a zip archive, which says when it was written, those in it."""
    if not path.endswith(".npz"):
        return Path(path).read_bytes()
    with ZipFile(path) as archive:
        return [archive.read(name) for name in archive.namelist()]


def at_block(monkeypatch, number, error, between=0.0):
    """The answers of that block are the last to come; every ``between`` seconds they are saved."""
    monkeypatch.setattr(scoring, "BETWEEN", between)
    add, blocks = Draft.add, iter(range(1, 100))

    def stopped(self, *arguments):
        add(self, *arguments)
        if next(blocks) == number:
            raise error

    monkeypatch.setattr(Draft, "add", stopped)
    return lambda: monkeypatch.setattr(Draft, "add", add)


@pytest.mark.parametrize("output", COMMANDS)
def test_a_stopped_scoring_goes_on_to_the_same_bytes(output, monkeypatch, capsys):
    assert run(COMMANDS[output], output) == 0
    whole = content(output)
    Path(output).unlink()
    mend = at_block(monkeypatch, 3, KeyboardInterrupt())
    assert run(COMMANDS[output], output) == 130
    said = f"Error: interrupted; the answers for 15 of 23 images are kept. {GO_ON}"
    assert capsys.readouterr().err == said
    mend()
    assert not Path(output).exists()
    assert run(COMMANDS[output], output, "--resume") == 0
    assert content(output) == whole
    assert not list(Path().glob(".*"))


def test_a_process_that_is_killed_goes_on_after_what_it_saved(monkeypatch):
    """A batch that was half written counts for nothing."""
    assert run("encode", "whole.npy") == 0

    class Killed(BaseException):
        """Nothing is said and nothing cleared."""

    mend = at_block(monkeypatch, 3, Killed())
    with monkeypatch.context() as patch:
        patch.setattr(scoring.shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(Killed):
            run("encode", "z.npy")
    mend()
    folder = Path(".z.npy.partial")
    assert json.loads((folder / "saved.json").read_text())["rows"] == 10
    with (folder / "Z.npy").open("ab") as file:
        file.write(b"half a ro")
    assert run("encode", "z.npy", "--resume") == 0
    assert content("z.npy") == content("whole.npy")


@pytest.mark.parametrize(
    ("command", "options", "message"),
    [
        (
            "classify --columns label",
            {},
            "model and DATA and columns and number of processes as before; got ",
        ),
        ("classify", {"data": "other.npy"}, "as before; got another DATA."),
        ("classify", {"model": "other"}, "as before; got another model."),
    ],
)
def test_other_things_are_not_gone_on_with(command, options, message, monkeypatch, capsys):
    mend = at_block(monkeypatch, 2, KeyboardInterrupt())
    assert run("classify", "a.csv") == 130
    mend()
    capsys.readouterr()
    assert run(command, "a.csv", "--resume", **options) == 2
    assert message in capsys.readouterr().err
    assert Path(".a.csv.partial").exists()
    assert run("classify", "a.csv", "--resume") == 0


@pytest.mark.parametrize(
    ("options", "other"),
    [
        ("--draws 26", "--draws"),
        ("--starts 5", "--starts"),
        ("--rounds 9", "--rounds"),
        ("--hmc-draws 499", "--hmc-draws"),
        ("--weights", "--weights"),
        ("--seed 1", "--seed"),
    ],
)
def test_other_draws_are_not_gone_on_with(options, other, monkeypatch, capsys):
    usual = "posterior --draws 25"
    mend = at_block(monkeypatch, 2, KeyboardInterrupt())
    assert run(usual, "p.nc") == 130
    mend()
    capsys.readouterr()
    assert run(f"{usual} {options}", "p.nc", "--resume") == 2
    assert f"as before; got another {other}. Give what was given" in capsys.readouterr().err
    assert run(usual, "p.nc", "--resume", data="other.npy") == 2
    assert "as before; got another DATA." in capsys.readouterr().err
    assert Path(".p.nc.partial").exists()


def test_the_figures_are_of_what_was_done_before_too(monkeypatch, capsys):
    """Of draws, arrays and lines nothing tells that the work was stopped twice."""
    usual = "posterior --draws 50 --json"
    assert run(usual, "p.nc") == 0
    said = capsys.readouterr().out
    with xr.open_datatree("p.nc", engine="h5netcdf") as tree:
        whole = tree.load()
    Path("p.nc").unlink()
    for more in ([], ["--resume"]):
        mend = at_block(monkeypatch, 2, KeyboardInterrupt())
        assert run(usual, "p.nc", *more) == 130
        mend()
    assert "the answers for 20 of 23 images" in capsys.readouterr().err
    assert run(usual, "p.nc", "--resume") == 0
    assert capsys.readouterr().out == said
    with xr.open_datatree("p.nc", engine="h5netcdf") as tree:
        assert tree.load().identical(whole)
    assert not list(Path().glob(".*"))


def test_only_what_is_missing_is_worked_out(monkeypatch):
    mend = at_block(monkeypatch, 3, KeyboardInterrupt())
    assert run("posterior", "p.nc") == 130
    mend()
    answer, sizes = work.Batch.answer, []
    monkeypatch.setattr(
        work.Batch, "answer", lambda self: sizes.append(len(self.target)) or answer(self)
    )
    assert run("posterior", "p.nc", "--resume") == 0
    assert sizes == [5, 3]


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (KeyboardInterrupt(), 130, "interrupted; the answers for 23 of 23 images are kept."),
        (OSError(errno.ENOSPC, "HDF5's\nown"), 1, "saved (No space left on device); what was"),
    ],
)
def test_a_file_that_could_not_be_written_is_written_from_the_draft(
    error, code, message, monkeypatch, capsys
):
    """Hours of work are not lost in the last second."""
    monkeypatch.setattr(scoring, "BETWEEN", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr("gmvae.posterior.files._declare", raising(error))
        assert run("posterior", "p.nc") == code
    said = capsys.readouterr().err
    assert message in said
    assert said.endswith(GO_ON)
    monkeypatch.setattr(work.Batch, "answer", None)
    assert run("posterior", "p.nc", "--resume") == 0
    assert not list(Path().glob(".*"))


def raising(error):
    def stopped(*_):
        raise error

    return stopped


def test_what_has_been_moved_away_is_not_kept(monkeypatch, capsys):
    """The only column is in the file that was not to be."""
    sync = files._sync

    def stopped(path):
        if path.name == "z.npy":
            raise KeyboardInterrupt
        sync(path)

    monkeypatch.setattr(files, "_sync", stopped)
    assert run("encode", "z.npy") == 130
    assert "kept" not in capsys.readouterr().err
    assert not list(Path().glob(".*"))


def test_nothing_to_go_on_with(capsys):
    assert run("encode", "z.npy", "--resume") == 2
    assert "got z.npy, of which nothing is kept. Leave --resume out." in capsys.readouterr().err


def test_a_spoilt_draft_is_refused_and_begun_anew(monkeypatch, capsys):
    mend = at_block(monkeypatch, 2, KeyboardInterrupt())
    assert run("encode", "z.npy") == 130
    mend()
    path = Path(".z.npy.partial/Z.npy")
    path.write_bytes(path.read_bytes()[:-1])
    assert run("encode", "z.npy", "--resume") == 2
    assert "which is spoilt (Z.npy is too short). Begin anew" in capsys.readouterr().err
    assert run("encode", "z.npy") == 0
    assert np.load("z.npy").shape == (23, 2)


def test_what_an_older_scoring_saved_is_not_taken_for_the_new_ones(monkeypatch):
    mend = at_block(monkeypatch, 3, KeyboardInterrupt())
    assert run("encode", "z.npy") == 130
    mend()
    Path(".z.npy.partial/.saved.json-killed").mkdir()
    monkeypatch.setattr(scoring, "BETWEEN", 600.0)
    with scoring.scored(
        scoring.Scoring(Path("z.npy"), Path("run"), Images(np.zeros((23, *SHAPE), np.uint8))),
        lambda first: iter([{"Z": np.zeros((23, 2), np.float32)}]),
    ) as begun:
        assert [path.name for path in begun.folder.iterdir()] == ["Z.npy"]


def test_a_name_may_be_long():
    """A file's name has room for 255 bytes."""
    long = f"{'z' * 240}.npy"
    assert run("encode", long) == 0
    assert np.load(long).shape == (23, 2)


def test_a_full_disk_keeps_what_was_saved(monkeypatch, capsys):
    mend = at_block(monkeypatch, 3, OSError(errno.ENOSPC, "No space left on device"))
    assert run("encode", "z.npy") == 1
    said = capsys.readouterr().err
    assert "the answers for z.npy could not be saved (No space left on device);" in said
    assert said.endswith(GO_ON)
    mend()
    assert run("encode", "z.npy", "--resume") == 0


@pytest.mark.parametrize("error", [ValueError("x"), OSError(errno.ENOSPC, "full")])
def test_other_failures_leave_nothing(error, monkeypatch):
    """Neither does a full disk where nothing was saved."""
    at_block(monkeypatch, 2, error, between=60)
    assert run("encode", "z.npy") == 1
    assert not list(Path().glob(".*"))


def test_one_process_writes_a_file(capsys):
    pytest.importorskip("fcntl")
    draft = Draft(Path(".z.npy.partial"), 23)
    assert run("encode", "z.npy") == 2
    assert "that no other process is writing; got one that is being" in capsys.readouterr().err
    draft.unlock()
    assert run("encode", "z.npy") == 0


def test_reconstructions_of_both_kinds_are_the_same():
    assert run("reconstruct", "r.npz") == run("reconstruct", "r.npy") == 0
    with np.load("r.npz") as arrays:
        assert np.array_equal(arrays["data"], np.load("r.npy"))


def test_labels_alone_ask_for_no_views(monkeypatch, capsys):
    monkeypatch.setattr("gmvae.answers.honest", None)
    assert run("classify --columns label --json", "a.csv") == 0
    records = json.loads(capsys.readouterr().out)["components"]
    assert sum(record["images"] for record in records) == 23
    assert {record["probability"] for record in records} == {None}


@pytest.mark.parametrize("suffix", [".csv", ".json", ".npz", ".parquet"])
def test_a_table_in_parts_is_the_table(suffix, monkeypatch):
    rng = np.random.default_rng(0)
    columns = {"Row": np.arange(8), "L": np.array(list("abcdefgh")), "Z": rng.random((8, 2))}
    answer_files.write_table(Path(f"whole{suffix}"), columns)
    monkeypatch.setattr(answer_files, "ROWS", 3)
    answer_files.write_table(Path(f"parts{suffix}"), columns)
    if suffix in (".csv", ".json"):
        assert Path(f"parts{suffix}").read_bytes() == Path(f"whole{suffix}").read_bytes()
    elif suffix == ".npz":
        with np.load("parts.npz", allow_pickle=False) as arrays:
            assert all(np.array_equal(arrays[name], columns[name]) for name in columns)
    else:
        pq = pytest.importorskip("pyarrow.parquet")
        assert pq.read_table("parts.parquet").equals(pq.read_table("whole.parquet"))
        assert pq.ParquetFile("parts.parquet").num_row_groups == 3
    if suffix == ".json":
        rows = json.loads(Path("parts.json").read_text())
        assert Path("parts.json").read_text() == json.dumps(rows, indent=1) + "\n"


def test_what_does_not_become_smaller_is_not_compressed():
    columns = {"noise": np.random.default_rng(0).bytes(4_000), "zeros": bytes(4_000)}
    arrays = {name: np.frombuffer(values, np.uint8) for name, values in columns.items()}
    answer_files.write_table(Path("a.npz"), arrays)
    assert 4_000 < Path("a.npz").stat().st_size < 4_700
    with np.load("a.npz") as found:
        assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_images_are_told_apart():
    pixels = np.random.default_rng(0).integers(0, 256, (5, *SHAPE), dtype=np.uint8)
    digest = scoring.digest_of(Images(pixels))
    assert digest == scoring.digest_of(Images(pixels.copy()))
    others = pixels.copy()
    others[4] += 1
    files = np.array(list("abcde"))
    for other in (Images(others), Images(pixels[:4]), Images(pixels, files=files)):
        assert scoring.digest_of(other) != digest


@pytest.mark.parametrize("terminal", [False, True])
def test_how_far_it_has_come_is_said(terminal, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    show = progress.rate_lines(0.0)
    for done in range(100, 2_001, 100):
        show(done, 2_000, 50.0)
    shown = capsys.readouterr().err
    lines = shown.replace("\r", "\n").strip().splitlines()
    assert len(lines) == (20 if terminal else 10)
    assert lines[-1].strip() == "2,000/2,000 images, 50.0 a second, 0 s left"
    assert "1,000/2,000 images, 50.0 a second, 20 s left" in shown
    assert shown.endswith("\n")


def test_the_rate_is_said_after_a_while(capsys, monkeypatch):
    clock = iter([0.0, 1.0, 3.0, 4.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    show = progress.rate_lines(2.0)
    for done in (1_000, 1_500, 2_000):
        show(done, 2_000, 1_234.5)
    assert capsys.readouterr().err.splitlines() == [
        "1,500/2,000 images, 1,234.5 a second, 0 s left",
        "2,000/2,000 images, 1,234.5 a second, 0 s left",
    ]
