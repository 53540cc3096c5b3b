"""A run that is stopped anywhere goes on to the same bytes."""

import dataclasses
import inspect
import json
from functools import partial

import numpy as np
import pytest
import torch
from safetensors import safe_open

from gmvae.data import load
from gmvae.settings import Settings
from gmvae.support.errors import ArgumentError, ContentError, InterruptedRunError
from gmvae.training import checkpoint, clustering
from gmvae.training.fitting import fit
from gmvae.training.loop import Loop
from gmvae.training.phases import Trial
from gmvae.training.recipe import recipe
from gmvae.training.restarts import fit_restarts
from gmvae.training.saved import write_tensors

SETTINGS = Settings(n_components=3, epochs=3, warmup_epochs=3, rounds=2)
OBSERVED = np.array([1, 4, 8] + [-1] * 117)


@pytest.fixture(scope="module")
def images():
    digits = load("digits", part="train").only([1, 4, 8])
    first = [np.flatnonzero(digits.labels == value)[0] for value in (1, 4, 8)]
    rest = np.setdiff1d(np.arange(len(digits)), first)[:117]
    return digits.subset(np.concatenate([first, rest]))


class Steps:
    """Counts the steps of a run, and stops it at some."""

    def __init__(self, *stops):
        self.stops, self.done = stops, 0

    def __call__(self):
        self.done += 1
        return self.done in self.stops


def finished(images, folder, settings, observed, stop):
    """The run, taken up again until it ends; how often it was stopped."""
    for stopped in range(100):
        try:
            result = fit(images, settings, observed=observed, checkpoint=folder, stop=stop)
        except InterruptedRunError:
            continue
        return result, stopped
    raise AssertionError("it never ends")


def same(one, other):
    parts = [result.gmvae.state_dict() for result in (one, other)]
    assert parts[0].keys() == parts[1].keys()
    assert all(torch.equal(parts[0][name], parts[1][name]) for name in parts[0])
    assert one.history == other.history
    assert (one.figures, one.warnings) == (other.figures, other.warnings)
    assert one.gmvae.component_classes == other.gmvae.component_classes


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("changes", "observed"),
    [
        ({}, OBSERVED),
        ({"assignment": "exact", "augment": "none", "rounds": 1}, None),
        ({"network": "conv", "batch_size": 50, "rounds": 1, "patience": 2, "epochs": 5}, None),
    ],
    ids=["labels", "exact, neighbours", "small batches"],
)
def test_stopped_at_every_step_it_ends_as_if_never(images, tmp_path, changes, observed):
    settings = dataclasses.replace(SETTINGS, **changes)
    undisturbed = fit(images, settings, observed=observed)
    counter = Steps()
    watched = fit(images, settings, observed=observed, checkpoint=tmp_path / "a", stop=counter)
    same(undisturbed, watched)
    stop = Steps(*range(1, counter.done, 2))
    resumed, stopped = finished(images, tmp_path / "b", settings, observed, stop)
    assert stopped == len(stop.stops)
    same(undisturbed, resumed)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("changes", [{}, {"assignment": "exact"}], ids=["amortised", "exact"])
def test_a_run_that_has_found_its_number_goes_on_with_it(images, tmp_path, monkeypatch, changes):
    """Killed in every phase from the warm-up on: also where its model had one component yet."""
    # Of features that have hardly learned, so that every machine finds more than one.
    monkeypatch.setattr(clustering, "PROMINENT", 1.0)
    settings = dataclasses.replace(
        SETTINGS, n_components=None, rounds=1, guide="diagonal", **changes
    )
    seen = []
    undisturbed = fit(
        images, settings, checkpoint=tmp_path / "a", stop=lambda: seen.append(phase_running())
    )
    # More than the one that it began with, and as many as prominent splits make.
    k = undisturbed.gmvae.config.n_components
    assert k == 1 + (undisturbed.prominences >= 1.0).sum() > 1
    trained = ["warm-up", "trial", "assignment", "sharpening", "placing", "joint"]
    trained += [] if changes else ["covering"]
    assert [*dict.fromkeys(seen)] == trained
    left = list(trained)

    def at_the_first_step_of_each():
        if left and phase_running() == left[0]:
            return bool(left.pop(0))
        return False

    resumed, stopped = finished(images, tmp_path / "b", settings, None, at_the_first_step_of_each)
    assert stopped == len(trained)
    same(undisturbed, resumed)
    np.testing.assert_array_equal(undisturbed.prominences, resumed.prominences)
    assert resumed.gmvae.training_record["settings"]["n_components"] is None


