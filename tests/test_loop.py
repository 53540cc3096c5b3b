"""The loop, on an objective whose minimum is known, and its effect on real bounds."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from toys import ASSIGNMENTS, SHAPE, tiny

from gmvae.data import Images
from gmvae.support.errors import ArgumentError, TrainingError
from gmvae.training.loop import Loop, Progress, Schedule
from gmvae.training.regularisers import Batch

TARGET = torch.tensor([1.0, -2.0])


def train(objective, guide, parameters, images, schedule, callback=None, **options):
    loop = Loop(objective, guide, images, schedule, **options)
    loop.run(loop.begin(parameters), callback)


@pytest.fixture
def images():
    pixels = np.random.default_rng(0).random((50, *SHAPE), dtype=np.float32)
    return Images(pixels=pixels, labels=None)


class Bowl:
    """size * |p - target|^2, remembering what it was called with."""

    def __init__(self):
        self.p = nn.Parameter(torch.zeros(2))
        self.calls = []

    def __call__(self, x, y, size):
        self.calls.append((x, y, size))
        return size * (self.p - TARGET).square().sum()

    def train(self, images, schedule=None, **options):
        schedule = Schedule(30, batch_size=16, lr=0.1) if schedule is None else schedule
        train(self, None, [self.p], images, schedule, **options)


def test_it_minimises(images):
    bowl = Bowl()
    bowl.train(images)
    torch.testing.assert_close(bowl.p.data, TARGET, atol=0.02, rtol=0)


def test_every_epoch_sees_every_image_once_with_its_label(images):
    bowl = Bowl()
    y = torch.arange(50)
    bowl.train(images, Schedule(3, batch_size=16), y=y)
    assert len(bowl.calls) == 12
    assert {size for *_, size in bowl.calls} == {50}
    orders = []
    for epoch in range(3):
        calls = bowl.calls[4 * epoch : 4 * epoch + 4]
        assert all(11 <= len(x) <= 16 for x, *_ in calls)
        order = torch.cat([y for _, y, _ in calls])
        assert sorted(order.tolist()) == list(range(50))
        torch.testing.assert_close(torch.cat([x for x, *_ in calls]), images.tensor()[order])
        orders.append(order)
    assert not torch.equal(orders[0], orders[1])


@pytest.mark.parametrize(("n", "batch_size"), [(1, 128), (50, 50), (49, 16), (7, 1)])
def test_any_number_of_images(images, n, batch_size):
    bowl = Bowl()
    bowl.train(images.subset(slice(0, n)), Schedule(1, batch_size=batch_size))
    assert sum(len(x) for x, *_ in bowl.calls) == n
    assert len(bowl.calls) == math.ceil(n / batch_size)
    assert all(y is None for _, y, _ in bowl.calls)


def test_regularisers_are_subtracted_from_the_mean(images):
    """minimise |p - t|^2 - w p_0: the minimum moves by w / 2."""
    bowl, seen = Bowl(), []

    def bonus(guide, batch):
        seen.append((guide, batch))
        return 2.0 * bowl.p[0]

    bowl.train(images, Schedule(60, batch_size=25, lr=0.1), regularisers=[bonus, bonus])
    torch.testing.assert_close(bowl.p.data, TARGET + torch.tensor([2.0, 0.0]), atol=0.05, rtol=0)
    guide, batch = seen[0]
    assert guide is None
    assert isinstance(batch, Batch)
    assert torch.equal(batch.x, bowl.calls[0][0])


def test_the_callback_hears_of_every_epoch(images):
    bowl, heard = Bowl(), []
    losses = iter([3.0, 2.0, 1.0])
    bowl.train(
        images,
        Schedule(3),
        validate=lambda: {"loss": next(losses), "more": 7.0},
        callback=heard.append,
        phase="joint",
    )
    assert [(p.phase, p.epoch, p.epochs) for p in heard] == [("joint", i, 3) for i in (1, 2, 3)]
    assert all(isinstance(p, Progress) for p in heard)
    assert [p.metrics["loss"] for p in heard] == [3.0, 2.0, 1.0]
    assert heard[0].metrics["objective"] == pytest.approx(5.0)
    assert heard[0].metrics["more"] == 7.0


def test_early_stopping_restores_the_best(images):
    bowl, heard, seen = Bowl(), [], []
    losses = iter([5.0, 3.0, 4.0, 3.5, 3.0, 1.0])

    def validate():
        seen.append(bowl.p.detach().clone())
        return {"loss": next(losses)}

    bowl.train(images, Schedule(6, patience=3), validate=validate, callback=heard.append)
    assert len(heard) == 5
    assert torch.equal(bowl.p.data, seen[1])
    assert not torch.equal(seen[1], seen[4])


def test_the_best_is_restored_also_when_nothing_stopped(images):
    bowl, seen = Bowl(), []
    losses = iter([1.0, 2.0, 3.0])

    def validate():
        seen.append(bowl.p.detach().clone())
        return {"loss": next(losses)}

    bowl.train(images, Schedule(3, patience=10), validate=validate)
    assert torch.equal(bowl.p.data, seen[0])


def test_without_patience_the_last_epoch_stays(images):
    bowl = Bowl()
    losses = iter([1.0, 2.0, 3.0])
    bowl.train(images, Schedule(3), validate=lambda: {"loss": next(losses)})
    other = Bowl()
    other.train(images, Schedule(3))
    torch.testing.assert_close(bowl.p, other.p)


def test_it_stops_at_an_objective_that_is_enough(images):
    bowl, heard = Bowl(), []
    bowl.train(images, callback=heard.append)
    objectives = [progress.metrics["objective"] for progress in heard]
    enough = objectives[9]
    stopped: list[Progress] = []
    Bowl().train(
        images, Schedule(30, batch_size=16, lr=0.1, enough=enough), callback=stopped.append
    )
    first = next(i for i, objective in enumerate(objectives) if objective <= enough)
    assert [progress.metrics["objective"] for progress in stopped] == objectives[: first + 1]
    assert len(stopped) < 30
    later: list[Progress] = []
    schedule = Schedule(30, batch_size=16, lr=0.1, enough=enough, least_epochs=25)
    Bowl().train(images, schedule, callback=later.append)
    assert len(later) == 25


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_an_error_and_spares_the_parameters(images, value):
    bowl, p = Bowl(), nn.Parameter(torch.ones(2))

    def objective(x, y, size):
        return (p * (1.0 if len(bowl.calls) < 3 else value)).sum() + bowl(x, y, size)

    with pytest.raises(
        TrainingError, match=r"joint phase stopped in epoch 2: .* not finite"
    ) as error:
        train(objective, None, [p], images, Schedule(5, batch_size=25), phase="joint")
    assert "Try" in str(error.value)
    assert "\n" not in str(error.value)
    assert p.isfinite().all()


def test_a_validation_loss_that_is_not_finite_is_an_error(images):
    with pytest.raises(TrainingError, match=r"stopped in epoch 1: its objective is not finite"):
        Bowl().train(images, Schedule(3), validate=lambda: {"loss": float("nan")})


def test_a_gradient_that_is_not_finite_is_an_error(images):
    p = nn.Parameter(torch.zeros(1))
    with pytest.raises(TrainingError, match="epoch 1"):
        train(lambda x, y, size: p.abs().sqrt().sum(), None, [p], images, Schedule(1))
    assert torch.equal(p.data, torch.zeros(1))


def test_the_learning_rate_falls_along_half_a_cosine():
    schedule = Schedule(1, lr_end=0.1)
    assert [schedule.rate(d) for d in (0, 0.5, 1)] == pytest.approx([1, 0.55, 0.1])


def test_the_gradient_is_clipped(images):
    norms, p = [], nn.Parameter(torch.zeros(2))

    def objective(x, y, size):
        if p.grad is not None:
            norms.append(p.grad.norm().item())
        return 1e6 * size * (p - TARGET).square().sum()

    train(objective, None, [p], images, Schedule(2, batch_size=25, clip_norm=0.5))
    assert norms == pytest.approx([0.5] * 3, rel=1e-4)


@pytest.mark.parametrize("assignment", ASSIGNMENTS)
def test_a_real_bound_rises_and_the_same_seed_gives_the_same_run(images, assignment):
    ends = []
    for _ in range(2):
        torch.manual_seed(3)
        gmvae, objectives = tiny(assignment=assignment), []
        train(
            gmvae.elbo_module(),
            gmvae.guide,
            list(gmvae.parameters()),
            images,
            Schedule(5, batch_size=10, lr=1e-2),
            callback=lambda p: objectives.append(p.metrics["objective"]),  # noqa: B023
            generator=torch.Generator().manual_seed(0),
        )
        assert objectives[-1] < objectives[0]
        ends.append(gmvae.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


@pytest.mark.parametrize(("n", "batch_size", "sizes"), [(13, 4, [4, 4, 5]), (1, 4, [1])])
def test_no_batch_is_of_a_single_image(n, batch_size, sizes, images):
    bowl = Bowl()
    bowl.train(images.subset(slice(0, n)), Schedule(1, batch_size), y=torch.arange(n))
    assert [len(x) for x, *_ in bowl.calls] == sizes
    assert sorted(torch.cat([y for _, y, _ in bowl.calls]).tolist()) == list(range(n))


def test_an_epoch_of_many_images_is_of_others_each_time(images):
    """Of 50 images 20 an epoch; each stands for as many as there are."""
    bowl, told = Bowl(), []
    schedule = Schedule(40, batch_size=8, images_an_epoch=20)
    bowl.train(images, schedule, y=torch.arange(50), callback=told.append)
    assert len(bowl.calls) == 40 * 3
    assert {size for *_, size in bowl.calls} == {50}
    epochs = [
        torch.cat([y for _, y, _ in bowl.calls[i : i + 3]]).tolist() for i in range(0, 120, 3)
    ]
    assert {len(epoch) for epoch in epochs} == {len({*epoch}) for epoch in epochs} == {20}
    assert {row for epoch in epochs for row in epoch} == {*range(50)}
    p = nn.Parameter(torch.zeros(1))
    train(lambda x, y, size: size * (1 + 0 * p).sum(), None, [p], images, schedule, told.append)
    assert told[-1].metrics["objective"] == pytest.approx(1)


@pytest.mark.parametrize("batch_size", [10, 50])
def test_terms_that_are_asked_every_other_step_count_twice_there(batch_size, images):
    """Also across epochs of a single batch: the mean over the steps is the term."""
    asked, p = [], nn.Parameter(torch.zeros(1))

    def objective(x, y, size):
        asked.append(0)
        return size * (0 * p).sum()

    def term(guide, batch):
        asked[-1] += 1
        return 3 + 0 * p.sum()

    told = []
    options = {"regularisers": [term], "regularised_every": 2, "callback": told.append}
    train(objective, None, [p], images, Schedule(4, batch_size), **options)
    assert asked == [1, 0] * (len(asked) // 2)
    assert np.mean([now.metrics["objective"] for now in told]) == pytest.approx(-3)


def test_what_is_done_before_a_step_is_told_of_its_images(images):
    told, seen = [], []

    def objective(x, y, size):
        assert x is told[-1][0]
        seen.append(y)
        return size * (p - 1).square().sum()

    p = nn.Parameter(torch.zeros(1))
    options = {"y": torch.arange(50), "before_step": lambda x, rows: told.append((x, rows))}
    train(objective, None, [p], images, Schedule(2, 16), **options)
    for y, (x, rows) in zip(seen, told, strict=True):
        assert torch.equal(y, rows)
        assert torch.equal(x, images.tensor(rows.numpy()))


def test_the_objective_is_the_mean_over_images_however_they_are_batched(images):
    """Nine images in batches of 5 and 4: each batch's value counts as often as it has images."""
    p, told = nn.Parameter(torch.zeros(1)), []

    def objective(x, y, size):
        return size * (len(x) + 0 * p).sum()

    train(objective, None, [p], images.subset(slice(0, 9)), Schedule(1, 5), told.append)
    assert told[0].metrics["objective"] == pytest.approx((5 * 5 + 4 * 4) / 9)


