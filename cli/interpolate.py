"""``gmvae interpolate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gmvae.support.errors import ArgumentError
from gmvae.support.files import replacing

from . import options
from .output import PICTURE_SUFFIXES, check_file, say
from .run_folder import beside, open_run

if TYPE_CHECKING:
    from gmvae import GMVAE

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
) -> None:
    """Draw what lies between two components: a strip from one mean to the other."""
    output = beside(model, "interpolation.png") if output is None else output
    check_file(output, force, PICTURE_SUFFIXES)
    gmvae = open_run(model, device).gmvae
    from gmvae import plots
    from gmvae.gmvae import component_title

    ends = _component(first, gmvae), _component(last, gmvae)
    means = gmvae.model.prior.means.detach().cpu()
    titles = tuple(component_title(gmvae.component_names, k) for k in ends)
    figure = plots.interpolation(
        gmvae, means[ends[0]], means[ends[1]], steps, (titles[0], titles[1])
    )
    with replacing(output) as draft:
        figure.savefig(draft)
    say(f"From {titles[0]} to {titles[1]}: {output}")


def _component(word: str, gmvae: "GMVAE") -> int:
    """The component of that number or name, the first of several with the name.

    Raises:
        ArgumentError: there is none.
    """
    from gmvae.gmvae import component_name

    k, names = gmvae.config.n_components, gmvae.component_names
    words = [str(name) for name in names or ()]
    if word in words and not word.isdecimal():
        return words.index(word)
    if word.isdecimal() and int(word) < k:
        return int(word)
    listed = ", ".join(component_name(names, i) for i in range(min(k, 20)))
    raise ArgumentError(
        f"`A` and `B` expected components, by number or by name ({listed}); got {word!r}. Choose "
        "among these."
    )
