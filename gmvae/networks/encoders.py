"""From an image to its latent, and to its component.

D latent dimensions, M Gaussians of a mixture.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gmvae.networks.features import ConvFeatures, MLPFeatures
from gmvae.support.choices import GuideKind

# Of a mixture. On the embedded digits 1, 4 and 8 three did as well as six, and better than one.
N_GAUSSIANS = 3
# Latent dimensions above which the Gaussians of a mixture are diagonal: the layer of their factors
# grows with the square, and would be most of the network.
MOST_FULL = 32
# How far the Gaussians of a mixture start from each other, where 1 is as chance would lay them.
_APART = 0.1


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
        return self.loc(h), _positive(self.raw_scale(h))


class FullEncoder(Encoder):
    r"""Location and Cholesky factor of q(z | x): (..., C, H, W) to (..., D) and (..., D, D).

    .. math:: L = \mathrm{diag}(s)\, (I + C)

    with s above 0 and C strictly lower triangular: so the correlations keep when the scales change.
    """

    def __init__(self, features: MLPFeatures | ConvFeatures, latent_dim: int) -> None:
        super().__init__(features, latent_dim)
        n_lower = latent_dim * (latent_dim - 1) // 2
        # Apart from torch's own draws: what is built next begins alike whatever the guide.
        with torch.random.fork_rng(devices=[]):
            self.lower = nn.Linear(features.n_features, n_lower) if n_lower else None

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Loc (..., D) and factor (..., D, D) of images (..., C, H, W)."""
        h = self.features(x)
        scale = _positive(self.raw_scale(h))
        return self.loc(h), _factor(scale, None if self.lower is None else self.lower(h))


class MixtureEncoder(nn.Module):
    """A mixture of M Gaussians, each as of :class:`FullEncoder`.

    From (..., C, H, W) to locations (..., M, D), Cholesky factors (..., M, D, D) and logits of the
    weights (..., M). Of more than 32 latent dimensions the Gaussians are diagonal, and for the
    factors stand scales, (..., M, D).
    """

    def __init__(
        self,
        features: MLPFeatures | ConvFeatures,
        latent_dim: int,
        n_gaussians: int = N_GAUSSIANS,
    ) -> None:
        super().__init__()
        self.features = features
        self.shape = n_gaussians, latent_dim
        n, n_lower = features.n_features, latent_dim * (latent_dim - 1) // 2
        one = Encoder(features, latent_dim)
        self.full = latent_dim <= MOST_FULL
        # Apart from torch's own draws: what is built next begins alike whatever the guide.
        with torch.random.fork_rng(devices=[]):
            self.loc = nn.Linear(n, n_gaussians * latent_dim)
            self.raw_scale = nn.Linear(n, n_gaussians * latent_dim)
            self.logits = nn.Linear(n, n_gaussians)
            self.lower = nn.Linear(n, n_gaussians * n_lower) if self.full and n_lower else None
        with torch.no_grad():
            for layer, first in ((self.loc, one.loc), (self.raw_scale, one.raw_scale)):
                layer.weight[:latent_dim] = first.weight
                layer.bias[:latent_dim] = first.bias
        # Near each other: from far apart each would have to learn alone where images lie.
        for layer in (self.loc, self.raw_scale, *([] if self.lower is None else [self.lower])):
            for values in (layer.weight.data, layer.bias.data):
                of_each = values.unflatten(0, (n_gaussians, -1))
                of_each.copy_(of_each[:1] + _APART * (of_each - of_each[:1]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Locations, factors or scales, and logits, of images (..., C, H, W)."""
        h = self.features(x)
        loc, raw = (layer(h).unflatten(-1, self.shape) for layer in (self.loc, self.raw_scale))
        scale = _positive(raw)
        if self.full:
            lower = None if self.lower is None else self.lower(h).unflatten(-1, (self.shape[0], -1))
            scale = _factor(scale, lower)
        return loc, scale, self.logits(h)


def build_encoder(
    features: MLPFeatures | ConvFeatures, latent_dim: int, guide: GuideKind
) -> Encoder | MixtureEncoder:
    """The encoder of a guide of that kind: ``diagonal``, ``full`` or ``mixture``."""
    if guide == "mixture":
        return MixtureEncoder(features, latent_dim)
    return (FullEncoder if guide == "full" else Encoder)(features, latent_dim)


def _positive(raw: Tensor) -> Tensor:
    # The floor keeps log q(z | x) finite when the bound pulls a scale towards 0.
    return F.softplus(raw) + 1e-4


def _factor(scale: Tensor, lower: Tensor | None) -> Tensor:
    """diag(scale) (I + C), (..., D, D), of scales (..., D) and the entries of C, row by row."""
    factor = scale.diag_embed()
    if lower is None:
        return factor
    d = scale.shape[-1]
    rows, columns = torch.tril_indices(d, d, -1, device=scale.device)
    below = torch.zeros_like(factor)
    below[..., rows, columns] = lower * scale[..., rows]
    return factor + below


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
    """Features that learn no more, computed once for each batch, or known beforehand.

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
            self.know(x, self.features(x).detach())
        assert self._last is not None
        return self._last[1]

    def know(self, x: Tensor, features: Tensor) -> None:
        """Answer with these when asked for those of x next."""
        self._last = x, features
