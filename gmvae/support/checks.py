"""Arguments, looked at where they enter.

Each refusal is one line: the argument, what was expected, what came and what to do.
"""

import re
from collections.abc import Callable, Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeVar

from gmvae.support.errors import ArgumentError

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

# Characters: torch's longer reasons list everything that it was ever built for.
_MOST_REASON = 120
# How reasons begin that name an operator or an argument of torch, and help nobody.
_INSIDES = ("Expected one of", "Could not run", "device()", "No module", "0 INTERNAL")


def whole(name: str, value: object, least: int, most: int | None = None) -> int:
    """``value``, which has to be a whole number from ``least`` to ``most``, as an int.

    Raises:
        ArgumentError: anything else, True and 2.0 among it.
    """
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ArgumentError(
            f"`{name}` expected a whole number; got {shown(value)}. Give one, as an int."
        )
    number = int(value)
    if number < least or (most is not None and number > most):
        expected = f"at least {least}" if most is None else f"{least} to {most}"
        raise ArgumentError(
            f"`{name}` expected {expected}; got {number}. Choose a number in this range."
        )
    return number


def sizes(name: str, value: object) -> tuple[int, ...]:
    """``value``, which has to hold whole numbers above 0, at least one of them, as a tuple.

    Raises:
        ArgumentError: anything else.
    """
    if not isinstance(value, tuple | list) or not value:
        came = "none" if isinstance(value, tuple | list) else shown(value)
        raise ArgumentError(
            f"`{name}` expected a tuple of whole numbers, at least one; got {came}. "
            "Write it as (32, 64)."
        )
    return tuple(whole(name, size, least=1) for size in value)


def number(name: str, value: object, expected: str, fits: Callable[[float], bool]) -> float:
    """``value``, which has to be a number that ``fits``; ``expected`` says so in words.

    Raises:
        ArgumentError: anything else.
    """
    try:
        right = isinstance(value, Real) and not isinstance(value, bool) and fits(float(value))
    except OverflowError:
        right = False
    if not right:
        raise ArgumentError(
            f"`{name}` expected {expected}; got {shown(value)}. Choose such a number."
        )
    return float(value)  # type: ignore[arg-type]


def one_of(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuse what is none of the words ``choices``.

    Raises:
        ArgumentError: it is not.
    """
    words = tuple(choices)
    if not isinstance(value, str) or value not in words:
        raise ArgumentError(
            f"`{name}` expected one of {', '.join(words)}; got {shown(value)}. Choose among these."
        )


def instance(
    name: str,
    value: T,
    kind: type[Any] | tuple[type[Any], ...],
    expected: str,
    remedy: str = "Give one.",
) -> T:
    """``value``, which has to be of that type, in words ``expected``.

    Raises:
        ArgumentError: it is not; the message ends in ``remedy``.
    """
    if not isinstance(value, kind):
        raise ArgumentError(f"`{name}` expected {expected}; got {shown(value)}. {remedy}")
    return value


def device(value: object) -> "torch.device":
    """The device of that name, or the device itself.

    Raises:
        ArgumentError: torch knows no such device, or cannot compute on it here.
    """
    # Here, not above: who checks a number need not wait for torch.
    import torch

    try:
        named: torch.device = torch.device(value)  # type: ignore[call-overload]
        # A device is told by what it can do: of one that is not there torch only complains when it
        # is used, by any kind of exception.
        torch.ones(1, dtype=torch.float32, device=named).item()
    except Exception as error:
        reason = re.split(r"\.\s|\n", str(error))[0].rstrip(".")
        helps = 0 < len(reason) <= _MOST_REASON and not reason.startswith(_INSIDES)
        why = f" ({reason})" if helps else ""
        raise ArgumentError(
            f"`device` expected a device that torch can compute on here, such as cpu or cuda{why}; "
            f"got {shown(value)}. Name another, or leave it out."
        ) from error
    return named


def generator(value: object, device: "torch.device") -> "torch.Generator | None":
    """The source of random draws on that kind of device, or None for torch's own.

    Raises:
        ArgumentError: anything else, a generator of another device among it.
    """
    import torch

    expected = f"a torch.Generator on {device.type}, or None"
    source: Any = instance("generator", value, (torch.Generator, type(None)), expected)
    if source is not None and source.device.type != device.type:
        raise ArgumentError(
            f"`generator` expected {expected}; got one on {source.device}. Make it with "
            f"torch.Generator({device.type!r})."
        )
    return source  # type: ignore[no-any-return]


def precision(tensor: "torch.Tensor") -> str:
    """What a tensor is made of, in a word: ``float32``."""
    return str(tensor.dtype).removeprefix("torch.")


def shown(value: object) -> str:
    """A number, a word or None as it is written; anything larger by its type."""
    if isinstance(value, str):
        return repr(value)
    if value is None or isinstance(value, Real):
        return str(value)
    return type(value).__name__
