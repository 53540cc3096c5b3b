"""``gmvae classify``."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gmvae.support.errors import ArgumentError
from gmvae.support.names import counted, printable

from . import options
from .answer_files import SUFFIXES, Columns, check_suffix, image_column, write_table
from .components import component_records
from .device import own_device
from .experiment import check_data
from .output import check_file, check_folder, outcome
from .run_folder import beside, images_for, open_run
from .scoring import Scoring, check_resume, scored
from .summary import MOST_FOLDERS, images_record, read_lines

if TYPE_CHECKING:
    from gmvae import GMVAE, Images

EXAMPLES = (
    "gmvae classify",
    "gmvae classify test.npz --model gmvae-run --output vae.csv",
    "gmvae classify photos --into sorted --output photos.parquet",
)
# What the columns of an answer are called in a table.
EXTRA_COLUMNS = {
    "probabilities": "Q",
    "responsibilities": "P",
    "latents": "Z",
    "log_prob": "Log_Prob",
}
COLUMNS = {
    "labels": "Predicted_Label",
    "components": "Component",
    "probability": "Probability",
    "outlier": "Outlier",
    **EXTRA_COLUMNS,
}
LABEL, ALL = "label", "all"
# What the table of components is made of.
COUNTED = ("components", "probability")


def classify(
    data: options.DataArgument = None,
    model: options.Model = options.DEFAULT_RUN,
    output: Annotated[
        Path | None,
        options.output_file(
            "The table to write: .csv, .parquet, .npz or .json; left out, RUN-vae.csv beside "
            "the run folder."
        ),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="More columns, between commas: probabilities (Q, of q(y|x)), responsibilities (P, "
            "of p(y|z)), latents (Z), log_prob; or all of these; or label, which is "
            "Predicted_Label alone.",
            show_default=False,
        ),
    ] = "",
    into: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Sort the pictures, too: a folder a component, with links to its files.",
            show_default=False,
        ),
    ] = None,
    copy: Annotated[
        bool, typer.Option("--copy", help="Copy the files into these folders.")
    ] = False,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    strict: options.Strict = False,
    resume: options.ResumeScoring = False,
    force: options.Force = False,
    json: options.AsJson = False,
) -> None:
    """Write a row an image: its file or row, label, component, probability and outlier score.

    Component is the most probable Gaussian by q(y|x), Predicted_Label the class that names it, or
    its number without a name. Probability says how often such an answer is right: q(y|x) of the
    image and of views of it, and p(y|z) of the mixture, averaged. Outlier is the share of training
    images that the model explains better: near 1 the image is of no kind that it has seen.
    """
    check_data(data)
    output = beside(model, "vae.csv") if output is None else output
    names = _names(columns)
    check_file(output, force, SUFFIXES)
    check_suffix(output)
    check_resume(output, resume)
    if into is not None:
        check_folder(into, False, frozenset(), "--into")
    run = open_run(model, own_device(device))
    images, name = images_for(run, data, data_root, scored=False, strict=strict)
    import numpy as np
    import torch

    from gmvae.answers import answer_blocks

    # The draws for a batch depend on the row that it begins with, not on what was scored before.
    draws = torch.Generator(run.gmvae.device).manual_seed
    asked = {"columns": " ".join(names)}
    scoring = Scoring(output, model, images, asked, resume, run.gmvae.batch_length)
    with scored(scoring, lambda n: answer_blocks(run.gmvae, images, names, draws, n)) as draft:
        answers = draft.columns()
        write_table(output, _columns(images, answers))
        # Copies: the draft goes, since with the table there is nothing to go on with.
        tallied = {name: np.array(answers[name]) for name in COUNTED if name in answers}
    components = tallied["components"]
    if into is not None:
        from .sorting import folder_names, sort_into

        source = Path(str(run.training.get("data")) if data is None else data)
        source = source.parent if source.is_file() else source
        sort_into(into, images, source, components, folder_names(run.gmvae), copy)
    records = component_records(run.gmvae, images, components, tallied.get("probability"))
    record = images_record(images, name, output) | {
        "into": None if into is None else str(into),
        "components": records,
    }
    lines = [
        *read_lines(images),
        f"Predicted labels of {counted(len(images), 'image')} ({name}): {output}",
        _naming(run.gmvae),
        _sizes(run.gmvae, [record["images"] for record in records]),
        *([] if into is None else [f"Sorted into a folder a component: {into}"]),
    ]
    outcome(json, record, lines)


def _names(columns: str) -> tuple[str, ...]:
    """What of `gmvae.answers.Answers` is asked, for these columns.

    Raises:
        ArgumentError: another word.
    """
    words = [word.strip() for word in columns.split(",") if word.strip()]
    if words == [LABEL]:
        return ("labels", "components")
    if words == [ALL]:
        words = list(EXTRA_COLUMNS)
    if strange := [word for word in words if word not in EXTRA_COLUMNS]:
        alone = " alone" if {*strange} & {LABEL, ALL} else ""
        raise ArgumentError(
            f"`--columns` expected {', '.join(EXTRA_COLUMNS)} between commas, or all, or label; "
            f"got {strange[0]}. Write {'it' + alone if alone else 'some of these'}."
        )
    return ("labels", "components", "probability", "outlier", *words)


def _columns(images: "Images", answers: Columns) -> Columns:
    """The columns of the table, in order; of labels alone there is no more."""
    if "probability" not in answers:
        return {"Predicted_Label": answers["labels"]}
    shown = {column: answers[name] for name, column in COLUMNS.items() if name in answers}
    return dict([image_column(images)]) | shown


def _naming(gmvae: "GMVAE") -> str:
    """Where the predicted labels come from."""
    from gmvae.gmvae import class_title

    names = gmvae.component_names
    if names is None:
        return "No label was observed in training: Predicted_Label is the component's number."
    parts = []
    for by_hand, how in ((False, "by the labels observed in training"), (True, "by hand")):
        named = [
            f"{k} is {printable(class_title(name))}"
            for k, name in enumerate(names)
            if name is not None and (k in gmvae.names_by_hand) is by_hand
        ]
        parts += [f"{how}: {', '.join(named)}"] if named else []
    return f"Components named {'; '.join(parts)}."


def _sizes(gmvae: "GMVAE", images: Sequence[int]) -> str:
    """How many images are in each component, the largest ones where they are many."""
    import numpy as np

    from gmvae.gmvae import component_name

    counts = np.array(images)
    largest = np.argsort(-counts, kind="stable")[:MOST_FOLDERS]
    names = gmvae.component_names
    sizes = [f"{printable(component_name(names, int(k)))}, {counts[k]:,}" for k in sorted(largest)]
    more = len(counts) - len(largest)
    return f"Images in each: {'; '.join(sizes)}" + (f"; {more} more." if more else ".")
