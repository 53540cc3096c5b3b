"""``gmvae train``."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gmvae.support.errors import ArgumentError
from gmvae.support.files import replacing

from . import config_file, options, run_folder, summary, unfinished
from .device import named_device
from .experiment import Experiment, Request, class_list, prepare
from .output import answer, check_folder, say, write_json

if TYPE_CHECKING:
    from gmvae import GMVAE, Settings
    from gmvae.training.fitting import Fit
    from gmvae.training.loop import Progress
    from gmvae.training.restarts import Restart

EXAMPLES = (
    "gmvae train",
    "gmvae train mnist --classes 1,4,8 --output mnist-148",
    "gmvae train train.npz --val labelled.npz",
)
Data = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        help="digits, mnist, fashion-mnist or kmnist, or a path: .npz (data, and labels where "
        "there are some), .npy, IDX or a folder of images. Left out: the experiment of the "
        "original on digits, with classes 1,4,8 and 5 labels a class.",
        show_default=False,
    ),
]
Val = Annotated[
    str | None,
    typer.Option(
        metavar="DATA",
        help="A second set: with labels, the images whose labels are observed; without, "
        "held out to tell when to stop.",
        rich_help_panel=options.DATA,
    ),
]
Labels = Annotated[
    int | None,
    typer.Option(
        min=0,
        metavar="N",
        help="Labelled images a class that the model may observe; left out, all of --val where it "
        "has labels, 5 where DATA is left out, else 0. All other labels only score the result.",
        rich_help_panel=options.DATA,
    ),
]
LabelsFrom = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="A CSV file of file (or row) and label, whose labels are observed; it may name only "
        "some of the images.",
        show_default=False,
        rich_help_panel=options.DATA,
    ),
]
Restarts = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Train from N seeds and keep the run with the best held-out objective.",
        rich_help_panel=options.TRAINING,
    ),
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="The run folder to write.",
        rich_help_panel=options.OUTPUT,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        callback=config_file.take_defaults,
        is_eager=True,
        metavar="FILE",
        help="Options from a TOML file, as in: latent-dim = 10. Flags win.",
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Go on with the unfinished run into DIR, as it was asked for; no other option counts.",
        show_default=False,
    ),
]
Checkpoint = Annotated[
    bool,
    typer.Option(
        help="Keep the run while it trains, beside its folder, so that --resume can go on with it.",
        rich_help_panel=options.OUTPUT,
    ),
]
A_COMPONENT_A_CLASS = {
    "default": None,
    "optional": True,
    "help": "Number of Gaussians K in the mixture; left out, one for each class of the labels, or "
    "10 without labels.",
}


@options.with_settings(changed={"n_components": A_COMPONENT_A_CLASS})
def train(
    *,
    data: Data = None,
    val: Val = None,
    classes: options.Classes = None,
    labels: Labels = None,
    labels_from: LabelsFrom = None,
    resize: options.Resize = None,
    grey: options.Grey = False,
    strict: options.Strict = False,
    settings: options.SettingValues,
    restarts: Restarts = 1,
    jobs: options.Jobs = None,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    output: Output = options.DEFAULT_RUN,
    force: options.Force = False,
    checkpoint: Checkpoint = True,
    resume: Resume = None,
    config: Config = None,
    context: typer.Context,
) -> None:
    """Train a model on images and write its run folder.

    The folder holds the model, the history of its training, figures and pictures.

    The progress shows these phases:

    \b
    warm-up     learns features in which images of one kind lie together
    start       finds clusters in them, or spreads the observed labels
    assignment  teaches q(y|x) these clusters
    sharpening  lets q(y|x) correct them: an image and its view belong together
                (assignment 2, sharpening 2: the same again, with --rounds)
    placing     gives each cluster a place in the latent space
    joint       trains model and guide on the ELBO, in nats an image: the higher, the better

    The held-out objective, which tells when the joint phase has lasted long enough, is the ELBO
    of images held out from training plus the mutual information of an image's y and its view's,
    times --information-weight: the higher, the better.

    Ctrl-C, or a kill, loses no more than half a minute: --resume goes on.
    """  # noqa: D301 (\b keeps lines as they are, in the help)
    if resume is not None:
        _check_alone(context)
        _run(unfinished.asked_for(resume), unfinished.folder_of(resume))
        return
    asked = unfinished.Asked(
        data=data,
        val=val,
        classes=class_list(classes),
        labels=labels,
        settings=settings,
        restarts=restarts,
        jobs=jobs,
        device=device,
        data_root=data_root,
        output=output,
        force=force,
        resize=resize,
        grey=grey,
        strict=strict,
        labels_from=labels_from,
    )
    _run(asked, None, checkpoint)


def _check_alone(context: typer.Context) -> None:
    """Refuse what is typed beside ``--resume``, which goes on as it was asked for.

    Raises:
        ArgumentError: DATA or another option is typed, too.
    """
    sources = {name: context.get_parameter_source(name) for name in context.params}
    typed = [name for name, source in sources.items() if source and source.name != "DEFAULT"]
    others = [name for name in typed if name != "resume"]
    if others:
        name = "DATA" if others[0] == "data" else options.option_name(others[0])
        raise ArgumentError(
            f"`--resume` expected to stand alone, since a run goes on as it was asked for; got "
            f"{name}, too. Leave it out, or begin another run."
        )


def _run(asked: unfinished.Asked, folder: Path | None, checkpoint: bool = True) -> None:
    """Train, measure and write.

    Args:
        asked: what for.
        folder: of the unfinished run that goes on; None for one that begins.
        checkpoint: whether one that begins is kept.
    """
    check_folder(asked.output, asked.force, frozenset(run_folder.FILES))
    request = asked.request
    experiment = prepare(request)
    settings = _chosen(asked.settings, experiment)
    device = named_device(asked.device)
    if folder is None and checkpoint:
        folder = unfinished.begin(asked)
    # Nothing is said before all that was asked for is known to fit.
    _say_all(summary.opening(experiment))
    began = time.monotonic()
    with unfinished.kept(folder, asked.output) as stop:
        result, runs, last = _fit(
            experiment, settings, asked.restarts, asked.jobs, device, folder, stop
        )
    seconds = time.monotonic() - began
    metrics = _measure(result.gmvae, experiment, settings.seed)
    training = _record(request, experiment, settings, runs, seconds)
    _write(asked.output, result, experiment, training, metrics)
    if folder is not None:
        unfinished.end(folder)
    for warning in result.warnings:  # also where the rest is not wanted
        answer(warning)
    _say_all(summary.restart_lines(result, runs) if asked.restarts > 1 else ())
    _say_all(summary.early_stop(last, settings.patience))
    _say_all(summary.closing(metrics, experiment.scored_name, asked.output))


def _say_all(lines: Iterable[str]) -> None:
    for line in lines:
        say(line)


def _chosen(values: Mapping[str, Any], experiment: Experiment) -> "Settings":
    """The settings of a run on these images.

    Raises:
        ArgumentError: a setting out of its range, or more components than images.
    """
    from gmvae import Settings
    from gmvae.training.held_out import check_components

    n_components = values["n_components"]
    if n_components is None:
        n_components = experiment.n_components
    settings = Settings(**{**values, "n_components": n_components})
    check_components(
        [settings.n_components],
        experiment.train,
        settings,
        experiment.observed,
        experiment.held_out,
    )
    return settings


def _fit(
    experiment: Experiment,
    settings: "Settings",
    restarts: int,
    jobs: int | None,
    device: str,
    folder: Path | None,
    stop: Callable[[], bool],
) -> tuple["Fit", tuple["Restart", ...], "Progress | None"]:
    """The kept run, what became of each, and the last epoch of the kept one, if any was told."""
    from gmvae.training.restarts import fit_restarts

    from .progress import progress

    last: dict[int, Progress] = {}
    with progress(experiment.is_density(settings.likelihood)) as show:

        def callback(now: "Progress") -> None:
            last[now.restart] = now
            show(now)

        result, runs = fit_restarts(
            experiment.train,
            settings,
            restarts,
            observed=experiment.observed if experiment.n_observed else None,
            held_out=experiment.held_out,
            callback=callback,
            checkpoint=folder,
            stop=stop,
            device=device,
            n_jobs=jobs,
        )
    kept = next(i for i, run in enumerate(runs, start=1) if summary.is_kept(run, result))
    return result, runs, last.get(kept if restarts > 1 else 0)


def _record(
    request: Request,
    experiment: Experiment,
    settings: "Settings",
    runs: tuple["Restart", ...],
    seconds: float,
) -> dict[str, Any]:
    """What the run was trained on and how, for its configuration."""
    from gmvae import __version__

    request = request.completed()
    return {
        "version": __version__,
        "data": run_folder.lasting(request.source),
        "val": None if request.val is None else run_folder.lasting(request.val),
        "classes": request.classes,
        "class_names": dict(experiment.train.class_names),
        "labels_from": None if request.labels_from is None else str(request.labels_from.absolute()),
        "resize": request.reading.resize,
        "grey": request.reading.grey,
        "n_images": len(experiment.train),
        "labels_observed": experiment.n_observed,
        "settings": asdict(settings),
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
    experiment: Experiment,
    training: Mapping[str, Any],
    metrics: Mapping[str, Any],
) -> None:
    """Write the run folder, whole or not at all."""
    pictures = run_folder.draw(result.gmvae, experiment.scored, result.history)
    with replacing(output) as draft:
        result.gmvae.save(draft, extra={"training": training})
        run_folder.write_history(draft / run_folder.HISTORY, result.history)
        write_json(draft / run_folder.METRICS, metrics)
        for name, picture in pictures.items():
            picture.savefig(draft / f"{name}.png")
