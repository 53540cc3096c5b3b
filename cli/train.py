"""``gmvae train``."""

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gmvae.support import choices
from gmvae.support.files import replacing

from . import config_file, options, run_folder
from .device import named_device
from .experiment import Experiment, Request, class_list, prepare
from .output import check_folder, say, write_json

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


def train(
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="digits, mnist, fashion-mnist or kmnist, or a path: .npz (data, and labels where "
            "there are some), .npy, IDX or a folder of images. Left out: the experiment of the "
            "original on digits, with classes 1,4,8 and 5 labels a class.",
            show_default=False,
        ),
    ] = None,
    val: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="A second set: with labels, the images whose labels are observed; without, "
            "held out to tell when to stop.",
        ),
    ] = None,
    classes: options.Classes = None,
    latent_dim: Annotated[
        int | None, typer.Option(min=1, metavar="D", help="Latent dimensions (2).")
    ] = None,
    n_components: Annotated[
        int | None,
        typer.Option(
            "--components",
            min=1,
            metavar="K",
            help="Gaussians in the mixture (one a class, else 10).",
        ),
    ] = None,
    covariance: Annotated[
        choices.Covariance | None, typer.Option(help="Of each Gaussian (full).")
    ] = None,
    network: Annotated[
        choices.Network | None, typer.Option(help="Encoder and decoder (mlp).")
    ] = None,
    likelihood: Annotated[
        choices.LikelihoodName | None, typer.Option(help="Of the pixels (bernoulli).")
    ] = None,
    assignment: Annotated[
        choices.Assignment | None,
        typer.Option(help="q(y|x) by a network, or p(y|z) itself (amortised)."),
    ] = None,
    augment: Annotated[
        choices.Augmentation | None,
        typer.Option(
            help="Transformed views of the images in training; with none, the warm-up learns from "
            "each image's nearest neighbours (affine)."
        ),
    ] = None,
    labels: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Labelled images a class that the model may observe (all of --val where it has "
            "labels; 5 where DATA is left out; else 0). All other labels only score the result.",
        ),
    ] = None,
    epochs: options.Epochs = None,
    warmup_epochs: options.WarmupEpochs = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="How often a network learns q(y|x) anew, from the last one's answers (twice where "
            "labels are observed among over 4,000 images, else once).",
        ),
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Epochs without a better held-out objective to stop after (50).",
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Images a step (128).")
    ] = None,
    lr: Annotated[float | None, typer.Option(metavar="RATE", help="Learning rate (0.002).")] = None,
    information_weight: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="WEIGHT",
            help="Of the mutual information of an image's y and its view's (20).",
        ),
    ] = None,
    classification_weight: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="WEIGHT",
            help="Of log q(y|x) on images whose label is observed (20).",
        ),
    ] = None,
    agreement_weight: Annotated[
        float | None,
        typer.Option(min=0, metavar="WEIGHT", help="Of what holds p(y|z) to q(y|x) (20)."),
    ] = None,
    restarts: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="N",
            help="Train from N seeds and keep the run with the best held-out objective.",
        ),
    ] = 1,
    jobs: options.Jobs = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="The run folder to write.")
    ] = options.DEFAULT_RUN,
    force: options.Force = False,
    config: Annotated[
        Path | None,
        typer.Option(
            callback=config_file.take_defaults,
            is_eager=True,
            metavar="FILE",
            help="Options from a TOML file, as in: latent-dim = 10. Flags win.",
        ),
    ] = None,
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
    """  # noqa: D301 (\b keeps lines as they are, in the help)
    check_folder(output, force, frozenset(run_folder.FILES))
    request = Request(data, val, class_list(classes), labels, data_root, seed)
    experiment = prepare(request)
    settings = _settings(
        experiment,
        latent_dim=latent_dim,
        n_components=n_components,
        covariance=covariance,
        network=network,
        likelihood=likelihood,
        assignment=assignment,
        augment=augment,
        epochs=epochs,
        warmup_epochs=warmup_epochs,
        rounds=rounds,
        patience=patience,
        batch_size=batch_size,
        lr=lr,
        information_weight=information_weight,
        classification_weight=classification_weight,
        agreement_weight=agreement_weight,
        seed=seed,
    )
    where = named_device(device)
    # Nothing is said before all that was asked for is known to fit.
    say(_observed(experiment))
    if experiment.train.class_names:
        say(f"The classes are {run_folder.listed(experiment.train.class_names)}.")
    began = time.monotonic()
    result, runs, last = _fit(experiment, settings, restarts, jobs, where)
    training = _training(request, experiment, settings, time.monotonic() - began)
    training["restarts"] = [asdict(run) for run in runs]
    metrics = _measure(result.gmvae, experiment, seed)
    _write(output, result, experiment, training, metrics)
    compared = _comparison(result, runs) if restarts > 1 else []
    said = (*result.warnings, *compared, *_stopped(last, settings.patience))
    for line in (*said, *_summary(metrics, experiment, output)):
        say(line)


def _observed(experiment: Experiment) -> str:
    """The first line: how many labels the model may see, and what becomes of the others."""
    import numpy as np

    n = experiment.n_observed
    where = f"{n or 'No'} labels observed in training"
    if n:
        seen = experiment.observed[experiment.observed >= 0]
        values, counts = np.unique(seen, return_counts=True)
        each = ", ".join(f"{c} of class {v}" for v, c in zip(values, counts, strict=True))
        where += f" ({each})"
    left = "All other labels" if n else "Labels"
    return f"{where}." + (f" {left} only score the result." if experiment.train.classes else "")


def _settings(experiment: Experiment, **given: Any) -> "Settings":
    """What was given; the library's defaults for the rest.

    Raises:
        ArgumentError: a setting out of its range, or more components than images.
    """
    from gmvae import Settings
    from gmvae.training.held_out import check_components

    if given["n_components"] is None:
        given["n_components"] = experiment.n_components
    settings = Settings(**{name: value for name, value in given.items() if value is not None})
    check_components(
        [settings.n_components],
        experiment.train,
        settings,
        experiment.observed,
        experiment.held_out,
    )
    return settings


def _fit(
    experiment: Experiment, settings: "Settings", restarts: int, jobs: int | None, device: str
) -> tuple["Fit", tuple["Restart", ...], "Progress"]:
    """The kept run, what became of each, and the last epoch of the kept one."""
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
            device=device,
            n_jobs=jobs,
        )
    kept = next(i for i, run in enumerate(runs, start=1) if _is_kept(run, result))
    return result, runs, last[kept if restarts > 1 else 0]


def _training(
    request: Request, experiment: Experiment, settings: "Settings", seconds: float
) -> dict[str, Any]:
    """What the run was trained on and how, for its configuration."""
    request = request.completed()
    return {
        "data": run_folder.lasting(request.source),
        "val": None if request.val is None else run_folder.lasting(request.val),
        "classes": request.classes,
        "class_names": dict(experiment.train.class_names),
        "n_images": len(experiment.train),
        "labels_observed": experiment.n_observed,
        "settings": asdict(settings),
        "seconds": round(seconds, 1),
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
    pictures = run_folder.draw(result.gmvae, experiment.scored)
    with replacing(output) as draft:
        result.gmvae.save(draft, extra={"training": training})
        run_folder.write_history(draft / run_folder.HISTORY, result.history)
        write_json(draft / run_folder.METRICS, metrics)
        for name, picture in pictures.items():
            picture.savefig(draft / f"{name}.png")


def _comparison(result: "Fit", runs: tuple["Restart", ...]) -> list[str]:
    """A line for each of several runs, the kept one marked; in nats on the held-out images."""
    density = "" if result.gmvae.model.likelihood.normalised else ", no normalised density"
    lines = []
    for number, run in enumerate(runs, start=1):
        if run.objective is None:
            figures = "diverged"
        else:
            figures = f"held-out objective {run.objective:.2f}, ELBO {run.elbo:.2f}{density}"
        kept = " (kept)" if _is_kept(run, result) else ""
        lines.append(f"Restart {number}, seed {run.seed}: {figures}{kept}")
    return lines


def _is_kept(run: "Restart", result: "Fit") -> bool:
    return run.objective == -result.figures["loss"]


def _stopped(last: "Progress", patience: int) -> list[str]:
    """A line where the last epoch came before its time."""
    if last.epoch == last.epochs:
        return []
    return [
        f"Stopped early, after {last.epoch} of {last.epochs} epochs: epoch "
        f"{last.epoch - patience} had the best held-out objective, and its model is kept."
    ]


def _summary(metrics: Mapping[str, Any], experiment: Experiment, output: Path) -> list[str]:
    """The last lines: how well it went, where the files lie, what to type next."""
    lines = [f"Scored on {experiment.scored_name}: {metrics['n_images']:,} images."]
    if metrics["acc_named"] is not None:
        lines.append(f"Accuracy of Predicted_Label: {metrics['acc_named']:.3f}")
    if metrics["acc"] is not None:
        lines.append(f"Accuracy with components matched to classes: {metrics['acc']:.3f}")
    unit = "nats an image" if metrics["likelihood_normalised"] else "no normalised density"
    bounds = f"{metrics['train_elbo']:.1f} on train, {metrics['elbo']:.1f} on the scored images"
    lines.append(f"ELBO: {bounds} ({unit}; the higher, the better)")
    lines.append(f"Model, figures and pictures: {output}")
    source = "" if output == options.DEFAULT_RUN else f" --model {output}"
    return [*lines, f"Next: gmvae classify{source}"]
