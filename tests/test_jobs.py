"""Runs in processes of their own: their order, their errors, and that they end.

What the one that began them makes of what they say is tested on threads, which can be told to wait
for each other; that processes start, end and are ended, on processes.
"""

import contextlib
import dataclasses
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toys import tiny

from gmvae.data import load
from gmvae.settings import Settings
from gmvae.support.errors import ArgumentError, TrainingError
from gmvae.training import jobs
from gmvae.training.fitting import Fit
from gmvae.training.jobs import Job, Outcome, jobs_at_a_time, run_jobs
from gmvae.training.loop import STOP, Progress
from gmvae.training.restarts import fit_restarts

QUICK = Settings(n_components=3, epochs=2, warmup_epochs=2, seed=3)


@pytest.fixture(scope="module")
def digits():
    return load("digits", part="train").only([1, 4, 8])


def jobs_of(n, images, folder, **changes):
    return [
        dataclasses.replace(
            Job(
                images,
                dataclasses.replace(QUICK, seed=number),
                None,
                None,
                "cpu",
                folder / str(number),
                number,
            ),
            **changes,
        )
        for number in range(1, n + 1)
    ]


@pytest.fixture
def on_threads(monkeypatch):
    """Each process is a thread of this one, with the same pipes and the same life."""

    @contextlib.contextmanager
    def workers(n):
        pipes = [multiprocessing.Pipe() for _ in range(n)]

        def live(connection):
            with contextlib.suppress(SystemExit):
                jobs._work(connection, torch.get_num_threads())

        threads = [threading.Thread(target=live, args=(theirs,)) for _, theirs in pipes]
        for thread in threads:
            thread.start()
        try:
            yield [ours for ours, _ in pipes]
        finally:
            for ours, _ in pipes:
                ours.close()
            for thread in threads:
                thread.join()

    monkeypatch.setattr(jobs, "_workers", workers)


def result(loss, message="none"):
    return Fit(tiny(), [{"phase": "joint", "epoch": 1}], (message,), {"loss": loss, "elbo": -loss})


