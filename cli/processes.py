"""Several processes of one command, as torchrun begins them: they train together."""

import logging
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from gmvae.support.errors import ArgumentError, InterruptedRunError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

# The command that they share.
TRAIN = "train"


def n_processes() -> int:
    """How many torchrun has begun for this command; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def is_first() -> bool:
    """Whether this process speaks and writes for all."""
    return n_processes() == 1 or os.environ["RANK"] == "0"


def check_command(arguments: Sequence[str]) -> None:
    """Refuse several processes of a command that each of them would do alone.

    Raises:
        ArgumentError: it is any other than ``train``.
    """
    if n_processes() > 1 and TRAIN not in arguments[:1]:
        got = arguments[0] if arguments else "no command"
        raise ArgumentError(f"torchrun expected {TRAIN}; got {got}. Run that without torchrun.")


def launched(device: str, restarts: int) -> "Fabric | None":
    """What connects the processes; None for one alone.

    Args:
        device: where to train, of which each process takes one of its own.
        restarts: runs that were asked for.

    Raises:
        ArgumentError: Lightning Fabric is not installed, or several runs were asked for.
    """
    if n_processes() == 1:
        return None
    if restarts > 1:
        raise ArgumentError(
            f"`--restarts` expected 1 under torchrun; got {restarts}. Run each with another --seed."
        )
    try:
        from lightning_fabric import Fabric
    except ImportError as error:
        raise ArgumentError(
            "torchrun expected Lightning Fabric; got none installed. Install it: "
            "pip install 'gmvae[distributed]'."
        ) from error
    # How the processes met is nobody's question.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    here = int(os.environ["LOCAL_WORLD_SIZE"])
    fabric = Fabric(
        accelerator=device.partition(":")[0],
        devices=here,
        num_nodes=n_processes() // here,
        strategy="ddp",
    )
    fabric.launch()
    return fabric


@contextmanager
def following() -> Iterator[None]:
    """In this block the first process decides when the run is to stop, and says so."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    try:
        yield
    except InterruptedRunError:
        raise typer.Exit(1) from None
