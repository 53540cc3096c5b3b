"""Black images through the modules of a user's own, before anything rests on them."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gmvae.networks import ImageShape
from gmvae.probability.guide import Guide
from gmvae.probability.likelihood import Bernoulli, ContinuousBernoulli, Gaussian
from gmvae.probability.model import Model
from gmvae.support.errors import ArgumentError

# One alone could be taken for a dimension to broadcast.
_N = 2


def check_shapes(model: Model, guide: Guide, image_shape: ImageShape) -> None:
    """Refuse modules whose answers have another shape than model and guide count on.

    torch would broadcast some of them: an encoder of one dimension too few still trains.

    Args:
        model: whose decoder and likelihood are tried, on latents of 0.
        guide: whose encoder, and assigner where there is one, are tried on black images.
        image_shape: (C, H, W).

    Raises:
        ArgumentError: a module that fails, or answers in another shape.
    """
    k, d = model.prior.means.shape
    x, z = torch.zeros(_N, *image_shape), torch.zeros(_N, d)
    answer = _answer("encoder", guide.encoder, x)
    _check_encoder(answer, d, x)
    if guide.assigner is not None:
        logits = _answer("assigner", guide.assigner, x)
        _expect("assigner", f"logits ({_N}, {k})", logits, (_N, k), x)
    output, shape = _answer("decoder", model.decoder, z), (_N, *image_shape)
    if isinstance(model.likelihood, Bernoulli | ContinuousBernoulli | Gaussian):
        _expect("decoder", f"images {shape}", output, shape, z)
    else:
        # One of the user's own may ask the decoder for anything: what it makes of that counts.
        event = tuple(_answer("likelihood", model.likelihood, output).event_shape)
        if event != tuple(image_shape):
            raise ArgumentError(
                f"`likelihood` expected a distribution of event shape {tuple(image_shape)}; got "
                f"{event}. Add .to_event(3) to one of pixels."
            )
        mean = _answer("likelihood", model.likelihood, output, model.likelihood.mean)
        _expect("likelihood", f"mean images {shape}", mean, shape, output)


def _check_encoder(answer: Any, d: int, x: Tensor) -> None:
    """Refuse what is no row of the table in :mod:`gmvae.probability.families`."""
    if not isinstance(answer, tuple | list) or len(answer) not in (2, 3):
        raise ArgumentError(
            f"`encoder` expected to answer (location, scale); got {_described(answer)}. Return "
            "both."
        )
    located, scales = answer[:2]
    if len(answer) == 2:
        shape: tuple[int, ...] = (_N, d)
        _expect("encoder", f"location and scale, ({_N}, {d}) each,", located, shape, x)
    else:
        m = located.shape[1] if isinstance(located, Tensor) and located.dim() == 3 else 1
        shape = (_N, m, d)
        _expect("encoder", f"locations of a mixture, ({_N}, M, {d}),", located, shape, x)
        _expect("encoder", f"logits of the weights, ({_N}, {m}),", answer[2], (_N, m), x)
    full = isinstance(scales, Tensor) and scales.dim() > len(shape)
    of_each = f"a scale each, {shape}" if len(answer) == 3 else f"location and scale, {shape} each"
    if full:
        _expect("encoder", f"Cholesky factors {(*shape, d)}", scales, (*shape, d), x)
        scales = scales.diagonal(dim1=-2, dim2=-1)
    _expect("encoder", f"{of_each},", scales, shape, x)
    if not located.isfinite().all():
        raise ArgumentError(
            "`encoder` expected to answer finite locations; got NaN or infinity. Change what it "
            "returns."
        )
    if not (scales > 0).all():
        raise ArgumentError(
            f"`encoder` expected to answer scales above 0; got {scales.min().item():g}. Return "
            "softplus or exp of its output."
        )


def _answer(
    name: str, module: nn.Module, argument: Any, call: Callable[[Any], Any] | None = None
) -> Any:
    like = next((p for p in module.parameters()), None)
    if like is not None:
        argument = argument.to(like)
    try:
        return (call or module)(argument)
    except Exception as error:
        why = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
        raise ArgumentError(
            f"`{name}` expected to take a tensor {tuple(argument.shape)}; got from it {why}. "
            "Change what it takes."
        ) from error


def _expect(name: str, what: str, answer: Any, shape: tuple[int, ...], argument: Tensor) -> None:
    if not isinstance(answer, Tensor) or tuple(answer.shape) != shape:
        raise ArgumentError(
            f"`{name}` expected to answer {what} of a tensor {tuple(argument.shape)}; got "
            f"{_described(answer)}. Change what it returns."
        )


def _described(answer: Any) -> str:
    return str(tuple(answer.shape)) if isinstance(answer, Tensor) else type(answer).__name__
