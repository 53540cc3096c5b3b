"""What a GMVAE is built from, and how that is read from a folder."""

import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from gmvae.networks import ImageShape
from gmvae.support import checks, reading
from gmvae.support.choices import (
    MOST_DIMENSIONS,
    Assignment,
    Covariance,
    GuideKind,
    LikelihoodName,
    Network,
)
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.support.files import CONFIG_FILE
from gmvae.support.names import printable

FORMAT = 1
# Its key in config.json.
WEIGHTS_SHA256 = "weights_sha256"
# The section of config.json that says what a model was trained on and how.
TRAINING = "training"
# What classes and components are called, where they are called anything.
CLASS_NAMES, NAMES_BY_HAND = "class_names", "names_by_hand"
# What torch's kernels count to, and more layers than signals pass.
MOST_UNITS, MOST_LAYERS = 2**31 - 1, 1_000

# Fields that models were saved without before there was a choice, and what they were then.
ADDED = {"guide": "diagonal"}

# What may be the user's own in place of what the other fields name.
MODULES = ("encoder", "decoder", "assigner", "likelihood")
CHOICES: dict[str, tuple[str, ...]] = {
    "covariance": get_args(Covariance),
    "network": get_args(Network),
    "assigner_network": get_args(Network),
    "likelihood": get_args(LikelihoodName),
    "guide": get_args(GuideKind),
    "assignment": get_args(Assignment),
}


@dataclass(frozen=True)
class Config:
    """What a :class:`~gmvae.GMVAE` is built from.

    Attributes:
        image_shape: (C, H, W).
        n_components: K.
        latent_dim: D, 1 to 10,000.
        covariance: of the mixture: ``spherical``, ``diagonal`` or ``full``.
        network: kind of encoder and decoder, ``mlp`` or ``conv``.
        assigner_network: kind of the network of q(y | x).
        hidden: sizes of the encoder's hidden layers, mirrored in the decoder; the first is the
            linear layer of a convolutional network.
        assigner_hidden: the same of the network of q(y | x).
        channels: of the convolutions of the encoder, mirrored in the decoder.
        assigner_channels: the same of the network of q(y | x).
        likelihood: ``bernoulli``, ``continuous-bernoulli`` or ``gaussian``.
        grey: whether that Bernoulli likelihood takes pixels between 0 and 1.
        guide: q(z | x): ``diagonal`` or ``full``, one Gaussian of that covariance, or ``mixture``,
            three full ones.
        assignment: ``amortised``, with a network for q(y | x), or ``exact``, with y summed out.
        custom: which of ``encoder``, ``decoder``, ``assigner`` and ``likelihood`` are the user's
            own modules, used instead of what the other fields name.
    """

    image_shape: ImageShape
    n_components: int
    latent_dim: int = 2
    covariance: Covariance = "full"
    network: Network = "mlp"
    assigner_network: Network = "conv"
    hidden: tuple[int, ...] = (500, 250)
    assigner_hidden: tuple[int, ...] = (256,)
    channels: tuple[int, ...] = (32, 64)
    assigner_channels: tuple[int, ...] = (16, 32, 64)
    likelihood: LikelihoodName = "bernoulli"
    grey: bool = True
    guide: GuideKind = "mixture"
    assignment: Assignment = "amortised"
    custom: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Kept as plain tuples and ints, whatever sequences and numbers came: JSON takes these.
        sizes = ("hidden", "assigner_hidden", "channels", "assigner_channels")
        for name in ("image_shape", *sizes):
            object.__setattr__(self, name, checks.sizes(name, getattr(self, name)))
        for name, most in (("n_components", None), ("latent_dim", MOST_DIMENSIONS)):
            number = checks.whole(name, getattr(self, name), least=1, most=most)
            object.__setattr__(self, name, number)
        if len(self.image_shape) != 3:
            raise ArgumentError(
                f"`image_shape` expected (C, H, W); got {self.image_shape}. Of grey images C is 1."
            )
        for name, choices in CHOICES.items():
            checks.one_of(name, getattr(self, name), choices)
        checks.instance("grey", self.grey, bool, "True or False")
        for name in checks.instance("custom", self.custom, tuple, "a tuple of names"):
            checks.one_of("custom", name, MODULES)

    @classmethod
    def from_json(cls, values: Any) -> "Config":
        """The configuration that ``dataclasses.asdict`` and JSON made of it.

        Raises:
            ContentError: a field that is missing, unknown, of another type or out of its range.
        """
        names = {f.name for f in fields(cls)}
        if isinstance(values, dict):
            values = ADDED | values
        if not isinstance(values, dict) or set(values) != names:
            written = set(values) if isinstance(values, dict) else set()
            raise ContentError(
                f"`model` in {CONFIG_FILE} expected the fields of Config; "
                f"missing {sorted(names - written)}, unknown {_cut(sorted(written - names))}."
            )
        taken: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in values.items()
        }
        default = asdict(cls(image_shape=(1, 1, 1), n_components=1))
        for name, value in taken.items():
            whole = not isinstance(value, tuple) or all(
                isinstance(v, str if name == "custom" else int) for v in value
            )
            if type(value) is not type(default[name]) or not whole:
                raise ContentError(
                    f"`{name}` in {CONFIG_FILE} expected a value like {default[name]!r}; "
                    f"got {_cut(value)}."
                )
            _check_size(name, value)
        try:
            return cls(**taken)
        except ArgumentError as error:
            why = printable(str(error), 300)
            raise ContentError(f"`model` in {CONFIG_FILE} does not fit: {why}") from error


