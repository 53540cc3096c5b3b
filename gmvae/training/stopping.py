"""A run that its callback ends: what is kept of it, and what is said."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from gmvae.gmvae import GMVAE
from gmvae.support.errors import StoppedTooEarlyError
from gmvae.training.loop import STOP, Callback, Progress

# The phase and the epoch after which a run was ended, ready for JSON.
Stopped: TypeAlias = dict[str, str | int]


@dataclass
class Listener:
    """A callback, and when it asked for the end.

    Attributes:
        callback: told of every epoch.
        stopped: the epoch after which it first returned STOP; None before.
    """

    callback: Callback
    stopped: Stopped | None = None

    def __call__(self, progress: Progress) -> object:
        """Tell the callback; its answer."""
        answer = self.callback(progress)
        if answer is STOP and self.stopped is None:
            self.stopped = {"phase": progress.phase, "epoch": progress.epoch}
        return answer


@torch.no_grad()
def parameters_of(gmvae: GMVAE) -> list[Tensor]:
    """Copies of the parameters of model and encoder, to be compared by :func:`check_kept`."""
    modules = gmvae.model, gmvae.guide.encoder
    return [parameter.clone() for module in modules for parameter in module.parameters()]


def check_kept(gmvae: GMVAE, before: Sequence[Tensor], stopped: Stopped) -> None:
    """Refuse a model that no phase has touched yet: it knows of no image.

    Args:
        gmvae: as the run was ended.
        before: its :func:`parameters_of` before the first phase.
        stopped: when.

    Raises:
        StoppedTooEarlyError: its parameters are as they were.
    """
    if any(not torch.equal(*pair) for pair in zip(parameters_of(gmvae), before, strict=True)):
        return
    raise StoppedTooEarlyError(
        f"the callback returned gmvae.STOP in epoch {stopped['epoch']} of the phase "
        f"{stopped['phase']}, before there is a model to keep: the decoder is trained from the "
        "phase placing on. Return it then, or raise an exception to end the run without a model."
    )


def stopped_warning(stopped: Stopped, left_out: Sequence[str]) -> str:
    """A line: when the run was ended, and which phases did not run."""
    rest = f"; {', '.join(left_out)} did not run" if left_out else ""
    return (
        f"stopped: the callback ended the run after epoch {stopped['epoch']} of the phase "
        f"{stopped['phase']}{rest}."
    )
