"""Signals end the command line in one line, from its first moment on, and leave nothing behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from gmvae_cli import entry

# The entry point as installed, with SIGINT where a module is first asked for.
INTERRUPTED_AT = """
import sys
class Interrupt:
    def find_spec(self, name, *_):
        if name == {module!r}:
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
sys.argv = ["gmvae", "info", "--model", "absent"]
from importlib.metadata import EntryPoint
EntryPoint("gmvae", {target!r}, "console_scripts").load()()
"""
# A signal while a folder of restarts is open.
ENDED = """
import os, signal, sys
from gmvae_cli import app, entry
from gmvae.support.scratch import scratch_folder
def run(arguments):
    with scratch_folder() as folder:
        print(folder, flush=True)
        os.kill(os.getpid(), signal.{name})
        signal.pause()
app.run = run
entry.main()
"""


def target() -> str:
    """What pyproject.toml installs as ``gmvae``."""
    import tomllib

    text = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["scripts"]["gmvae"])


def done(code: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("module", ["typer", "gmvae_cli.app", "gmvae_cli.train", "gmvae.settings"])
def test_an_interruption_while_modules_are_read_is_one_line(module: str) -> None:
    ended = done(INTERRUPTED_AT.format(module=module, target=target()))
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == "Error: interrupted; nothing was written.\n"


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_to_end_is_one_line_and_clears_scratch(name: str, code: int) -> None:
    ended = done(ENDED.format(name=name))
    assert ended.returncode == code
    assert ended.stderr == f"Error: ended by {name}; nothing was written.\n"
    assert not Path(ended.stdout.strip()).exists()


def test_the_signals_of_the_process_are_left_as_they_were(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["gmvae", "--version"])
    before = [signal.getsignal(number) for number in entry.ENDING]
    with pytest.raises(SystemExit):
        entry.main()
    assert [signal.getsignal(number) for number in entry.ENDING] == before


def test_a_signal_that_is_ignored_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under nohup."""

    def run(arguments: list[str]) -> int:
        os.kill(os.getpid(), signal.SIGHUP)
        return 7

    monkeypatch.setattr("gmvae_cli.app.run", run)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit) as ended:
            entry.main()
    finally:
        signal.signal(signal.SIGHUP, before)
    assert ended.value.code == 7
