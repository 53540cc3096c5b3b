"""Files are whole or absent."""

import errno
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gmvae.support import files
from gmvae.support.files import replacing


def entries(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


@pytest.mark.parametrize("old", [None, "old"])
def test_a_file_appears_when_the_block_ends(tmp_path, old):
    path = tmp_path / "deep" / "a.txt"
    if old is not None:
        path.parent.mkdir()
        path.write_text(old)
    with replacing(path) as draft:
        assert draft.suffix == ".txt"
        draft.write_text("new")
        assert (path.read_text() if path.exists() else None) == old
    assert path.read_text() == "new"
    assert entries(tmp_path) == ["deep", "deep/a.txt"]


@pytest.mark.parametrize("name", ["run", "replaced", "old"])
def test_a_folder_is_replaced_whole(tmp_path, name):
    path = tmp_path / name
    path.mkdir()
    (path / "stale").write_text("")
    with replacing(str(path)) as draft:
        draft.mkdir()
        (draft / "fresh").write_text("")
        assert (path / "stale").exists()
    assert entries(tmp_path) == [name, f"{name}/fresh"]


def without_exchange(monkeypatch):
    """As on a system that cannot rename but by one name."""
    monkeypatch.setattr(files, "_renamed", lambda *_: False)


def write_run(path, text):
    path.mkdir()
    (path / "model").write_text(text)


def overwrite(path, text):
    with replacing(path) as draft:
        write_run(draft, text)


def test_a_move_that_fails_leaves_the_old_folder_and_names_the_new_one(tmp_path, monkeypatch):
    without_exchange(monkeypatch)
    write_run(tmp_path / "run", "old")

    def refuse(*_):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="no space left") as error:
        overwrite(tmp_path / "run", "new")
    assert f"whole, in {tmp_path / 'run-1'}: move it" in str(error.value)
    assert (tmp_path / "run" / "model").read_text() == "old"
    assert (tmp_path / "run-1" / "model").read_text() == "new"
    assert entries(tmp_path) == ["run", "run-1", "run-1/model", "run/model"]


def test_a_result_that_can_be_moved_nowhere_stays_where_it_is(tmp_path, monkeypatch):
    """A mount point, or a folder that may be written no more."""
    without_exchange(monkeypatch)

    def refuse(*_):
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="Device or resource busy") as error:
        overwrite(tmp_path / "run", "new")
    (model,) = tmp_path.rglob("model")
    assert model.read_text() == "new"
    assert str(model.parent) in str(error.value)


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("at", ["before", "after"])
def test_an_interruption_at_any_rename_leaves_one_of_the_two(tmp_path, monkeypatch, exchange, at):
    if not exchange:
        without_exchange(monkeypatch)
    rename, renamed = Path.rename, files._renamed

    def interrupted(step):
        def interrupt(*arguments):
            if at == "after":
                step(*arguments)
            monkeypatch.setattr(Path, "rename", rename)  # once
            raise KeyboardInterrupt

        return interrupt

    if exchange:
        monkeypatch.setattr(files, "_renamed", interrupted(renamed))
    else:
        monkeypatch.setattr(Path, "rename", interrupted(rename))
    write_run(tmp_path / "run", "old")
    with pytest.raises(KeyboardInterrupt):
        overwrite(tmp_path / "run", "new")
    complete = "new" if exchange and at == "after" else "old"
    assert (tmp_path / "run" / "model").read_text() == complete
    assert entries(tmp_path) == ["run", "run/model"]