def _check_size(name: str, value: Any) -> None:
    """Refuse what no network has, before one is made of it.

    Raises:
        ContentError: a number, or a length, beyond any use.
    """
    sizes = value if isinstance(value, tuple) else (value,)
    if len(sizes) > MOST_LAYERS or any(type(n) is int and n > MOST_UNITS for n in sizes):
        raise ContentError(
            f"`{name}` in {CONFIG_FILE} expected numbers up to {MOST_UNITS:,}, {MOST_LAYERS:,} at "
            f"most; got {_cut(value)}."
        )


@dataclass(frozen=True)
class Saved:
    """What ``config.json`` says of a saved model.

    Attributes:
        config: what it is built from.
        component_classes: the classes that name its components.
        weights_sha256: the hash of its weights; None where it was saved without one.
        training: what it was trained on and how; None where that was not written.
        class_names: what a class value stands for, where the classes came as words.
        names_by_hand: words for components, by their number.
    """

    config: Config
    component_classes: tuple[int | None, ...] | None
    weights_sha256: str | None
    training: dict[str, Any] | None = None
    class_names: dict[int, str] = field(default_factory=dict)
    names_by_hand: dict[int, str] = field(default_factory=dict)


def read_config(folder: Path) -> Saved:
    """What the configuration of a saved model says.

    Raises:
        FileNotFoundError: no config.json in the folder.
        ContentError: one that is damaged, or of another format.
    """
    path = folder / CONFIG_FILE
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist. Name the folder of a trained run.")
    written = reading.read_json(path)
    if not isinstance(written, dict) or written.get("format") != FORMAT:
        version = written.get("format") if isinstance(written, dict) else None
        raise ContentError(
            f"{path} expected format {FORMAT}; got {_cut(version)}. Restore it, or train again."
        )
    try:
        config = Config.from_json(written.get("model"))
    except ContentError as error:
        raise ContentError(f"{path} cannot be used: {error} Restore it, or train again.") from error
    names = _component_classes(path, written.get("component_classes", "none"), config.n_components)
    return Saved(
        config,
        names,
        _weights_sha256(path, written),
        _training(path, written),
        _words(path, written, CLASS_NAMES),
        _words(path, written, NAMES_BY_HAND, config.n_components),
    )


def _component_classes(path: Path, names: Any, n: int) -> tuple[int | None, ...] | None:
    if names is None:
        return None
    right = isinstance(names, list) and len(names) == n
    if not right or not all(n is None or (type(n) is int and 0 <= n < 2**63) for n in names):
        raise ContentError(
            f"`component_classes` in {path} expected {n} integers from 0 or nulls; got "
            f"{printable(checks.shown(names), 100)}. Restore it, or train again."
        )
    return None if set(names) == {None} else tuple(names)


def _words(path: Path, written: dict[str, Any], key: str, below: int = 2**63) -> dict[int, str]:
    """Words by a number from 0; JSON has numbers as keys in quotes."""
    words = written.get(key, {})
    numbers = isinstance(words, dict) and all(
        re.fullmatch("[0-9]{1,19}", number) and int(number) < below for number in words
    )
    if not numbers or not all(isinstance(word, str) for word in words.values()):
        raise ContentError(
            f"`{key}` in {path} expected words by numbers from 0 to below {below}; got "
            f"{_cut(words)}. Restore it, or train again."
        )
    return {int(number): word for number, word in words.items()}


def _weights_sha256(path: Path, written: dict[str, Any]) -> str | None:
    """The hash of the weights; models saved before there was one have none."""
    value = written.get(WEIGHTS_SHA256)
    if value is not None and not (isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)):
        raise ContentError(
            f"`{WEIGHTS_SHA256}` in {path} expected 64 hexadecimal digits; got {_cut(value)}. "
            "Restore it, or train again."
        )
    return value


def _training(path: Path, written: dict[str, Any]) -> dict[str, Any] | None:
    record = written.get(TRAINING)
    if record is not None and not isinstance(record, dict):
        raise ContentError(
            f"`{TRAINING}` in {path} expected an object; got {_cut(record)}. Restore it, or remove "
            "it."
        )
    return record


def _cut(value: Any) -> str:
    """A value as it is written, of a length that a line has room for."""
    try:
        return printable(repr(value), 100)
    except (RecursionError, ValueError):  # deep brackets; numbers of thousands of digits
        return type(value).__name__
