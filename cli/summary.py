"""What ``train`` says of a run: a line before it, and what came of it."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmvae.support.names import counted, printable
from gmvae.support.names import listed as listed_names

from .components import component_table
from .experiment import Experiment, Request
from .options import model_option
from .run_folder import REPORT, listed

# Of a line that a person reads.
MOST_FOLDERS = 12

if TYPE_CHECKING:
    from gmvae import Images
    from gmvae.training.fitting import Fit
    from gmvae.training.loop import Progress
    from gmvae.training.restarts import Restart


def opening(experiment: Experiment) -> Iterator[str]:
    """How many labels the model may see, and what becomes of the others; the classes' names."""
    import numpy as np

    yield from read_lines(experiment.train)
    n = experiment.n_observed
    line = f"{n or 'No'} labels observed in training"
    if n:
        observed = experiment.observed[experiment.observed >= 0]
        classes, counts = np.unique(observed, return_counts=True)
        names = experiment.train.class_names
        titles = [names.get(label, f"class {label}") for label in classes.tolist()]
        pairs = zip(titles, counts, strict=True)
        line += f" ({', '.join(f'{count} of {title}' for title, count in pairs)})"
    others = "All other labels" if n else "Labels"
    others_score = bool(experiment.train.classes or experiment.scored.classes)
    yield f"{line}." + (f" {others} only score the result." if others_score else "")


def left_out(request: Request) -> Iterator[str]:
    """A line where DATA has images for validation that nobody asked for."""
    from gmvae.data import has_val_part

    if request.val is None and has_val_part(request.source):
        source = printable(request.source)
        yield (
            f"{source} has a part for validation, too, which is left out; to take it: --val "
            f"{shlex.quote(source)}"
        )


def read_lines(images: "Images") -> Iterator[str]:
    """Of a folder what was read and what was skipped; the classes where they have names."""
    if images.files is None:
        if images.class_names:
            yield f"The classes are {listed(images.class_names)}.{skipped_words(images)}"
        elif images.skipped:
            yield skipped_words(images).strip()
        return
    channels, height, width = images.shape
    kind = {1: "grey", 3: "colour"}.get(channels, f"{channels}-channel")
    name = printable(images.name)
    line = f"{name}: {counted(len(images), 'picture')}, {kind}, {width} x {height}"
    if images.labels is not None:
        words = [
            f"{printable(images.class_names.get(value, str(value)))} "
            f"{int((images.labels == value).sum()):,}"
            for value in images.classes[:MOST_FOLDERS]
        ] + ["..."] * (len(images.classes) > MOST_FOLDERS)
        line += f", in {len(images.classes)} folders (the first below {name} is the class): "
        line += ", ".join(words)
    others = f" {counted(images.others, 'other file')} left alone." if images.others else ""
    yield f"{line}.{others}{skipped_words(images)}"


def skipped_words(images: "Images") -> str:
    """`` Skipped 2 files: a.png (...), ...``; nothing where nothing was skipped."""
    n = len(images.skipped)
    if not n:
        return ""
    # The last colon: a name may hold others.
    files = [f"{name} ({why})" for name, _, why in (s.rpartition(": ") for s in images.skipped)]
    return f" Skipped {counted(n, 'file')}: {listed_names(files)}."


def images_record(images: "Images", name: str, output: Path) -> dict[str, Any]:
    """What a command read and where it wrote, ready for JSON.

    Args:
        images: that were read.
        name: what they are, in words.
        output: the file that was written.
    """
    return {
        "output": str(output),
        "images": name,
        "n_images": len(images),
        "skipped": list(images.skipped),
    }


def restart_lines(result: "Fit", restarts: tuple["Restart", ...]) -> Iterator[str]:
    """A line for each of several runs, the kept one marked; in nats on the held-out images."""
    density = "" if result.gmvae.model.likelihood.normalised else ", no normalised density"
    for number, restart in enumerate(restarts, start=1):
        if restart.objective is None:
            figures = "diverged"
        else:
            objective, elbo = restart.objective, restart.elbo
            figures = f"held-out objective {objective:.2f}, ELBO {elbo:.2f}{density}"
        kept = " (kept)" if is_kept(restart, result) else ""
        yield f"Restart {number}, seed {restart.seed}: {figures}{kept}"


def is_kept(restart: "Restart", result: "Fit") -> bool:
    """Whether ``result`` is that run."""
    return restart.objective == -result.figures["loss"]


def early_stop(last: "Progress | None", patience: int) -> Iterator[str]:
    """A line where the last epoch came before its time; none where no epoch was told."""
    if last is not None and last.epoch < last.epochs:
        yield (
            f"Stopped early, after {last.epoch} of {last.epochs} epochs: epoch "
            f"{last.epoch - patience} had the best held-out objective, and its model is kept."
        )


def components_found(result: "Fit") -> Iterator[str]:
    """How many components there are, by which evidence, and how near the runners-up came."""
    from gmvae.training.density import PROMINENT

    k, prominences = result.gmvae.config.n_components, result.prominences
    yield f"Components: {k} found, as many as the density of the images has prominent peaks."
    if len(prominences) == 0:
        return
    # Two to either side: with one fewer the K-1st split would be none, with one more the Kth one.
    first = max(2, k - 1)
    splits = [
        f"{number} by {prominences[number - 2]:.1f}"
        for number in range(first, k + 3)
        if number - 2 < len(prominences)
    ]
    yield (
        f"The split that makes one more cluster stands out of the noise by so many standard "
        f"deviations, {PROMINENT:g} or more for a cluster: {', '.join(splits)}."
    )


def closing(
    metrics: Mapping[str, Any],
    components: Sequence[Mapping[str, Any]],
    scored_name: str,
    output: Path,
) -> Iterator[str]:
    """How well it went, where the files lie, what to type next.

    Args:
        metrics: of the run.
        components: what each has of the scored images, see
            :func:`gmvae_cli.components.component_records`.
        scored_name: what these images are.
        output: the run folder.
    """
    yield f"Scored on {scored_name}: {counted(metrics['n_images'], 'image')}."
    yield from component_table(components)
    if metrics["acc_named"] is not None:
        yield f"Accuracy of Predicted_Label: {metrics['acc_named']:.3f}"
    else:
        yield from _nameless(components, output)
    if metrics["acc"] is not None:
        yield f"Accuracy with components matched to classes: {metrics['acc']:.3f}"
    unit = "nats an image" if metrics["likelihood_normalised"] else "no normalised density"
    bounds = f"{metrics['train_elbo']:.1f} on train, {metrics['elbo']:.1f} on the scored images"
    yield f"ELBO: {bounds} ({unit}; the higher, the better)"
    yield f"Model, figures and pictures: {output}"
    yield f"All of it on a page, for a browser: {output / REPORT}"
    yield f"Next: gmvae classify{model_option(output)}"


def _nameless(components: Sequence[Mapping[str, Any]], output: Path) -> Iterator[str]:
    """Which components have no name while others have one, and how to give them some."""
    nameless = [str(record["component"]) for record in components if record["name"] is None]
    if 0 < len(nameless) < len(components):
        which = listed_names(nameless)
        yield f"Without a name: component {which}. To see all, and to name them: " + (
            f"gmvae name {shlex.quote(str(output))}"
        )
