"""What ``gmvae train`` does: from what was asked for to the run folder."""

import shlex
import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmvae.support.card import CARD_FILE
from gmvae.support.errors import ArgumentError
from gmvae.support.files import CONFIG_FILE, replacing

from . import processes, run_folder, summary, unfinished
from .components import records_of
from .device import named_device
from .errors import in_options
from .experiment import Experiment, Request, check_request, prepare
from .figures import figure_rows, without_nameless
from .live import check_live, live_page
from .options import AUTO
from .output import answer, as_json, check_folder, say, write_json
from .recorded import of_request
from .reporting import report
from .tensorboard import board, check_log

if TYPE_CHECKING:
    from lightning_fabric import Fabric

    from gmvae import GMVAE, Settings
    from gmvae.plots import Told
    from gmvae.training.fitting import Fit
    from gmvae.training.loop import Progress
    from gmvae.training.restarts import Restart


def settings_from(
    start: Path, data: str | None, values: Mapping[str, Any], typed: Container[str]
) -> dict[str, Any]:
    """The settings of a run that starts from a model: where none was typed, its networks' are.

    Raises:
        ArgumentError: no images to go on with.
        FileNotFoundError: ``start`` is no run folder.
    """
    if data is None:
        raise ArgumentError(
            "`--from` expected DATA beside it, the images to go on with; got none. Name them."
        )
    run_folder.read_json(start, CONFIG_FILE, "--from")
    from gmvae.config import read_config
    from gmvae.training.continuing import OF_THE_MODEL

    model = read_config(start).config
    kept = {name for name in ("n_components", *OF_THE_MODEL) if name not in typed}
    return {**values, **{name: getattr(model, name) for name in kept}}


def check_typed(asked: unfinished.AskedTraining) -> None:
    """Refuse, before torch is imported and images are read, what cannot be done anyhow.

    What was typed comes before what lies there.

    Raises:
        ArgumentError: a setting out of its range, or DATA of no such name.
        OSError: DATA that are not there, or a run folder that must not or cannot be written.
    """
    _check_settings(asked.settings)
    check_request(asked.request)
    check_folder(asked.output, asked.force, frozenset(run_folder.FILES))
    check_live(asked.report_every, asked.restarts, asked.output, asked.force)


def run(asked: unfinished.AskedTraining, folder: Path | None, checkpoint: bool = True) -> None:
    """Train, measure and write.

    Args:
        asked: what for.
        folder: of the unfinished run that goes on; None for one that begins.
        checkpoint: whether one that begins is kept.
    """
    request = asked.request
    check_typed(asked)
    if folder is None and checkpoint and processes.is_first():
        unfinished.check_free(asked)
    device = named_device(asked.device)
    check_log(asked.log)
    fabric = processes.launched(device, asked.restarts)
    experiment = prepare(request)
    start = None
    if asked.start is not None:
        start = run_folder.open_run(asked.start, asked.device, "--from").gmvae
    settings = _chosen(asked.settings, experiment, start)
    if not processes.is_first():
        place = unfinished.folder_of(asked.output) if folder or checkpoint else None
        with processes.following():
            _fit(experiment, settings, asked, start, device, place, lambda: False, (), fabric)
        return
    if folder is None and checkpoint:
        folder = unfinished.begin(asked)
    # Nothing is said before all that was asked for is known to fit.
    if not asked.json:
        _say_all(summary.opening(experiment))
        _say_all(summary.left_out(request))
    from gmvae.plots import Told

    live = live_page(asked, experiment, settings)
    began = time.monotonic()
    with board(asked.log, asked.output) as log:
        others = [other for other in (log, live) if other is not None]
        with unfinished.kept(folder, asked.output) as stop:
            result, runs, last = _fit(
                experiment, settings, asked, start, device, folder, stop, others, fabric
            )
        seconds = time.monotonic() - began
        result = replace(result, warnings=tuple(map(in_options, result.warnings)))
        training = _record(result, request, asked.start, runs, seconds)
        with unfinished.told(folder, asked.output):
            metrics = _measure(result.gmvae, experiment, settings.seed)
            metrics = without_nameless(metrics, result.gmvae, training)
            told = Told(result.gmvae, experiment.scored)
            records = records_of(told)
            pictures = _write(asked.output, result, told, training, metrics, records)
        followed = () if live is None else tuple(live.end())
        if log is not None:
            log.show(pictures)
    if folder is not None:
        unfinished.end(folder)
    if asked.json:
        record = {"output": str(asked.output), "warnings": list(result.warnings)}
        answer(as_json({**record, "components": records, "metrics": metrics}))
        return
    for warning in result.warnings:  # also where the rest is not wanted
        answer(warning)
    # Observed labels, or a model to start from, say their number too.
    if settings.n_components is None and start is None and experiment.n_observed == 0:
        _say_all(summary.components_found(result))
    _say_all(summary.restart_lines(result, runs) if asked.restarts > 1 else ())
    _say_all(summary.early_stop(last, settings.patience))
    if log is not None:
        say(f"Curves for TensorBoard: tensorboard --logdir {shlex.quote(str(log.folder.parent))}")
    _say_all(followed)
    _say_all(summary.closing(metrics, records, experiment.scored_name, asked.output))


