"""The page on a run: what ``train`` and ``evaluate`` put on it."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmvae.support.files import CONFIG_FILE
from gmvae.support.names import listed

from .experiment import is_named
from .figures import figure_rows
from .info import model_rows, settings_rows, training_rows
from .options import model_option

if TYPE_CHECKING:
    from gmvae.plots import Told
    from gmvae.report import Row

# What a picture of a run shows, in words, by its file's name. Those of the page: what the clusters
# hold stands in its gallery, and classes in a table where they are not too many.
WORDS = {
    "latent": "points in the latent space, coloured by class or component",
    "mixture": "ellipses of the Gaussians over the encoded images",
    "manifold": "images decoded on a grid over the latent space",
    "reconstructions": "images in a row, their reconstructions below them",
    "ambiguous": "the images that the model is least sure of",
    "classes": "a table of classes and components, darker for a larger share",
    "curves": "curves of the bound and its parts over the epochs",
}
# The start of a page of gmvae, which no other page has.
MARK, MARK_WITHIN = b'<meta name="generator" content="gmvae ', 2_000
# What a result depends on.
PACKAGES = ("torch", "pyro-ppl", "numpy", "scikit-learn")


def report(
    folder: Path,
    told: "Told",
    *,
    training: Mapping[str, Any],
    metrics: Mapping[str, Any],
    scored_on: str,
    records: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, bytes],
    diagnosis: Mapping[str, Any] | None = None,
    running: str | None = None,
) -> str:
    """The page as HTML.

    Args:
        folder: of the run, as it was typed.
        told: what the model says of the images that score it.
        training: the section of the run's configuration.
        metrics: of these images.
        scored_on: what these images are, in words.
        records: a record a component, of these images.
        pictures: of the run, as PNG, by name.
        diagnosis: what ``gmvae diagnose`` wrote of the model; None where it was not asked.
        running: how far a run that has not ended has come, in words; None of one that has.
    """
    from gmvae.report.answer import Training, sentences
    from gmvae.report.cards import class_table, gallery
    from gmvae.report.contents import Report
    from gmvae.report.page import render
    from gmvae.report.pictures import Picture

    classes = class_table(told)
    shown = {
        name: Picture(pictures[name], words)
        for name, words in WORDS.items()
        if name in pictures and (name != "classes" or classes is None)
    }
    warnings = training.get("warnings") or ()
    accuracy = metrics["acc"] if metrics["acc_named"] is None else metrics["acc_named"]
    settings = training.get("settings") or {}
    page = Report(
        title=f"Clusters of {_title(training, told.images.name)}",
        asked=list(_asked(told, training, scored_on)),
        answer=sentences(records, told.probability, accuracy, Training.of(training, warnings)),
        warnings=warnings,
        scored_on=scored_on,
        cards=gallery(told, records),
        classes=classes,
        pictures=shown,
        figures=list(figure_rows(metrics)),
        diagnosis=diagnosis,
        settings=list(settings_rows(settings)),
        versions=list(versions(training)),
        again=again(folder),
        diagnose=f"gmvae diagnose{model_option(folder)}",
        running=running,
    )
    return render(page)


def waiting(training: Mapping[str, Any], scored_on: str, running: str) -> str:
    """The page on a run that has no model to look at yet: what was asked, and how far it has come.

    Args:
        training: the section of the run's configuration, as far as it is known.
        scored_on: the images that it will show, in words.
        running: how far the run has come, in words.
    """
    from gmvae.report.contents import Report
    from gmvae.report.page import render

    settings = training.get("settings") or {}
    page = Report(
        title=f"Clusters of {_title(training, scored_on)}",
        asked=list(training_rows(training)),
        scored_on=scored_on,
        settings=list(settings_rows(settings)),
        versions=list(versions(training)),
        running=f"{running} Clusters and pictures come with the joint phase.",
    )
    return render(page)


def pictures(told: "Told") -> tuple[str, ...]:
    """The pictures that the page on a model shows of images which it is asked about.

    The curves are those of its training; classes that a table has room for are no picture.
    """
    from gmvae.report.cards import class_table

    absent = {"curves"} if class_table(told) is None else {"curves", "classes"}
    return tuple(name for name in WORDS if name not in absent)


def is_report(path: Path) -> bool:
    """Whether a page of gmvae lies there."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return MARK in file.read(MARK_WITHIN)


def again(folder: Path) -> str:
    """What to type for the same run again."""
    config, output = folder / CONFIG_FILE, folder.with_name(f"{folder.name}-again")
    return f"gmvae train --config {shlex.quote(str(config))} -o {shlex.quote(str(output))}"


def versions(training: Mapping[str, Any]) -> "Iterator[Row]":
    """Of what a result depends on; of the training gmvae's own."""
    # Here: every command would wait for them a twentieth of a second.
    import platform
    from importlib.metadata import version

    if isinstance(training.get("version"), str):
        yield "gmvae, in training", training["version"]
    yield "Python", platform.python_version()
    yield from ((package, version(package)) for package in PACKAGES)
    yield "system", f"{platform.system()}, {platform.machine()}"


def _title(training: Mapping[str, Any], otherwise: str) -> str:
    """A name, or the last part of a path: where it lies is nothing for a title."""
    source = training.get("data")
    if not isinstance(source, str):
        return otherwise
    return source if is_named(source) else Path(source).name


def _asked(told: "Told", training: Mapping[str, Any], scored_on: str) -> "Iterator[Row]":
    """What for, and on what data."""
    yield from training_rows(training)
    n_images = training.get("n_images")
    if isinstance(n_images, int):
        yield "images in training", f"{n_images:,}"
    yield "clusters and figures of", f"{scored_on}: {len(told.images):,} images"
    if told.images.skipped:
        yield "skipped", f"{len(told.images.skipped):,}: {listed(told.images.skipped)}"
    yield from model_rows(told.gmvae)
    seconds, restarts = training.get("seconds"), training.get("restarts") or ()
    if isinstance(seconds, int | float):
        several = f", {len(restarts)} restarts" if len(restarts) > 1 else ""
        yield "training took", f"{seconds:,.0f} s{several}"
