"""From an exception to one line and an exit code."""

import os
import re
import sys
import traceback
from difflib import SequenceMatcher
from typing import Any

import typer

from gmvae.settings import Settings
from gmvae.support.declarations import declarations
from gmvae.support.errors import ArgumentError, ContentError, GMVAEError, InterruptedRunError
from gmvae.support.names import printable

from .entry import INTERRUPTED, INTERRUPTED_LINE
from .options import option_name

# The first row that fits counts.
EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (ArgumentError, 2),
    (InterruptedRunError, INTERRUPTED),
    (GMVAEError, 1),
    (FileNotFoundError, 2),
    (FileExistsError, 2),
    (PermissionError, 2),
    (NotADirectoryError, 2),
    (IsADirectoryError, 2),
    (OSError, 1),
)
# Room for two paths of 4,096 bytes, the longest on Linux, and what is wrong with them.
LONGEST = 10_000
# What torch says of it on the CPU, and on a device.
NO_MEMORY = ("allocate memory", "out of memory")
MORE = "; run again with --debug for the traceback."
# What the user typed, by the name that the library gives it in its messages.
SETTINGS = {setting.name: option_name(setting.name) for setting in declarations(Settings)}
TYPED = {
    **SETTINGS,
    "source": "DATA",
    "images": "DATA",
    "other": "--val",
    "n": "--labels",
    "n_draws": "--draws",
    "predictive_images": "--predictive-images",
    "simulated_images": "--simulated-images",
    "mixture_components": "--mixture",
    "n_samples": "--samples",
    "classes": "--classes",
    "labels_from": "--labels-from",
    "resize": "--resize",
    "n_restarts": "--restarts",
    "n_jobs": "--jobs",
    "device": "--device",
    "component": "--component",
    "start": "--from",
    "onnx": "--onnx",
}
# An error of content opens with the name of a file, which may be any word, or with this.
TYPED_CONTENT = {"x": "DATA"}
# An option of other commands, and what it is called here.
ELSEWHERE = {("train", "--model"): "--output"}
# Below this likeness a suggested option is a guess: --model and --help have 0.62.
LIKENESS = 0.75
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
    if debug:
        line = line.removesuffix(MORE)
    print(f"Error: {printable(line, LONGEST)}", file=sys.stderr, flush=True)
    return code


def _explain(error: BaseException) -> tuple[str, int]:
    if isinstance(error, (KeyboardInterrupt, typer.Abort)):
        return INTERRUPTED_LINE, INTERRUPTED
    if isinstance(error, UsageError):
        return _usage(error), 2
    for kind, code in EXIT_CODES:
        if isinstance(error, kind):
            return _message(error), code
    if isinstance(error, MemoryError) or any(words in str(error) for words in NO_MEMORY):
        return (
            "not enough memory for what was asked. Ask for less: a smaller --batch-size, smaller "
            "images, fewer samples or dimensions."
        ), 1
    what = f"unexpected {type(error).__name__}: {_message(error)}"
    return f"{what.rstrip(' .:')}{MORE}", 1


def _usage(error: BaseException) -> str:
    """What typer has to say, with the help page that says more."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "gmvae"
    if hasattr(error, "possibilities"):
        message = _no_such_option(error, command)
    else:
        message = f"{_refused(error).rstrip('.')}{_source(error)}"
    end = "" if message.endswith("?") else "."
    return f"{message.rstrip('.')}{end} See `{command} --help`."


def _source(error: Any) -> str:
    """`` in run.toml``, where the value stood in a configuration and not on the command line."""
    context, parameter = error.ctx, getattr(error, "param", None)
    if context is None or parameter is None:
        return ""
    source = context.get_parameter_source(parameter.name)
    return f" in {context.params['config']}" if getattr(source, "name", "") == "DEFAULT_MAP" else ""


def _refused(error: Any) -> str:
    """What typer has to say of a value, and the value: newer versions of typer leave it out."""
    message = " ".join(error.format_message().split()).replace("Value error, ", "")
    # As everywhere else: the argument and what was expected.
    message = re.sub(
        r"^Invalid value for '(-[^']+)'[^:]*: Input should be ", r"`\1` expected ", message
    )
    refusals: list[Any] = getattr(error.__cause__, "errors", list)()
    typed = repr(refusals[0]["input"]) if refusals else ""
    return message if typed in message else f"{message.rstrip('.')}; got {typed}"


def _no_such_option(error: Any, command: str) -> str:
    """The option that was typed, and the nearest one where it is near."""
    typed = error.option_name
    near = [
        option
        for option in error.possibilities or ()
        if option.startswith(typed) or SequenceMatcher(None, typed, option).ratio() >= LIKENESS
    ]
    meant = ELSEWHERE.get((command.split()[-1], typed)) or " or ".join(near)
    return f"No such option: {typed}." + (f" Did you mean {meant}?" if meant else "")


def _message(error: BaseException) -> str:
    """The error's own words in one line; an error of the system names its file."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.strerror}: {error.filename}"
    message = " ".join(str(error).split())
    return _as_typed(message, TYPED_CONTENT if isinstance(error, ContentError) else TYPED)


def in_options(message: str) -> str:
    """A remark of the library with its settings named as on the command line."""
    return re.sub(r"`(\w+)`", lambda named: f"`{SETTINGS.get(named[1], named[1])}`", message)


def _as_typed(message: str, names: dict[str, str]) -> str:
    """The message with the argument that it opens with named as on the command line.

    Only that one: further on, backticks hold arrays in files and the like.
    """
    opening = re.match(r"`(\w+)` expected", message)
    if opening is None or opening[1] not in names:
        return message
    typed = names[opening[1]]
    return message.replace(f"`{opening[1]}`", f"`{typed}`")
