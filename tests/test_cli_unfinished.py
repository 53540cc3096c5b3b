"""``gmvae train`` stopped and gone on with: what is kept, what is said, and the same bytes."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from gmvae_cli import app, unfinished

from gmvae.support import locks
from gmvae.support.errors import ArgumentError

QUICK = ["--effort", "quick", "--epochs", "4", "--warmup-epochs", "4"]
FOLDER = Path(".run.unfinished")
GO_ON = "interrupted; what is done is kept. Go on: gmvae train --resume run"


@pytest.fixture(scope="module", autouse=True)
def no_pictures():
    """They take two seconds a run, and are tested elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gmvae_cli.run_folder.draw", lambda *_, **__: {})
        yield


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The run folder of a run that nobody stops."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    assert app.run(["train", *QUICK, "-o", str(folder)]) == 0
    return folder


def hears(monkeypatch, step, number=signal.SIGINT):
    """At that step of the training this process gets a signal."""
    steps = iter(range(1, 10_000))
    kept = unfinished.kept

    @contextmanager
    def heard(folder, output):
        with kept(folder, output) as stop:

            def asked():
                if next(steps) == step:
                    os.kill(os.getpid(), number)
                return stop()

            yield asked

    monkeypatch.setattr(unfinished, "kept", heard)


def same(folder, other):
    names = ("model.safetensors", "history.csv", "metrics.json")
    return all((folder / n).read_bytes() == (other / n).read_bytes() for n in names)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_run_and_resume_ends_it(here, undisturbed, monkeypatch, capsys, number):
    before = signal.getsignal(number)
    hears(monkeypatch, 7, number)
    assert app.run(["train", *QUICK, "-o", "run"]) == 130
    assert signal.getsignal(number) is before
    err = capsys.readouterr().err
    assert err.splitlines()[-1] == f"Error: {GO_ON}"
    assert not Path("run").exists()
    assert sorted(p.suffix for p in FOLDER.iterdir())[0] == ".json"
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert app.run(["train", "--resume", "run"]) == 0
    assert not FOLDER.exists()
    assert same(Path("run"), undisturbed)
    config = json.loads(Path("run/config.json").read_text())
    assert config["training"]["settings"]["effort"] == "quick"


def test_a_run_of_its_own_keeps_nothing_without_checkpoints(here, undisturbed):
    assert app.run(["train", *QUICK, "--no-checkpoint", "-o", "run"]) == 0
    assert [p.name for p in here.iterdir()] == ["run"]
    assert same(Path("run"), undisturbed)


def test_an_unfinished_run_is_not_lost_to_another_one(here, monkeypatch, capsys):
    hears(monkeypatch, 1)
    assert app.run(["train", *QUICK, "-o", "run"]) == 130
    capsys.readouterr()
    assert app.run(["train", *QUICK, "-o", "run"]) == 2
    assert capsys.readouterr().err == (
        "Error: `--output` expected a folder without an unfinished run; got run. Go on with it: "
        "gmvae train --resume run, or begin anew with --force.\n"
    )
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert app.run(["train", *QUICK, "-o", "run", "--force"]) == 0
    assert [p.name for p in here.iterdir()] == ["run"]


def test_before_anything_is_kept_nothing_is(here, monkeypatch, capsys):
    """A second signal, or one in a phase without steps, ends it at once."""

    def interrupted(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("gmvae.training.restarts.fit", interrupted)
    assert app.run(["train", *QUICK, "-o", "run"]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "Error: interrupted; nothing was written."
    assert list(here.iterdir()) == []


def test_what_was_asked_for_comes_back(here):
    asked = unfinished.AskedTraining(
        data=None,
        val="/images/val.npz",
        classes=(1, 4),
        labels=3,
        settings={"lr": 0.25, "epochs": None},
        restarts=2,
        jobs=None,
        device="cpu",
        data_root=Path("/root"),
        output=Path("runs/mine"),
        force=False,
    )
    folder = unfinished.begin(asked)
    assert folder == here / "runs" / ".mine.unfinished"
    assert unfinished.asked_for(Path("runs/mine"), unfinished.AskedTraining) == asked
    unfinished.end(folder)
    assert not folder.exists()


def test_nothing_to_go_on_with(here):
    with pytest.raises(ArgumentError, match="`--resume` expected the folder of an unfinished run"):
        unfinished.asked_for(Path("run"), unfinished.AskedTraining)
    FOLDER.mkdir()
    (FOLDER / unfinished.ASKED).write_text("[1, 2")
    with pytest.raises(ArgumentError, match=r"asked.json, which is spoilt .* Begin anew"):
        unfinished.asked_for(Path("run"), unfinished.AskedTraining)
    (FOLDER / unfinished.ASKED).write_text('{"data": 1}')
    with pytest.raises(ArgumentError, match="which is spoilt"):
        unfinished.asked_for(Path("run"), unfinished.AskedTraining)


def test_why_there_is_nothing_to_go_on_with(here, undisturbed, capsys):
    for argument, why in (
        (str(undisturbed), "which is whole: that run has ended. Use it, or train into another"),
        ("typo", "of which none is kept. Unfinished there: run."),
    ):
        FOLDER.mkdir(exist_ok=True)
        assert app.run(["train", "--resume", argument]) == 2
        assert why in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "named"), [(["digits"], "DATA"), (["--lr", "1"], "--lr"), (["-o", "x"], "--output")]
)
def test_resume_stands_alone(here, capsys, typed, named):
    assert app.run(["train", "--resume", "run", *typed]) == 2
    assert capsys.readouterr().err == (
        "Error: `--resume` expected to stand alone, since a run goes on as it was asked for; got "
        f"{named}, too. Leave it out, or begin another run.\n"
    )


