"""``gmvae diagnose``."""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gmvae.support.errors import ArgumentError
from gmvae.support.files import replacing

from . import options
from .experiment import check_data
from .output import answer, as_json, check_folder, say, write_json
from .run_folder import Run, images_for, open_run
from .verdicts import OF_MODEL, VERDICT, consequences

if TYPE_CHECKING:
    from gmvae.diagnostics import Diagnosis
    from gmvae.diagnostics.verdict import Topic

EXAMPLES = (
    "gmvae diagnose",
    "gmvae diagnose --mixture 10",
    "gmvae diagnose mnist --model mnist-run --draws 1000 --strict",
)
DRAWS, NUTS_DRAWS = "draws.nc", "nuts.nc"
PICTURES = ("khat", "predictive", "ranks_simulated", "reliability", "forest", "rank", "pair")
FILES = frozenset((VERDICT, DRAWS, NUTS_DRAWS, *(f"{name}.png" for name in PICTURES)))
# The exit code of --strict where a check fails; 1 and 2 are those of errors.
FAILED = 3


Draws = Annotated[int, typer.Option(min=25, metavar="N", help="Draws of the guide an image.")]
PredictiveImages = Annotated[
    int, typer.Option(min=1, metavar="N", help="Images whose replicates are kept.")
]
NutsImages = Annotated[
    int,
    typer.Option(
        min=0, metavar="N", help="Images for NUTS: half those of the worst k-hat, half any."
    ),
]
SimulatedImages = Annotated[
    int, typer.Option(min=20, metavar="N", help="Images drawn from the model.")
]
Mixture = Annotated[
    int,
    typer.Option(
        min=0,
        metavar="K",
        help="Fit a Bayesian mixture of up to K components to the latents, encoder and decoder "
        "fixed; its draws and leave-one-out join the others. 0: none.",
    ),
]
Full = Annotated[bool, typer.Option("--full", help="Print the table of all checks, too.")]
Strict = Annotated[bool, typer.Option("--strict", help=f"Exit with {FAILED} where a check fails.")]
Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", metavar="DIR", help="The folder for verdict, draws and pictures."
    ),
]


def diagnose(
    data: options.DataArgument = None,
    model: options.Model = options.DEFAULT_RUN,
    draws: Draws = 500,
    predictive_images: PredictiveImages = 64,
    nuts_images: NutsImages = 6,
    simulated_images: SimulatedImages = 1_000,
    mixture: Mixture = 0,
    full: Full = False,
    json: options.AsJson = False,
    strict: Strict = False,
    output: Output = Path("gmvae-diagnosis"),
    seed: options.Seed = 0,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    force: options.Force = False,
) -> None:
    """Ask how far the model's posterior can be trusted.

    Three questions: is the posterior right, does the model fit the images, are the probabilities
    honest? An answer is yes, doubtful or no, by the worst of its checks; --full shows them. The
    posterior is the one that `gmvae posterior` writes; the bare guide is reported beside it. Draws
    are written as netCDF, for ArviZ.
    """
    if mixture == 1:
        raise ArgumentError("`--mixture` expected 0 or at least 2 components; got 1. Choose 10.")
    check_data(data)
    check_folder(output, force, FILES)
    run = open_run(model, device)
    images, name = images_for(run, data, data_root)
    from gmvae import diagnostics

    diagnosis = diagnostics.diagnose(
        run.gmvae.model,
        run.gmvae.guide,
        images,
        diagnostics.Options(
            n_draws=draws,
            predictive_images=predictive_images,
            worst_images=nuts_images - nuts_images // 2,
            random_images=nuts_images // 2,
            simulated_images=simulated_images,
            mixture_components=mixture,
            seed=seed,
        ),
        component_classes=run.gmvae.component_classes,
        callback=lambda step: print(f"{step} ...", file=sys.stderr, flush=True),
    )
    verdict = _verdict(diagnosis, run, name, len(images))
    _write(output, diagnosis, verdict)
    if json:
        answer(as_json(verdict))
    else:
        title = f"{name}: {len(images):,} images"
        _print_answers(title, verdict["answers"])
        if full:
            _print(title, diagnosis)
        for line in consequences((check.topic, check.status) for check in diagnosis.checks):
            say(line)
        more = "" if full else " (all checks: --full)"
        answer(f"Verdict: {verdict['verdict']}{more}. Table, draws and pictures: {output}")
    if strict and diagnosis.failed:
        raise typer.Exit(FAILED)


