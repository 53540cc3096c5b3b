"""``gmvae explore``."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gmvae.support.errors import ArgumentError
from gmvae.support.names import counted

from . import options
from .experiment import check_data
from .output import answer, as_json, check_file, outcome, write_text
from .run_folder import beside, images_for, open_run
from .summary import images_record, skipped_words

if TYPE_CHECKING:
    from gmvae import GMVAE, Images

EXAMPLES = (
    "gmvae explore",
    "gmvae explore test.npz --model gmvae-run --output latent.html",
    "gmvae explore --serve",
)


def explore(
    data: options.DataArgument = None,
    model: options.Model = options.DEFAULT_RUN,
    output: Annotated[
        Path | None,
        options.output_file(
            "The file to write, .html; left out, RUN-explore.html beside the run folder."
        ),
    ] = None,
    serve: Annotated[
        bool,
        typer.Option(
            "--serve",
            help="Write no file: serve the page to this machine, at 127.0.0.1, until Ctrl-C. The "
            "model decodes, not the browser: for one too large for a page.",
        ),
    ] = False,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    strict: options.Strict = False,
    force: options.Force = False,
    json: options.AsJson = False,
) -> None:
    """Write a page to explore the latent space in a browser.

    It shows the encoded images, of more than 20,000 an even share, and the mixture over them. The
    decoder runs in the page: where the pointer is, one sees what it draws there, and p(y|z). The
    page is one file that loads nothing. The images are inside: it is for who may see them.
    """
    check_data(data)
    if serve and output is not None:
        raise ArgumentError(
            f"`--serve` expected no --output, since it writes no file; got {output}. Leave one out."
        )
    output = beside(model, "explore.html") if output is None else output
    if not serve:
        check_file(output, force, [".html"])
    run = open_run(model, device)
    images, name = images_for(run, data, data_root, scored=False, strict=strict)
    title = f"Latent space of {name}"
    if serve:
        _serve(run.gmvae, images, title, json)
        return
    from gmvae.explore import page
    from gmvae.explore.document import MOST_POINTS

    write_text(output, page(run.gmvae, images, title))
    shown = min(len(images), MOST_POINTS)
    what = counted(len(images), "image")
    if shown < len(images):
        what = f"{shown:,} of {what}, an even share,"
    line = f"A page to explore {what} ({name}), for a browser: {output}{skipped_words(images)}"
    outcome(json, images_record(images, name, output) | {"n_points": shown}, [line])


def _serve(gmvae: "GMVAE", images: "Images", title: str, json: bool) -> None:
    """Serve the page until Ctrl-C, which is how that ends well."""
    from gmvae.explore import server

    with server(gmvae, images, title) as serving:
        address = f"{serving.address}/"
        line = f"Open {address} in a browser on this machine; Ctrl-C ends it."
        answer(as_json({"address": address}) if json else line)
        with suppress(KeyboardInterrupt):
            serving.serve_forever()
