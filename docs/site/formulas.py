"""Formulas as MathML, which browsers draw themselves: a hook of MkDocs."""

import html
import re
from typing import Any

from latex2mathml.converter import convert

# What pymdownx.arithmatex leaves for a script to draw.
_FORMULA = re.compile(
    r'<(?P<tag>span|div) class="arithmatex">\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>', re.DOTALL
)
# What latex2mathml sets too tightly: "distributed as", a letter to it, and the names of functions.
_LOOSENED = (
    (re.compile("<mi>&#x0007E;</mi>"), "<mo>&#x0223C;</mo>"),
    (re.compile(r"(<mi>(?:exp|ln|log|softmax|tanh)</mi>)"), r'\1<mspace width="0.17em"/>'),
)


def on_page_content(content: str, **_: Any) -> str:
    """The page with MathML in place of its formulas.

    Raises:
        ValueError: a command that is not known, which would be shown as it is typed.
    """
    return _FORMULA.sub(_drawn, content)


def _drawn(formula: re.Match[str]) -> str:
    tex = html.unescape(formula["tex"]).strip()
    drawn = convert(tex, display="block" if formula["tag"] == "div" else "inline")
    if "\\" in drawn:
        raise ValueError(f"no MathML for {tex}")
    for found, loose in _LOOSENED:
        drawn = found.sub(loose, drawn)
    return drawn