def test_other_commands_say_that_a_run_has_not_ended(here, capsys):
    FOLDER.mkdir()
    (FOLDER / unfinished.ASKED).write_text("{}")
    assert app.run(["info", "--model", "run"]) == 2
    assert capsys.readouterr().err == (
        "Error: `--model` expected a run folder; got run, whose run has not ended. Go on with it: "
        "gmvae train --resume run\n"
    )


# The libraries are read once, and each run is a fork of this process. Saved 20 times a second, it
# is killed while it writes as often as not.
KILLED = """
import functools, os, random, signal, sys, time
from pathlib import Path
from gmvae_cli import app, run_folder
from gmvae.diagnostics import evaluation
from gmvae.training import checkpoint, fitting, restarts
fitting.Checkpoints = functools.partial(checkpoint.Checkpoints, every=0.05)
run_folder.draw = lambda *_: {}
rng, kills, ended = random.Random(0), 0, 0
anew = [*sys.argv[1:], "-o", "run"]
arguments = anew
while kills < 10 or arguments != anew:
    child = os.fork()
    if child == 0:
        os._exit(app.run(["train", *arguments]))
    if kills < 10:
        time.sleep(rng.uniform(0.2, 1.5))
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    kills += os.WIFSIGNALED(status)
    if Path("run").exists():
        Path("run").rename(f"run-{ended}")
        arguments, ended = anew, ended + 1
    elif Path(".run.unfinished/asked.json").exists():
        arguments = ["--resume", "run"]
print(kills, ended)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_killed_at_ten_random_moments_it_ends_in_the_same_bytes(here, undisturbed):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *QUICK], check=True, capture_output=True, timeout=300
    )
    kills, ended = map(int, done.stdout.split()[-2:])
    assert kills == 10
    assert ended >= 1
    for number in range(ended):
        assert same(Path(f"run-{number}"), undisturbed)
        # One that is killed after its last move leaves the empty folder in which it wrote.
        assert not [path for path in here.glob(".run*") if any(path.iterdir())]


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked there")
class TestARunThatIsGoingOn:
    """Another process trains into the folder: it is held from outside."""

    @pytest.fixture
    def going_on(self, here, monkeypatch):
        hears(monkeypatch, 7)
        assert app.run(["train", *QUICK, "-o", "run"]) == 130
        monkeypatch.undo()
        monkeypatch.chdir(here)
        descriptor = locks.lock(FOLDER)
        yield descriptor
        os.close(descriptor)

    @pytest.mark.parametrize(
        ("arguments", "option"),
        [
            (["-o", "run"], "--output"),
            (["-o", "run", "--force"], "--output"),
            (["--resume", "run"], "--resume"),
        ],
    )
    def test_nobody_else_trains_into_it(self, going_on, capsys, arguments, option):
        before = {path: path.read_bytes() for path in FOLDER.rglob("*") if path.is_file()}
        typed = arguments if "--resume" in arguments else [*QUICK, *arguments]
        assert app.run(["train", *typed]) == 2
        assert capsys.readouterr().err.splitlines()[-1] == (
            f"Error: `{option}` expected a folder into which no other process trains; got run, "
            "whose run is going on. Wait for it, or choose another --output."
        )
        assert {path: path.read_bytes() for path in before} == before

    def test_select_neither(self, going_on, capsys):
        assert app.run(["select", "digits", "-o", "run", "--force"]) == 2
        assert "whose run is going on" in capsys.readouterr().err

    def test_a_training_holds_its_folder_to_the_end(self, here, monkeypatch):
        """And lets go of it, however it ends."""
        held = []
        kept = unfinished.kept

        @contextmanager
        def looked_at(folder, output):
            with kept(folder, output) as stop:
                with pytest.raises(BlockingIOError):
                    locks.lock(folder)
                held.append(folder)
                yield stop

        monkeypatch.setattr(unfinished, "kept", looked_at)
        hears(monkeypatch, 7)
        assert app.run(["train", *QUICK, "-o", "run"]) == 130
        assert len(held) == 1
        os.close(locks.lock(FOLDER))
