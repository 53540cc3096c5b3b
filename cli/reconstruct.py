"""``gmvae reconstruct``."""

from pathlib import Path
from typing import Annotated

from gmvae.support.names import counted

from . import options
from .experiment import check_data
from .output import check_file, outcome, write_images
from .run_folder import beside, images_for, open_run
from .summary import images_record, skipped_words

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
            "The .npz file to write; left out, RUN-vae_reconstructed.npz beside the run folder."
        ),
    ] = None,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    strict: options.Strict = False,
    force: options.Force = False,
    json: options.AsJson = False,
) -> None:
    """Write every image as the model sees it.

    The array "data" of the .npz file has shape (N, H, W), or (N, C, H, W) for several channels,
    with values between 0 and 1.
    """
    check_data(data)
    output = beside(model, "vae_reconstructed.npz") if output is None else output
    check_file(output, force, [".npz"])
    run = open_run(model, device)
    images, name = images_for(run, data, data_root, scored=False, strict=strict)
    write_images(output, run.gmvae.reconstruct(images))
    read = f"{counted(len(images), 'image')} ({name})"
    line = f"Reconstructions of {read}: {output}{skipped_words(images)}"
    outcome(json, images_record(images, name, output), [line])
