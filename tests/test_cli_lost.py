"""``gmvae train`` on a disk that fills up, or whose folders vanish: what was saved is whole."""

import errno
import os
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from gmvae_cli import app, unfinished

from gmvae.training import checkpoint

QUICK = ["--effort", "quick", "--epochs", "2", "--warmup-epochs", "2", "-o", "run"]
FOLDER = Path(".run.unfinished")
GO_ON = "what was saved before is kept. Go on: gmvae train --resume run"


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch):
    monkeypatch.setattr("gmvae_cli.run_folder.draw", lambda *_, **__: {})


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The bytes of a run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("undisturbed")
    assert app.run(["train", *QUICK[:-1], str(folder / "run")]) == 0
    return contents(folder / "run")


@pytest.fixture
def disk(tmp_path):
    """The folder of a disk of 20 MB, which ends with the test."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=20m", "tmpfs", str(place)]
    if os.name != "posix" or not shutil.which("mount"):
        pytest.skip("this system has no mount")
    mounted = subprocess.run(command, capture_output=True, check=False, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield place
    os.chdir(tmp_path)
    subprocess.run(["umount", str(place)], check=True)


def contents(folder):
    return [(folder / name).read_bytes() for name in ("model.safetensors", "history.csv")]


def at_step(monkeypatch, number, act):
    """At that step of the training something happens."""
    steps, kept = iter(range(1, 10_000)), unfinished.kept

    @contextmanager
    def disturbed(folder, output):
        with kept(folder, output) as stop:

            def asked():
                if next(steps) == number:
                    act()
                return stop()

            yield asked

    monkeypatch.setattr(unfinished, "kept", disturbed)


def fill():
    """Write until the disk is full."""
    with Path("filler").open("wb", 0) as file, suppress(OSError):
        while True:
            file.write(bytes(2**16))


def test_a_full_disk_is_one_line_and_what_was_saved_is_whole(
    disk, undisturbed, monkeypatch, capsys
):
    monkeypatch.chdir(disk)
    with monkeypatch.context() as patch:
        at_step(patch, 8, fill)
        assert app.run(["train", *QUICK]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("Error: the run could not be saved (No space left on device")
    assert line.endswith(GO_ON)
    assert sorted(path.name for path in disk.iterdir()) == [".run.unfinished", "filler"]
    Path("filler").unlink()
    assert app.run(["train", "--resume", "run"]) == 0
    assert contents(Path("run")) == undisturbed
    assert sorted(path.name for path in disk.iterdir()) == ["run"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_disk_that_fails_while_it_writes(tmp_path, undisturbed, monkeypatch, capsys, code):
    """As above where no disk can be mounted: half of a file is written, then the system fails."""
    monkeypatch.chdir(tmp_path)
    write, calls = checkpoint.write_tensors, []

    def failing(path, tensors, record):
        calls.append(path)
        write(path, tensors, record)
        if len(calls) == 4:
            os.truncate(path, path.stat().st_size // 2)
            raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "write_tensors", failing)
        assert app.run(["train", *QUICK]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"Error: the run could not be saved ({os.strerror(code)}")
    assert line.endswith(GO_ON)
    kept = sorted(path.name for path in FOLDER.iterdir())
    assert kept == ["asked.json", "checkpoint-000002.safetensors", "checkpoint-000003.safetensors"]
    assert app.run(["train", "--resume", "run"]) == 0
    assert contents(Path("run")) == undisturbed


def test_a_disk_that_is_full_at_the_end_keeps_what_was_trained(
    tmp_path, undisturbed, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)

    def full(*arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "run/history.csv")

    with monkeypatch.context() as patch:
        patch.setattr("gmvae_cli.run_folder.write_history", full)
        assert app.run(["train", *QUICK]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    words = "(No space left on device: run/history.csv)"
    assert line == f"Error: the run could not be saved {words}; {GO_ON}"
    assert [path.name for path in tmp_path.iterdir()] == [".run.unfinished"]
    assert app.run(["train", "--resume", "run"]) == 0
    # Nothing was trained again.
    assert "joint" not in capsys.readouterr().err
    assert contents(Path("run")) == undisturbed


@pytest.mark.parametrize("vanished", [".run.unfinished", "."], ids=["its own", "all around"])
def test_a_folder_that_vanishes_costs_nothing(tmp_path, undisturbed, monkeypatch, vanished):
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(tmp_path)
    with monkeypatch.context() as patch:
        at_step(patch, 8, lambda: shutil.rmtree(place / vanished))
        assert app.run(["train", *QUICK[:-1], "place/run"]) == 0
    assert contents(place / "run") == undisturbed
    assert [path.name for path in place.iterdir()] == ["run"]


def test_vanished_and_then_interrupted_it_still_goes_on(tmp_path, undisturbed, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def vanish():
        shutil.rmtree(FOLDER)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        at_step(patch, 8, vanish)
        assert app.run(["train", *QUICK]) == 130
    assert "Go on: gmvae train --resume run" in capsys.readouterr().err
    assert app.run(["train", "--resume", "run"]) == 0
    assert contents(Path("run")) == undisturbed


def test_a_checkpoint_is_moved_only_when_it_is_whole(tmp_path, monkeypatch):
    """What a kill leaves of one that is being written has no name that is looked for."""
    names = []
    replacing = checkpoint.replacing

    @contextmanager
    def watched(path):
        with replacing(path) as draft:
            yield draft
            names.append(sorted(p.name for p in path.parent.glob("checkpoint-*")))
            assert draft.parent != path.parent

    monkeypatch.setattr(checkpoint, "replacing", watched)
    monkeypatch.chdir(tmp_path)
    assert app.run(["train", *QUICK]) == 0
    assert names[:2] == [[], ["checkpoint-000001.safetensors"]]
