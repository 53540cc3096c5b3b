"""``--report-every``: the page on a run, made again while it trains."""

import shlex
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmvae.support.errors import ArgumentError
from gmvae.support.names import counted

from . import run_folder
from .components import records_of
from .experiment import Experiment
from .output import check_file, say, write_text
from .recorded import of_request
from .reporting import is_report, report, waiting

if TYPE_CHECKING:
    from gmvae import GMVAE, Images, Settings
    from gmvae.plots import Told
    from gmvae.training.loop import Progress

    from .unfinished import AskedTraining

# From these phases on there is a model to look at: before them its decoder knows nothing.
PHASES = ("joint", "covering")
# Images on the page, an even share of more: what it shows of them takes a second or two.
MOST_IMAGES = 1_000


def page_of(output: Path) -> Path:
    """Where the page on the run into ``output`` lies while it trains: where `evaluate` has its."""
    return run_folder.beside(output, run_folder.REPORT)


def check_live(every: int | None, restarts: int, output: Path, force: bool) -> None:
    """Refuse, before any work, what cannot be followed on one page, or a page of others.

    Raises:
        ArgumentError: several runs at a time.
        FileExistsError: something lies there that is no page of gmvae.
    """
    if every is None:
        return
    if restarts > 1:
        raise ArgumentError(
            f"`--report-every` expected one run to show; got --restarts {restarts}, which train "
            "side by side in processes of their own. Leave one of the two out; --log tensorboard "
            "draws the curves of all."
        )
    page = page_of(output)
    check_file(page, force or is_report(page), [".html"])


def live_page(
    asked: "AskedTraining", experiment: Experiment, settings: "Settings"
) -> "Live | None":
    """The page on the run, which is told in a line; None where it is not asked for."""
    if asked.report_every is None:
        return None
    from gmvae.training.outcome import training_record

    training = training_record(experiment.train, settings, experiment.observed)
    training |= of_request(asked.request.completed(), asked.start)
    live = Live(asked.output, asked.report_every, experiment, training)
    if not asked.json:
        say(f"The page on it while it trains, for a browser: {live.page}")
    return live


class Live:
    """The page on a run while it trains: a callback for ``fit``.

    It is made anew after every so many epochs of a phase and after the last, at first without a
    model to look at. The run is not touched by it: it ends in the same model as without.

    Attributes:
        page: the file.
        times: how often it has been made.
        seconds: that took.
    """

    def __init__(
        self, output: Path, every: int, experiment: Experiment, training: Mapping[str, Any]
    ) -> None:
        from gmvae.plots.style import even_share

        self.page, self.times, self.seconds = page_of(output), 0, 0.0
        self._output, self._every, self._training = output, every, training
        self._name, self._images = experiment.scored_name, experiment.scored
        rows = even_share(len(experiment.scored), MOST_IMAGES)
        if len(rows) < len(experiment.scored):
            self._name += ", an even share"
            self._images = experiment.scored.subset(rows)
        self._history: list[dict[str, Any]] = []
        self._lost = False
        self._write(waiting(training, self._name, self._words("It begins.")))

    def __call__(self, now: "Progress") -> None:
        """Make the page anew where it is time."""
        self._history.append({"phase": now.phase, "epoch": now.epoch, **now.metrics})
        due = now.epoch % self._every == 0 or now.epoch == now.epochs
        if self._lost or not due:
            return
        began = time.monotonic()
        words = self._words(f"Phase {now.phase}, epoch {now.epoch} of at most {now.epochs}.")
        if now.phase in PHASES:
            self._write(self._whole(now, words))
        else:
            self._write(waiting(self._training, self._name, words))
        self.times += 1
        self.seconds += time.monotonic() - began

    def end(self) -> Iterator[str]:
        """Put the final page in its place; a line on it, none where it could not be written."""
        if not self._lost:
            self._write((self._output / run_folder.REPORT).read_text(encoding="utf-8"))
        if self._lost:
            return
        often = f"made {counted(self.times, 'time')} meanwhile, in {self.seconds:.0f} s"
        yield f"The same page: {self.page} ({often})"

    def _words(self, where: str) -> str:
        now = time.strftime("%H:%M:%S")
        again = f"gmvae train --resume {shlex.quote(str(self._output))}"
        return (
            f"The run was training when this page was made, at {now}. {where} Where it was stopped "
            f"since, it goes on by {again}."
        )

    def _write(self, page: str) -> None:
        """Write it, whole or not at all; a training does not end because it could not be."""
        try:
            write_text(self.page, page)
        except OSError as error:
            self._lost = True
            print(f"{self.page} is not made any more: {error}", file=sys.stderr, flush=True)

    def _whole(self, now: "Progress", words: str) -> str:
        """The page on the model as it is."""
        import torch

        from gmvae import GMVAE
        from gmvae.plots import Told

        assert isinstance(now.model, GMVAE)
        device = now.model.device
        devices = [] if device.type == "cpu" else [device]
        # The run goes on with the generators as they were.
        with torch.random.fork_rng(devices, device_type=device.type):
            return self._drawn(Told(now.model, self._images), words)

    def _drawn(self, told: "Told", words: str) -> str:
        from gmvae.report import png

        from .reporting import pictures

        names = (*pictures(told), "curves")
        drawn = run_folder.draw(told, self._history, names)
        return report(
            self._output,
            told,
            training=self._training,
            metrics=_figures(told.gmvae, told.images),
            scored_on=self._name,
            records=records_of(told),
            pictures={name: png(figure) for name, figure in drawn.items()},
            running=words,
        )


def _figures(gmvae: "GMVAE", images: "Images") -> dict[str, Any]:
    """The figures of an evaluation but for the log-likelihood, which takes longest."""
    import torch

    from gmvae.diagnostics.evaluation import evaluate

    generator = torch.Generator(gmvae.device).manual_seed(0)
    figures = evaluate(gmvae, images, n_samples=1, generator=generator)
    return {**figures, "log_likelihood": None}
