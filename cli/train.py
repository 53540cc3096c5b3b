"""``gmvae train``."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from . import config_file, options, training, unfinished
from .experiment import class_list

EXAMPLES = (
    "gmvae train",
    "gmvae train mnist --classes 1,4,8 --output mnist-148",
    "gmvae train train.npz --val labelled.npz",
    "gmvae train more.npz --from gmvae-run --components 12 --output larger",
)
Data = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        help="digits, mnist, fashion-mnist or kmnist, or a path: .npz (data, and labels where "
        "there are some), .npy, IDX, a picture (of pages) or a folder of them. Left out: the "
        "experiment of the original on digits, with classes 1,4,8 and 5 labels a class.",
        show_default=False,
    ),
]
Val = Annotated[
    str | None,
    typer.Option(
        metavar="DATA",
        help="A second set: with labels, the images whose labels are observed; without, "
        "held out to tell when to stop. Of an .npz with val_images, which may be DATA, these.",
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
    options.restarts(1, "Train from N seeds and keep the run with the best held-out objective."),
]
Output = Annotated[Path, options.output_folder("run folder")]
Start = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="RUN",
        help="Go on from the model of this run folder with more images, DATA: its components keep "
        "their numbers and names, and so do its networks; more --components are found among the "
        "images that it explains worst.",
        show_default=False,
        rich_help_panel=options.TRAINING,
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        callback=config_file.take_defaults,
        is_eager=True,
        metavar="FILE",
        help="Options from a TOML file, as in: latent-dim = 10; or all those of a run, from its "
        "config.json. Flags win.",
    ),
]
Checkpoint = Annotated[
    bool,
    typer.Option(
        help="Keep the run while it trains, beside its folder, so that --resume can go on with it.",
        rich_help_panel=options.OUTPUT,
    ),
]
Log = Annotated[
    str | None,
    typer.Option(
        metavar="tensorboard",
        help="Write curves, while it trains, and the pictures for TensorBoard, to "
        "RUN-tensorboard beside the run folder.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]
ReportEvery = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="While it trains make the page on it again every N epochs: RUN-report.html beside the "
        "run folder, with pictures from the joint phase on, which takes two seconds each time.",
        show_default=False,
        rich_help_panel=options.OUTPUT,
    ),
]
A_COMPONENT_A_CLASS = {
    "default": None,
    "optional": True,
    "symbol": "K",
    "help": "Number of Gaussians K in the mixture, or auto to find it where no label is observed; "
    "left out, one a class of the labels, and without labels auto.",
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
    start: Start = None,
    jobs: options.Jobs = None,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    output: Output = options.DEFAULT_RUN,
    force: options.Force = False,
    checkpoint: Checkpoint = True,
    log: Log = None,
    report_every: ReportEvery = None,
    json: options.AsJson = False,
    resume: options.Resume = None,
    config: Config = None,
    context: typer.Context,
) -> None:
    """Train a model on images and write its run folder.

    The folder holds the model, the history of its training, figures and pictures.

    The progress shows these phases:

    \b
    warm-up     learns features in which images of one kind lie together
    cells       makes kinds lie apart there, of 2,000 images or more; not in a quick run
    start       finds clusters in them, or spreads the observed labels
    trial       of fewer: keeps the clusters that views and neighbours support most
    assignment  teaches q(y|x) these clusters
    sharpening  lets q(y|x) correct them: an image and its view belong together
                (assignment 2, sharpening 2: the same again, with --rounds)
    placing     gives each cluster a place in the latent space
    joint       trains model and guide on the ELBO, in nats an image: the higher, the better
    covering    lets q(z|x) cover the posterior, the model held; not in a quick run

    The held-out objective, which tells when the joint phase has lasted long enough, is the ELBO
    of images held out from training plus the mutual information of an image's y and its view's,
    times --information-weight: the higher, the better.

    Ctrl-C, or a kill, loses no more than half a minute: --resume goes on.
    """  # noqa: D301 (\b keeps lines as they are, in the help)
    if resume is not None:
        unfinished.check_alone(context)
        asked = unfinished.asked_for(resume, unfinished.AskedTraining)
        training.run(asked, unfinished.folder_of(resume))
        return
    asked = unfinished.AskedTraining(
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
        start=start,
        resize=resize,
        grey=grey,
        strict=strict,
        labels_from=labels_from,
        log=log,
        report_every=report_every,
        json=json,
    )
    if start is not None:
        training.check_typed(asked)
        of_start = training.settings_from(start, data, settings, unfinished.typed(context))
        asked = replace(asked, settings=of_start)
    training.run(asked, None, checkpoint)
