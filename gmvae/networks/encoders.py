"""From an image to its latent, and to its component."""

from torch import Tensor, nn
from torch.nn import functional as F

from gmvae.networks.features import ConvFeatures, MLPFeatures


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
