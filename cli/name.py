"""``gmvae name``."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from gmvae.support.errors import ArgumentError
from gmvae.support.files import CONFIG_FILE

from .info import component_rows
from .options import AsJson, model_option
from .output import outcome, say, table, write_json
from .run_folder import open_run, read_json, training_of

EXAMPLES = (
    "gmvae name gmvae-run 0=cat 3=flower",
    "gmvae name gmvae-run 3=",
    "gmvae name gmvae-run",
)


def name(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="K=WORD",
            help="A component's number and its name; without a name none. Left out, the names are "
            "shown as they are.",
            show_default=False,
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Name components by hand, as their pictures show them.

    Other commands then write the name in place of a class or a number. Several components may have
    one name.
    """
    from gmvae.config import NAMES_BY_HAND, read_config

    config = read_json(run, CONFIG_FILE)
    training_of(config, run)
    saved = read_config(run)
    words = dict(saved.names_by_hand)
    if not names:
        _show(run, words, json)
        return
    for text in names:
        k, word = _parsed(text, saved.config.n_components)
        words.pop(k, None)
        if word:
            words[k] = word
    config.pop(NAMES_BY_HAND, None)
    if words:
        config[NAMES_BY_HAND] = {str(k): words[k] for k in sorted(words)}
    write_json(run / CONFIG_FILE, config)
    listed = ", ".join(f"{k} is {words[k]}" for k in sorted(words))
    lines = [
        f"Named by hand in {run}: {listed or 'no component'}.",
        f"A table with these names: gmvae classify{model_option(run)} --force",
        f"The page and its pictures with them, since the run's own stay as they are: "
        f"gmvae evaluate{model_option(run)}",
    ]
    outcome(json, _record(run, words), lines)


def _show(run: Path, words: Mapping[int, str], json: bool) -> None:
    """The names as they are, and how to give some."""
    if json:
        outcome(json, _record(run, words), ())
        return
    table(f"Components of {run}", component_rows(open_run(run, "cpu", "RUN").gmvae))
    say(f"To name one after a look at its images: gmvae name {shlex.quote(str(run))} 0=WORD")


def _record(run: Path, words: Mapping[int, str]) -> dict[str, Any]:
    """What came of it, ready for JSON."""
    return {"run": str(run), "names_by_hand": {str(k): words[k] for k in sorted(words)}}


def _parsed(text: str, n_components: int) -> tuple[int, str]:
    """``3=cat`` as 3 and cat.

    Raises:
        ArgumentError: anything else, or a component that is not there.
    """
    number, sign, word = text.partition("=")
    number, word = number.strip(), word.strip()
    if not sign or not number.isdecimal() or int(number) >= n_components:
        raise ArgumentError(
            f"`K=WORD` expected a component from 0 to {n_components - 1} and its name; got "
            f"{text!r}. Write 0=cat."
        )
    if not word.isprintable():
        raise ArgumentError(
            f"`K=WORD` expected a name that a line can show; got {word!r}. Choose another."
        )
    return int(number), word
