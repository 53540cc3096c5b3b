"""Restarts: the best held-out objective is kept, and nothing else about a run changes."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toys import tiny

from gmvae.data import load
from gmvae.settings import Settings
from gmvae.support.errors import ArgumentError, TrainingError
from gmvae.training import jobs, restarts
from gmvae.training.fitting import Fit, fit
from gmvae.training.held_out import hold_out
from gmvae.training.jobs import Outcome
from gmvae.training.loop import Progress
from gmvae.training.restarts import Restart, fit_restarts, seeds_from

QUICK = Settings(n_components=3, epochs=2, warmup_epochs=2, seed=3)


@pytest.fixture(scope="module")
def digits():
    return load("digits", part="train").only([1, 4, 8]).subset(slice(0, 120))


def same_parameters(one, other):
    one, other = one.state_dict(), other.state_dict()
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.usefixtures("quick")
class TestRestarts:
    def test_one_restart_is_the_plain_run(self, digits):
        told = []
        single, (run,) = fit_restarts(digits, QUICK, 1, callback=told.append)
        assert same_parameters(single.gmvae, fit(digits, QUICK).gmvae)
        assert run == Restart(3, -single.figures["loss"], single.figures["elbo"])
        assert {progress.restart for progress in told} == {0}

    def test_the_best_held_out_objective_is_kept(self, digits):
        told = []
        best_run, runs = fit_restarts(digits, QUICK, 3, callback=told.append, n_jobs=1)
        objectives = [run.objective for run in runs]
        assert len(set(objectives)) == 3
        assert -best_run.figures["loss"] == max(objectives)
        assert best_run.figures["elbo"] == runs[int(np.argmax(objectives))].elbo
        assert list(dict.fromkeys(p.restart for p in told)) == [1, 2, 3]
        assert runs[0].seed == 3
        assert len({run.seed for run in runs}) == 3

    def test_all_runs_hold_out_the_same_images_and_the_model_is_the_seed_s_own(self, digits):
        train, observed, held_out = hold_out(digits, QUICK)
        best_run, runs = fit_restarts(digits, QUICK, 2, n_jobs=1)
        best = max(runs, key=lambda run: run.objective)
        settings = dataclasses.replace(QUICK, seed=best.seed)
        alone = fit(train, settings, observed=observed, held_out=held_out)
        assert same_parameters(best_run.gmvae, alone.gmvae)

    def test_a_run_that_diverges_loses_only_itself(self, digits, monkeypatch):
        def diverging(images, settings, **more):
            if settings.seed == 3:
                raise TrainingError("not finite")
            return fit(images, settings, **more)

        monkeypatch.setattr(jobs, "fit", diverging)
        best_run, runs = fit_restarts(digits, QUICK, 2, n_jobs=1)
        assert [run.objective is None for run in runs] == [True, False]
        assert -best_run.figures["loss"] == runs[1].objective

    def test_all_that_diverge_are_an_error(self, digits):
        with pytest.raises(TrainingError, match=r"all 2 restarts diverged.*lower learning rate"):
            fit_restarts(digits, dataclasses.replace(QUICK, lr=1e30), 2, n_jobs=1)


@pytest.fixture
def scripted(monkeypatch):
    """Runs that end as they are told, without training; the jobs that they were given."""
    script = SimpleNamespace(losses=(), elbos=(), jobs=[], calls=[])

    def run_jobs(jobs, callback, n_jobs, stop=None):
        script.jobs = jobs
        script.calls.append((callback, n_jobs))
        outcomes = []
        for job, loss, elbo in zip(jobs, script.losses, script.elbos, strict=True):
            outcome = None
            if loss is not None:
                torch.manual_seed(job.number)
                tiny().save(job.folder)
                row = {"phase": "joint", "epoch": job.number}
                outcome = Outcome(
                    [row],
                    (f"run {job.number}",),
                    {"loss": loss, "elbo": elbo},
                    prominences=(job.number, 0.5),
                    stabilities=(0.5, job.number / 10),
                )
            outcomes.append(outcome)
        return outcomes

    monkeypatch.setattr(restarts, "run_jobs", run_jobs)
    return script


@pytest.mark.parametrize("best", [0, 1, 2])
def test_the_run_of_the_smallest_loss_is_kept_whatever_its_bound(digits, scripted, best):
    """The objective is minus the loss; the bound of another run is larger."""
    scripted.losses = tuple(5.0 if number == best else 6.0 + number for number in range(3))
    scripted.elbos = tuple(-9.0 if number == best else -3.0 - number for number in range(3))
    fitted, runs = fit_restarts(digits, QUICK, 3)
    seeds = seeds_from(3, 3)
    assert runs == tuple(
        Restart(seed, -loss, elbo)
        for seed, loss, elbo in zip(seeds, scripted.losses, scripted.elbos, strict=True)
    )
    torch.manual_seed(best + 1)
    assert same_parameters(fitted.gmvae, tiny())
    assert fitted.history == [{"phase": "joint", "epoch": best + 1}]
    assert fitted.warnings == (f"run {best + 1}",)
    assert fitted.figures == {"loss": 5.0, "elbo": -9.0}
    assert fitted.prominences.tolist() == [best + 1, 0.5]
    assert fitted.stabilities.tolist() == [0.5, (best + 1) / 10]


@pytest.mark.usefixtures("quick")
def test_runs_that_have_ended_keep_what_spoke_for_their_number(digits, tmp_path):
    """Also where they are read back: the second call trains nothing."""
    settings = dataclasses.replace(QUICK, n_components=None)
    (first, _), (again, _) = (
        fit_restarts(digits, settings, 2, n_jobs=1, checkpoint=tmp_path) for _ in range(2)
    )
    assert first.gmvae.config.n_components == 1 + (first.prominences >= 3).sum()
    assert first.prominences[0] > 0
    assert again.prominences.tolist() == first.prominences.tolist()
    assert same_parameters(first.gmvae, again.gmvae)


@pytest.mark.usefixtures("quick")
def test_runs_that_have_ended_keep_how_stable_their_components_are(digits, tmp_path):
    (first, _), (again, _) = (
        fit_restarts(digits, QUICK, 2, n_jobs=1, checkpoint=tmp_path) for _ in range(2)
    )
    assert len(first.stabilities) == first.gmvae.config.n_components
    assert again.stabilities.tolist() == first.stabilities.tolist()
    assert again.gmvae.training_record["stabilities"] == first.stabilities.round(3).tolist()


def test_a_run_that_diverged_is_told_and_never_kept(digits, scripted):
    scripted.losses, scripted.elbos = (None, 7.0, 6.0), (None, -7.0, -6.0)
    fitted, runs = fit_restarts(digits, QUICK, 3)
    assert runs[0] == Restart(3, None, None)
    assert [run.objective for run in runs] == [None, -7.0, -6.0]
    assert fitted.warnings == ("run 3",)


def test_of_equal_runs_the_first_is_kept(digits, scripted):
    scripted.losses, scripted.elbos = (7.0, 6.0, 6.0), (-1.0, -1.0, -1.0)
    assert fit_restarts(digits, QUICK, 3)[0].warnings == ("run 2",)


@pytest.mark.parametrize("given", [False, True], ids=["a part", "images of one's own"])
def test_every_run_is_told_the_same_but_for_its_seed(digits, scripted, given):
    scripted.losses = scripted.elbos = (1.0, 1.0)
    observed = np.where(np.arange(len(digits)) < 40, digits.labels, -1)
    own = digits.subset(slice(0, 30)) if given else None

    def tell(progress):
        raise AssertionError

    fit_restarts(
        digits, QUICK, 2, observed=observed, held_out=own, callback=tell, n_jobs=5, device="cpu"
    )
    train, labels, part = (digits, observed, own) if given else hold_out(digits, QUICK, observed)
    ((callback, n_jobs),) = scripted.calls
    assert n_jobs == 5
    with pytest.raises(AssertionError):
        callback(Progress("joint", 1, 1))
    assert [job.settings.seed for job in scripted.jobs] == seeds_from(3, 2)
    assert [job.number for job in scripted.jobs] == [1, 2]
    for job in scripted.jobs:
        # Nothing more is held out where a part is already.
        share = QUICK.held_out if given else 0.0
        expected = dataclasses.replace(QUICK, seed=job.settings.seed, held_out=share)
        assert job.settings == expected
        assert np.array_equal(job.images.pixels, train.pixels)
        assert np.array_equal(job.observed, labels)
        assert np.array_equal(job.held_out.pixels, part.pixels)
        assert job.device == "cpu"
    assert len({job.folder for job in scripted.jobs}) == 2
    assert not any(job.folder.exists() for job in scripted.jobs)


def test_a_single_run_is_told_all_that_its_caller_says(digits, monkeypatch):
    told = {}

    def alone(images, settings, **options):
        told.update(options, images=images, settings=settings)
        return Fit(tiny(), [], (), {"loss": 2.0, "elbo": -1.0})

    def tell(progress):
        raise AssertionError

    monkeypatch.setattr(restarts, "fit", alone)
    observed, own = np.full(len(digits), -1), digits.subset(slice(0, 30))
    _, runs = fit_restarts(
        digits,
        QUICK,
        1,
        observed=observed,
        held_out=own,
        callback=tell,
        device="cpu",
        fabric="a Fabric",
    )
    assert runs == (Restart(3, -2.0, -1.0),)
    assert told == {
        "images": digits,
        "settings": QUICK,
        "observed": observed,
        "held_out": own,
        "start": None,
        "callback": tell,
        "checkpoint": None,
        "stop": None,
        "device": torch.device("cpu"),
        "fabric": "a Fabric",
    }


def test_two_runs_by_default(digits, scripted):
    scripted.losses = scripted.elbos = (1.0, 1.0)
    assert len(fit_restarts(digits, QUICK)[1]) == 2


def test_seeds_are_the_own_one_and_others_that_no_neighbour_has():
    assert seeds_from(3, 1) == [3]
    assert seeds_from(3, 3) == [3, *np.random.SeedSequence(3).generate_state(2).tolist()]
    # The first ones of more are those of fewer: a run more is no other run.
    assert seeds_from(3, 5)[:3] == seeds_from(3, 3)
    everything = [seed for first in range(50) for seed in seeds_from(first, 6)]
    assert len(set(everything)) == 300
    assert all(seeds_from(first, 6)[0] == first for first in range(50))
    assert all(type(seed) is int for seed in everything)


@pytest.mark.parametrize("name", ["n_restarts", "n_jobs"])
def test_numbers_out_of_range(digits, name):
    with pytest.raises(ArgumentError, match=f"`{name}` expected at least 1; got 0"):
        fit_restarts(digits, QUICK, **{name: 0})


def test_several_runs_are_not_of_processes_that_train_together(digits):
    with pytest.raises(ArgumentError, match=r"`fabric` expected one run; got 2 restarts"):
        fit_restarts(digits, QUICK, 2, fabric="a Fabric")
