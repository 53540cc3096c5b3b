"""``gmvae evaluate``."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import options
from .output import answer, as_json, check_file, table, write_json
from .run_folder import images_for, open_run

if TYPE_CHECKING:
    from gmvae.diagnostics.evaluation import Evaluation
    from gmvae.gmvae import Names

EXAMPLES = (
    "gmvae evaluate",
    "gmvae evaluate test.npz --json",
)


def evaluate(
    data: options.DataArgument = None,
    model: options.Model = options.DEFAULT_RUN,
    samples: Annotated[
        int, typer.Option(min=1, metavar="N", help="Draws of z an image, for the log-likelihood.")
    ] = 50,
    json: options.AsJson = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Write the JSON to a file, .json, as well."
        ),
    ] = None,
    seed: options.Seed = 0,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    strict: options.Strict = False,
    force: options.Force = False,
) -> None:
    """Measure clusters, reconstructions and likelihood.

    Labels in DATA are compared with what the model says; it never learns from them here.

    In the JSON, as in the metrics.json of a run, acc is the accuracy of q(y|x) with one component
    matched to each class (Hungarian), acc_latent the same by p(y|z), acc_named that of
    Predicted_Label.
    """
    if output is not None:
        check_file(output, force, [".json"])
    run = open_run(model, device)
    images, name = images_for(run, data, data_root, strict=strict)
    import torch

    from gmvae.diagnostics import evaluation

    generator = torch.Generator(run.gmvae.device).manual_seed(seed)
    figures = evaluation.evaluate(run.gmvae, images, n_samples=samples, generator=generator)
    if json:
        answer(as_json(figures))
    else:
        table(f"{name}: {len(images):,} images", _rows(figures))
        _print_overlap(figures["overlap"], run.gmvae.component_names)
    if output is not None:
        write_json(output, figures)


def _print_overlap(overlap: list[list[float]], names: "Names | None") -> None:
    """The components by name down the side; by number above, where there is less room."""
    from gmvae.gmvae import component_name

    numbers = [str(k) for k in range(len(overlap))]
    rows = (
        (component_name(names, k), *(f"{value:.2f}" for value in row))
        for k, row in enumerate(overlap)
    )
    title = "Overlap of the Gaussians (Bhattacharyya coefficients)"
    table(title, rows, ("component", *numbers))


def _rows(figures: "Evaluation") -> Iterator[tuple[str, str]]:
    """The figures as a person reads them; those that need labels only where there are some."""
    for name, value in (
        ("accuracy of predicted labels", figures["acc_named"]),
        ("accuracy, components matched to classes", figures["acc"]),
        ("the same by p(y | z)", figures["acc_latent"]),
        ("normalised mutual information", figures["nmi"]),
        ("adjusted Rand index", figures["ari"]),
        ("F1, macro", figures["f1_macro"]),
        ("F1, micro", figures["f1_micro"]),
        ("F1, mean of the two", figures["f1_mean"]),
        ("structural similarity (SSIM)", figures["ssim"]),
        ("1 - mean squared error", figures["one_minus_mse"]),
    ):
        if value is not None:
            yield name, f"{value:.4f}"
    unit = "nats an image" + ("" if figures["likelihood_normalised"] else ", no normalised density")
    yield f"ELBO ({unit})", f"{figures['elbo']:.2f}"
    yield "   reconstruction", f"{figures['reconstruction']:.2f}"
    yield "   KL of z", f"{figures['kl_z']:.2f}"
    yield "   KL of y", f"{figures['kl_y']:.2f}"
    yield f"log-likelihood ({unit})", f"{figures['log_likelihood']:.2f}"
    yield "components in use", f"{figures['effective_components']:.2f}"
    yield "smallest weight", f"{figures['smallest_weight']:.4f}"
