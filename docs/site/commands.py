"""The page on the commands, as each of them helps: a hook of MkDocs."""

from collections.abc import Iterator
from typing import Any

import typer
from gmvae_cli.app import app

# Where the page has them.
_MARK = "<!-- commands -->"
# Characters in a line: what a page shows without scrolling.
_WIDTH = 80


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page with all commands at its mark; others as they are."""
    return markdown.replace(_MARK, "\n\n".join(sections())) if _MARK in markdown else markdown


def sections() -> Iterator[str]:
    """A section a command, in Markdown: its name and its help."""
    group = typer.main.get_command(app)
    context = group.make_context("gmvae", [], resilient_parsing=True, terminal_width=_WIDTH)
    yield _section("gmvae", group.get_help(context))
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inside = type(context)(
            command, parent=context, info_name=name, terminal_width=_WIDTH, max_content_width=_WIDTH
        )
        yield _section(f"gmvae {name}", command.get_help(inside))


def _section(title: str, text: str) -> str:
    return f"## {title}\n\n```text\n{text}\n```"
