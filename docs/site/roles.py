"""Roles and directives of Sphinx in docstrings, as Markdown: an extension of Griffe."""

import re
import textwrap
from typing import Any

from griffe import Extension, GriffeLoader, Module, NameResolutionError, Object

_ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`(~?)([\w.]+)`")
_INLINE = re.compile(r":math:`([^`]+)`")
# Griffe's section of examples, which are code, is in the plural.
_EXAMPLE = re.compile(r"^( *Example):$", re.MULTILINE)
# A directive, what stands beside it, and the indented lines below it.
_DIRECTIVE = re.compile(
    r"^(?P<indent> *)\.\. (?P<kind>math|code-block):: ?(?P<beside>.*)\n"
    r"(?P<body>(?:\n|(?P=indent) +.*(?:\n|\Z))*)",
    re.MULTILINE,
)


class Roles(Extension):
    """Links where the site has what a role names, formulas and code blocks."""

    def on_package(self, *, pkg: Module, loader: GriffeLoader, **kwargs: Any) -> None:
        """Rewrite every docstring of the package."""
        _rewrite(pkg)


def _rewrite(obj: Object) -> None:
    if obj.docstring is not None:
        obj.docstring.value = markdown(obj.docstring.value, obj)
    for member in obj.members.values():
        if not member.is_alias:
            _rewrite(member)


def markdown(text: str, obj: Object) -> str:
    """A docstring of an object in Markdown."""
    text = _DIRECTIVE.sub(_block, text + "\n").rstrip("\n")
    text = _EXAMPLE.sub(r"\1s:", text)
    text = _INLINE.sub(r"$\1$", text)
    return _ROLE.sub(lambda role: _link(role[1], role[2], obj), text)


def _block(found: re.Match[str]) -> str:
    indent = found["indent"]
    body = textwrap.dedent(found["body"]).strip("\n")
    if found["kind"] == "math":
        lines = ["$$", *f"{found['beside']}\n{body}".strip().splitlines(), "$$"]
    else:
        lines = [f"```{found['beside']}", *body.splitlines(), "```"]
    return textwrap.indent("\n".join(["", *lines, "", ""]), indent) + "\n"


def _link(tilde: str, name: str, obj: Object) -> str:
    try:
        path = name if name.startswith("gmvae.") else obj.resolve(name)
    except NameResolutionError:
        path = name
    shown = name.rpartition(".")[2] if tilde else name
    # Optional: not every part of the package has its place on the site.
    return f'<autoref identifier="{path}" optional><code>{shown}</code></autoref>'
