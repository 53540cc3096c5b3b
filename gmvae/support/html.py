"""Tables for notebooks."""

from collections.abc import Iterable, Sequence
from html import escape


def html_table(title: str, rows: Iterable[Sequence[object]], headings: Sequence[str] = ()) -> str:
    """A table under a title; whatever stands in a cell is shown as text.

    Example:
        >>> html_table("Sizes", [("a & b", 3)])
        '<table><caption>Sizes</caption><tr><td>a &amp; b</td><td>3</td></tr></table>'
    """
    head = "".join(f"<th>{escape(word)}</th>" for word in headings)
    body = (f"<tr>{''.join(f'<td>{escape(str(cell))}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f"<table><caption>{escape(title)}</caption>"
        f"{f'<tr>{head}</tr>' if head else ''}{''.join(body)}</table>"
    )
