"""An image as features: the part that encoder and assigner share."""

import math
from collections.abc import Sequence
from typing import get_args

from torch import Tensor, nn

from gmvae.support.choices import Network
from gmvae.support.errors import ArgumentError

ImageShape = tuple[int, int, int]


class MLP(nn.Sequential):
    """Linear layers with ReLU between them: (..., sizes[0]) to (..., sizes[-1])."""

    def __init__(self, sizes: Sequence[int]) -> None:
        layers: list[nn.Module] = []
        for n_in, n_out in zip(sizes[:-1], sizes[1:], strict=True):
            layers += [nn.Linear(n_in, n_out), nn.ReLU()]
        super().__init__(*layers[:-1])


class MLPFeatures(nn.Module):
    """An image as features: (..., C, H, W) to (..., hidden[-1]), through a ReLU network."""

    def __init__(self, image_shape: ImageShape, hidden: Sequence[int]) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.n_features = hidden[-1]
        self.layers = MLP([math.prod(image_shape), *hidden])

    def forward(self, x: Tensor) -> Tensor:
        """Features (..., n_features) of images (..., C, H, W)."""
        _check_images(x, self.image_shape)
        features: Tensor = self.layers(x.flatten(-3)).relu()
        return features


class ConvFeatures(nn.Module):
    """An image as features: 3 x 3 convolutions, each halving its sides, until they are 4 or less.

    Args:
        image_shape: (C, H, W), of any size.
        channels: output channels of the successive convolutions, all of which are there also
            for small images; the last repeats for images that need more of them.
        hidden: size of the linear layer on top, the number of features.
        batch_norm: normalise over the batch after each layer; in training it takes two images.
    """

    def __init__(
        self,
        image_shape: ImageShape,
        channels: Sequence[int],
        hidden: int,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.n_features = hidden
        self.batch_norm = batch_norm
        sizes = halvings(image_shape, at_least=len(channels))
        n_layers = len(sizes) - 1
        widths = [image_shape[0], *repeat_last(channels, n_layers)]
        layers: list[nn.Module] = []
        for n_in, n_out in zip(widths[:-1], widths[1:], strict=True):
            layers.append(nn.Conv2d(n_in, n_out, 3, stride=2, padding=1))
            layers += [nn.BatchNorm2d(n_out)] if batch_norm else []
            layers.append(nn.ReLU())
        layers += [nn.Flatten(), nn.Linear(widths[-1] * math.prod(sizes[-1]), hidden)]
        layers += [nn.BatchNorm1d(hidden)] if batch_norm else []
        self.layers = nn.Sequential(*layers, nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        """Features (..., n_features) of images (..., C, H, W)."""
        _check_images(x, self.image_shape)
        if self.batch_norm and self.training and math.prod(x.shape[:-3]) == 1:
            raise ArgumentError(
                "`x` expected at least 2 images while batch normalisation is trained; got 1. Leave "
                "out a last batch of one, or call eval() first."
            )
        features: Tensor = self.layers(x.reshape(-1, *x.shape[-3:]))
        return features.reshape(*x.shape[:-3], -1)


def build_features(
    network: Network,
    image_shape: ImageShape,
    hidden: Sequence[int],
    channels: Sequence[int],
    batch_norm: bool = False,
) -> MLPFeatures | ConvFeatures:
    """The features of that kind; a convolutional one ends in ``hidden[0]`` features.

    ``batch_norm`` concerns the convolutional one.

    Raises:
        ArgumentError: an unknown kind.
    """
    if network == "mlp":
        return MLPFeatures(image_shape, hidden)
    if network == "conv":
        return ConvFeatures(image_shape, channels, hidden[0], batch_norm)
    raise unknown_network(network)


def halvings(image_shape: ImageShape, at_least: int = 0) -> list[tuple[int, int]]:
    """The image's sides, halved (rounding up) until neither exceeds 4: (28, 28) to (4, 4).

    ``at_least`` so many times, if more.
    """
    sizes = [image_shape[1:]]
    while max(sizes[-1]) > 4 or len(sizes) <= at_least:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def repeat_last(channels: Sequence[int], n: int) -> list[int]:
    """The first ``n`` channels, the last one repeated where there are fewer."""
    return [channels[min(i, len(channels) - 1)] for i in range(n)]


def unknown_network(network: str) -> ArgumentError:
    """What to raise for a kind that is none."""
    expected = ", ".join(get_args(Network))
    return ArgumentError(f"`network` expected one of {expected}; got {network!r}.")


def _check_images(x: Tensor, image_shape: ImageShape) -> None:
    if tuple(x.shape[-3:]) != tuple(image_shape):
        raise ArgumentError(
            f"`x` expected images of shape {tuple(image_shape)}; got {tuple(x.shape[-3:])}. The "
            "network was made for the former."
        )
