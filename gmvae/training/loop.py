"""The training loop. It knows nothing of mixtures."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from pyro.poutine.messenger import Messenger
from torch import Generator, Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.optimizer import ParamsT

from gmvae.data import Images
from gmvae.probability.guide import Guide
from gmvae.support.errors import ArgumentError, TrainingError
from gmvae.training.regularisers import Batch, Regulariser

Metrics = dict[str, float]


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        epochs: passes over the images, at least 1.
        batch_size: images a step.
        lr: Adam's learning rate at the start.
        lr_end: its fraction left at the end, reached along half a cosine.
        clip_norm: largest norm of the gradient.
        kl_start: weight of the KL terms at the start; it goes linearly to ``kl_end``.
        kl_end: their weight after ``kl_epochs``; 1 is the evidence lower bound.
        kl_epochs: epochs of the way, 0 for none.
        patience: epochs without a better validation loss before stopping; None for no stopping.
        enough: the mean objective of an epoch, regularisers included, at which to stop.
        least_epochs: epochs before that.
    """

    epochs: int
    batch_size: int = 128
    lr: float = 1e-3
    lr_end: float = 0.05
    clip_norm: float = 100.0
    kl_start: float = 1.0
    kl_end: float = 1.0
    kl_epochs: int = 0
    patience: int | None = None
    enough: float = -math.inf
    least_epochs: int = 1

    def rate(self, done: float) -> float:
        """The factor on the learning rate when a fraction 0 to 1 of all steps is done."""
        return self.lr_end + (1 - self.lr_end) * (1 + math.cos(math.pi * done)) / 2

    def kl_weight(self, epoch: float) -> float:
        """The weight after so many epochs."""
        way = min(1.0, epoch / self.kl_epochs) if self.kl_epochs else 1.0
        return self.kl_start + (self.kl_end - self.kl_start) * way


@dataclass(frozen=True)
class Progress:
    """What the loop tells its callback after each epoch (1 to ``epochs``).

    ``restart`` counts from 1 where several runs tell the same callback; it is 0 for a single one.
    """

    phase: str
    epoch: int
    epochs: int
    metrics: Metrics = field(default_factory=dict)
    restart: int = 0


Callback = Callable[[Progress], None]


def train(
    objective: Callable[..., Tensor],
    guide: Guide,
    parameters: ParamsT,
    images: Images,
    schedule: Schedule,
    *,
    y: Tensor | None = None,
    regularisers: Sequence[Regulariser] = (),
    validate: Callable[[], Metrics] | None = None,
    callback: Callback | None = None,
    phase: str = "training",
    generator: Generator | None = None,
) -> None:
    """Minimise the mean objective less the regularisers.

    Args:
        objective: (x, y, size=N) to a loss summed over the N images, as Pyro's ELBO modules.
        guide: what the regularisers are functions of.
        parameters: those to train, or torch's groups of them with a learning rate each.
        images: N images to learn from.
        schedule: how long and how fast.
        y: component indices, (N,), -1 where unknown.
        regularisers: functions of guide and batch, subtracted.
        validate: metrics after each epoch, ``loss`` among them if the schedule has patience:
            the parameters with the smallest are kept.
        callback: told of every epoch.
        phase: the name given to the callback.
        generator: the source of the order of the images, on the CPU.

    Raises:
        ArgumentError: patience without a function that validates.
        TrainingError: the objective, its gradient or the validation loss is not finite.
    """
    if schedule.patience is not None and validate is None:
        raise ArgumentError("`validate` expected a function where the schedule has patience.")
    n = len(images)
    optimiser = torch.optim.Adam(parameters, lr=schedule.lr, fused=True)
    trained = [p for group in optimiser.param_groups for p in group["params"]]
    device = trained[0].device
    n_batches = -(-n // schedule.batch_size)
    n_steps = schedule.epochs * n_batches
    rate = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda i: schedule.rate(i / n_steps))
    # An ELBO module owns model and guide, and with them what a batch normalisation has averaged.
    buffers = list(objective.buffers()) if isinstance(objective, nn.Module) else []
    best = _Best([*trained, *buffers], schedule.patience)
    for epoch in range(schedule.epochs):
        total = 0.0
        for i, rows in enumerate(_batches(n, n_batches, generator)):
            batch = Batch(images.tensor(rows.numpy()).to(device), None if y is None else y[rows])
            kl_weight = schedule.kl_weight(epoch + i / n_batches)
            with _one_line(phase, epoch), scaled_latents(kl_weight):
                loss = objective(batch.x, batch.y, size=n) / n
            for regulariser in regularisers:
                loss = loss - regulariser(guide, batch)
            optimiser.zero_grad()
            loss.backward()
            norm = clip_grad_norm_(trained, schedule.clip_norm)
            if not torch.isfinite(loss + norm):
                raise _diverged(phase, epoch)
            optimiser.step()
            rate.step()
            total += loss.item() * len(rows)
        with _one_line(phase, epoch):
            metrics = {"objective": total / n, **(validate() if validate else {})}
        if not math.isfinite(metrics.get("loss", 0.0)):
            raise _diverged(phase, epoch)
        if callback is not None:
            callback(Progress(phase, epoch + 1, schedule.epochs, metrics))
        enough = epoch + 1 >= schedule.least_epochs and metrics["objective"] <= schedule.enough
        if best.is_enough(metrics) or enough:
            break
    best.restore()


def _batches(n: int, n_batches: int, generator: Generator | None) -> list[Tensor]:
    """The numbers 0 to n - 1 in random order, in parts; no rest of one among larger ones."""
    parts = list(torch.randperm(n, generator=generator).chunk(n_batches))
    if len(parts[-1]) == 1 < len(parts[0]):
        # Over a single image nothing can be normalised.
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def _diverged(phase: str, epoch: int) -> TrainingError:
    return TrainingError(
        f"the {phase} phase stopped in epoch {epoch + 1}: its objective is not finite "
        "(NaN or infinite). Try a lower learning rate, or another seed."
    )


@contextmanager
def _one_line(phase: str, epoch: int) -> Iterator[None]:
    """Say in one line what a distribution that is given NaN says in many."""
    try:
        yield
    except ValueError as error:
        if "to satisfy the constraint" in str(error):
            raise _diverged(phase, epoch) from error
        raise


class _Best:
    """The tensors at the smallest validation loss so far; nothing without patience."""

    def __init__(self, tensors: Sequence[Tensor], patience: int | None) -> None:
        self.tensors = tensors
        self.patience = patience
        self.loss = float("inf")
        self.waited = 0
        self.state: list[Tensor] | None = None

    def is_enough(self, metrics: Metrics) -> bool:
        if self.patience is None:
            return False
        self.waited += 1
        if metrics["loss"] < self.loss:
            self.loss, self.waited = metrics["loss"], 0
            self.state = [tensor.detach().clone() for tensor in self.tensors]
        return self.waited >= self.patience

    @torch.no_grad()
    def restore(self) -> None:
        for tensor, value in zip(self.tensors, self.state or [], strict=False):
            tensor.copy_(value)


class scaled_latents(Messenger):  # type: ignore[misc]  # noqa: N801  (a Pyro handler)
    """Weigh the log-probabilities of all sites but ``x``: the KL part of a bound.

    Put around an ELBO it reaches model and guide alike. A component that is observed counts as
    latent: its term stands where the one of an unknown component would.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def _pyro_sample(self, msg: Any) -> None:
        if msg["name"] != "x":
            msg["scale"] = msg["scale"] * self.weight