@pytest.mark.usefixtures("on_threads")
class TestOnThreads:
    def test_outcomes_are_in_the_order_of_the_jobs_whichever_ends_first(
        self, digits, tmp_path, monkeypatch
    ):
        """The first job waits until the third has begun, and so until the second has ended."""
        third = threading.Event()
        ended = []

        def run(images, settings, **options):
            if settings.seed == 3:
                third.set()
            if settings.seed == 1:
                assert third.wait(timeout=60)
            ended.append(settings.seed)
            return result(float(settings.seed), str(settings.seed))

        monkeypatch.setattr(jobs, "fit", run)
        outcomes = run_jobs(jobs_of(3, digits, tmp_path), None, 2)
        assert ended[0] == 2
        assert outcomes == [
            Outcome(
                [{"phase": "joint", "epoch": 1}],
                (str(n),),
                {"loss": float(n), "elbo": -float(n)},
            )
            for n in (1, 2, 3)
        ]

    def test_each_run_tells_under_its_number(self, digits, tmp_path, monkeypatch):
        told = []

        def run(images, settings, callback, **options):
            callback(Progress("joint", settings.seed, 9, {"elbo": 1.0}))
            return result(0.0)

        monkeypatch.setattr(jobs, "fit", run)
        run_jobs(jobs_of(3, digits, tmp_path), told.append, 2)
        expected = [Progress("joint", n, 9, {"elbo": 1.0}, restart=n) for n in (1, 2, 3)]
        assert sorted(told, key=lambda progress: progress.restart) == expected

    def test_a_run_that_diverges_loses_only_itself(self, digits, tmp_path, monkeypatch):
        def run(images, settings, **options):
            if settings.seed == 2:
                raise TrainingError("not finite")
            return result(float(settings.seed))

        monkeypatch.setattr(jobs, "fit", run)
        outcomes = run_jobs(jobs_of(3, digits, tmp_path), None, 2)
        assert [outcome and outcome.figures["loss"] for outcome in outcomes] == [1.0, None, 3.0]
        assert not (tmp_path / "2").exists()

    def test_an_error_in_a_run_is_raised_here(self, digits, tmp_path):
        wrong = jobs_of(2, digits, tmp_path, observed=np.zeros(3))
        with pytest.raises(ArgumentError, match="`observed`") as caught:
            run_jobs(wrong, None, 2)
        assert "In the process of the run" in caught.value.__notes__[0]
        assert "Traceback" in caught.value.__notes__[0]

    def test_no_more_workers_than_jobs(self, digits, tmp_path, monkeypatch):
        asked, workers = [], jobs._workers
        monkeypatch.setattr(jobs, "_workers", lambda n: (asked.append(n), workers(n))[1])
        monkeypatch.setattr(jobs, "fit", lambda images, settings, **options: result(1.0))
        for n_jobs in (2, 8):
            run_jobs(jobs_of(3, digits, tmp_path), None, n_jobs)
        # One at a time, in this process: no worker is begun.
        run_jobs(jobs_of(3, digits, tmp_path), None, 1)
        run_jobs(jobs_of(1, digits, tmp_path), None, 8)
        assert asked == [2, 3]


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.usefixtures("on_threads")
def test_what_a_run_is_told_and_where_its_model_lies(digits, tmp_path, monkeypatch, n_jobs):
    seen = []

    def run(images, settings, **options):
        seen.append((len(images), settings.seed, options))
        return result(1.0)

    monkeypatch.setattr(jobs, "fit", run)
    held_out, observed = digits.subset(slice(0, 5)), np.full(len(digits), -1)
    changes = {"observed": observed, "held_out": held_out}
    run_jobs(jobs_of(2, digits, tmp_path, **changes), None, n_jobs)
    assert sorted((n, seed) for n, seed, _ in seen) == [(len(digits), 1), (len(digits), 2)]
    for _, _, options in seen:
        assert options.keys() == {
            "observed",
            "held_out",
            "start",
            "callback",
            "checkpoint",
            "stop",
            "device",
        }
        assert options["checkpoint"] is options["stop"] is None
        assert np.array_equal(options["observed"], observed)
        assert np.array_equal(options["held_out"].pixels, held_out.pixels)
        assert options["device"] == "cpu"
    for number in (1, 2):
        assert (tmp_path / str(number) / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("n_jobs", "device", "expected"), [(3, "cpu", 3), (3, "cuda", 3), (None, "cuda", 1)]
)
def test_how_many_at_a_time(n_jobs, device, expected):
    assert jobs_at_a_time(n_jobs, torch.device(device)) == expected


