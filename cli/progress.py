"""How far a run has come: bars on a terminal, a few lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from .output import is_quiet

if TYPE_CHECKING:
    from gmvae.training.loop import Progress

# Off a terminal a phase prints about this many lines at most, and what has no phases so many.
LINES_A_PHASE, LINES = 5, 10
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
    if is_quiet():
        yield lambda now: None
        return
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        with _bars(console) as show:
            yield show
    else:
        yield Lines()


def rate_lines(silent: float) -> Callable[[int, int, float], None] | None:
    """A callback that says on standard error how far work on images has come; None where unwanted.

    It takes the images that are done, those in all, and how many are done a second.

    Args:
        silent: seconds before it says anything.
    """
    if is_quiet():
        return None
    terminal, began = sys.stderr.isatty(), time.monotonic()
    said = 0

    def show(done: int, total: int, rate: float) -> None:
        nonlocal said
        due = LINES * done // total
        if time.monotonic() - began < silent or (not terminal and due == said):
            return
        said = due
        line = (
            f"{done:,}/{total:,} images, {rate:,.1f} a second, {(total - done) / rate:.0f} s left"
        )
        end = "" if terminal and done < total else "\n"
        print(f"\r{line:<60}" if terminal else line, end=end, file=sys.stderr, flush=True)

    return show


def figures(metrics: Mapping[str, Any]) -> str:
    """The ELBO, its parts and the number of components in use, as far as a phase has them."""
    return ", ".join(words.format(metrics[name]) for name, words in _PARTS if name in metrics)


class Lines:
    """A callback that prints a few epochs of a phase, the last among them."""

    def __init__(self) -> None:
        # The first epoch seen of each phase, of each restart, and when it was over: a run that goes
        # on begins in the middle.
        self._first: dict[tuple[int, str], tuple[int, float]] = {}

    def __call__(self, now: "Progress") -> None:
        """Print ``now`` if it is worth a line."""
        self._first.setdefault((now.restart, now.phase), (now.epoch, time.monotonic()))
        every = max(1, now.epochs // LINES_A_PHASE)
        if now.epoch == now.epochs or (now.epoch % every == 0 and now.epoch + every <= now.epochs):
            print(self._line(now), file=sys.stderr, flush=True)

    def _line(self, now: "Progress") -> str:
        left = ""
        first, began = self._first[now.restart, now.phase]
        if first < now.epoch < now.epochs:
            an_epoch = (time.monotonic() - began) / (now.epoch - first)
            left = f"{an_epoch * (now.epochs - now.epoch):.0f} s left"
        shown = ", ".join(filter(None, (figures(now.metrics), left)))
        return f"{_title(now)} {now.epoch}/{now.epochs}" + (f": {shown}" if shown else "")


def _title(now: "Progress") -> str:
    """``joint``, or ``2: joint`` in the second of several restarts."""
    return f"{now.restart}: {now.phase}" if now.restart else now.phase


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
    waiting: list[TaskID] = [bars.add_task("warm-up", total=None)]
    tasks: dict[str, TaskID] = {}

    def show(now: "Progress") -> None:
        while waiting:
            bars.remove_task(waiting.pop())
        title = _title(now)
        if title not in tasks:
            tasks[title] = bars.add_task(title)
        bars.update(tasks[title], completed=now.epoch, total=now.epochs)
        if now.restart and now.epoch == now.epochs and now.phase != "joint":
            # Of several runs only the newest phases are shown.
            bars.update(tasks[title], visible=False)
        newest.plain = figures(now.metrics) or newest.plain

    with Live(Group(bars, newest), console=console, refresh_per_second=4):
        yield show
