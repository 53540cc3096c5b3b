"""``gmvae reconstruct``."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from gmvae.support.names import counted

from . import options
from .answer_files import write_table
from .device import own_device
from .experiment import check_data
from .output import check_file, outcome
from .run_folder import beside, images_for, open_run
from .scoring import Scoring, check_resume, scored
from .summary import images_record, skipped_words

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = (
    "gmvae reconstruct",
    "gmvae reconstruct test.npz --model gmvae-run",
)


def reconstruct(
    data: options.DataArgument = None,
    model: options.Model = options.DEFAULT_RUN,
    output: Annotated[
        Path | None,
        options.output_file(
            "The file to write: .npz or .npy; left out, RUN-vae_reconstructed.npz beside the run "
            "folder."
        ),
    ] = None,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    strict: options.Strict = False,
    resume: options.ResumeScoring = False,
    force: options.Force = False,
    json: options.AsJson = False,
) -> None:
    """Write every image as the model sees it.

    The array "data" of an .npz file, or that of an .npy file, which is made faster, has shape
    (N, H, W), or (N, C, H, W) for several channels, with values between 0 and 1.
    """
    check_data(data)
    output = beside(model, "vae_reconstructed.npz") if output is None else output
    check_file(output, force, [".npz", ".npy"])
    check_resume(output, resume)
    run = open_run(model, own_device(device))
    images, name = images_for(run, data, data_root, scored=False, strict=strict)

    def pictures(first: int) -> "Iterator[dict[str, np.ndarray]]":
        for batch in run.gmvae.batches(images, first):
            data = batch.reconstructions.cpu().numpy()
            yield {"data": data[:, 0] if data.shape[1] == 1 else data}

    asked, length = {"columns": "data"}, run.gmvae.batch_length
    with scored(Scoring(output, model, images, asked, resume, length), pictures) as draft:
        if output.suffix.lower() == ".npy":
            draft.move("data", output)
        else:
            write_table(output, draft.columns())
    read = f"{counted(len(images), 'image')} ({name})"
    line = f"Reconstructions of {read}: {output}{skipped_words(images)}"
    outcome(json, images_record(images, name, output), [line])
