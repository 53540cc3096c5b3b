"""``gmvae encode``."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from gmvae.support.names import counted

from . import options
from .answer_files import SUFFIXES, check_suffix, image_column, write_table
from .device import own_device
from .experiment import check_data
from .output import check_file, outcome
from .run_folder import beside, images_for, open_run
from .scoring import Scoring, check_resume, scored
from .summary import images_record, skipped_words

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = (
    "gmvae encode",
    "gmvae encode test.npz --model gmvae-run --output z.parquet",
)


def encode(
    data: options.DataArgument = None,
    model: options.Model = options.DEFAULT_RUN,
    output: Annotated[
        Path | None,
        options.output_file(
            "The file to write: .npz, .npy, .csv, .parquet or .json; left out, "
            "RUN-latents.npz beside the run folder."
        ),
    ] = None,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    strict: options.Strict = False,
    resume: options.ResumeScoring = False,
    force: options.Force = False,
    json: options.AsJson = False,
) -> None:
    """Write the encoded images: of each the mean of q(z|x), or of its heaviest Gaussian.

    In a table a row has the image's file or row and Z_0, Z_1 and so on; the array "Z" of an .npz
    file and that of an .npy file have shape (N, D).
    """
    check_data(data)
    output = beside(model, "latents.npz") if output is None else output
    check_file(output, force, (*SUFFIXES, ".npy"))
    check_suffix(output)
    check_resume(output, resume)
    run = open_run(model, own_device(device))
    images, name = images_for(run, data, data_root, scored=False, strict=strict)

    def latents(first: int) -> "Iterator[dict[str, np.ndarray]]":
        return ({"Z": b.latents.cpu().numpy()} for b in run.gmvae.batches(images, first))

    asked, length = {"columns": "Z"}, run.gmvae.batch_length
    with scored(Scoring(output, model, images, asked, resume, length), latents) as draft:
        if output.suffix.lower() == ".npy":
            draft.move("Z", output)
        else:
            write_table(output, dict([image_column(images)]) | draft.columns())
    line = f"Latents of {counted(len(images), 'image')} ({name}): {output}{skipped_words(images)}"
    outcome(json, images_record(images, name, output), [line])