@pytest.mark.parametrize(
    ("affinity", "cores", "expected"),
    [(lambda process: {0, 2, 5}, 8, 3), (None, 8, 8), (None, None, 1)],
    ids=["some of them", "a system without", "unknown"],
)
def test_by_default_the_cores_that_this_process_may_use(monkeypatch, affinity, cores, expected):
    if affinity is None:
        monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    else:
        monkeypatch.setattr(os, "sched_getaffinity", affinity, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert jobs_at_a_time(None, torch.device("cpu")) == expected


@pytest.mark.parametrize(("cores", "n", "threads"), [(8, 2, 4), (7, 2, 3), (2, 3, 1)])
def test_processes_share_the_threads_and_end_with_the_block(monkeypatch, cores, n, threads):
    begun = []

    class Process:
        pid = 5

        def __init__(self, target, args, daemon):
            assert daemon
            assert target is jobs._work
            self.ended, self.connection, self.threads = [], *args
            begun.append(self)

        def start(self):
            self.connection.send("begun")

        def kill(self):
            self.ended.append("kill")

        def join(self):
            self.ended.append("join")

    context = SimpleNamespace(Pipe=multiprocessing.Pipe, Process=Process)
    asked = []
    monkeypatch.setattr(multiprocessing, "get_context", lambda how: (asked.append(how), context)[1])
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    with jobs._workers(n) as connections:
        assert [connection.recv() for connection in connections] == ["begun"] * n
        # Nobody else holds the other end: where its process ends, the pipe tells of it.
        with pytest.raises(EOFError):
            connections[0].recv()
    monkeypatch.undo()
    assert asked == ["spawn"]
    assert [process.threads for process in begun] == [threads] * n
    assert [process.ended for process in begun] == [["kill", "join"]] * n
    assert all(connection.closed for connection in connections)


def test_a_process_that_is_begun_again_by_an_unguarded_script_ends(digits, tmp_path, monkeypatch):
    monkeypatch.setattr(multiprocessing.current_process(), "_inheriting", True, raising=False)
    with pytest.raises(SystemExit) as caught:
        run_jobs(jobs_of(2, digits, tmp_path), None, 2)
    assert caught.value.code == 1


def test_processes_find_what_one_process_finds(digits):
    images = digits.subset(slice(0, 60))
    settings = dataclasses.replace(
        QUICK, effort="quick", epochs=1, warmup_epochs=1, information_weight=0.0
    )
    told = []

    def second_ends_before_the_joint_phase(progress):
        told.append(progress)
        return STOP if (progress.restart, progress.phase) == (2, "placing") else None

    # In the processes each run has one thread; another number rounds otherwise.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    listening = {"callback": second_ends_before_the_joint_phase}
    try:
        _, alone = fit_restarts(images, settings, 2, n_jobs=1, **listening)
    finally:
        torch.set_num_threads(threads)
    told.clear()
    _, apart = fit_restarts(images, settings, 2, n_jobs=2, **listening)
    assert [run.seed for run in apart] == [run.seed for run in alone]
    for one, other in zip(apart, alone, strict=True):
        assert one.objective == pytest.approx(other.objective, rel=1e-3)
    assert {progress.restart for progress in told} == {1, 2}
    assert {"warm-up", "joint"} <= {progress.phase for progress in told}
    ends = [[(p.phase, p.epoch) for p in told if p.restart == number][-1] for number in (1, 2)]
    assert ends == [("joint", 1), ("placing", 1)]


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


# A whole group that is killed is ended by the system.
@pytest.mark.parametrize(
    ("how", "whom"),
    [(signal.SIGINT, os.kill), (signal.SIGINT, os.killpg), (signal.SIGKILL, os.kill)],
    ids=["interrupted alone", "interrupted as a group", "killed alone"],
)
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


def test_a_process_that_nobody_listens_to_ends_without_a_word(digits, tmp_path, monkeypatch):
    """The one that began it is killed in the middle of a run, between one epoch and the next."""
    ours, theirs = multiprocessing.Pipe()

    def run(images, settings, callback, **options):
        ours.close()
        callback(Progress("joint", 1, 9, {}))

    monkeypatch.setattr(jobs, "fit", run)
    (job,) = jobs_of(1, digits.subset(slice(0, 2)), tmp_path)
    ours.send(job)
    with pytest.raises(SystemExit) as caught:
        jobs._work(theirs, torch.get_num_threads())
    assert caught.value.code == 1


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


def test_an_unguarded_script_is_told_of_its_guard(tmp_path):
    code = (
        "from gmvae import Settings, load\n"
        "from gmvae.training.restarts import fit_restarts\n"
        "fit_restarts(load('digits'), Settings(n_components=2, epochs=1), 2, n_jobs=2)\n"
    )
    (tmp_path / "script.py").write_text(code, encoding="utf-8")
    command = [sys.executable, str(tmp_path / "script.py")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert 'A script has to make this call under if __name__ == "__main__":' in last
    assert "bootstrapping" not in done.stderr


def _runs(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # Ended, but not yet collected by whoever inherited it.
    status = Path(f"/proc/{process}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
