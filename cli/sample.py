"""``gmvae sample``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gmvae.support.errors import ArgumentError
from gmvae.support.files import replacing

from . import options
from .output import PICTURE_SUFFIXES, check_file, say, write_images
from .run_folder import beside, open_run

if TYPE_CHECKING:
    from gmvae import GMVAE

# More names than these make an error unreadable; `gmvae info` lists them all.
MOST_NAMED = 20
# And more images than these a picture: of the embedded digits it is 30 pages long.
MOST_DRAWN = 10_000
EXAMPLES = (
    "gmvae sample --number 100",
    "gmvae sample --component 2 --output samples.npz",
)


def sample(
    number: Annotated[
        int, typer.Option("--number", "-n", min=1, metavar="N", help="How many images.")
    ] = 60,
    component: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="K", help="Only from this component, counted from 0.", show_default=False
        ),
    ] = None,
    model: options.Model = options.DEFAULT_RUN,
    output: Annotated[
        Path | None,
        options.output_file(
            "A picture (.png, .svg, .pdf) or arrays (.npz); left out, RUN-samples.png beside "
            "the run folder."
        ),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    force: options.Force = False,
) -> None:
    """Draw new images from the model.

    An .npz file holds "data", as `reconstruct` writes it, and "components".
    """
    output = beside(model, "samples.png") if output is None else output
    check_file(output, force, [*PICTURE_SUFFIXES, ".npz"])
    if output.suffix.lower() != ".npz" and number > MOST_DRAWN:
        raise ArgumentError(
            f"`--number` expected at most {MOST_DRAWN:,} for a picture; got {number:,}. Write them "
            "to an .npz file: --output samples.npz"
        )
    gmvae = open_run(model, device).gmvae
    whose = _checked(component, gmvae)
    import torch

    images, components = gmvae.sample(number, component, torch.Generator().manual_seed(seed))
    if output.suffix.lower() == ".npz":
        write_images(output, images, components=components.numpy())
    else:
        from gmvae import plots

        figure = plots.samples(images, components, gmvae.component_names)
        with replacing(output) as draft:
            figure.savefig(draft)
    say(f"{number:,} sample{'s' if number > 1 else ''} of {whose}: {output}")


def _checked(component: int | None, gmvae: "GMVAE") -> str:
    """What is drawn from, in words.

    Raises:
        ArgumentError: a component that the model has not.
    """
    from gmvae.gmvae import component_name, component_title

    k, names = gmvae.config.n_components, gmvae.component_names
    if component is None:
        return f"all {k} components" if k > 1 else "its only component"
    if component >= k:
        few = names is not None and k <= MOST_NAMED
        listed = f" ({', '.join(component_name(names, i) for i in range(k))})" if few else ""
        raise ArgumentError(
            f"`--component` expected 0 to {k - 1}{listed}; got {component}. "
            "Choose one of these, or leave it out for all."
        )
    return component_title(names, component)