@pytest.mark.parametrize("start", ["announced", "replaced"])
def test_a_kill_between_two_renames_is_repaired_at_the_next_start(tmp_path, monkeypatch, start):
    without_exchange(monkeypatch)
    write_run(tmp_path / "run", "old")
    code = """
import os, signal, sys
from pathlib import Path
from gmvae.support import files

files._renamed = lambda *_: False
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
with files.replacing(sys.argv[1]) as draft:
    draft.mkdir()
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "run").exists()
    if start == "announced":
        files.announce(tmp_path / "run")
        assert (tmp_path / "run" / "model").read_text() == "old"
    with replacing(tmp_path / "run") as draft:
        assert (tmp_path / "run" / "model").read_text() == "old"
        write_run(draft, "new")
    assert (tmp_path / "run" / "model").read_text() == "new"


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("old", [None, "old"])
def test_a_folder_that_another_wrote_meanwhile_is_kept_and_so_is_the_result(
    tmp_path, announced, old
):
    path = tmp_path / "run"
    if old:
        write_run(path, old)
    if announced:
        files.announce(path)
        overwrite_by_another(path)

    def work():
        with replacing(path) as draft:
            write_run(draft, "mine")
            if not announced:
                overwrite_by_another(path)

    with pytest.raises(FileExistsError, match="another made or changed it meanwhile") as error:
        work()
    assert (path / "model").read_text() == "another's"
    assert (tmp_path / "run-1" / "model").read_text() == "mine"
    assert str(tmp_path / "run-1") in str(error.value)
    assert entries(tmp_path) == ["run", "run-1", "run-1/model", "run/model"]


def overwrite_by_another(path):
    path.mkdir(exist_ok=True)
    (path / "model").write_text("another's")


@pytest.mark.parametrize("old", [None, "old"])
def test_a_file_that_came_meanwhile_is_kept(tmp_path, old):
    path = tmp_path / "labels.csv"
    (tmp_path / "labels-1.csv").write_text("of an earlier conflict")
    if old:
        path.write_text(old)

    def work():
        with replacing(path) as draft:
            draft.write_text("mine")
            path.write_text("another's")

    with pytest.raises(FileExistsError, match=r"labels-2\.csv: move it from there"):
        work()
    assert path.read_text() == "another's"
    assert (tmp_path / "labels-1.csv").read_text() == "of an earlier conflict"
    assert (tmp_path / "labels-2.csv").read_text() == "mine"


def test_what_was_announced_is_replaced(tmp_path):
    write_run(tmp_path / "run", "old")
    files.announce(tmp_path / "run")
    overwrite(tmp_path / "run", "new")
    assert (tmp_path / "run" / "model").read_text() == "new"
    (tmp_path / "empty").mkdir()
    files.announce(tmp_path / "empty")
    overwrite(tmp_path / "empty", "new")
    assert entries(tmp_path) == ["empty", "empty/model", "run", "run/model"]


@pytest.mark.parametrize("name", ["n" * 250, "ä" * 120, "a*b[c]?" * 10])
def test_a_long_name_can_be_written(tmp_path, name):
    overwrite(tmp_path / name, "new")
    overwrite(tmp_path / name, "newer")
    assert (tmp_path / name / "model").read_text() == "newer"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_full_disk_names_the_path(tmp_path):
    def fill():
        with replacing(tmp_path / "a.csv"):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left") as error:
        fill()
    assert error.value.filename == str(tmp_path / "a.csv")


def test_what_is_moved_is_on_the_disk_before(tmp_path, monkeypatch):
    events = []
    sync, move = os.fsync, files._move

    def synced(number):
        events.append(Path(os.readlink(f"/proc/self/fd/{number}")).name)
        sync(number)

    def moved(*arguments):
        events.append("moved")
        move(*arguments)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(files, "_move", moved)
    overwrite(tmp_path / "run", "new")
    assert events == ["model", "run", "moved", tmp_path.name]


@pytest.mark.parametrize("is_folder", [False, True])
def test_a_block_that_fails_leaves_everything_as_it_was(tmp_path, is_folder):
    path = tmp_path / "a"
    path.write_text("old")

    def fail():
        with replacing(path) as draft:
            if is_folder:
                draft.mkdir()
                (draft / "half").write_text("")
            else:
                draft.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert entries(tmp_path) == ["a"]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied"), r" \(Permission denied\)"),
        (FileNotFoundError(), ""),
    ],
)
def test_a_folder_where_nothing_can_be_made_is_named(tmp_path, monkeypatch, error, said):
    def refuse(**_):
        raise error

    monkeypatch.setattr(files.tempfile, "mkdtemp", refuse)
    where = re.escape(str(tmp_path))
    expected = rf"^{where} cannot be written{said}. Choose another folder.$"
    with pytest.raises(PermissionError, match=expected), replacing(tmp_path / "a"):
        pass


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a"):
        pass
    assert entries(tmp_path) == []


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="is not a folder"), replacing(tmp_path / "file/a"):
        pass