@pytest.mark.usefixtures("quick")
def test_a_run_that_has_ended_is_not_run_again(images, tmp_path):
    first = fit(images, SETTINGS, checkpoint=tmp_path)
    told = []
    same(first, fit(images, SETTINGS, checkpoint=tmp_path, callback=told.append))
    assert told == []


@pytest.mark.usefixtures("quick")
def test_the_last_two_are_kept_and_a_spoilt_one_is_passed_over(images, tmp_path):
    undisturbed = fit(images, SETTINGS)
    with pytest.raises(InterruptedRunError, match="interrupted; saved in"):
        fit(images, SETTINGS, checkpoint=tmp_path, stop=Steps(8))
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    files[1].write_bytes(files[1].read_bytes()[:1000])
    same(undisturbed, fit(images, SETTINGS, checkpoint=tmp_path))


@pytest.mark.usefixtures("quick")
def test_spoilt_ones_alone_are_an_error_in_one_line(images, tmp_path):
    fit(images, SETTINGS, checkpoint=tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"spoilt")
    with pytest.raises(ContentError, match="expected whole checkpoints; got 2 damaged ones"):
        fit(images, SETTINGS, checkpoint=tmp_path)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("other", ["images", "settings", "labels"])
def test_a_checkpoint_of_another_run_is_refused(images, tmp_path, other):
    with pytest.raises(InterruptedRunError):
        fit(images, SETTINGS, checkpoint=tmp_path, stop=Steps(1))
    settings = dataclasses.replace(SETTINGS, lr=1e-3) if other == "settings" else SETTINGS
    changed = images.subset(slice(1, None)) if other == "images" else images
    observed = OBSERVED if other == "labels" else None
    with pytest.raises(ArgumentError, match="`checkpoint` expected a folder of this very run; got"):
        fit(changed, settings, observed=observed, checkpoint=tmp_path)


@pytest.mark.usefixtures("quick")
def test_within_a_phase_it_saves_when_it_is_time(images, tmp_path, monkeypatch):
    now, saved = [0.0], []
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    original = checkpoint.Checkpoints._write

    def write(kept, record, tensors):
        saved.append((now[0], record["phase"], record["loop"] and record["loop"]["step"]))
        original(kept, record, tensors)

    def tick():
        now[0] += 12.0
        return False

    monkeypatch.setattr(checkpoint.Checkpoints, "_write", write)
    settings = dataclasses.replace(SETTINGS, warmup_epochs=8, rounds=1)
    fit(images, settings, checkpoint=tmp_path, stop=tick)
    within = [(time, step) for time, phase, step in saved if phase == 1 and step is not None]
    # Eight steps of twelve seconds: thirty have passed after the third and the sixth.
    assert [time for time, _ in within] == [36.0, 72.0]
    assert [phase for _, phase, step in saved if step is None] == list(range(1, 10))


@pytest.mark.usefixtures("quick")
def test_nothing_is_pickled(images, tmp_path):
    fit(images, SETTINGS, checkpoint=tmp_path)
    for path in tmp_path.iterdir():
        assert path.suffix == ".safetensors"
        with safe_open(path, framework="pt") as file:
            assert set(file.metadata()) == {"record"}


