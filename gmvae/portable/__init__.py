"""A trained model for other programs: as plain functions of tensors, for torch.export and ONNX."""

from gmvae.portable.functions import Classification, Classified, Decoding
from gmvae.portable.programs import (
    check_onnx,
    export_onnx,
    export_torch,
    onnx_difference,
    parts,
)

__all__ = [
    "Classification",
    "Classified",
    "Decoding",
    "check_onnx",
    "export_onnx",
    "export_torch",
    "onnx_difference",
    "parts",
]
