"""``gmvae export``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gmvae.support.errors import ArgumentError, ContentError
from gmvae.support.files import replacing

from . import options
from .output import check_folder, outcome, write_json
from .run_folder import beside, open_run

if TYPE_CHECKING:
    from gmvae import GMVAE
    from gmvae.portable.programs import Part

EXAMPLES = (
    "gmvae export --onnx",
    "gmvae export --pt2 --model gmvae-run --output programs",
)
INTERFACE = "interface.json"
NAMES, SUFFIXES = ("encoder", "decoder"), (".onnx", ".pt2")
FILES = frozenset((INTERFACE, *(f"{name}{suffix}" for name in NAMES for suffix in SUFFIXES)))
# What single precision leaves of sums of some hundred pixels, and less than anybody looks at.
LARGEST_DIFFERENCE = 1e-4
Onnx = Annotated[
    bool,
    typer.Option("--onnx", help="ONNX, checked by ONNX Runtime; needs pip install 'gmvae[onnx]'."),
]
Pt2 = Annotated[bool, typer.Option("--pt2", help="Programs of torch.export, .pt2.")]
Output = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="The folder to write; left out, RUN-export beside the run folder.",
        show_default=False,
    ),
]


def export(
    model: options.Model = options.DEFAULT_RUN,
    onnx: Onnx = False,
    pt2: Pt2 = False,
    output: Output = None,
    force: options.Force = False,
    json: options.AsJson = False,
) -> None:
    """Write a model as programs that run without gmvae.

    The encoder takes images, (N, C, H, W) in 0-1, and gives components, probability and outlier as
    `gmvae classify` writes them, (N,) each, q(y|x) and p(y|z), (N, K), the encoded images and the
    standard deviations of q(z|x), (N, D). The decoder takes latents, (N, D), and gives images. N is
    any number. What the components are called stands in interface.json.
    """
    if not (onnx or pt2):
        raise ArgumentError("`--onnx` or `--pt2` expected, or both; got neither. Choose one.")
    output = beside(model, "export") if output is None else output
    check_folder(output, force, FILES)
    if onnx:
        from gmvae.portable import check_onnx

        check_onnx()
    run = open_run(model, "cpu")
    from gmvae.portable import export_torch, parts

    programs = parts(run.gmvae)
    with replacing(output) as draft:
        draft.mkdir()
        differences = [_onnx(part, draft) for part in programs] if onnx else []
        for part in programs if pt2 else ():
            export_torch(part, draft / f"{part.name}.pt2")
        write_json(draft / INTERFACE, _interface(run.gmvae, programs))
    lines = [f"Programs of encoder and decoder: {output}"]
    if onnx:
        lines.append(
            f"ONNX Runtime and torch differ by {max(differences):.1g} at most, on random images "
            "and latents."
        )
    outcome(json, {"output": str(output), "differences": differences}, lines)


def _onnx(part: "Part", folder: Path) -> float:
    """Write one of the programs; by how much it differs from the model.

    Raises:
        ContentError: by more than rounding.
    """
    from gmvae.portable import export_onnx, onnx_difference

    path = folder / f"{part.name}.onnx"
    export_onnx(part, path)
    difference = onnx_difference(part, path)
    if not difference <= LARGEST_DIFFERENCE:
        raise ContentError(
            f"{path.name} expected to answer as the model does, to {LARGEST_DIFFERENCE:g}; got a "
            f"difference of {difference:.1g}. Try --pt2, or another version of onnxruntime."
        )
    return difference


def _interface(gmvae: "GMVAE", programs: "tuple[Part, ...]") -> dict[str, Any]:
    """What goes in and out, and what the components are called."""
    names = gmvae.component_names or (None,) * gmvae.config.n_components
    record: dict[str, Any] = {
        part.name: {
            "argument": {part.argument: ["N", *part.shape]},
            "results": list(part.results),
        }
        for part in programs
    }
    return {**record, "components": list(names)}
