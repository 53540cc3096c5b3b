"""From contents to HTML."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gmvae.report.contents import Comparison, Report
from gmvae.support.names import counted, printable
from gmvae.support.version import VERSION


def render(contents: Report | Comparison) -> str:
    """The page, whole: it holds no script and loads nothing.

    Every word is shown as text: markup in it is escaped, and what cannot be shown (escapes of
    terminals, marks that turn the direction of writing) is written out.
    """
    template = _environment().get_template(contents.template)
    return template.render(page=contents, version=VERSION)


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("gmvae.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"counted": counted, "limits": _limits}
    return environment


def _limits(threshold: Mapping[str, Any]) -> str:
    """The limits of a check in words, as the diagnosis itself has them: ``>= 0.05, fails ...``."""
    # Here: pages without a diagnosis need none of it.
    from gmvae.diagnostics.verdict import Threshold

    return str(Threshold(threshold["good"], threshold["bad"], source=""))


def _shown(value: Any) -> Any:
    """A word as a page may hold it; what is HTML already, of the templates themselves, as it is."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
