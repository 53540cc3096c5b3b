"""Encoders, decoders and assignment networks: plain torch, no probability.

Shapes: ``...`` any leading dimensions (a batch, samples before it), ``(C, H, W)`` an image,
``D`` latent dimensions, ``K`` components. Every network takes any number of leading dimensions
and treats their entries one by one, so that it stays right under Pyro's enumeration and
vectorised plates. The one exception is :class:`ConvFeatures` when asked to normalise over the
batch: for a network of x, which never carries an enumeration dimension.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, get_args

from torch import Tensor, nn
from torch.nn import functional as F

from gmvae.errors import ArgumentError

ImageShape = tuple[int, int, int]
Network = Literal["mlp", "conv"]


@contextmanager
def in_eval_mode(*modules: nn.Module) -> Iterator[None]:
    """Modules that do not learn, each of their parts afterwards in the mode that it was in."""
    modes = [(part, part.training) for module in modules for part in module.modules()]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


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
        widths = [image_shape[0], *_repeat_last(channels, n_layers)]
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


class Encoder(nn.Module):
    """Location and scale of q(z | x): (..., C, H, W) to two (..., D), the scale above 0."""

    def __init__(self, features: MLPFeatures | ConvFeatures, latent_dim: int) -> None:
        super().__init__()
        self.features = features
        self.loc = nn.Linear(features.n_features, latent_dim)
        self.raw_scale = nn.Linear(features.n_features, latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Loc and scale, (..., D) each, of images (..., C, H, W)."""
        h = self.features(x)
        # The floor keeps log q(z | x) finite when the bound pulls a scale towards 0.
        return self.loc(h), F.softplus(self.raw_scale(h)) + 1e-4


class Assigner(nn.Module):
    """Logits of q(y | x): (..., C, H, W) to (..., K)."""

    def __init__(self, features: MLPFeatures | ConvFeatures, n_components: int) -> None:
        super().__init__()
        self.features: MLPFeatures | ConvFeatures | Frozen = features
        self.logits = nn.Linear(features.n_features, n_components)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (..., K) of images (..., C, H, W)."""
        logits: Tensor = self.logits(self.features(x))
        return logits


class Frozen(nn.Module):
    """Features that learn no more, computed once for each batch.

    The bound and the regularisers all ask for those of the same batch, one after the other: the
    last answer is kept, and given again to the same tensor. It must not be written to in between.
    """

    def __init__(self, features: nn.Module, n_features: int) -> None:
        super().__init__()
        self.n_features = n_features
        self.features = features
        self._last: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Features (..., n_features) of images (..., C, H, W), which no gradient passes."""
        if self._last is None or self._last[0] is not x:
            self._last = x, self.features(x).detach()
        return self._last[1]


class MLPDecoder(nn.Module):
    """Latent to the likelihood's parameters: (..., D) to (..., C, H, W), unbounded."""

    def __init__(self, latent_dim: int, image_shape: ImageShape, hidden: Sequence[int]) -> None:
        super().__init__()
        self.image_shape = image_shape
        self.layers = MLP([latent_dim, *hidden, math.prod(image_shape)])

    def forward(self, z: Tensor) -> Tensor:
        """Output (..., C, H, W) at latents (..., D)."""
        output: Tensor = self.layers(z)
        return output.reshape(*z.shape[:-1], *self.image_shape)


class ConvDecoder(nn.Module):
    """The mirror of :class:`ConvFeatures`: each step enlarges to the encoder's size and convolves.

    Enlarging by nearest neighbours before a convolution leaves no checkerboard (Odena, Dumoulin
    and Olah, *Deconvolution and checkerboard artifacts*, Distill 2016).
    """

    def __init__(
        self, latent_dim: int, image_shape: ImageShape, channels: Sequence[int], hidden: int
    ) -> None:
        super().__init__()
        sizes = halvings(image_shape)
        widths = [image_shape[0], *_repeat_last(channels, len(sizes) - 1)][::-1]
        self.sizes = sizes[::-1]
        self.n_channels = widths[0]
        self.bottom = MLP([latent_dim, hidden, widths[0] * math.prod(sizes[-1])])
        self.convolutions = nn.ModuleList(
            nn.Conv2d(n_in, n_out, 3, padding=1)
            for n_in, n_out in zip(widths[:-1], widths[1:], strict=True)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Output (..., C, H, W) at latents (..., D)."""
        leading = z.shape[:-1]
        h: Tensor = self.bottom(z.reshape(-1, z.shape[-1]))
        h = h.reshape(-1, self.n_channels, *self.sizes[0])
        for size, convolution in zip(self.sizes[1:], self.convolutions, strict=True):
            h = convolution(F.interpolate(h.relu(), size=size))
        return h.reshape(*leading, *h.shape[1:])


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
    raise _unknown(network)


def build_decoder(
    network: Network,
    latent_dim: int,
    image_shape: ImageShape,
    hidden: Sequence[int],
    channels: Sequence[int],
) -> nn.Module:
    """The mirror of :func:`build_features`.

    Raises:
        ArgumentError: an unknown kind.
    """
    if network == "mlp":
        return MLPDecoder(latent_dim, image_shape, hidden[::-1])
    if network == "conv":
        return ConvDecoder(latent_dim, image_shape, channels, hidden[0])
    raise _unknown(network)


def halvings(image_shape: ImageShape, at_least: int = 0) -> list[tuple[int, int]]:
    """The image's sides, halved (rounding up) until neither exceeds 4: (28, 28) to (4, 4).

    ``at_least`` so many times, if more.
    """
    sizes = [image_shape[1:]]
    while max(sizes[-1]) > 4 or len(sizes) <= at_least:
        height, width = sizes[-1]
        sizes.append(((height + 1) // 2, (width + 1) // 2))
    return sizes


def _check_images(x: Tensor, image_shape: ImageShape) -> None:
    if tuple(x.shape[-3:]) != tuple(image_shape):
        raise ArgumentError(
            f"`x` expected images of shape {tuple(image_shape)}; got {tuple(x.shape[-3:])}. The "
            "network was made for the former."
        )


def _repeat_last(channels: Sequence[int], n: int) -> list[int]:
    """The first ``n`` channels, the last one repeated where there are fewer."""
    return [channels[min(i, len(channels) - 1)] for i in range(n)]


def _unknown(network: str) -> ArgumentError:
    expected = ", ".join(get_args(Network))
    return ArgumentError(f"`network` expected one of {expected}; got {network!r}.")
