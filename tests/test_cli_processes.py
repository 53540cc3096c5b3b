"""`gmvae train` under torchrun: the first process speaks and writes."""

import os
import subprocess
import sys

import pytest
from gmvae_cli import app, processes

from gmvae.support.errors import ArgumentError, InterruptedRunError

TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
TRAIN = ["train", "digits", "--classes", "1,4,8", "--components", "3", "--effort", "quick"]


@pytest.fixture
def second(monkeypatch):
    """This is the second of two processes."""
    for name, value in {"RANK": 1, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "one")


def test_a_process_alone_is_the_first(monkeypatch):
    # Of another program's making.
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert processes.n_processes() == 1
    assert processes.is_first()
    assert processes.launched("cpu", 3) is None


@pytest.mark.usefixtures("second")
class TestTheSecondOfTwo:
    def test_it_knows(self):
        assert processes.n_processes() == 2
        assert not processes.is_first()

    @pytest.mark.parametrize("arguments", [["classify"], ["select", "digits"], []])
    def test_only_train_is_shared(self, arguments, capsys):
        assert app.run(arguments) == 2
        assert "Error: torchrun expected train; got" in capsys.readouterr().err

    def test_restarts_are_processes_already(self):
        with pytest.raises(ArgumentError, match=r"`--restarts` expected 1 under torchrun; got 3"):
            processes.launched("cpu", 3)

    def test_without_fabric_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "lightning_fabric", None)
        with pytest.raises(ArgumentError, match=r"pip install 'gmvae\[distributed\]'"):
            processes.launched("cpu", 1)

    def test_it_says_nothing_of_an_interruption_and_hears_no_signal(self, monkeypatch):
        ignored = []
        monkeypatch.setattr(processes.signal, "signal", lambda *pair: ignored.append(pair))
        with pytest.raises(processes.typer.Exit), processes.following():
            raise InterruptedRunError("interrupted")
        signals = processes.signal
        assert ignored == [
            (signals.SIGINT, signals.SIG_IGN),
            (signals.SIGTERM, signals.SIG_IGN),
        ]


def test_two_processes_write_one_run_folder(tmp_path):
    pytest.importorskip("lightning_fabric", reason="gmvae[distributed] is not installed")
    done = subprocess.run(
        [sys.executable, *TORCHRUN, "-m", "gmvae", *TRAIN, "-o", "two"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert os.listdir(tmp_path) == ["two"]
    assert done.stdout.count("Accuracy") == done.stdout.count("two/report.html") == 1
    assert done.stderr.count("start 1/1") == done.stderr.count("joint 12/12") == 1
    assert "Initializing" not in done.stderr