@pytest.mark.usefixtures("quick")
def test_restarts_go_on_and_what_has_ended_is_not_run_again(images, tmp_path):
    """Stopped in the first run and in the second, one process."""
    settings = dataclasses.replace(SETTINGS, rounds=1)
    counter = Steps()
    undisturbed, runs = fit_restarts(images, settings, 2, n_jobs=1)
    fit_restarts(images, settings, 2, n_jobs=1, checkpoint=tmp_path / "a", stop=counter)
    stops = Steps(3, counter.done - 2)
    told = []
    for _ in range(2):
        with pytest.raises(InterruptedRunError):
            fit_restarts(
                images,
                settings,
                2,
                n_jobs=1,
                checkpoint=tmp_path / "b",
                stop=stops,
                callback=told.append,
            )
    assert {progress.restart for progress in told} == {1, 2}
    told.clear()
    resumed, again = fit_restarts(
        images, settings, 2, n_jobs=1, checkpoint=tmp_path / "b", callback=told.append
    )
    assert {progress.restart for progress in told} == {2}
    same(undisturbed, resumed)
    assert again == runs


@pytest.mark.usefixtures("quick")
def test_runs_in_processes_end_when_asked_and_are_kept(images, tmp_path):
    settings = dataclasses.replace(SETTINGS, rounds=1)
    told = []
    with pytest.raises(InterruptedRunError, match="what was saved of the runs is kept"):
        fit_restarts(
            images,
            settings,
            2,
            n_jobs=2,
            checkpoint=tmp_path,
            stop=lambda: len({progress.restart for progress in told}) == 2,
            callback=told.append,
        )
    assert {path.parent.parent.name for path in tmp_path.glob("*/checkpoints/*")} == {"1", "2"}


@pytest.mark.usefixtures("quick")
def test_what_a_phase_does_not_change_is_written_once(images, tmp_path):
    """Seven steps into the joint phase, each of them saved."""
    settings = dataclasses.replace(SETTINGS, rounds=1, epochs=8, batch_size=30)
    phases = [phase for phase in recipe(settings, len(images)) if phase.name != "covering"]
    run = partial(fit, images, settings, phases=phases)
    undisturbed = run()
    with pytest.raises(InterruptedRunError):
        run(checkpoint=tmp_path, stop=in_phase("joint", 1))
    for _ in range(6):
        with pytest.raises(InterruptedRunError):
            run(checkpoint=tmp_path, stop=Steps(1))
    arrays, *rest = sorted(tmp_path.iterdir())
    assert len(rest) == 2
    with safe_open(arrays, framework="pt") as file:
        assert {"clusters", "prominences"} <= set(file.keys())
        # What the clusters were found in is not looked at any more.
        assert not {"pixels", "representation", "nominees"} & set(file.keys())
    for path in rest:
        with safe_open(path, framework="pt") as file:
            assert not {"clusters", "prominences"} & set(file.keys())
    same(undisturbed, run(checkpoint=tmp_path))
    # The last two, and the one that the older of them names.
    assert sorted(tmp_path.iterdir())[:2] == [arrays, rest[1]]
    assert len(list(tmp_path.iterdir())) == 3


def test_tensors_of_every_layout_come_back(tmp_path):
    """A number, none, every other one, and rows that lie apart; and bytes that look odd."""
    tensors = {
        "number": torch.tensor(3.5),
        "none": torch.zeros(0, 4),
        "others": torch.arange(10)[::2],
        "columns": torch.randn(25_000, 3)[:, :-1],
        "channels": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "half": torch.randn(3).bfloat16(),
        "bytes": torch.arange(7, dtype=torch.uint8),
        "truth": torch.tensor([True, False]),
        "short": torch.tensor([-3, 300], dtype=torch.int16),
        "shorter": torch.tensor([-3, 30], dtype=torch.int8),
    }
    path = tmp_path / "some.safetensors"
    write_tensors(path, tensors, {"number": 3})
    with safe_open(path, framework="pt") as file:
        assert json.loads(file.metadata()["record"]) == {"number": 3}
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    torch.testing.assert_close(found, tensors, rtol=0, atol=0)


def phase_running():
    """The phase whose step asks, told by the stack; the trial where that trains copies."""
    frame, name = inspect.currentframe(), None
    while frame is not None:
        asks = frame.f_locals.get("self")
        if isinstance(asks, Loop | Trial):
            name = "trial" if isinstance(asks, Trial) else asks.phase
        frame = frame.f_back
    return name


def in_phase(name, step):
    """Asks a run to stop at that step of that phase."""
    steps = iter(range(1, 10_000))
    return lambda: phase_running() == name and next(steps) == step
