"""``--config FILE``: options from a TOML file or a run, which those typed override."""

import math
import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import typer

from gmvae.support.errors import ArgumentError, ContentError
from gmvae.support.names import printable

from . import recorded

# An option takes a line, and a path 4,096 bytes at most.
LARGEST, LONGEST_LINE = 100_000, 5_000


def take_defaults(context: typer.Context, path: Path | None) -> Path | None:
    """Make the values of the file at ``path`` the defaults of the command being parsed.

    An eager callback: it runs before the other options are looked at, and they go through the
    same checks wherever they come from.

    Raises:
        ArgumentError: a key that is no option of the command, or a flag that is not true or false.
        ContentError: the file is no TOML, or holds a table; or it is a JSON file that no run wrote.
        FileNotFoundError: there is no such file.
    """
    if path is None:
        return None
    if not path.is_file():
        what = "is no regular file" if path.exists() else "does not exist"
        what = "is a folder" if path.is_dir() else what
        raise FileNotFoundError(
            f"`--config` expected a TOML file; got {path}, which {what}. Check the path."
        )
    parameters = _parameters(context)
    defaults: dict[str, str] = {}
    for key, value in (recorded.options_of(path) if _is_of_a_run(path) else _read(path)).items():
        parameter = parameters[_option(key, value, parameters, path)]
        if str(parameter.name) in defaults:
            raise ArgumentError(
                f"`--config` expected each option once; got {_cut(repr(key))} in another "
                f"spelling too in {path}. Keep one of the two."
            )
        defaults[str(parameter.name)] = _as_typed(key, value, parameter, path)
    context.default_map = defaults
    return path


def _is_of_a_run(path: Path) -> bool:
    return path.suffix.lower() == ".json"


def _read(path: Path) -> dict[str, Any]:
    text = _text(path)
    try:
        return tomllib.loads(text)
    # A number of thousands of digits is a plain ValueError; brackets in brackets recurse.
    except (ValueError, RecursionError) as error:
        why = printable(" ".join(str(error).split()), 200)
        raise ContentError(
            f"`--config` expected TOML; got in {path}: {why}. Write a line an option, as in: "
            'network = "conv".'
        ) from error


def _text(path: Path) -> str:
    """What the file holds, as long as an option a line is.

    The parser takes time by the square of the dots in a key.
    """
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST or any(len(line) > LONGEST_LINE for line in content.splitlines()):
        raise ContentError(
            f"`--config` expected TOML of at most {LARGEST:,} bytes, {LONGEST_LINE:,} a line; got "
            f"more in {path}. Write a line an option."
        )
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ContentError(
            f"`--config` expected TOML; got {path}, which is no text. Check the path."
        ) from error


def _parameters(context: typer.Context) -> dict[str, Any]:
    """From the name a user writes (``latent-dim``) to typer's parameter (``latent_dim``)."""
    names = {}
    for parameter in context.command.params:
        long = [option[2:] for option in parameter.opts if option.startswith("--")]
        names[(long or [str(parameter.name)])[0]] = parameter
    return {name: of for name, of in names.items() if name not in ("config", "help")}


def _option(key: str, value: Any, parameters: dict[str, Any], path: Path) -> str:
    if isinstance(value, dict):
        raise ContentError(
            f"`--config` expected plain keys; got the table [{_cut(key)}] in {path}. "
            "Write its keys above any table."
        )
    name = key.replace("_", "-")
    if name in parameters:
        return name
    nearest = get_close_matches(name, parameters, n=1)
    remedy = f"Did you mean {nearest[0]!r}?" if nearest else "Remove it."
    raise ArgumentError(
        f"`--config` expected keys named like the options; got {_cut(repr(key))} in "
        f"{path}. {remedy}"
    )


def _as_typed(key: str, value: Any, parameter: Any, path: Path) -> str:
    """``value`` as it would stand on the command line, where 2.7 is no whole number."""
    if getattr(parameter, "is_flag", False) and not isinstance(value, bool):
        raise ArgumentError(
            f"`--config` expected true or false for {_cut(key)}; got {_cut(repr(value))} in "
            f"{path}. Write one of the two."
        )
    if isinstance(value, float) and not math.isfinite(value):
        raise ArgumentError(
            f"`--config` expected a finite number for {_cut(key)}; got {_cut(repr(value))} in "
            f"{path}. Change it."
        )
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cut(text: str) -> str:
    """A key or a value, at a length that a line has room for."""
    return printable(text, 100)
