"""What a model says of images a batch at a time: bare networks, each of them asked once.

B images a batch, K components, D latent dimensions, (C, H, W) an image.
"""

import copy
import functools
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import Concatenate, ParamSpec

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from gmvae.networks import Assigner, Encoder, MixtureEncoder, default_modes, in_eval_mode
from gmvae.networks.encoders import FullEncoder
from gmvae.probability.families import location
from gmvae.probability.guide import Guide
from gmvae.probability.likelihood import check_support
from gmvae.probability.model import Model

# Networks of ours, which hold nothing but layers: a copy answers as they do. A user's own module
# may be anything, and is asked itself.
OURS = (Assigner, Encoder, FullEncoder, MixtureEncoder)
# What normalises over the batch, and how it is folded into the layer before it.
FOLDED: dict[type[nn.Module], Callable[..., nn.Module]] = {
    nn.BatchNorm1d: fuse_linear_bn_eval,
    nn.BatchNorm2d: fuse_conv_bn_eval,
}

Arguments = ParamSpec("Arguments")


def bare(network: nn.Module) -> nn.Module:
    """A copy of an encoder or assigner that can only answer; a user's own module itself.

    Its batch normalisation is folded into the layers before, and the weights of its convolutions
    lie channels last: the answers are the same to rounding, and take two thirds of the time
    (``benchmarks/results/scoring``).
    """
    if type(network) not in OURS:
        return network
    network = copy.deepcopy(network).eval().requires_grad_(False)
    for parent in list(network.modules()):
        for name, part in parent.named_children():
            if isinstance(part, nn.Sequential):
                setattr(parent, name, _folded(part))
    return network.to(memory_format=torch.channels_last)


def _folded(layers: nn.Sequential) -> nn.Sequential:
    folded: list[nn.Module] = []
    for layer in layers:
        fold = FOLDED.get(type(layer))
        if fold is None:
            folded.append(layer)
        else:
            folded[-1] = fold(folded[-1], layer)
    return nn.Sequential(*folded)


def _answering(
    question: Callable[Concatenate["Batch", Arguments], Tensor],
) -> Callable[Concatenate["Batch", Arguments], Tensor]:
    """A question that is answered without gradients, in torch's own modes and by still modules."""

    def answer(batch: "Batch", /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Tensor:
        with default_modes(), torch.no_grad(), in_eval_mode(*batch.learning):
            return question(batch, *args, **kwargs)

    functools.update_wrapper(answer, question)
    return answer


class Batch:
    """What a model says of B images: each answer is worked out when it is first asked for.

    The answers lie where the images do, on the model's device. None of them takes chance.

    Attributes:
        x: the images, (B, C, H, W), in the model's precision.
        rows: which of all images they are.
        learning: which of model and guide are in training mode, to be still meanwhile.
    """

    def __init__(
        self,
        model: Model,
        guide: Guide,
        networks: tuple[nn.Module, nn.Module | None],
        x: Tensor,
        rows: slice,
    ) -> None:
        self.model, self.guide = model, guide
        self.x, self.rows = x, rows
        self._encoder, self._assigner = networks
        # Where nothing learns no mode has to be changed, which takes a hundredth of the time.
        self.learning = [m for m in (model, guide) if any(part.training for part in m.modules())]

    @cached_property
    @_answering
    def latents(self) -> Tensor:
        """Means of q(z | x), (B, D); of a mixture that of its heaviest Gaussian."""
        return location(self._encoder(self.x))

    @cached_property
    def probabilities(self) -> Tensor:
        """q(y | x), (B, K); with the exact assignment p(y | z) at the latents."""
        return self.responsibilities if self._assigner is None else self.probabilities_of(self.x)

    @_answering
    def probabilities_of(self, x: Tensor) -> Tensor:
        """The same of other images (B, C, H, W), such as views of these."""
        if self._assigner is None:
            return self.model.prior.responsibilities(location(self._encoder(x)))
        logits: Tensor = self._assigner(x)
        return logits.softmax(-1)

    @cached_property
    @_answering
    def log_joints(self) -> Tensor:
        """Log p(y) + log p(z | y) at the latents, (B, K)."""
        return self.model.prior.log_joint(self.latents)

    @cached_property
    @_answering
    def responsibilities(self) -> Tensor:
        """p(y | z) of the mixture at the latents, (B, K)."""
        return self.log_joints.softmax(-1)

    @cached_property
    @_answering
    def _decoded(self) -> Tensor:
        decoded: Tensor = self.model.decoder(self.latents)
        return decoded

    @cached_property
    @_answering
    def reconstructions(self) -> Tensor:
        """E(x | z) at the latents, (B, C, H, W) in [0, 1]."""
        return self.model.likelihood.mean(self._decoded)

    @cached_property
    @_answering
    def log_joint(self) -> Tensor:
        """Log p(x, z) at the latents, (B,) nats.

        Raises:
            ContentError: grey images, of a model of black and white ones alone.
        """
        x = self.x
        check_support(self.model.likelihood, bool(((x == 0) | (x == 1)).all()))
        log_likelihood: Tensor = self.model.likelihood(self._decoded).log_prob(x)
        return log_likelihood + self.log_joints.logsumexp(-1)


def batches_of(
    model: Model, guide: Guide, chunks: Iterable[Tensor], first: int = 0
) -> Iterator[Batch]:
    """The answers for parts of all images, in turn.

    Args:
        model: the generative model.
        guide: its guide, which is not trained meanwhile.
        chunks: the parts, (B, C, H, W) each, on the model's device.
        first: the row of the first image.
    """
    networks = bare(guide.encoder), None if guide.assigner is None else bare(guide.assigner)
    for x in chunks:
        yield Batch(model, guide, networks, x, slice(first, first + len(x)))
        first += len(x)