def test_the_best_epochs_running_means_come_back_with_its_parameters(images):
    """Of a module that the loop is given to minimise, also what batch normalisation averages."""

    class Normalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(12)

        def forward(self, x, y, size):
            return size * self.norm(x.flatten(1)).square().mean()

    module, seen = Normalised(), []
    losses = iter([2.0, 1.0, 3.0])

    def validate():
        seen.append(module.norm.running_mean.clone())
        return {"loss": next(losses)}

    train(
        module,
        None,
        list(module.parameters()),
        images,
        Schedule(3, 10, patience=5),
        validate=validate,
    )
    assert torch.equal(module.norm.running_mean, seen[1])
    assert not torch.equal(seen[1], seen[2])


def test_the_rate_that_adam_has_is_that_of_the_schedule(images):
    """On a slope of one Adam moves by its rate: the whole way is the sum of the rates."""
    p = nn.Parameter(torch.zeros(1))
    schedule = Schedule(3, 25, lr=0.01, lr_end=0.1)
    train(lambda x, y, size: size * p.sum(), None, [p], images, schedule)
    rates = [0.01 * (0.1 + 0.9 * (1 + math.cos(math.pi * i / 6)) / 2) for i in range(6)]
    assert p.item() == pytest.approx(-sum(rates), rel=1e-3)


