"""Values that typer does not know how to read."""

import typer


def class_list(text: str | tuple[int, ...]) -> tuple[int, ...]:
    """``1,4,8`` as (1, 4, 8).

    Raises:
        typer.BadParameter: anything but whole numbers between commas, or one twice.
    """
    if isinstance(text, tuple):
        return text
    try:
        classes = tuple(int(part) for part in text.split(","))
    except ValueError:
        classes = ()
    if not classes or len(set(classes)) < len(classes) or min(classes) < 0:
        raise typer.BadParameter(f"expected distinct whole numbers such as 1,4,8; got {text!r}.")
    return classes
