"""Restarts: the best held-out objective is kept, and nothing else about a run changes."""

import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from gmvae.data import load
from gmvae.settings import Settings
from gmvae.support.errors import ArgumentError, TrainingError
from gmvae.training import jobs
from gmvae.training.fitting import fit
from gmvae.training.held_out import hold_out
from gmvae.training.jobs import Job, run_jobs
from gmvae.training.restarts import fit_restarts

QUICK = Settings(n_components=3, epochs=2, warmup_epochs=2, seed=3)


@pytest.fixture(scope="module")
def digits():
    return load("digits", part="train").only([1, 4, 8])


def same_parameters(one, other):
    one, other = one.state_dict(), other.state_dict()
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.usefixtures("quick")
class TestRestarts:
    def test_one_restart_is_the_plain_run(self, digits):
        told = []
        found, (run,) = fit_restarts(digits, QUICK, 1, callback=told.append)
        assert same_parameters(found.gmvae, fit(digits, QUICK).gmvae)
        assert run.seed == 3
        assert run.objective == -found.figures["loss"]
        assert {progress.restart for progress in told} == {0}

    def test_the_best_held_out_objective_is_kept(self, digits):
        told = []
        found, runs = fit_restarts(digits, QUICK, 3, callback=told.append, n_jobs=1)
        objectives = [run.objective for run in runs]
        assert len(set(objectives)) == 3
        assert -found.figures["loss"] == max(objectives)
        assert found.figures["elbo"] == runs[int(np.argmax(objectives))].elbo
        assert list(dict.fromkeys(p.restart for p in told)) == [1, 2, 3]
        assert runs[0].seed == 3
        assert len({run.seed for run in runs}) == 3

    def test_all_runs_hold_out_the_same_images_and_the_model_is_the_seed_s_own(self, digits):
        train, observed, held_out = hold_out(digits, QUICK)
        found, runs = fit_restarts(digits, QUICK, 2, n_jobs=1)
        best = max(runs, key=lambda run: run.objective)
        settings = dataclasses.replace(QUICK, seed=best.seed)
        alone = fit(train, settings, observed=observed, held_out=held_out)
        assert same_parameters(found.gmvae, alone.gmvae)

    def test_a_run_that_diverges_loses_only_itself(self, digits, monkeypatch):
        def diverging(images, settings, **more):
            if settings.seed == 3:
                raise TrainingError("not finite")
            return fit(images, settings, **more)

        monkeypatch.setattr(jobs, "fit", diverging)
        found, runs = fit_restarts(digits, QUICK, 2, n_jobs=1)
        assert [run.objective is None for run in runs] == [True, False]
        assert -found.figures["loss"] == runs[1].objective

    def test_all_that_diverge_are_an_error(self, digits):
        with pytest.raises(TrainingError, match=r"all 2 restarts diverged.*lower learning rate"):
            fit_restarts(digits, dataclasses.replace(QUICK, lr=1e30), 2, n_jobs=1)


def test_processes_find_what_one_process_finds(digits):
    images = digits.subset(slice(0, 60))
    settings = dataclasses.replace(QUICK, epochs=1, warmup_epochs=1, information_weight=0.0)
    told = []
    # In the processes each run has one thread; another number rounds otherwise.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _, alone = fit_restarts(images, settings, 2, n_jobs=1)
    finally:
        torch.set_num_threads(threads)
    _, apart = fit_restarts(images, settings, 2, n_jobs=2, callback=told.append)
    assert [run.seed for run in apart] == [run.seed for run in alone]
    for one, other in zip(apart, alone, strict=True):
        assert one.objective == pytest.approx(other.objective, rel=1e-3)
    assert {progress.restart for progress in told} == {1, 2}
    assert {"warm-up", "joint"} <= {progress.phase for progress in told}


LONG = (
    "import multiprocessing, signal\n"
    "from gmvae import Settings, load\n"
    "from gmvae.training.restarts import fit_restarts\n"
    "def tell(progress):\n"
    "    if progress.restart == 2:\n"
    "        print(*(child.pid for child in multiprocessing.active_children()), flush=True)\n"
    "if __name__ == '__main__':\n"
    # A suite that a shell began in the background hands down a deaf ear to Ctrl-C.
    "    signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "    settings = Settings(n_components=2, epochs=100_000)\n"
    "    fit_restarts(load('digits'), settings, 4, callback=tell, n_jobs=2)\n"
)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
@pytest.mark.parametrize("whom", [os.kill, os.killpg], ids=["alone", "group"])
def test_processes_end_with_the_one_that_began_them(how, whom, tmp_path):
    """Four runs of which two have begun; Ctrl-C in a terminal reaches the whole group."""
    (tmp_path / "script.py").write_text(LONG, encoding="utf-8")
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "script.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as parent:
        children = [int(child) for child in parent.stdout.readline().split()]
        whom(parent.pid, how)
        _, said = parent.communicate(timeout=60)
    assert len(children) == 2
    assert parent.returncode == -how
    assert said.count("Traceback") == (1 if how == signal.SIGINT else 0)
    until = time.monotonic() + 30
    while any(_runs(child) for child in children) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(_runs(child) for child in children)


class Enough(Exception):
    pass


def test_a_callback_that_fails_ends_all_runs(digits):
    def fail(progress):
        raise Enough

    with pytest.raises(Enough):
        fit_restarts(digits, dataclasses.replace(QUICK, epochs=100_000), 3, callback=fail, n_jobs=2)
    assert not multiprocessing.active_children()


def test_a_process_that_is_ended_from_outside_is_told(digits):
    def end(progress):
        multiprocessing.active_children()[0].kill()

    with pytest.raises(TrainingError, match=r"ended from outside.*--jobs 1"):
        fit_restarts(digits, dataclasses.replace(QUICK, epochs=100_000), 2, callback=end, n_jobs=2)
    assert not multiprocessing.active_children()


def test_an_error_in_a_process_is_raised_here(digits, tmp_path):
    wrong = [
        Job(digits, QUICK, np.zeros(3), None, "cpu", tmp_path / str(number), number)
        for number in (1, 2)
    ]
    with pytest.raises(ArgumentError, match="`observed`") as caught:
        run_jobs(wrong, None, 2)
    assert "In the process of the run" in caught.value.__notes__[0]
    assert not multiprocessing.active_children()


def test_an_unguarded_script_is_told_of_its_guard(tmp_path):
    code = (
        "from gmvae import Settings, load\n"
        "from gmvae.training.restarts import fit_restarts\n"
        "fit_restarts(load('digits'), Settings(n_components=2, epochs=1), 2, n_jobs=2)\n"
    )
    (tmp_path / "script.py").write_text(code, encoding="utf-8")
    command = [sys.executable, str(tmp_path / "script.py")]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 1
    last = found.stderr.splitlines()[-1]
    assert 'A script has to make this call under if __name__ == "__main__":' in last
    assert "bootstrapping" not in found.stderr


def _runs(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # Ended, but not yet collected by whoever inherited it.
    status = Path(f"/proc/{process}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


@pytest.mark.parametrize("name", ["n_restarts", "n_jobs"])
def test_numbers_out_of_range(digits, name):
    with pytest.raises(ArgumentError, match=f"`{name}` expected at least 1; got 0"):
        fit_restarts(digits, QUICK, **{name: 0})
