"""The training loop. It knows nothing of mixtures."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias, cast

import torch
from torch import Generator, Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.optimizer import ParamsT

from gmvae.data import Images
from gmvae.probability.guide import Guide
from gmvae.support.errors import ArgumentError, TrainingError
from gmvae.training.arrays import Indices
from gmvae.training.optimiser import Adam
from gmvae.training.processes import ALONE, Network, Processes
from gmvae.training.regularisers import Batch, Regulariser

Metrics: TypeAlias = dict[str, float]
# (x, y, size=N) to a loss summed over the N images, as Pyro's ELBO modules.
Objective: TypeAlias = Callable[..., Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        epochs: passes over the images, or over ``images_an_epoch`` of them, at least 1.
        batch_size: images a step.
        lr: Adam's learning rate at the start.
        lr_end: its fraction left at the end, reached along half a cosine.
        clip_norm: largest norm of the gradient.
        images_an_epoch: at most; an epoch of more is of as many at random. None for all.
        patience: epochs without a better validation loss before stopping; None for no stopping.
        enough: the mean objective of an epoch, regularisers included, at which to stop.
        least_epochs: epochs before that.
    """

    epochs: int
    batch_size: int = 128
    lr: float = 1e-3
    lr_end: float = 0.05
    clip_norm: float = 100.0
    images_an_epoch: int | None = None
    patience: int | None = None
    enough: float = -math.inf
    least_epochs: int = 1

    def rate(self, progress: float) -> float:
        """The factor on the learning rate when a fraction 0 to 1 of all steps is done."""
        return self.lr_end + (1 - self.lr_end) * (1 + math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class Progress:
    """What a run tells its callback after each epoch.

    Attributes:
        phase: the name of the phase.
        epoch: counted from 1.
        epochs: the most that the phase may last.
        metrics: of that epoch. ``objective``: what the phase minimised, regularisers included, a
            mean over the images (nats an image where it is a bound). In the joint phase also the
            figures of the held-out images: ``loss``, minus the bound and the weighted mutual
            information; ``elbo`` and its parts ``reconstruction``, ``kl_z`` and ``kl_y``, in nats
            an image; ``effective_components``, from 1 to K. In the trial, of each clustering,
            ``kept_by_views``: the share, from 0 to 1, of what there is to know of a view's
            component that its image says. In the covering phase ``effective_share``: that of draws
            of q(z | x), from 0 to 1, and ``loss``, minus it, or 0 where it is below .2. Empty where
            nothing is minimised.
        restart: which of several runs that tell the same callback, from 1; 0 for a single one.
        model: in a single run the :class:`~gmvae.GMVAE` as it is then, to be looked at and not
            changed: the run goes on with it, and with torch's generators as they are left. None of
            one of several runs, which may be in another process.
        labels: the component of each of the N images that the run was given, (N,), -1 where it is
            held out: with the last epoch of a phase that finds clusters or corrects them (start,
            trial, sharpening), long before the model is trained; None else. At the end the
            components may have other numbers, and some images another component.
    """

    phase: str
    epoch: int
    epochs: int
    metrics: Metrics = field(default_factory=dict)
    restart: int = 0
    model: nn.Module | None = field(default=None, repr=False, compare=False)
    labels: Indices | None = field(default=None, repr=False, compare=False)


class Stop(Enum):
    """What a callback returns to end the run, the best model so far kept."""

    STOP = "stop"

    def __repr__(self) -> str:
        """As it is written."""
        return "gmvae.STOP"


STOP = Stop.STOP
# Of what it returns only STOP counts.
Callback: TypeAlias = Callable[[Progress], object]


@dataclass
class Best:
    """The values of tensors at the smallest validation loss so far; nothing without patience.

    Attributes:
        tensors: those to remember.
        patience: epochs without a better loss that are waited for; None to remember nothing.
        loss: the smallest so far.
        waited: epochs since.
        values: of the tensors then; None before the first epoch.
    """

    tensors: Sequence[Tensor]
    patience: int | None
    loss: float = math.inf
    waited: int = 0
    values: list[Tensor] | None = None

    def hears(self, metrics: Metrics) -> bool:
        """Take the metrics of an epoch; whether the patience has run out."""
        if self.patience is None:
            return False
        self.waited += 1
        if metrics["loss"] < self.loss:
            self.loss, self.waited = metrics["loss"], 0
            self.values = [tensor.detach().clone() for tensor in self.tensors]
        return self.waited >= self.patience

    @torch.no_grad()
    def restore(self) -> None:
        """Put the remembered values back."""
        for tensor, value in zip(self.tensors, self.values or [], strict=False):
            tensor.copy_(value)


@dataclass
class LoopState:
    """Where a loop stands between two epochs: with the generators, all the next one depends on.

    Attributes:
        optimiser: Adam, with its moments.
        rate: the schedule of its learning rate, with the steps done.
        best: the best parameters so far.
        epoch: how many are done.
        step: how many are done of the epoch that is running.
        total: the sum of its objectives so far.
        order: the generator's state from which its order was drawn; None where none was given.
        ended: whether no more are wanted.
    """

    optimiser: torch.optim.Optimizer
    rate: LambdaLR
    best: Best
    epoch: int = 0
    step: int = 0
    total: float = 0.0
    order: Tensor | None = None
    ended: bool = False

    @property
    def parameters(self) -> list[Tensor]:
        """Those that are trained."""
        return [p for group in self.optimiser.param_groups for p in group["params"]]


@dataclass(frozen=True)
class Loop:
    """What a loop minimises, over what and how: fixed while it runs.

    The mean objective less the regularisers, by Adam. The state goes in and out, so that a loop
    may go on where another one stopped.

    Attributes:
        objective: (x, y, size=N) to a loss summed over the N images, as Pyro's ELBO modules.
        guide: what the regularisers are functions of.
        images: N images to learn from.
        schedule: how long and how fast.
        y: component indices, (N,), -1 where unknown.
        regularisers: functions of guide and batch, subtracted.
        regularised_every: so many steps they are, each time as much more.
        validate: metrics after each epoch, ``loss`` among them if the schedule has patience:
            the parameters with the smallest are kept.
        keeps_start: whether those before the first epoch are kept where no epoch's are better.
        phase: the name given to the callback.
        generator: the source of the order of the images, on the CPU.
        before_step: called before each step with its images (B, C, H, W) and their rows (B,).
        after_step: called after each step.
        labels: the component of each image, (N,), asked after the last epoch.
        processes: those that train together; each has a loop of the same.
        networks: of the objective and the regularisers, which are divided among them.

    Raises:
        ArgumentError: patience without a function that validates.
    """

    objective: Objective
    guide: Guide
    images: Images
    schedule: Schedule
    y: Tensor | None = None
    regularisers: Sequence[Regulariser] = ()
    regularised_every: int = 1
    validate: Callable[[], Metrics] | None = None
    keeps_start: bool = False
    phase: str = "training"
    generator: Generator | None = None
    before_step: Callable[[Tensor, Tensor], None] | None = None
    after_step: Callable[[LoopState], None] | None = None
    labels: Callable[[], Indices] | None = None
    processes: Processes = ALONE
    networks: Sequence[Network] = ()

    def __post_init__(self) -> None:
        if self.schedule.patience is not None and self.validate is None:
            raise ArgumentError("`validate` expected a function where the schedule has patience.")

    @property
    def n_seen(self) -> int:
        """Images an epoch."""
        n, most = len(self.images), self.schedule.images_an_epoch
        return n if most is None else min(n, most)

    @property
    def n_batches(self) -> int:
        """Steps an epoch."""
        return -(-self.n_seen // self.schedule.batch_size)

    def begin(self, parameters: ParamsT) -> LoopState:
        """The state before the first epoch.

        Args:
            parameters: those to train, or torch's groups of them with a learning rate each.
        """
        optimiser = Adam(parameters, lr=self.schedule.lr, fused=True)
        n_steps = self.schedule.epochs * self.n_batches
        rate = LambdaLR(optimiser, lambda step: self.schedule.rate(step / n_steps))
        # An ELBO module owns model and guide, and with them what a batch normalisation averages.
        module = isinstance(self.objective, nn.Module)
        buffers = list(cast(nn.Module, self.objective).buffers()) if module else []
        trained = [p for group in optimiser.param_groups for p in group["params"]]
        return LoopState(optimiser, rate, Best([*trained, *buffers], self.schedule.patience))

    def run(self, state: LoopState, callback: Callback | None = None) -> None:
        """Train from ``state`` to the end; then the best parameters are put back.

        Args:
            state: from where; it goes along.
            callback: told of every epoch; where it returns STOP, that was the last one.

        Raises:
            TrainingError: the objective, its gradient or the validation loss is not finite.
        """
        if self.keeps_start and state.best.values is None and self.validate is not None:
            state.best.hears(self.processes.once(self.validate))
        while state.epoch < self.schedule.epochs and not state.ended:
            progress = self.step(state)
            answer = None if callback is None else callback(progress)
            state.ended = self.processes.same(answer is STOP) or state.ended
        state.best.restore()

    def step(self, state: LoopState) -> Progress:
        """One epoch: a pass over the images, and what came of it.

        Raises:
            TrainingError: as for :meth:`run`.
        """
        with self._one_line(state):
            mean = self._pass(state)
            metrics = self.processes.once(
                lambda: {"objective": mean, **(self.validate() if self.validate else {})}
            )
        if not math.isfinite(metrics.get("loss", 0.0)):
            raise self._diverged(state)
        state.epoch += 1
        is_enough = metrics["objective"] <= self.schedule.enough
        enough = state.epoch >= self.schedule.least_epochs and is_enough
        state.ended = state.best.hears(metrics) or enough
        is_last = state.ended or state.epoch == self.schedule.epochs
        labels = self.labels() if self.labels is not None and is_last else None
        return Progress(self.phase, state.epoch, self.schedule.epochs, metrics, labels=labels)

    def _pass(self, state: LoopState) -> float:
        """An epoch; the mean over its images of the objective less the regularisers."""
        trained = state.parameters
        batches = self._order(state)
        while state.step < len(batches):
            rows = batches[state.step]
            x = self.images.tensor(rows.numpy()).to(trained[0].device)
            batch = Batch(x, None if self.y is None else self.y[rows])
            regularised = (state.epoch * self.n_batches + state.step) % self.regularised_every == 0
            with self.processes.divided(self.networks) as divided:
                if self.before_step is not None:
                    self.before_step(batch.x, rows)
                loss = self._loss(batch, regularised)
            state.optimiser.zero_grad()
            loss.backward()
            self.processes.sum_gradients(trained, divided)
            norm = clip_grad_norm_(trained, self.schedule.clip_norm)
            if not torch.isfinite(loss + norm):
                raise self._diverged(state)
            state.optimiser.step()
            state.rate.step()
            state.total += loss.item() * len(rows)
            state.step += 1
            if self.after_step is not None:
                self.after_step(state)
        mean, state.step, state.total = state.total / self.n_seen, 0, 0.0
        return mean

    def _loss(self, batch: Batch, regularised: bool) -> Tensor:
        """What is minimised, a mean over the images."""
        n = len(self.images)
        loss = self.objective(batch.x, batch.y, size=n) / n
        for regulariser in self.regularisers if regularised else ():
            loss = loss - self.regularised_every * regulariser(self.guide, batch)
        return loss

    def _order(self, state: LoopState) -> list[Tensor]:
        """The batches of the epoch; of one that has begun the same again."""
        generator = self.generator
        if generator is None:
            return self._batches()
        now = generator.get_state()
        if state.step == 0:
            state.order = now
            return self._batches()
        assert state.order is not None
        generator.set_state(state.order)
        batches = self._batches()
        generator.set_state(now)
        return batches

    def _batches(self) -> list[Tensor]:
        """The numbers of the images of an epoch in random order, in parts."""
        order = torch.randperm(len(self.images), generator=self.generator)[: self.n_seen]
        parts = list(order.chunk(self.n_batches))
        if len(parts[-1]) == 1 < len(parts[0]):
            # Over a single image nothing can be normalised.
            parts[-2:] = [torch.cat(parts[-2:])]
        return parts

    def _diverged(self, state: LoopState) -> TrainingError:
        return TrainingError(
            f"the {self.phase} phase stopped in epoch {state.epoch + 1}: its objective is not "
            "finite (NaN or infinite). Try a lower learning rate, or another seed."
        )

    @contextmanager
    def _one_line(self, state: LoopState) -> Iterator[None]:
        """Say in one line what a distribution that is given NaN says in many."""
        try:
            yield
        except ValueError as error:
            parameter = "to satisfy the constraint" in str(error)
            if parameter or ("to be within the support" in str(error) and "nan" in str(error)):
                raise self._diverged(state) from error
            raise
