"""How little an image is like those of the training: how badly it is explained, for so much of it.

Log p(x, z) falls with what there is to explain: a thick digit of a known kind has less than a thin
one of an unknown kind (Serrà et al., *Input complexity and out-of-distribution detection with
likelihood-based generative models*, ICLR 2020). So what an image of such brightness and so many
edges has among those of the training is taken off first. Shapes: B images of a batch.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gmvae.data import Images
from gmvae.gmvae import GMVAE

# What the training record calls the quantiles over training images of log p(x, z) less what their
# complexity is worth, and what it is worth; models saved before this was taken off have no second.
QUANTILES = "log_joint_quantiles"
BY_COMPLEXITY = "log_joint_by_complexity"
# As many as per cents, and their ends.
_N_QUANTILES = 101
# What is left to an image that is explained worse than all of 2,000: one in so many is.
_BEYOND = 1 / 2_000


def complexity(x: Tensor) -> Tensor:
    """How much there is to explain: brightness and edges, (B, 2).

    The sum of the pixels and of the absolute steps from one to the next, a pixel. Of MNIST's 1, 4
    and 8 and the other digits (parts of the train part), log p(x, z) alone tells .922 of the pairs
    apart, less what brightness is worth .942, edges .945, both .954.

    Args:
        x: images (B, C, H, W).
    """
    down = (x[..., 1:, :] - x[..., :-1, :]).abs()
    across = (x[..., 1:] - x[..., :-1]).abs()
    edges = down.sum((1, 2, 3)) + across.sum((1, 2, 3))
    n_pixels = x.shape[1] * x.shape[2] * x.shape[3]
    return torch.stack([x.sum((1, 2, 3)), edges], -1) / n_pixels


class Outliers(nn.Module):
    """The share of training images that are explained better than an image.

    Plain torch, of any number of images, as programs without Python run it.

    Args:
        training_record: of a model that knows how well it explains its training images, see
            :func:`how_explained`.
    """

    slopes: Tensor
    least: Tensor
    most: Tensor
    from_quantile: Tensor
    between: Tensor
    reach: Tensor

    def __init__(self, training_record: dict[str, Any]) -> None:
        super().__init__()
        quantiles = torch.tensor(training_record[QUANTILES], dtype=torch.float64)
        worth = training_record.get(BY_COMPLEXITY) or {}
        for name in ("slopes", "least", "most"):
            values = torch.tensor(worth.get(name, (0.0, 0.0)), dtype=torch.float64)
            self.register_buffer(name, values.reshape(2))
        self.register_buffer("from_quantile", quantiles[:-1])
        # Where two are the same, a step.
        self.register_buffer("between", quantiles.diff().clamp(min=1e-6))
        middle = quantiles[len(quantiles) // 2]
        self.register_buffer("reach", (middle - quantiles[0]).clamp(min=1e-6))

    def forward(self, x: Tensor, log_joint: Tensor) -> Tensor:
        """(B,), 0 to 1: near 1 an image is like none of them.

        Args:
            x: images (B, C, H, W).
            log_joint: log p(x, z) at the encoded images, (B,) nats.
        """
        # No more is made of what no training image had.
        within = complexity(x).to(self.slopes).clamp(self.least, self.most)
        beyond = log_joint.to(self.slopes) - (within * self.slopes).sum(-1)
        passed = ((beyond.unsqueeze(-1) - self.from_quantile) / self.between).clamp(0, 1)
        # Of two that are explained worse than any, noise is still told from a rare one.
        rare = _BEYOND * ((beyond - self.from_quantile[0]) / self.reach).clamp(max=0).exp()
        return (1 - (1 - _BEYOND) * passed.mean(-1) - rare).clamp(0, 1)


def outliers_of(gmvae: GMVAE) -> Outliers | None:
    """None for a model that does not know how well it explains its training images."""
    record = gmvae.training_record or {}
    try:
        return Outliers(record) if record.get(QUANTILES) else None
    except (AttributeError, RuntimeError, TypeError, ValueError):
        # The record is read from a file: one without sense is as good as none.
        return None


def how_explained(gmvae: GMVAE, images: Images) -> dict[str, Any]:
    """For the training record: how well training images are explained, and what tells it.

    Returns:
        Nats a unit of :func:`complexity` by least squares, its least and most; and the quantiles,
        in nats, of log p(x, z) less that, from the least on.
    """
    parts = [(complexity(b.x).double(), b.log_joint.double()) for b in gmvae.batches(images)]
    size, log_joint = (torch.cat(values).cpu().numpy() for values in zip(*parts, strict=True))
    scale = size.std(0)
    scale[scale == 0] = 1
    z = (size - size.mean(0)) / scale
    # As if one image more had said that there is nothing in it: of three images two slopes would
    # be what their noise makes them.
    slopes = np.linalg.solve(z.T @ z + np.eye(2), z.T @ (log_joint - log_joint.mean())) / scale
    slopes = slopes.round(4)
    values = np.quantile(log_joint - size @ slopes, np.linspace(0, 1, _N_QUANTILES))
    least, most = (ends.round(6).tolist() for ends in (size.min(0), size.max(0)))
    worth = {"slopes": slopes.tolist(), "least": least, "most": most}
    return {QUANTILES: values.round(4).tolist(), BY_COMPLEXITY: worth}
