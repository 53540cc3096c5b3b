"""Words that came from a file, a folder or a user, made fit for one line of a message."""

import re
from collections.abc import Iterable

# A line of a message stays one that a person reads: a few names, each at the length of a path's
# last part (255 bytes on most systems) at most.
MOST_NAMES, LONGEST = 5, 255


def printable(text: str, most: int | None = None) -> str:
    r"""``text`` with what a terminal would obey or cannot show written out, as in ``\x1b``.

    Args:
        text: any.
        most: where given, the middle of a longer text is left out.
    """
    if most is not None and len(text) > most:
        text = f"{text[: most - most // 4 - 1]}…{text[-(most // 4) :]}"
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def listed(names: Iterable[str]) -> str:
    """``a, b, c and 12 more``: as many names as a line has room for."""
    words = [printable(name, LONGEST) for name in names]
    more = len(words) - MOST_NAMES
    return ", ".join(words[:MOST_NAMES]) + (f" and {more:,} more" if more > 0 else "")


def counted(n: int, thing: str) -> str:
    """``1 image``, or ``1,200 images``."""
    return f"{n:,} {thing}{'' if n == 1 else 's'}"


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """What to sort names by, so that 2 comes before 10.

    Example:
        >>> sorted(["b10.png", "b2.png", "a.png"], key=natural)
        ['a.png', 'b2.png', 'b10.png']
    """
    # At the end the digits as they are: 01 and 1 have an order too.
    parts = [part for part in re.split(r"(\d{1,300})", name) if part]
    return tuple((0, int(part), part) if part.isdecimal() else (1, 0, part) for part in parts)
