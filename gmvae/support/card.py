"""The card of a model: ``README.md`` of its folder, as the Hugging Face Hub shows it."""

import re
from collections.abc import Iterable, Iterator, Sequence

from gmvae.support.names import printable

CARD_FILE = "README.md"
# Plain constants: no word of others stands in the front matter, where YAML would read it.
_FRONT = """---
library_name: gmvae
tags:
- clustering
- variational-autoencoder
- gaussian-mixture
- pyro
---
"""
_USE = """## To use it

```python
import gmvae

model = gmvae.GMVAE.from_pretrained("FOLDER")  # this folder, or its name on the Hub
images = gmvae.load("photos")  # images of the shape above
q = model.classify(images)  # (N, K), the probability of each component
z = model.encode(images)  # (N, D), latents
```

`gmvae classify photos --model FOLDER` writes a table of labels, probabilities and outlier scores.
"""
_LIMITS = """## Limits

It knows the kinds of images that it was trained on, and gives each image one of them: of others its
probabilities say nothing, and the outlier score does. How far its posterior can be trusted,
`gmvae diagnose` says.
"""
# What Markdown, or HTML in it, would obey within a line.
_OBEYED = re.compile(r"([\\`*_{}\[\]<>()#!|&$~^@])")
Rows = Iterable[tuple[str, str]]


def markdown(word: str) -> str:
    r"""A word of others as Markdown shows it letter by letter, in a line or in a cell of a table.

    Example:
        >>> print(markdown("<b>a_b</b>"))
        \<b\>a\_b\</b\>
    """
    escaped = _OBEYED.sub(r"\\\1", printable(word))
    # What looks like an address becomes a link by itself.
    return escaped.replace("://", r"\://").replace("www.", r"www\.")


def card_text(
    title: str,
    facts: Rows,
    components: Rows,
    *,
    figures: Rows = (),
    scored_on: str = "",
    warnings: Sequence[str] = (),
) -> str:
    """The card as Markdown; every word is shown as text.

    Args:
        title: of the model.
        facts: what it is and what it was trained on: names and values.
        components: what each is called, and its weight.
        figures: what was measured.
        scored_on: of which images.
        warnings: of the training.
    """
    parts = [f"{_FRONT}\n# {markdown(title)}\n"]
    parts.append(
        "A variational autoencoder whose prior is a mixture of Gaussians: it gives each image a "
        "component\nof the mixture, how probable that is, and a latent.\n"
    )
    parts += [_table(("", ""), facts), _USE]
    parts += ["## Components\n", _table(("component", "weight"), components)]
    rows = list(figures)
    if rows:
        parts += [f"## Figures\n\nOf {markdown(scored_on)}.\n", _table(("figure", "value"), rows)]
    parts.append(_LIMITS)
    if warnings:
        lines = "\n".join(f"- {markdown(line)}" for line in warnings)
        parts.append(f"Warnings of its training:\n\n{lines}\n")
    return "\n".join(parts)


def _table(headings: tuple[str, str], rows: Rows) -> str:
    return "\n".join((*_lines(headings, rows), ""))


def _lines(headings: tuple[str, str], rows: Rows) -> Iterator[str]:
    yield f"| {headings[0]} | {headings[1]} |"
    yield "|---|---|"
    for name, value in rows:
        yield f"| {markdown(name.strip())} | {markdown(value)} |"
