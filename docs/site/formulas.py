"""Formulas as MathML, which browsers draw themselves: a hook of MkDocs."""

import html
import re
from typing import Any

from latex2mathml.converter import convert

# What pymdownx.arithmatex leaves for a script to draw.
_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)


def on_page_content(content: str, **_: Any) -> str:
    """The page with MathML in place of its formulas.

    Raises:
        ValueError: a command that is not known, which would be shown as it is typed.
    """
    return _FORMULA.sub(_drawn, content)


def _drawn(found: re.Match[str]) -> str:
    tex = html.unescape(found["tex"]).strip()
    drawn = convert(tex, display="block" if found["tag"] == "div" else "inline")
    if "\\" in drawn:
        raise ValueError(f"no MathML for {tex}")
    return drawn
