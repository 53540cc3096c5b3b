"""The arguments and options that commands share, each declared once."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Columns = Literal["all", "label"]

DEFAULT_RUN = Path("gmvae-run")

DataArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        help="digits, mnist, fashion-mnist or kmnist (the test part), or a path: .npz, .npy, IDX "
        "or a folder of images. [default: what the run was trained on]",
        show_default=False,
    ),
]
Model = Annotated[
    Path, typer.Option("--model", metavar="DIR", help="The run folder that `train` wrote.")
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where named sets lie or are downloaded to. [default: $GMVAE_DATA_ROOT, else the "
        "cache folder of the platform]",
        show_default=False,
    ),
]
Device = Annotated[
    str, typer.Option(metavar="NAME", help="auto, cpu, cuda or any other device of torch.")
]
Classes = Annotated[
    str | None, typer.Option(metavar="1,4,8", help="Only these classes, by their numbers.")
]
Epochs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Epochs of joint training (by the size of the data)."),
]
WarmupEpochs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Epochs of the warm-up (by the size of the data)."),
]
Jobs = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Runs at a time (as many as there are cores)."),
]
Seed = Annotated[
    int, typer.Option(min=0, max=2**63 - 1, metavar="N", help="Seed of every random number.")
]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what exists.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, not a table.")]
