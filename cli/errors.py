"""From an exception to one line and an exit code."""

import os
import sys
import traceback

import typer

from gmvae.errors import ArgumentError, GMVAEError

# The first row that fits counts.
EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (ArgumentError, 2),
    (GMVAEError, 1),
    (FileNotFoundError, 2),
    (FileExistsError, 2),
    (PermissionError, 2),
    (NotADirectoryError, 2),
    (IsADirectoryError, 2),
    (OSError, 1),
)
INTERRUPTED = 130
# typer's errors of usage; their base class has no public name in every version of typer.
UsageError = typer.BadParameter.__bases__[0]


def report(error: BaseException, debug: bool = False) -> int:
    """Print ``error`` as one line on standard error, after its traceback where asked for.

    Returns:
        The exit code: 2 for arguments and paths, 1 for content and failed runs, 130 for an
        interruption.
    """
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has gone, as in `gmvae info | head -1`: nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    if debug:
        traceback.print_exception(error)
    line, code = _explain(error)
    print(f"Error: {line}", file=sys.stderr, flush=True)
    return code


def _explain(error: BaseException) -> tuple[str, int]:
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return "interrupted; nothing was written.", INTERRUPTED
    if isinstance(error, UsageError):
        return _usage(error), 2
    for kind, code in EXIT_CODES:
        if isinstance(error, kind):
            return _message(error), code
    what = f"unexpected {type(error).__name__}: {_message(error)}"
    return f"{what.rstrip(' .:')}; run again with --debug for the traceback.", 1


def _usage(error: BaseException) -> str:
    """What typer has to say, with the help page that says more."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "gmvae"
    message = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    return f"{message.rstrip('.')}. See `{command} --help`."


def _message(error: BaseException) -> str:
    """The error's own words in one line; an error of the system names its file."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    return " ".join(str(error).split())
