"""The arguments and options that commands share, each declared once.

Those of the library's settings are made from their declarations by :func:`with_settings`.
"""

import functools
import inspect
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from gmvae.settings import Settings
from gmvae.support.declarations import Declaration, declarations
from gmvae.support.names import printable

Command = Callable[..., None]
# What `with_settings` hands to a command, by the name of the setting.
SettingValues = dict[str, Any]

DEFAULT_RUN = Path("gmvae-run")
# The panels of the help, in the order in which they are shown; options of no panel come last.
DATA, TRAINING, OUTPUT = "Data", "Training", "Output"
PANELS = (DATA, "Model", TRAINING, "Weights", OUTPUT)
# Settings and parameters whose option has another name than theirs.
_RENAMED = {"n_components": "--components", "start": "--from"}

DataArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        help="digits, mnist, fashion-mnist or kmnist (the test part), or a path: .npz, .npy, IDX, "
        "a picture or a folder of them. [default: what the run was trained on]",
        show_default=False,
    ),
]
Model = Annotated[
    Path, typer.Option("--model", metavar="DIR", help="The run folder that `train` wrote.")
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where named sets lie or are downloaded to. [default: $GMVAE_DATA_ROOT, else the "
        "cache folder of the platform]",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="auto, cpu, cuda or any other device of torch.",
        rich_help_panel=TRAINING,
    ),
]
Classes = Annotated[
    str | None,
    typer.Option(
        metavar="1,4,8",
        help="Only these classes, by their numbers or by their names: cat,dog.",
        rich_help_panel=DATA,
    ),
]
Resize = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=4_096,
        metavar="N",
        help="Bring each image to N by N pixels: its middle square, scaled.",
        show_default=False,
        rich_help_panel=DATA,
    ),
]
Grey = Annotated[
    bool, typer.Option("--grey", help="Make grey images of coloured ones.", rich_help_panel=DATA)
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Stop at a picture that cannot be read; else it is skipped, counted and named.",
        rich_help_panel=DATA,
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Number of runs at a time; left out, as many as there are cores.",
        rich_help_panel=TRAINING,
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Overwrite what exists.", rich_help_panel=OUTPUT)
]
Resume = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Go on with the unfinished run into DIR, as it was asked for; no other option counts.",
        show_default=False,
    ),
]
ResumeScoring = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with a scoring that was stopped; give the rest as it was given then.",
        rich_help_panel=OUTPUT,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, not lines or a table.")]


def model_option(folder: Path) -> str:
    """`` --model DIR``, for a command line to be typed; nothing of the run folder by default."""
    return "" if folder == DEFAULT_RUN else f" --model {shlex.quote(str(folder))}"


def output_folder(what: str) -> Any:
    """The option ``--output`` of a command that writes a folder."""
    return typer.Option(
        "--output", "-o", metavar="DIR", help=f"The {what} to write.", rich_help_panel=OUTPUT
    )


def output_file(what: str) -> Any:
    """The option ``--output`` of a command that writes a file."""
    return typer.Option("--output", "-o", metavar="FILE", help=what, show_default=False)


def restarts(least: int, what: str) -> Any:
    """The option ``--restarts``."""
    return typer.Option(min=least, metavar="N", help=what, rich_help_panel=TRAINING)


def option_name(setting: str) -> str:
    """``--latent-dim`` for ``latent_dim``."""
    return _RENAMED.get(setting, f"--{setting.replace('_', '-')}")


def with_settings(
    settings_class: type[Any] = Settings,
    *,
    left_out: Sequence[str] = (),
    changed: Mapping[str, Mapping[str, Any]] | None = None,
) -> Callable[[Command], Command]:
    """A decorator: in place of the parameter ``settings`` a command gets an option a setting.

    The command is then called with ``settings``, a dictionary of what was typed and of the
    defaults.

    Args:
        settings_class: the dataclass that declares the settings.
        left_out: names of settings that the command chooses itself.
        changed: by name, what the command declares otherwise: a default, a help.
    """
    offered = [
        replace(declaration, **(changed or {}).get(declaration.name, {}))
        for declaration in declarations(settings_class)
        if declaration.name not in left_out
    ]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def called(**values: Any) -> None:
            settings = {setting.name: values.pop(setting.name) for setting in offered}
            command(settings=settings, **values)

        parameters: list[inspect.Parameter] = []
        for parameter in inspect.signature(command).parameters.values():
            is_settings = parameter.name == "settings"
            parameters += map(_parameter, offered) if is_settings else [parameter]
        # typer reads the first, and type hints from the second.
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return called

    return decorate


# What `--components` says where their number is to be found, whatever classes only score: it is
# that of observed classes all the same.
AUTO = "auto"


def _components(text: str) -> int | str:
    """A number of components, or ``auto``."""
    if text == AUTO:
        return text
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise typer.BadParameter(
            f"expected {AUTO} or a whole number, at least 1; got {printable(text, 50)!r}."
        )
    return number


def option_of(setting: Declaration) -> Any:
    """What typer is told of the setting's option."""
    if setting.name == "n_components":
        limits: dict[str, Any] = {"parser": _components}
    else:
        limits = {"min": setting.limits.least, "max": setting.limits.most}
    return typer.Option(
        option_name(setting.name),
        **limits,
        metavar=setting.symbol,
        help=setting.help,
        rich_help_panel=setting.group.capitalize(),
    )


def _parameter(setting: Declaration) -> inspect.Parameter:
    """The setting as a parameter that typer makes an option of."""
    kind = setting.kind | None if setting.optional else setting.kind
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=setting.default,
        annotation=Annotated[kind, option_of(setting)],
    )


Seed = Annotated[int, option_of(next(d for d in declarations(Settings) if d.name == "seed"))]


class PanelCommand(TyperCommand):
    """A command whose options are shown in panels, as plain text.

    rich's own panels cut words where a column ends: ``continuou|s-bernoulli``.
    """

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then the options of each panel, then the others."""
        sections: dict[str, list[tuple[str, str]]] = {
            title: [] for title in ("Arguments", *PANELS, "Options")
        }
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            panel = getattr(parameter, "rich_help_panel", None) or "Options"
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                sections["Arguments" if is_argument else panel].append(record)
        for title, records in sections.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)
