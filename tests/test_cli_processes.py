"""Commands under torchrun: the first process speaks and writes, and rows are divided."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_spies import save_run, untrained
from gmvae_cli import app, device, entry, processes
from pages import TOP
from test_cli_scoring import content
from toys import SHAPE

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

    @pytest.mark.parametrize("arguments", [["posterior"], ["evaluate"], ["select", "digits"], []])
    def test_other_commands_are_not_shared(self, arguments, capsys):
        assert app.run(arguments) == 2
        said = capsys.readouterr().err
        assert "Error: torchrun expected train, classify, encode or reconstruct; got" in said
        assert said.count("\n") == 1

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

    def test_it_leaves_what_is_said_of_ctrl_c_to_the_first(self, monkeypatch, capsys):
        def interrupt(*_, **__):
            raise KeyboardInterrupt

        for answer in (interrupt, lambda *_, **__: 130):
            monkeypatch.setattr(app, "app", answer)
            assert app.run(["classify"]) == 130
            assert capsys.readouterr().err == ""
        monkeypatch.setenv("RANK", "0")
        assert app.run(["classify"]) == 130
        assert capsys.readouterr().err == "Error: interrupted; nothing was written.\n"

    def test_it_says_nothing_of_an_end_that_torchrun_brings(self, monkeypatch, capsys):
        def end(*_, **__):
            raise entry.EndedFromOutside(processes.signal.SIGTERM)

        monkeypatch.setattr(app, "app", end)
        assert app.run(["classify"]) == 143
        assert capsys.readouterr().err == ""
        monkeypatch.delenv("TORCHELASTIC_RUN_ID")
        with pytest.raises(entry.EndedFromOutside):
            app.run(["classify"])

    @pytest.mark.parametrize(
        ("named", "own"), [("cuda", "cuda:1"), ("cuda:0", "cuda:1"), ("cpu", "cpu")]
    )
    def test_it_takes_a_card_of_its_own(self, named, own, monkeypatch):
        monkeypatch.setenv("LOCAL_RANK", "1")
        monkeypatch.setattr(device, "named_device", lambda name: name)
        assert device.own_device(named) == own


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


@pytest.mark.parametrize("n", [1, 4, 5, 6, 23, 100])
@pytest.mark.parametrize("n_processes", [1, 2, 3, 8])
def test_every_row_is_one_process_s(n, n_processes):
    sharing = processes.Sharing()
    sharing.n = n_processes
    parts = [sharing.rows(n, 5, number) for number in range(n_processes)]
    assert [row for part in parts for row in part] == list(range(n))
    # A batch is never divided.
    assert all(part.start % 5 == 0 for part in parts if part)
    batches = [-(-len(part) // 5) for part in parts]
    assert max(batches) - min(batches) <= 1


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A model and 23 images: of five batches the first process has two, the second three."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gmvae.gmvae.ROWS", 5)
    save_run(Path("run"), untrained(), data="run.npy")
    rng = np.random.default_rng(0)
    np.save("run.npy", rng.integers(0, 256, (23, *SHAPE[1:]), dtype=np.uint8))


def asked(command, output, *more):
    return [*command.split(), "run.npy", "--model", "run", "-o", output, *more]


def shared(what, arguments):
    """What became of a command in two processes, where one meets with something."""
    return subprocess.run(
        [sys.executable, *TORCHRUN, str(TOP / "tests" / "sharing.py"), *what, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )


def errors_of(done):
    """What the processes have said of errors; torchrun's own report follows."""
    return [line for line in done.stderr.splitlines() if line.startswith("Error")]


KEPT = (
    "Error: interrupted; what each process has answered is kept. Go on: the same command with "
    "--resume."
)
NOTHING = ("nothing", "0", "1")


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    ("command", "output"),
    [
        # With the column of log p(x), which is drawn.
        ("classify --columns all", "a.csv"),
        ("encode", "z.npy"),
        ("reconstruct", "r.npz"),
    ],
)
def test_two_processes_write_the_file_of_one(command, output, capsys):
    assert app.run(asked(command, output)) == 0
    one, said = content(output), capsys.readouterr().out
    Path(output).unlink()
    done = shared(NOTHING, asked(command, output))
    assert (done.returncode, done.stdout) == (0, said), done.stderr
    assert content(output) == one
    assert not list(Path().glob(".*"))


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("number", ["0", "1"])
def test_where_one_process_fails_it_alone_says_so(number):
    done = shared(("fail", number, "2"), asked("encode", "z.npy"))
    assert done.returncode == 1
    assert errors_of(done) == [
        "Error: unexpected ValueError: of its own; run again with --debug for the traceback."
    ]
    assert done.stdout == ""
    assert not Path("z.npy").exists()


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(
    ("what", "said"),
    [
        (("be killed", "1", "3"), [KEPT]),
        (("interrupt", "0", "2"), [KEPT]),
        # While it adds what the other one, which has ended, has answered.
        (("be killed", "0", "4"), []),
    ],
)
def test_what_was_stopped_goes_on_in_as_many_processes(what, said, capsys):
    assert app.run(asked("classify --columns all", "one.csv")) == 0
    done = shared(what, asked("classify --columns all", "a.csv"))
    assert done.returncode != 0
    assert done.stdout == ""
    assert errors_of(done) == said
    assert not Path("a.csv").exists()

    capsys.readouterr()
    assert app.run(asked("classify --columns all", "a.csv", "--resume")) == 2
    assert "as before; got another number of processes." in capsys.readouterr().err

    done = shared(NOTHING, asked("classify --columns all", "a.csv", "--resume"))
    assert done.returncode == 0, done.stderr
    assert content("a.csv") == content("one.csv")
    assert not list(Path().glob(".*"))
