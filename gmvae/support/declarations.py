"""Settings declared once: type, default, range or choices, a sentence and a group, in one place.

A dataclass makes its fields with :func:`setting`; :func:`declarations` reads them back. Checks,
options of the command line, tables and whatever else needs the settings come from there.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from gmvae.support import checks

Group = Literal["data", "model", "training", "weights"]
_KEY = "declared"


@dataclass(frozen=True)
class Limits:
    """What a number may be, bounds included in ``least`` and ``most``, not in the others."""

    least: int | None = None
    most: int | None = None
    above: int | None = None
    below: int | None = None

    def hold(self, number: float) -> bool:
        """Whether ``number`` is finite and inside."""
        return (
            math.isfinite(number)
            and (self.least is None or number >= self.least)
            and (self.most is None or number <= self.most)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )

    def __str__(self) -> str:
        low = self.least if self.above is None else f"above {self.above}"
        if self.most is not None:
            return f"{low} to {self.most}"
        if self.below is not None:
            return f"{low} to below {self.below}"
        return str(low) if self.least is None else f"at least {low}"


@dataclass(frozen=True)
class Declaration:
    """One setting.

    Attributes:
        name: of the field.
        kind: ``int``, ``float``, or the ``Literal`` of its choices.
        default: the value where nothing is said; None leaves it to the size of the data or the
            like, as ``help`` says.
        help: one whole sentence.
        group: where it is shown.
        limits: of a number.
        symbol: what stands for a value in the help of an option: ``N``, ``RATE``.
    """

    name: str
    kind: Any
    default: Any
    help: str
    group: Group
    limits: Limits
    symbol: str | None
    optional: bool

    @property
    def choices(self) -> tuple[str, ...]:
        """The words that it may be; none for a number."""
        return get_args(self.kind) if get_origin(self.kind) is Literal else ()

    @property
    def values(self) -> str:
        """What it may be, in words: ``1 to 10000``, ``above 0, and finite``, ``mlp, conv``."""
        if self.choices:
            return ", ".join(self.choices)
        unbounded = self.kind is float and self.limits.most is None and self.limits.below is None
        return f"{self.limits}, and finite" if unbounded else str(self.limits)

    def check(self, value: object) -> None:
        """Refuse a value that the setting cannot take.

        Raises:
            ArgumentError: the value is of another type, outside the limits, or none of the choices.
        """
        if value is None and self.optional:
            return
        if self.choices:
            checks.one_of(self.name, value, self.choices)
        elif self.kind is float:
            checks.number(self.name, value, self.values, self.limits.hold)
        else:
            least = 0 if self.limits.least is None else self.limits.least
            checks.whole(self.name, value, least=least, most=self.limits.most)


def setting(
    default: Any, help: str, *, group: Group, symbol: str | None = None, **limits: int
) -> Any:
    """A field of a dataclass of settings; ``limits`` are those of :class:`Limits`."""
    metadata = {"help": help, "group": group, "symbol": symbol, "limits": Limits(**limits)}
    return dataclasses.field(default=default, metadata={_KEY: metadata})


def declarations(settings_class: type[Any]) -> tuple[Declaration, ...]:
    """The declarations of a dataclass whose fields were made by :func:`setting`, in order."""
    hints = get_type_hints(settings_class)
    return tuple(
        Declaration(
            name=field.name,
            kind=_without_none(hints[field.name]),
            default=field.default,
            optional=type(None) in get_args(hints[field.name]),
            **field.metadata[_KEY],
        )
        for field in dataclasses.fields(settings_class)
    )


def by_group(settings_class: type[Any]) -> dict[Group, list[Declaration]]:
    """The declarations of each group, groups in the order in which they are shown."""
    return {
        group: [d for d in declarations(settings_class) if d.group == group]
        for group in get_args(Group)
    }


def _without_none(hint: Any) -> Any:
    """``int`` for ``int | None``; anything else as it is."""
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    return kinds[0] if type(None) in get_args(hint) else hint
