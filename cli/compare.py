"""``gmvae compare``."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gmvae.settings import Settings
from gmvae.support.declarations import declarations
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.support.files import CONFIG_FILE

from . import options
from .experiment import describe
from .figures import FIGURES, Figure
from .options import option_name
from .output import answer, as_json, check_file, say, table, write_text
from .run_folder import METRICS, read_json, stored_picture, training_of

if TYPE_CHECKING:
    from gmvae.report import Column

EXAMPLES = (
    "gmvae compare gmvae-run other-run",
    "gmvae compare five six seven --output runs.html",
)
HEADINGS = ("run", "components", "accuracy", "NMI", "ELBO", "log-likelihood")
# The pictures that are set side by side, and what they show.
PICTURES = {
    "clusters": "What each cluster holds",
    "classes": "Classes and components",
    "latent": "The latent space",
    "mixture": "The mixture",
    "reconstructions": "Reconstructions",
    "curves": "The training",
}
RunFolders = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="Run folders, two or more.")
]
Output = Annotated[
    Path, typer.Option("--output", "-o", metavar="FILE", help="The page to write, .html.")
]


@dataclass(frozen=True)
class Compared:
    """A run by what stands in its folder: nothing is loaded.

    Attributes:
        folder: as it was typed.
        model: what it was built from.
        training: what it was trained on and how.
        metrics: its figures.
    """

    folder: Path
    model: Mapping[str, Any]
    training: Mapping[str, Any]
    metrics: Mapping[str, Any]

    @property
    def trained_on(self) -> str:
        """The data, in words."""
        data, classes = self.training.get("data"), self.training.get("classes")
        return describe(data, classes) if isinstance(data, str) else "unknown"


def compare(
    runs: RunFolders,
    output: Output = Path("gmvae-compare.html"),
    json: options.AsJson = False,
    force: options.Force = False,
) -> None:
    """Set runs side by side: their figures, the settings that differ, and their pictures.

    Of each run what `train` wrote to its folder is read; no model is loaded. The page is one file,
    for a browser; what cannot be compared is said on it.
    """
    if len(runs) < 2:
        raise ArgumentError(
            f"`RUN...` expected two run folders or more; got {len(runs)}. Name another, or see "
            f"one with: gmvae evaluate --model {shlex.quote(str(runs[0]))}"
        )
    check_file(output, force, [".html"])
    compared = [opened(folder) for folder in runs]
    lines = list(remarks(compared))
    write_text(output, page(compared, lines))
    if json:
        answer(as_json(_record(output, compared, lines)))
        return
    table("Runs, on the images that score them", map(_row, compared), HEADINGS)
    for line in lines:
        answer(line)
    say(f"All of it on a page, for a browser: {output}")


def opened(folder: Path) -> Compared:
    """A run, its files looked at.

    Raises:
        ContentError: they are not as ``train`` wrote them.
        FileNotFoundError: ``folder`` is no run folder.
    """
    config = read_json(folder, CONFIG_FILE, "RUN")
    training = training_of(config, folder)
    metrics, model = read_json(folder, METRICS, "RUN"), config.get("model")
    if not isinstance(model, dict) or not _as_written(metrics):
        raise ContentError(
            f"{folder} expected {CONFIG_FILE} and {METRICS} as gmvae train wrote them; got others. "
            "Restore them, or train again."
        )
    return Compared(folder, model, training, metrics)


def _as_written(metrics: Mapping[str, Any]) -> bool:
    """Whether all figures are there, and are numbers."""
    return (
        all(
            figure.key in metrics and isinstance(metrics[figure.key], int | float | None)
            for figure in FIGURES
        )
        and isinstance(metrics.get("likelihood_normalised"), bool)
        and isinstance(metrics.get("scored_on"), str)
        and isinstance(metrics.get("n_images"), int)
    )


def remarks(runs: Sequence[Compared]) -> Iterator[str]:
    """What forbids to compare the runs, or some of their figures: a line each."""
    if not _alike(_scored_on(run) for run in runs):
        yield (
            "The runs are scored on different images, so their figures do not compare: "
            f"{'; '.join(dict.fromkeys(_scored_on(run) for run in runs))}."
        )
    elif not _comparable_bounds(runs):
        yield (
            "ELBO and log-likelihood do not compare: they are of different likelihoods, of which "
            "not all are normalised densities of these pixels."
        )


def _scored_on(run: Compared) -> str:
    return f"{run.metrics['scored_on']} ({run.metrics['n_images']:,} images)"


def _comparable_bounds(runs: Sequence[Compared]) -> bool:
    """Whether bounds are of one kind: all of densities, or of one likelihood."""
    if all(run.metrics["likelihood_normalised"] for run in runs):
        return True
    return _alike((run.model.get("likelihood"), run.model.get("grey")) for run in runs)


def _alike(values: Iterator[Any]) -> bool:
    first, *others = values
    return all(value == first for value in others)


def page(runs: Sequence[Compared], lines: Sequence[str]) -> str:
    """The page as HTML."""
    from gmvae.report import Comparison, render

    columns = [_column(run) for run in runs]
    there = {name for column in columns for name in column.pictures}
    return render(
        Comparison(
            title=f"{len(runs)} runs side by side",
            columns=columns,
            remarks=lines,
            figures=[*_facts(runs), *_figures(runs)],
            settings=list(_settings(runs)),
            pictures=[(name, words) for name, words in PICTURES.items() if name in there],
        )
    )


def _column(run: Compared) -> "Column":
    from gmvae.report import Column, Picture

    pictures = {name: stored_picture(run.folder, name) for name in PICTURES}
    return Column(
        str(run.folder),
        {
            name: Picture(content, f"{PICTURES[name]}, of {run.folder}")
            for name, content in pictures.items()
            if content is not None
        },
    )


def _facts(runs: Sequence[Compared]) -> Iterator[tuple[str, Sequence[str], None]]:
    yield "trained on", [run.trained_on for run in runs], None
    yield "scored on", [_scored_on(run) for run in runs], None
    yield "components", [str(run.model.get("n_components", "")) for run in runs], None


def _figures(runs: Sequence[Compared]) -> Iterator[tuple[str, Sequence[str], int | None]]:
    """Each figure that any run has, in words, and whose is the best."""
    images_alike = _alike(_scored_on(run) for run in runs)
    for figure in FIGURES:
        values = [run.metrics[figure.key] for run in runs]
        if all(value is None for value in values):
            continue
        comparable = images_alike and (not figure.in_nats or _comparable_bounds(runs))
        best = _best(figure, values) if comparable else None
        words = f"{figure.words} (nats an image)" if figure.named else figure.words
        yield words, [_shown(figure, value) for value in values], best


def _shown(figure: Figure, value: float | None) -> str:
    return "" if value is None else f"{value:.{figure.decimals}f}"


def _best(figure: Figure, values: Sequence[float | None]) -> int | None:
    """The run with the best value; None where several share it, as it is shown."""
    rounded = [None if value is None else round(value, figure.decimals) for value in values]
    present = [figure.better * value for value in rounded if value is not None]
    if not figure.better or present.count(max(present)) > 1:
        return None
    return rounded.index(figure.better * max(present))


def _settings(runs: Sequence[Compared]) -> Iterator[tuple[str, Sequence[str]]]:
    """The settings in which the runs differ, each under the name of its option."""
    for declared in declarations(Settings):
        values = [(run.training.get("settings") or {}).get(declared.name) for run in runs]
        if not _alike(iter(values)):
            shown = ["left out" if value is None else str(value) for value in values]
            yield option_name(declared.name), shown


def _row(run: Compared) -> tuple[str, ...]:
    """A run in a line of the terminal."""
    by_key = {figure.key: figure for figure in FIGURES}
    figures = (
        _shown(by_key[key], run.metrics[key]) for key in ("acc", "nmi", "elbo", "log_likelihood")
    )
    return (str(run.folder), str(run.model.get("n_components", "")), *figures)


def _record(output: Path, runs: Sequence[Compared], lines: Sequence[str]) -> dict[str, Any]:
    """The comparison, ready for JSON."""
    records = [
        {
            "run": str(run.folder),
            "trained_on": run.trained_on,
            "components": run.model.get("n_components"),
            **run.metrics,
        }
        for run in runs
    ]
    return {"output": str(output), "remarks": list(lines), "runs": records}
