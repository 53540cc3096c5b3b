"""Scratch folders go: with their block, or once their process is dead."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from gmvae.support import scratch

HOLDS_ONE = """
import time
from gmvae.support.scratch import scratch_folder
with scratch_folder() as folder:
    (folder / "weights").write_bytes(b"much")
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder that stands for the system's temporary one."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def process(temporary):
    """Another process that is at work in a scratch folder, and this folder, made long ago."""
    environment = {**os.environ, "TMPDIR": str(temporary)}
    command = [sys.executable, "-c", HOLDS_ONE]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as started:
        folder = Path(started.stdout.readline().strip())
        age(folder)
        yield started, folder
        started.kill()


def age(folder):
    os.utime(folder, (time.time() - 3_600,) * 2)


def test_a_folder_goes_with_its_block(temporary):
    with scratch.scratch_folder() as folder:
        (folder / "weights").write_bytes(b"much")
        assert folder.parent == temporary
    with pytest.raises(KeyboardInterrupt), scratch.scratch_folder():
        raise KeyboardInterrupt
    assert list(temporary.iterdir()) == []


def test_that_of_a_killed_process_goes_at_the_next_start(process, temporary):
    started, folder = process
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert (folder / "weights").is_file()
    with scratch.scratch_folder() as next_folder:
        assert list(temporary.iterdir()) == [next_folder]


def test_that_of_a_living_process_stays(process):
    _, folder = process
    scratch.clear_left_folders()
    assert (folder / "weights").read_bytes() == b"much"


def test_what_is_young_or_is_no_folder_of_ours_stays(temporary):
    names = [f"{scratch.PREFIX}young", f"{scratch.PREFIX}old", "another", "elsewhere"]
    young, old, another, elsewhere = (temporary / name for name in names)
    for folder in (young, old, another, elsewhere):
        folder.mkdir()
    (temporary / f"{scratch.PREFIX}link").symlink_to(elsewhere)
    for folder in (old, another, elsewhere):
        age(folder)
    scratch.clear_left_folders()
    assert [folder.exists() for folder in (young, old, another, elsewhere)] == [
        True,
        False,
        True,
        True,
    ]


def test_that_of_another_user_stays(temporary, monkeypatch):
    folder = temporary / f"{scratch.PREFIX}old"
    folder.mkdir()
    age(folder)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    scratch.clear_left_folders()
    assert folder.exists()
