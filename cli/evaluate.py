"""``gmvae evaluate``."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import options, reporting, run_folder, verdicts
from .components import records_of
from .experiment import check_data
from .figures import figure_rows, without_nameless
from .output import answer, as_json, check_file, say, table, write_json, write_text
from .run_folder import Run, beside, images_for, open_run, stored_picture

if TYPE_CHECKING:
    from gmvae import Images
    from gmvae.gmvae import Names

EXAMPLES = (
    "gmvae evaluate",
    "gmvae evaluate test.npz --json",
    "gmvae evaluate --diagnosis gmvae-diagnosis --report mine.html",
)
Samples = Annotated[
    int, typer.Option(min=1, metavar="N", help="Draws of z an image, for the log-likelihood.")
]
Output = Annotated[Path | None, options.output_file("Write the JSON to a file, .json, as well.")]
Report = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="The page on the model and DATA, .html; left out, RUN-report.html beside the run "
        "folder, over an older page of gmvae, and none with --json.",
        show_default=False,
    ),
]
Diagnosis = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Put what `gmvae diagnose` wrote of this model to DIR on the page.",
        show_default=False,
    ),
]


def evaluate(
    data: options.DataArgument = None,
    model: options.Model = options.DEFAULT_RUN,
    samples: Samples = 50,
    json: options.AsJson = False,
    output: Output = None,
    report: Report = None,
    diagnosis: Diagnosis = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    strict: options.Strict = False,
    force: options.Force = False,
) -> None:
    """Measure clusters, reconstructions and likelihood.

    Labels in DATA are compared with what the model says; it never learns from them here.

    In the JSON, as in the metrics.json of a run, acc is the accuracy of q(y|x) with one component
    matched to each class (Hungarian), acc_latent the same by p(y|z), acc_named that of
    Predicted_Label.
    """
    check_data(data)
    if output is not None:
        check_file(output, force, [".json"])
    page = _page(report, model, json, force)
    run = open_run(model, device)
    verdict = None if diagnosis is None else verdicts.read(diagnosis, run)
    images, name = images_for(run, data, data_root, strict=strict)
    import torch

    from gmvae.diagnostics import evaluation

    generator = torch.Generator(run.gmvae.device).manual_seed(seed)
    measured = evaluation.evaluate(run.gmvae, images, n_samples=samples, generator=generator)
    figures = without_nameless(measured, run.gmvae, run.training)
    if json:
        answer(as_json(figures))
    else:
        table(f"{name}: {len(images):,} images", figure_rows(figures))
        _print_overlap(figures["overlap"], run.gmvae.component_names)
    if output is not None:
        write_json(output, figures)
    if page is not None:
        write_text(page, _report(run, images, name, figures, verdict))
        if not json:
            say(f"All of it on a page, for a browser: {page}")


def _page(report: Path | None, model: Path, json: bool, force: bool) -> Path | None:
    """Where the page goes; None for none."""
    if report is None and json:
        return None
    path = beside(model, "report.html") if report is None else report
    # One that was made without being named is made again, but nothing else is lost for it.
    check_file(path, force or (report is None and reporting.is_report(path)), [".html"], "--report")
    return path


def _report(
    run: Run,
    images: "Images",
    name: str,
    figures: Mapping[str, Any],
    verdict: Mapping[str, Any] | None,
) -> str:
    """The page on a model and these images; the curves are those of the training."""
    from gmvae.plots import Told
    from gmvae.report import png

    told = Told(run.gmvae, images)
    drawn = run_folder.draw(told, names=reporting.pictures(told))
    pictures = {name: png(figure) for name, figure in drawn.items()}
    curves = stored_picture(run.folder, "curves")
    return reporting.report(
        run.folder,
        told,
        training=run.training,
        metrics=figures,
        scored_on=name,
        records=records_of(told),
        pictures=pictures if curves is None else {**pictures, "curves": curves},
        diagnosis=verdict,
    )


def _print_overlap(overlap: list[list[float]], names: "Names | None") -> None:
    """The components by name down the side; by number above, where there is less room."""
    from gmvae.gmvae import component_name

    numbers = [str(k) for k in range(len(overlap))]
    rows = (
        (component_name(names, k), *(f"{value:.2f}" for value in row))
        for k, row in enumerate(overlap)
    )
    title = "Overlap of the Gaussians (Bhattacharyya coefficients)"
    table(title, rows, ("component", *numbers))