def _verdict(diagnosis: "Diagnosis", run: Run, name: str, n_images: int) -> dict[str, Any]:
    """The table, ready for JSON, and the worst of it."""
    from gmvae.diagnostics.sentences import summary
    from gmvae.diagnostics.verdict import worst

    return {
        "images": name,
        "n_images": n_images,
        "verdict": worst(diagnosis.checks),
        OF_MODEL: run.config.get(OF_MODEL),
        "answers": {one.topic: one.sentence for one in summary(diagnosis)},
        "checks": [check.as_dict() for check in diagnosis.checks],
    }


def _write(output: Path, diagnosis: "Diagnosis", verdict: dict[str, Any]) -> None:
    """Write the folder, whole or not at all."""
    from gmvae.diagnostics import arviz_bridge
    from gmvae.diagnostics.pictures import plot_diagnosis

    drawn = plot_diagnosis(diagnosis)
    with replacing(output) as draft:
        draft.mkdir()
        write_json(draft / VERDICT, verdict)
        arviz_bridge.write(diagnosis.tree, draft / DRAWS)
        if diagnosis.nuts_tree is not None:
            arviz_bridge.write(diagnosis.nuts_tree, draft / NUTS_DRAWS)
        for name, picture in drawn.items():
            picture.savefig(draft / f"{name}.png")


def _print_answers(title: str, answers: "Mapping[Topic, str]") -> None:
    """A question and its answer each."""
    from gmvae.diagnostics.verdict import QUESTIONS

    answer(title)
    for topic, sentence in answers.items():
        answer(f"{QUESTIONS[topic]} {sentence[0].upper()}{sentence[1:]}.")


def _print(title: str, diagnosis: "Diagnosis") -> None:
    """The checks, a block a question, and below them what is to be known of the words."""
    from rich.console import Console
    from rich.table import Table

    from gmvae.diagnostics.verdict import QUESTIONS

    colours = {"pass": "green", "doubtful": "yellow", "fail": "bold red", "note": "dim"}
    grid = Table(title=title, title_justify="left", title_style="bold")
    for column in ("verdict", "check", "figure", "threshold", "source and detail"):
        grid.add_column(column, justify="right" if column == "figure" else "left")
    topic = None
    for check in diagnosis.checks:
        if check.topic != topic:
            topic = check.topic
            grid.add_section()
            grid.add_row("", f"[bold]{QUESTIONS[topic]}[/]")
        source = "" if check.threshold is None else check.threshold.source
        grid.add_row(
            f"[{colours[check.status]}]{check.status}{'*' if check.spared else ''}[/]",
            check.name.replace("[", r"\["),
            f"{check.figure:.4g}",
            "" if check.threshold is None else str(check.threshold),
            "; ".join(filter(None, (check.detail, source))),
        )
    console = Console()
    # A file or a pipe has no width of its own, and the table would be cut up to fit 80 letters.
    (console if console.is_terminal else Console(width=160)).print(grid)
    for line in _key(diagnosis):
        say(line)


def _key(diagnosis: "Diagnosis") -> Iterator[str]:
    """The words of the table that need some more."""
    from gmvae.diagnostics.verdict import LENIENT

    yield "pass: good; doubtful: in between; fail: bad; note: no threshold."
    if any(check.spared for check in diagnosis.checks):
        yield f"doubtful*: {LENIENT}."
    if diagnosis.reference is not None and (diagnosis.reference.modes > 1).any():
        yield (
            "Several modes: regions of latents, apart from each other, that explain an image. A "
            "chain stays in one of them, so R-hat and the sample size say nothing of such images; "
            "the k-hat of the weighted chains does."
        )