def _say_all(lines: Iterable[str]) -> None:
    for line in lines:
        say(line)


def _check_settings(values: Mapping[str, Any]) -> None:
    """Refuse a setting out of its range, whatever the images are.

    Raises:
        ArgumentError: there is one.
    """
    from gmvae import Settings

    Settings(**{name: value for name, value in values.items() if value not in (None, AUTO)})


def _chosen(values: Mapping[str, Any], experiment: Experiment, start: "GMVAE | None") -> "Settings":
    """The settings of a run on these images.

    Raises:
        ArgumentError: a setting out of its range, more components than images, or a model to start
            from that does not fit.
    """
    from gmvae import Settings
    from gmvae.training.continuing import check_start
    from gmvae.training.held_out import check_components

    n_components = values["n_components"]
    if n_components is None:
        n_components = experiment.n_components
    elif n_components == AUTO:
        n_components = None
    settings = Settings(**{**values, "n_components": n_components})
    check_components(
        [settings.n_components or 1],
        experiment.train,
        settings,
        experiment.observed,
        experiment.held_out,
    )
    if start is not None:
        check_start(start, experiment.train, settings)
    return settings


def _fit(
    experiment: Experiment,
    settings: "Settings",
    asked: unfinished.AskedTraining,
    start: "GMVAE | None",
    device: str,
    folder: Path | None,
    stop: Callable[[], bool],
    others: Sequence[Callable[["Progress"], None]],
    fabric: "Fabric | None",
) -> tuple["Fit", tuple["Restart", ...], "Progress | None"]:
    """The kept run, what became of each, and the last joint epoch of the kept, if any was told."""
    from gmvae.training.restarts import fit_restarts

    from .progress import progress

    last: dict[int, Progress] = {}
    with progress() as show:

        def callback(now: "Progress") -> None:
            if now.phase != "covering":  # which lasts as long as it is meant to
                last[now.restart] = now
            show(now)
            for other in others:
                other(now)

        result, runs = fit_restarts(
            experiment.train,
            settings,
            asked.restarts,
            observed=experiment.observed if experiment.n_observed else None,
            held_out=experiment.held_out,
            start=start,
            callback=callback,
            checkpoint=folder,
            stop=stop,
            device=device,
            n_jobs=asked.jobs,
            fabric=fabric,
        )
    kept = next(i for i, run in enumerate(runs, start=1) if summary.is_kept(run, result))
    return result, runs, last.get(kept if asked.restarts > 1 else 0)


def _record(
    result: "Fit",
    request: Request,
    start: Path | None,
    runs: tuple["Restart", ...],
    seconds: float,
) -> dict[str, Any]:
    """What the run was trained on and how, for its configuration: with which options again."""
    return {
        **(result.gmvae.training_record or {}),
        **of_request(request.completed(), start),
        "warnings": list(result.warnings),
        "seconds": round(seconds, 1),
        "restarts": [asdict(run) for run in runs],
    }


def _measure(gmvae: "GMVAE", experiment: Experiment, seed: int) -> dict[str, Any]:
    """The figures of the scored images, and the ELBO of the training images beside them."""
    import torch

    from gmvae.diagnostics.evaluation import evaluate

    generator = torch.Generator(gmvae.device).manual_seed(seed)
    figures = evaluate(gmvae, experiment.scored, generator=generator)
    train_elbo = float(gmvae.elbo(experiment.train, generator=generator).elbo.mean())
    return {"scored_on": experiment.scored_name, "train_elbo": train_elbo, **figures}


def _write(
    output: Path,
    result: "Fit",
    told: "Told",
    training: Mapping[str, Any],
    metrics: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
) -> Mapping[str, bytes]:
    """Write the run folder, whole or not at all; its pictures, PNG files by name."""
    from gmvae.report import png

    # A picture is made once, for its file, for the page and for TensorBoard.
    drawn = run_folder.draw(told, result.history)
    files = {name: png(picture) for name, picture in drawn.items()}
    result.gmvae.training_record = dict(training)
    card = result.gmvae.model_card(figure_rows(metrics), metrics["scored_on"])
    page = report(
        output,
        told,
        training=training,
        metrics=metrics,
        scored_on=metrics["scored_on"],
        records=records,
        pictures=files,
    )
    with replacing(output) as draft:
        result.gmvae.save(draft)
        run_folder.write_history(draft / run_folder.HISTORY, result.history)
        write_json(draft / run_folder.METRICS, metrics)
        for name, content in files.items():
            (draft / f"{name}.png").write_bytes(content)
        (draft / run_folder.REPORT).write_text(page, encoding="utf-8")
        (draft / CARD_FILE).write_text(card, encoding="utf-8")
    return files
