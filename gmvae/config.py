"""What a GMVAE is built from, and how that is read from a folder."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, get_args

from gmvae.networks import ImageShape
from gmvae.support import checks
from gmvae.support.choices import MOST_DIMENSIONS, Assignment, Covariance, LikelihoodName, Network
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.support.files import CONFIG_FILE

FORMAT = 1

# What may be the user's own in place of what the other fields name.
MODULES = ("encoder", "decoder", "assigner", "likelihood")
CHOICES: dict[str, tuple[str, ...]] = {
    "covariance": get_args(Covariance),
    "network": get_args(Network),
    "assigner_network": get_args(Network),
    "likelihood": get_args(LikelihoodName),
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
        known = {f.name for f in fields(cls)}
        if not isinstance(values, dict) or set(values) != known:
            given = set(values) if isinstance(values, dict) else set()
            raise ContentError(
                f"`model` in {CONFIG_FILE} expected the fields of Config; "
                f"missing {sorted(known - given)}, unknown {sorted(given - known)}."
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
                    f"got {value!r}."
                )
        try:
            return cls(**taken)
        except ArgumentError as error:
            raise ContentError(f"`model` in {CONFIG_FILE} does not fit: {error}") from error


# The section of config.json that says what a model was trained on and how.
TRAINING = "training"


def read_training(folder: Path) -> dict[str, Any] | None:
    """What a saved model was trained on and how; None where that was not written.

    Raises:
        ContentError: it is no JSON object.
    """
    # That it is JSON, `read_config` has looked at.
    record = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8")).get(TRAINING)
    if record is not None and not isinstance(record, dict):
        raise ContentError(
            f"`{TRAINING}` in {folder / CONFIG_FILE} expected an object; got "
            f"{checks.shown(record)}. Restore it, or remove it."
        )
    return record


def read_config(folder: Path) -> tuple[Config, tuple[int | None, ...] | None]:
    """The configuration of a saved model, and the classes that name its components.

    Raises:
        FileNotFoundError: no config.json in the folder.
        ContentError: one that is damaged, or of another format.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist. Name the folder of a trained run.")
    try:
        written = json.loads(path.read_text(encoding="utf-8"))
    # RecursionError: brackets within brackets, thousands deep.
    except (ValueError, RecursionError) as error:
        raise ContentError(
            f"{path} expected JSON; got: {error}. Restore it, or train again."
        ) from error
    if not isinstance(written, dict) or written.get("format") != FORMAT:
        found = written.get("format") if isinstance(written, dict) else None
        raise ContentError(
            f"{path} expected format {FORMAT}; got {found!r}. Restore it, or train again."
        )
    try:
        config = Config.from_json(written.get("model"))
    except ContentError as error:
        raise ContentError(f"{path} cannot be used: {error} Restore it, or train again.") from error
    names = written.get("component_classes", "none")
    if names is not None:
        right = isinstance(names, list) and len(names) == config.n_components
        if not right or not all(n is None or (type(n) is int and 0 <= n < 2**63) for n in names):
            raise ContentError(
                f"`component_classes` in {path} expected {config.n_components} integers from 0 or "
                f"nulls; got {checks.shown(names)}. Restore it, or train again."
            )
        names = None if set(names) == {None} else tuple(names)
    return config, names
