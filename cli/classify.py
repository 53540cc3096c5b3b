"""``gmvae classify``."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gmvae.support.files import replacing

from . import options
from .output import check_file, say
from .run_folder import images_for, listed, open_run

if TYPE_CHECKING:
    from gmvae import GMVAE, Images

EXAMPLES = (
    "gmvae classify",
    "gmvae classify test.npz --model gmvae-run --output vae.csv",
)


def classify(
    data: options.DataArgument = None,
    model: options.Model = options.DEFAULT_RUN,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="The CSV file to write.")
    ] = Path("vae.csv"),
    columns: Annotated[
        options.Columns,
        typer.Option(help="label: only Predicted_Label; all: Component and Probability too."),
    ] = "all",
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    force: options.Force = False,
) -> None:
    """Write the predicted label of every image.

    Component is the most probable Gaussian, Probability how sure the model is of it.
    """
    check_file(output, force, [".csv"])
    run = open_run(model, device)
    images, name = images_for(run, data, data_root, scored=False)
    _write(output, run.gmvae, images, columns)
    say(_naming(run.gmvae.component_classes))
    if images.class_names:
        say(f"The classes are {listed(images.class_names)}.")
    say(f"Predicted labels of {len(images):,} images ({name}): {output}")


def _write(output: Path, gmvae: "GMVAE", images: "Images", columns: options.Columns) -> None:
    highest, components = gmvae.classify(images).max(dim=-1)
    header = ("Predicted_Label", "Component", "Probability")
    probabilities = (f"{p:.6f}" for p in highest.tolist())
    rows = zip(gmvae.predict(images).tolist(), components.tolist(), probabilities, strict=True)
    n_columns = 1 if columns == "label" else len(header)
    with replacing(output) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header[:n_columns])
        writer.writerows(row[:n_columns] for row in rows)


def _naming(classes: tuple[int | None, ...] | None) -> str:
    """Where the predicted labels come from."""
    if classes is None:
        return "No label was observed in training: Predicted_Label is the component's number."
    named = (f"{k} is class {c}" for k, c in enumerate(classes) if c is not None)
    return f"Components named by the labels observed in training: {', '.join(named)}."
