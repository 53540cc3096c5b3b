"""``gmvae posterior``."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gmvae.support.names import counted

from . import options
from .experiment import check_data
from .output import check_file, outcome
from .run_folder import beside, images_for, open_run
from .scoring import Scoring, check_resume, scored
from .summary import images_record, skipped_words

if TYPE_CHECKING:
    import numpy as np

EXAMPLES = (
    "gmvae posterior",
    "gmvae posterior mnist --model mnist-run --draws 1000 -o mnist.nc",
)
# Images without a certificate that are named.
MOST_NAMED = 20


def posterior(
    data: options.DataArgument = None,
    model: options.Model = options.DEFAULT_RUN,
    output: Annotated[
        Path | None,
        options.output_file(
            "The netCDF file to write (.nc), for ArviZ and xarray; left out, RUN-posterior.nc "
            "beside the run folder."
        ),
    ] = None,
    draws: Annotated[
        int, typer.Option(min=25, metavar="N", help="Draws kept of each image.")
    ] = 500,
    starts: Annotated[
        int,
        typer.Option(min=0, metavar="N", help="Climbs to the modes of each image. 0: none."),
    ] = 6,
    rounds: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Rounds of proposals around the modes, at most, where draws of the guide will not "
            "do. 0: none.",
        ),
    ] = 10,
    hmc_draws: Annotated[
        int,
        typer.Option(
            min=0,
            metavar="N",
            help="Draws of each of four chains of Hamiltonian Monte Carlo, where these will not "
            "do, either. 0: none.",
        ),
    ] = 500,
    weights: Annotated[
        bool, typer.Option("--weights", help="Write weighted draws of the proposals, too.")
    ] = False,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    strict: options.Strict = False,
    resume: options.ResumeScoring = False,
    force: options.Force = False,
    json: options.AsJson = False,
) -> None:
    """Write the posterior of every image, and how good each one is.

    The file holds draws of z of equal weight (posterior) and, an image each, p(y|x), log p(x),
    expected pixels, mean and sd of z, their Monte Carlo standard errors, k-hat, effective sample
    size and the way by which they were got (sample_stats): guide, refined, hmc, or unresolved,
    which is no posterior yet. A batch of images is worked on at a time.
    """
    check_data(data)
    output = beside(model, "posterior.nc") if output is None else output
    check_file(output, force, [".nc"])
    check_resume(output, resume)
    run = open_run(model, device)
    images, name = images_for(run, data, data_root, scored=False, strict=strict)
    import torch

    from gmvae.posterior import Effort
    from gmvae.posterior.files import stored_blocks, write_blocks
    from gmvae.posterior.result import Tally, words_of
    from gmvae.posterior.work import shared_points

    generator = torch.Generator().manual_seed(seed)
    # Drawn before a scoring that goes on sets the state of the generator.
    shared = shared_points(run.gmvae.model, run.gmvae.config.image_shape, generator)

    def arrays(first: int) -> "Iterator[dict[str, np.ndarray]]":
        blocks = run.gmvae.posterior_blocks(
            images,
            draws,
            effort=Effort(starts, rounds, hmc_draws),
            weights=weights,
            generator=generator,
            shared=shared,
            first=first,
        )
        return (block.arrays() for block in blocks)

    asked = {
        "--draws": draws,
        "--starts": starts,
        "--rounds": rounds,
        "--hmc-draws": hmc_draws,
        "--weights": weights,
        "--seed": seed,
    }
    tally = Tally()
    scoring = Scoring(output, model, images, asked, resume, generator=generator)
    with scored(scoring, arrays) as draft:
        blocks = stored_blocks(draft.columns())
        for block in write_blocks(output, blocks, len(images), images.files):
            tally.add(block)
    lines = [
        f"{name}: {counted(len(images), 'image')}, {words_of(tally.routes)}.",
        f"Mean log p(x): {tally.log_evidence:.3f} +- {tally.log_evidence_mcse:.3f} nats.",
        *_unresolved(tally.unresolved),
        f"Posterior: {output}{skipped_words(images)}",
    ]
    outcome(json, images_record(images, name, output) | tally.record(), lines)


def _unresolved(rows: Sequence[int]) -> Iterator[str]:
    """A line that names the images without a certificate, if there are any."""
    if rows:
        more = len(rows) - MOST_NAMED
        named = ", ".join(map(str, rows[:MOST_NAMED]))
        yield f"Unresolved: images {named}" + (f" and {more:,} more." if more > 0 else ".")
