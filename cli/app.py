"""The application: which commands there are, and what happens to an error."""

from typing import Annotated

import typer

from . import (
    classify,
    compare,
    diagnose,
    encode,
    errors,
    evaluate,
    explore,
    export,
    info,
    interpolate,
    name,
    options,
    posterior,
    reconstruct,
    sample,
    select,
    train,
)
from .entry import INTERRUPTED, EndedFromOutside
from .output import quietly
from .processes import check_command, is_first, n_processes

QUIET = ("--quiet", "-q")
app = typer.Typer(
    name="gmvae",
    # gmvae --install-completion
    add_completion=True,
    # rich cuts words where a column ends, and takes half as long again to the first letter.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with: gmvae train",
)
# Commands of so many options that their help shows them in panels.
IN_PANELS = (train.train, select.select)
for command, examples in (
    (train.train, train.EXAMPLES),
    (classify.classify, classify.EXAMPLES),
    (encode.encode, encode.EXAMPLES),
    (reconstruct.reconstruct, reconstruct.EXAMPLES),
    (evaluate.evaluate, evaluate.EXAMPLES),
    (compare.compare, compare.EXAMPLES),
    (explore.explore, explore.EXAMPLES),
    (diagnose.diagnose, diagnose.EXAMPLES),
    (posterior.posterior, posterior.EXAMPLES),
    (sample.sample, sample.EXAMPLES),
    (interpolate.interpolate, interpolate.EXAMPLES),
    (info.info, info.EXAMPLES),
    (name.name, name.EXAMPLES),
    (export.export, export.EXAMPLES),
    (select.select, select.EXAMPLES),
):
    # After \b the lines stay as they are.
    app.command(
        cls=options.PanelCommand if command in IN_PANELS else None,
        epilog="\n".join(("\b", "Examples:", *(f"  {example}" for example in examples))),
    )(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        from gmvae import __version__

        print(f"gmvae {__version__}")
        raise typer.Exit


@app.callback()
def gmvae(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error; may stand anywhere.")
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="Say nothing but what was asked for, and errors; may stand anywhere.",
        ),
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Cluster images: a variational autoencoder with a Gaussian-mixture prior."""


def run(arguments: list[str]) -> int:
    """Run the command line on ``arguments``; return the exit code."""
    # Taken out here, so that they may stand before the command as well as after it.
    debug, quiet = "--debug" in arguments, bool({*QUIET} & {*arguments})
    rest = [argument for argument in arguments if argument not in ("--debug", *QUIET)]
    try:
        check_command(rest)
        with quietly(quiet or not is_first()):
            code: object = app(rest or ["--help"], prog_name="gmvae", standalone_mode=False)
    except EndedFromOutside as error:
        if n_processes() == 1:
            raise
        # By torchrun, which says why, or since another process has failed, which says so.
        return error.code
    except (KeyboardInterrupt, typer.Abort) as error:
        # Of several processes, which are all interrupted, the first one says so.
        return errors.report(error, debug) if is_first() else INTERRUPTED
    except Exception as error:
        return errors.report(error, debug)
    if code == INTERRUPTED and is_first():
        return errors.report(KeyboardInterrupt())
    return code if isinstance(code, int) else 0
