"""The functions as programs in files, for any number of images at a time."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor, nn

from gmvae.gmvae import GMVAE
from gmvae.networks import default_modes
from gmvae.portable.functions import Classification, Classified, Decoding
from gmvae.support.errors import ArgumentError

# What writes ONNX, and what runs it: of the extra `gmvae[onnx]`.
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# Of the example that is traced: neither 0 nor 1, which tracing takes for what never changes.
_TRACED = 3
_DYNAMIC = ({0: torch.export.Dim.DYNAMIC},)


@dataclass(frozen=True)
class Part:
    """One function of a model.

    Attributes:
        name: of its files.
        function: a module of one tensor.
        argument: what the tensor is called.
        results: what the tensors that it returns are called.
        shape: of the argument for one image.
    """

    name: str
    function: nn.Module
    argument: str
    results: tuple[str, ...]
    shape: tuple[int, ...]

    def example(self, n: int = _TRACED) -> Tensor:
        """N random arguments in [0, 1], the same whenever it is asked."""
        like = next(self.function.parameters())
        return torch.rand(n, *self.shape, generator=Generator().manual_seed(0)).to(like)


def parts(gmvae: GMVAE) -> tuple[Part, Part]:
    """The encoder with its classification, and the decoder, both on the CPU.

    Raises:
        ArgumentError: a likelihood of the user's own.
    """
    shape = tuple(gmvae.config.image_shape)
    classification, decoding = Classification(gmvae).cpu().eval(), Decoding(gmvae).cpu().eval()
    return (
        Part("encoder", classification, "images", Classified._fields, shape),
        Part("decoder", decoding, "latents", ("images",), (gmvae.config.latent_dim,)),
    )


class _Plain(nn.Module):
    """Returns a tuple of several results: the names of a named one cannot be written."""

    def __init__(self, function: nn.Module) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """The result, or a tuple of them."""
        results = self.function(x)
        return results if isinstance(results, Tensor) else tuple(results)


@default_modes()
def export_torch(part: Part, path: Path) -> None:
    """Write a program of ``torch.export`` (.pt2), which returns a tuple of several results."""
    with torch.no_grad():
        function = _Plain(part.function).eval()
        program = torch.export.export(function, (part.example(),), dynamic_shapes=_DYNAMIC)
    torch.export.save(program, path)


def check_onnx() -> None:
    """Refuse, before any work, where what writes ONNX is not installed.

    Raises:
        ArgumentError: it is not.
    """
    for name in ONNX_PACKAGES:
        try:
            import_module(name)
        except ImportError as error:
            raise ArgumentError(
                f"`onnx` expected the packages {', '.join(ONNX_PACKAGES)}; got no {name}. Install "
                "them: pip install 'gmvae[onnx]'."
            ) from error


@default_modes()
def export_onnx(part: Part, path: Path) -> None:
    """Write ONNX, the weights in the same file.

    Raises:
        ArgumentError: what writes it is not installed.
    """
    check_onnx()
    with torch.no_grad():
        program: Any = torch.onnx.export(
            _Plain(part.function).eval(),
            (part.example(),),
            dynamo=True,
            dynamic_shapes=_DYNAMIC,
            input_names=[part.argument],
            output_names=list(part.results),
            verbose=False,
        )
    program.save(path, external_data=False)


@default_modes()
def onnx_difference(part: Part, path: Path, n: int = 16) -> float:
    """The largest difference of what ONNX Runtime and torch make of ``n`` random arguments.

    Of components, which are numbers of things, there is none.
    """
    import onnxruntime

    x = part.example(n)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    of_onnx = session.run(None, {part.argument: x.numpy()})
    with torch.no_grad():
        answer = part.function(x)
    of_torch = [answer] if isinstance(answer, Tensor) else list(answer)
    return max(
        float((torch.as_tensor(one) - other).abs().max())
        for one, other in zip(of_onnx, of_torch, strict=True)
        if other.is_floating_point()
    )
