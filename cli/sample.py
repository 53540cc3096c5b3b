"""``gmvae sample``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gmvae.support.errors import ArgumentError
from gmvae.support.files import replacing
from gmvae.support.names import counted

from . import options
from .components import component_called
from .output import PICTURE_SUFFIXES, check_file, outcome, write_images
from .run_folder import beside, open_run

if TYPE_CHECKING:
    from gmvae import GMVAE

# More images than these are no picture: of the embedded digits it is 30 pages long.
MOST_DRAWN = 10_000
EXAMPLES = (
    "gmvae sample --number 100",
    "gmvae sample --component 2 --output samples.npz",
    "gmvae sample --component cat",
)


def sample(
    number: Annotated[
        int, typer.Option("--number", "-n", min=1, metavar="N", help="How many images.")
    ] = 60,
    component: Annotated[
        str | None,
        typer.Option(
            metavar="K",
            help="Only from this component: its number, counted from 0, or its name.",
            show_default=False,
        ),
    ] = None,
    model: options.Model = options.DEFAULT_RUN,
    output: Annotated[
        Path | None,
        options.output_file(
            "A picture (.png, .svg, .pdf) or arrays (.npz); left out, RUN-samples.png beside "
            "the run folder, of one component RUN-samples-K.png."
        ),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    force: options.Force = False,
    json: options.AsJson = False,
) -> None:
    """Draw new images from the model.

    An .npz file holds "data", as `reconstruct` writes it, and "components".
    """
    if output is not None or component is None:
        output = beside(model, "samples.png") if output is None else output
        _check(output, force, number)
    gmvae = open_run(model, device).gmvae
    k = None
    if component is not None:
        remedy = "Choose one of these, or leave it out for all."
        k = component_called(component, gmvae, "`--component`", remedy)
    if output is None:
        # By its number, whatever word it was typed by.
        output = beside(model, f"samples-{k}.png")
        _check(output, force, number)
    import torch

    images, components = gmvae.sample(number, k, torch.Generator().manual_seed(seed))
    if output.suffix.lower() == ".npz":
        write_images(output, images, components=components.numpy())
    else:
        from gmvae import plots

        figure = plots.samples(images, components, gmvae.component_names)
        with replacing(output) as draft:
            figure.savefig(draft)
    record = {"output": str(output), "n_images": number, "component": k, "seed": seed}
    line = f"{counted(number, 'sample')} of {_source(k, gmvae)}: {output}"
    outcome(json, record, [line])


def _check(output: Path, force: bool, number: int) -> None:
    """Refuse a file that must not or cannot be written, and a picture of too many images."""
    check_file(output, force, [*PICTURE_SUFFIXES, ".npz"])
    if output.suffix.lower() != ".npz" and number > MOST_DRAWN:
        raise ArgumentError(
            f"`--number` expected at most {MOST_DRAWN:,} for a picture; got {number:,}. Write them "
            "to an .npz file: --output samples.npz"
        )


def _source(component: int | None, gmvae: "GMVAE") -> str:
    """What is drawn from, in words."""
    from gmvae.gmvae import component_title

    if component is not None:
        return component_title(gmvae.component_names, component)
    k = gmvae.config.n_components
    return f"all {k} components" if k > 1 else "its only component"
