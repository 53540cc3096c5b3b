"""A callback that returns STOP: the run ends, and what is best so far is kept."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import gmvae
from gmvae.data import load
from gmvae.settings import Settings
from gmvae.support.errors import StoppedTooEarlyError, TrainingError
from gmvae.training.fitting import fit
from gmvae.training.restarts import fit_restarts

SETTINGS = Settings(n_components=3, epochs=6, warmup_epochs=2)
pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(scope="module")
def images():
    return load("digits", part="train").only([1, 4, 8]).subset(slice(0, 120))


class StopAt:
    """A callback that ends the run after that epoch of that phase."""

    def __init__(self, phase, epoch=1):
        self.at, self.told = (phase, epoch), []

    def __call__(self, progress):
        self.told.append((progress.phase, progress.epoch))
        return gmvae.STOP if self.told[-1] == self.at else None


def test_the_best_so_far_is_kept_and_the_fit_is_whole(images):
    # Of so large steps some epoch is worse than the best before it.
    settings = dataclasses.replace(SETTINGS, lr=0.3, epochs=30, guide="diagonal")
    undisturbed = fit(images, settings)
    objectives = [row["loss"] for row in undisturbed.history if row["phase"] == "joint"]
    worse = 1 + next(i for i in range(1, 30) if objectives[i] > min(objectives[:i]))
    stop = StopAt("joint", worse)
    stopped = fit(images, settings, callback=stop)
    assert stop.told[-1] == ("joint", worse)
    assert stopped.history == undisturbed.history[: len(stopped.history)]
    losses = [row["loss"] for row in stopped.history if row["phase"] == "joint"]
    assert len(losses) == worse
    assert min(losses) < losses[-1]
    assert stopped.figures["loss"] == pytest.approx(min(losses), rel=1e-4)
    weights = stopped.gmvae.model.prior.weights.tolist()
    assert weights == sorted(weights, reverse=True)
    line = (
        f"stopped: the callback ended the run after epoch {worse} of the phase joint; covering did "
        "not run."
    )
    assert stopped.warnings[-1] == line
    assert stopped.gmvae.training_record["stopped"] == {"phase": "joint", "epoch": worse}


def test_before_the_last_phase_the_others_do_not_run(images, tmp_path):
    stop = StopAt("placing")
    stopped = fit(images, SETTINGS, callback=stop)
    assert stop.told[-1] == ("placing", 1)
    assert stopped.warnings[-1] == (
        "stopped: the callback ended the run after epoch 1 of the phase placing; joint, covering "
        "did not run."
    )
    assert {"loss", "elbo", "effective_components"} <= set(stopped.figures)
    stopped.gmvae.save(tmp_path)
    record = json.loads((tmp_path / "config.json").read_text())["training"]
    assert record["stopped"] == {"phase": "placing", "epoch": 1}


@pytest.mark.parametrize("phase", ["warm-up", "start", "sharpening"])
def test_before_there_is_a_model_it_is_an_error_and_the_run_can_go_on(images, tmp_path, phase):
    words = f"STOP in epoch 1 of the phase {phase}, before there is a model to keep"
    with pytest.raises(StoppedTooEarlyError, match=words):
        fit(images, SETTINGS, callback=StopAt(phase), checkpoint=tmp_path)
    told = []
    resumed = fit(images, SETTINGS, callback=told.append, checkpoint=tmp_path)
    assert told[0].phase != "pixels"
    assert torch.equal(
        resumed.gmvae.model.prior.means, fit(images, SETTINGS).gmvae.model.prior.means
    )


def test_a_checkpointed_run_that_was_ended_has_ended(images, tmp_path):
    stopped = fit(images, SETTINGS, callback=StopAt("placing"), checkpoint=tmp_path)
    told = []
    again = fit(images, SETTINGS, callback=told.append, checkpoint=tmp_path)
    assert told == []
    assert again.warnings == stopped.warnings
    assert again.figures == stopped.figures
    assert again.gmvae.training_record == stopped.gmvae.training_record


def test_an_exception_ends_all_and_leaves_the_checkpoint(images, tmp_path):
    def fails(progress):
        if (progress.phase, progress.epoch) == ("joint", 2):
            raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match="mine"):
        fit(images, SETTINGS, callback=fails, checkpoint=tmp_path)
    told = []
    resumed = fit(images, SETTINGS, callback=told.append, checkpoint=tmp_path)
    assert {progress.phase for progress in told} == {"joint", "covering"}
    assert resumed.history == fit(images, SETTINGS).history


@pytest.mark.parametrize("answer", [True, "STOP", 0])
def test_nothing_else_ends_a_run(images, answer):
    told = []

    def tell(progress):
        told.append(progress.phase)
        return answer

    assert fit(images, SETTINGS, callback=tell).warnings == fit(images, SETTINGS).warnings
    assert told.count("joint") == 6


def test_one_of_several_runs_ends_and_the_others_go_on(images):
    told = []

    def tell(progress):
        told.append((progress.restart, progress.phase, progress.epoch))
        return gmvae.STOP if told[-1] == (1, "joint", 2) else None

    best, runs = fit_restarts(images, SETTINGS, 2, n_jobs=1, callback=tell)
    ends = [[row for row in told if row[0] == number][-1] for number in (1, 2)]
    assert ends[0] == (1, "joint", 2)
    assert ends[1][:2] == (2, "covering")
    assert (2, "joint", 6) in told
    is_first = best.figures["loss"] == -runs[0].objective
    assert ("stopped" in best.gmvae.training_record) == is_first


def test_a_restart_ended_too_early_is_no_run_that_diverged(images):
    with pytest.raises(TrainingError, match="before there is a model to keep"):
        fit_restarts(images, SETTINGS, 2, n_jobs=1, callback=lambda progress: gmvae.STOP)


def test_a_run_that_starts_from_a_model_always_has_one(images):
    start = fit(images, SETTINGS).gmvae
    settings = dataclasses.replace(SETTINGS, n_components=4)
    stopped = fit(images, settings, start=start, callback=StopAt("warm-up"))
    assert "assignment, sharpening, placing, joint, covering did not run" in stopped.warnings[-1]
    kept = start.model.prior.means
    assert torch.equal(stopped.gmvae.model.prior.means[:3], kept)
    assert np.isfinite(stopped.figures["elbo"])
