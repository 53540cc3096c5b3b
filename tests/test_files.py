"""Files are whole or absent."""

import re
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


def test_a_move_that_fails_gives_the_old_folder_back(tmp_path, monkeypatch):
    path = tmp_path / "run"
    path.mkdir()
    (path / "model").write_text("old")

    def refuse(*_):
        raise OSError("no space left")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="no space left"), replacing(path) as draft:
        draft.mkdir()
    assert (path / "model").read_text() == "old"
    assert entries(tmp_path) == ["run", "run/model"]


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