def test_groups_of_parameters_keep_their_own_rate(images):
    slow, fast = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    groups = [{"params": [slow], "lr": 1e-3}, {"params": [fast], "lr": 1e-1}]
    train(lambda x, y, size: size * (slow + fast).sum(), None, groups, images, Schedule(1, 50))
    assert (slow.item(), fast.item()) == pytest.approx((-1e-3, -1e-1), rel=1e-3)


def test_a_loop_goes_on_from_the_state_where_another_one_stopped(images):
    """Three epochs at once, or one, and two with the state and the generator as they are."""

    def run(interrupted):
        p, generator = nn.Parameter(torch.zeros(2)), torch.Generator().manual_seed(0)

        def objective(x, y, size):
            return size * (p - TARGET - x.mean()).square().sum()

        loop = Loop(objective, None, images, Schedule(3, 16, lr=0.1), generator=generator)
        state = loop.begin([p])
        if interrupted:
            assert loop.step(state).epoch == state.epoch == 1
            loop = Loop(objective, None, images, Schedule(3, 16, lr=0.1), generator=generator)
        loop.run(state)
        return p.detach()

    assert torch.equal(run(True), run(False))


def test_patience_needs_something_to_wait_for(images):
    with pytest.raises(ArgumentError, match="`validate` expected a function where the schedule"):
        Loop(None, None, images, Schedule(1, patience=1))
