"""A decoder as steps that a page's script takes one after the other."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from gmvae.gmvae import GMVAE
from gmvae.networks import MLP, ConvDecoder, MLPDecoder
from gmvae.probability.likelihood import Bernoulli, ContinuousBernoulli, Gaussian, Likelihood
from gmvae.support.errors import ArgumentError

# Of decoder and mixture, in single precision: 32 MB, and 45 MB as text. A browser takes a second to
# open that; a telephone may give up on more.
MOST_NUMBERS = 2**23
# Multiplications an image. A browser does some 500 million a second on one core: beyond this the
# image would follow the pointer a quarter of a second late.
MOST_PRODUCTS = 2**27
# Each is a slider: more nobody can look over.
MOST_DIMENSIONS = 64
# What the decoder's output means, by likelihood: the names of two functions of the script.
_MEANS: dict[type[Likelihood], str] = {
    Bernoulli: "sigmoid",
    Gaussian: "sigmoid",
    ContinuousBernoulli: "continuous",
}
Step = dict[str, Any]
SERVED = "Let the model decode: gmvae explore --serve (gmvae.explore.server)."


@dataclass(frozen=True)
class Program:
    """From a latent (D,) to an image (C, H, W) in [0, 1].

    Attributes:
        steps: each with its ``kind`` (``linear``, ``relu``, ``enlarge`` or ``convolution``) and its
            sizes.
        weights: of all steps, float32, (P,): of each its weight, as torch lays it out, then its
            bias.
        mean: what is made of the last step's output: ``sigmoid`` or ``continuous``, the mean of a
            continuous Bernoulli.
    """

    steps: tuple[Step, ...]
    weights: NDArray[np.float32]
    mean: str


def program(gmvae: GMVAE) -> Program:
    """The decoder and the mean of the likelihood.

    Raises:
        ArgumentError: a decoder or a likelihood of the user's own, or a model too large for a page.
    """
    decoder, likelihood = gmvae.model.decoder, gmvae.model.likelihood
    if type(likelihood) not in _MEANS:
        raise _own("likelihood", likelihood)
    _check_size(gmvae, decoder)
    steps = _steps(decoder)
    products = sum(map(_products, steps))
    if products > MOST_PRODUCTS:
        raise _too_large(f"{products:,} multiplications an image", f"{MOST_PRODUCTS:,}")
    # In the order of the steps: that in which the modules were named.
    values = [p.detach().cpu().float().numpy().ravel() for p in decoder.parameters()]
    return Program(steps, np.concatenate(values), _MEANS[type(likelihood)])


def _steps(decoder: nn.Module) -> tuple[Step, ...]:
    # A class derived from ours may do anything.
    if type(decoder) is MLPDecoder:
        return tuple(_mlp(decoder.layers))
    if type(decoder) is ConvDecoder:
        return tuple(_conv(decoder))
    raise _own("decoder", decoder)


def check_dimensions(gmvae: GMVAE) -> None:
    """Refuse a latent space that nobody can use on a page.

    Raises:
        ArgumentError: too many dimensions.
    """
    d = gmvae.config.latent_dim
    if d > MOST_DIMENSIONS:
        remedy = "Look at it by gmvae.plots, or train a smaller one."
        raise _too_large(f"{d} latent dimensions, a slider each", str(MOST_DIMENSIONS), remedy)


def _check_size(gmvae: GMVAE, decoder: nn.Module) -> None:
    """Refuse what no page can hold.

    Raises:
        ArgumentError: too many dimensions, or numbers.
    """
    check_dimensions(gmvae)
    k, d = gmvae.config.n_components, gmvae.config.latent_dim
    # Those of the mixture are in double precision.
    numbers = sum(p.numel() for p in decoder.parameters()) + 2 * k * d * (d + 1)
    if numbers > MOST_NUMBERS:
        raise _too_large(f"{numbers:,} numbers in decoder and mixture", f"{MOST_NUMBERS:,}")


def _mlp(layers: MLP) -> Iterator[Step]:
    for layer in layers:
        if isinstance(layer, nn.Linear):
            yield {"kind": "linear", "inputs": layer.in_features, "outputs": layer.out_features}
        elif isinstance(layer, nn.ReLU):
            yield {"kind": "relu"}
        else:
            raise _own("decoder", layer)


def _conv(decoder: ConvDecoder) -> Iterator[Step]:
    yield from _mlp(decoder.bottom)
    for small, large, convolution in zip(
        decoder.sizes[:-1], decoder.sizes[1:], decoder.convolutions, strict=True
    ):
        assert isinstance(convolution, nn.Conv2d)
        channels = convolution.in_channels
        yield {"kind": "relu"}
        yield {"kind": "enlarge", "channels": channels, "from": list(small), "to": list(large)}
        yield {
            "kind": "convolution",
            "inputs": channels,
            "outputs": convolution.out_channels,
            "size": list(large),
        }


def _products(step: Step) -> int:
    """Multiplications of a step."""
    if step["kind"] not in ("linear", "convolution"):
        return 0
    height, width = step.get("size", (1, 1))
    window = 9 if step["kind"] == "convolution" else 1
    products: int = step["inputs"] * step["outputs"] * window * height * width
    return products


def _own(what: str, module: nn.Module) -> ArgumentError:
    return ArgumentError(
        f"`model` expected a {what} that gmvae ships, which a page's script knows; got "
        f"{type(module).__name__}. Look at such a model by gmvae.plots, in Python."
    )


def _too_large(got: str, most: str, remedy: str = SERVED) -> ArgumentError:
    return ArgumentError(
        f"`model` expected a model that a page can hold and a browser follow the pointer with, of "
        f"at most {most}; got {got}. {remedy}"
    )
