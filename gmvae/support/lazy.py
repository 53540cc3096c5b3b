"""Names of a package that are imported when first used."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package whose public names live in its modules.

    torch and Pyro take seconds to import, so a package must not import what nobody asked for.

    Args:
        package: its ``__name__``.
        homes: from each public name to the module that defines it; a name that stands for itself
            is that module.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = import_module(f"{package}.{homes[name]}")
        return home if homes[name] == name else getattr(home, name)

    def listed() -> list[str]:
        return sorted(homes)

    return get, listed
