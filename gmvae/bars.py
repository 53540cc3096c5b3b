"""How far a run has come, in a notebook or a terminal: a callback for `gmvae.fit`."""

import sys
from importlib import import_module
from typing import Any

from gmvae.support.html import html_table
from gmvae.training.loop import Progress

# What is shown of an epoch's figures, and how.
FIGURES = {
    "elbo": "ELBO {:.1f}",
    "effective_components": "{:.1f} components in use",
}
# A bar of so many letters.
WIDTH = 20


def progress() -> "Bars":
    """A callback that shows a bar a phase: ``gmvae.fit(images, callback=gmvae.progress())``.

    In a notebook it is one table that changes, on a terminal a line that does, on standard error;
    a file gets a line at the end of each phase.
    """
    return Bars()


class Bars:
    """A bar for each phase, as far as it has come."""

    def __init__(self) -> None:
        self._phases: dict[str, Progress] = {}
        self._shown: Any = None

    def __call__(self, now: Progress) -> None:
        """Show ``now``."""
        title = f"{now.restart}: {now.phase}" if now.restart else now.phase
        self._phases[title] = now
        # A framework is used where it is already: a notebook has imported it.
        ipython = sys.modules.get("IPython")
        shell = ipython.get_ipython() if ipython is not None else None
        if shell is not None and hasattr(shell, "kernel"):
            self._show_in_notebook()
        else:
            self._print(title, now)

    def _repr_html_(self) -> str:
        """The table of a notebook."""
        rows = [(title, self._bar(now), self._words(now)) for title, now in self._phases.items()]
        return html_table("Training", rows)

    def _show_in_notebook(self) -> None:
        ipython: Any = import_module("IPython.display")
        table = ipython.HTML(self._repr_html_())
        if self._shown is None:
            self._shown = ipython.display(table, display_id=True)
        else:
            self._shown.update(table)

    def _print(self, title: str, now: Progress) -> None:
        line, is_last = f"{title:<14}{self._bar(now)} {self._words(now)}", now.epoch == now.epochs
        if sys.stderr.isatty():
            print(f"\r{line:<78}", end="\n" if is_last else "", file=sys.stderr, flush=True)
        elif is_last:
            print(line, file=sys.stderr, flush=True)

    def _bar(self, now: Progress) -> str:
        done = WIDTH * now.epoch // now.epochs
        return "█" * done + "░" * (WIDTH - done)

    def _words(self, now: Progress) -> str:
        figures = [
            words.format(now.metrics[name])
            for name, words in FIGURES.items()
            if name in now.metrics
        ]
        return ", ".join([f"{now.epoch}/{now.epochs}", *figures])
