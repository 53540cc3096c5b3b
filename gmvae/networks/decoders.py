"""From a latent to the likelihood's parameters."""

import math
from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from gmvae.networks.features import MLP, ImageShape, halvings, repeat_last, unknown_network
from gmvae.support.choices import Network


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
        widths = [image_shape[0], *repeat_last(channels, len(sizes) - 1)][::-1]
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
    raise unknown_network(network)
