"""``gmvae interpolate``."""

from pathlib import Path
from typing import Annotated

import typer

from gmvae.support.files import replacing

from . import options
from .components import component_called
from .output import PICTURE_SUFFIXES, check_file, outcome
from .run_folder import beside, open_run

EXAMPLES = (
    "gmvae interpolate 0 2",
    "gmvae interpolate cat flower --model gmvae-run --output way.svg",
)


def interpolate(
    first: Annotated[
        str, typer.Argument(metavar="A", help="A component: its number from 0, or its name.")
    ],
    last: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    steps: Annotated[int, typer.Option(min=2, max=100, metavar="N", help="How many images.")] = 12,
    model: options.Model = options.DEFAULT_RUN,
    output: Annotated[
        Path | None,
        options.output_file(
            "The picture to write: .png, .svg or .pdf; left out, RUN-interpolation.png beside "
            "the run folder."
        ),
    ] = None,
    device: options.Device = "auto",
    force: options.Force = False,
    json: options.AsJson = False,
) -> None:
    """Draw what lies between two components: a strip from one mean to the other."""
    output = beside(model, "interpolation.png") if output is None else output
    check_file(output, force, PICTURE_SUFFIXES)
    gmvae = open_run(model, device).gmvae
    from gmvae import plots
    from gmvae.gmvae import component_title

    ends = [
        component_called(word, gmvae, f"`{letter}`", "Choose one of these.")
        for letter, word in (("A", first), ("B", last))
    ]
    means = gmvae.model.prior.means.detach().cpu()
    titles = tuple(component_title(gmvae.component_names, k) for k in ends)
    figure = plots.interpolation(
        gmvae, means[ends[0]], means[ends[1]], steps, (titles[0], titles[1])
    )
    with replacing(output) as draft:
        figure.savefig(draft)
    record = {"output": str(output), "from": ends[0], "to": ends[1], "steps": steps}
    outcome(json, record, [f"From {titles[0]} to {titles[1]}: {output}"])
