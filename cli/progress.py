"""How far a run has come: bars on a terminal, a few lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gmvae.training import Progress

# Off a terminal a phase prints about this many lines at most.
LINES_A_PHASE = 5
_PARTS = (
    ("elbo", "ELBO {:.1f}"),
    ("reconstruction", "reconstruction {:.1f}"),
    ("kl_z", "KL of z {:.2f}"),
    ("kl_y", "KL of y {:.2f}"),
    ("effective_components", "{:.2f} components in use"),
)


@contextmanager
def progress() -> Iterator[Callable[["Progress"], None]]:
    """Yield a callback for ``fit`` that shows on standard error how far it has come."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        with _bars(console) as show:
            yield show
    else:
        yield Lines()


def figures(metrics: Mapping[str, Any]) -> str:
    """The ELBO, its parts and the number of components in use, as far as a phase has them."""
    return ", ".join(words.format(metrics[name]) for name, words in _PARTS if name in metrics)


class Lines:
    """A callback that prints a few epochs of a phase, the last among them."""

    def __init__(self) -> None:
        self._phase = ""
        self._first = 0.0

    def __call__(self, now: "Progress") -> None:
        """Print ``now`` if it is worth a line."""
        if now.phase != self._phase:
            self._phase, self._first = now.phase, time.monotonic()
        every = max(1, now.epochs // LINES_A_PHASE)
        if now.epoch == now.epochs or (now.epoch % every == 0 and now.epoch + every <= now.epochs):
            print(self._line(now), file=sys.stderr, flush=True)

    def _line(self, now: "Progress") -> str:
        left = ""
        if 1 < now.epoch < now.epochs:
            an_epoch = (time.monotonic() - self._first) / (now.epoch - 1)
            left = f"{an_epoch * (now.epochs - now.epoch):.0f} s left"
        shown = ", ".join(filter(None, (figures(now.metrics), left)))
        return f"{now.phase} {now.epoch}/{now.epochs}" + (f": {shown}" if shown else "")


@contextmanager
def _bars(console: Any) -> Iterator[Callable[["Progress"], None]]:
    """A bar for each phase, and the newest figures below them."""
    from rich.console import Group
    from rich.live import Live
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars
    from rich.text import Text

    bars = Bars(
        TextColumn("{task.description:<10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=console,
    )
    newest = Text()
    # The first report comes after an epoch; until then this bar pulses.
    tasks: dict[str, TaskID] = {"warm-up": bars.add_task("warm-up", total=None)}

    def show(now: "Progress") -> None:
        if now.phase not in tasks:
            tasks[now.phase] = bars.add_task(now.phase)
        bars.update(tasks[now.phase], completed=now.epoch, total=now.epochs)
        newest.plain = figures(now.metrics) or newest.plain

    with Live(Group(bars, newest), console=console, refresh_per_second=4):
        yield show
