"""Several processes of one command, as torchrun begins them.

They train together, connected by Lightning Fabric; or divide the rows that are scored among them,
of which each tells the others by torchrun's own store how far it has come.
"""

import logging
import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from gmvae.support.errors import ArgumentError, InterruptedRunError

from .entry import EndedFromOutside

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch.distributed.distributed_c10d import Store

# The commands that they share.
SHARED = ("train", "classify", "encode", "reconstruct")
# Seconds between two looks at what the others have told: as much is waited in vain at most.
BETWEEN_LOOKS = 0.1
# What is told.
FAILED = "failed"


def n_processes() -> int:
    """How many torchrun has begun for this command; 1 without it."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def is_first() -> bool:
    """Whether this process speaks and writes for all."""
    return n_processes() == 1 or os.environ["RANK"] == "0"


def check_command(arguments: Sequence[str]) -> None:
    """Refuse several processes of a command that each of them would do alone.

    Raises:
        ArgumentError: it is none of those that are shared.
    """
    if n_processes() > 1 and not {*SHARED} & {*arguments[:1]}:
        got = arguments[0] if arguments else "no command"
        raise ArgumentError(
            f"torchrun expected {', '.join(SHARED[:-1])} or {SHARED[-1]}; got {got}. Run that "
            "without torchrun."
        )


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


class Sharing:
    """The processes that divide rows among them, and what they tell each other; one alone, too.

    Attributes:
        n: how many there are.
        number: that of this one, from 0.
    """

    def __init__(self) -> None:
        self.n = n_processes()
        self.number = 0 if self.n == 1 else int(os.environ["RANK"])
        self._store = None if self.n == 1 else _store()

    @property
    def is_first(self) -> bool:
        """Whether this process speaks and writes for all."""
        return self.number == 0

    def rows(self, n: int, length: int, number: int) -> range:
        """Which of n rows are those of a process: whole batches, so that sums round as in one.

        Args:
            n: rows in all.
            length: rows of a batch, of which the last one may have fewer.
            number: of the process.
        """
        n_batches = -(-n // length)
        first, end = (n_batches * i // self.n * length for i in (number, number + 1))
        return range(min(first, n), min(end, n))

    def tell(self, word: str) -> int:
        """Tell it to all; how many have told it by now."""
        return 1 if self._store is None else int(self._store.add(word, 1))

    def is_told(self, word: str) -> bool:
        """Whether one of the others, or this one, has told it."""
        return self._store is not None and self._store.check([word])

    def wait(self, word: str) -> None:
        """Wait for it, however long that takes: where a process fails torchrun ends the others."""
        # Look by look: a wait within torch would hear no signal.
        while not self.is_told(word):
            time.sleep(BETWEEN_LOOKS)

    @contextmanager
    def ending_together(self) -> Iterator[None]:
        """Of what ends this block one process speaks: the first of those that fail, or of all."""
        try:
            yield
        except (KeyboardInterrupt, EndedFromOutside, InterruptedRunError):
            if self.is_first and not self.is_told(FAILED):
                raise
            raise typer.Exit(1) from None
        except Exception:
            if self.n == 1 or self.tell(FAILED) == 1:
                raise
            raise typer.Exit(1) from None


def _store() -> "Store":
    """The store of torchrun, which lives as long as torchrun does."""
    from torch.distributed.rendezvous import rendezvous

    store: Store = next(rendezvous("env://"))[0]
    return store
