"""``gmvae select``."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gmvae.support.errors import ArgumentError
from gmvae.support.files import replacing

from . import choice, options, summary, unfinished
from .device import named_device
from .experiment import Experiment, check_request, class_list, prepare
from .output import answer, as_json, check_folder, say, table, write_json

if TYPE_CHECKING:
    from gmvae import Settings
    from gmvae.training.candidates import Candidate

EXAMPLES = (
    "gmvae select digits --components 8-12",
    "gmvae select images.npz --components 2,5,10 --restarts 3 --output mine",
)
CANDIDATES, PICTURE = "candidates.json", "candidates.png"
FILES = frozenset((CANDIDATES, PICTURE))


Data = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        help="digits, mnist, fashion-mnist or kmnist (the train part), or a path: .npz, .npy, "
        "IDX, a picture (of pages) or a folder of them. Labels are not looked at.",
        show_default=False,
    ),
]
Components = Annotated[
    str,
    typer.Option(
        metavar="2-12",
        help="The numbers to try: a range, or 2,5,10.",
        rich_help_panel="Model",
    ),
]
Restarts = Annotated[
    int,
    options.restarts(2, "Number of runs for each number of components, from different seeds."),
]
Output = Annotated[Path, options.output_folder("folder")]
# Not the two of a picture: nobody looks at these latents, and clusters of many classes need room.
LATENT_DIM = 10


@options.with_settings(left_out=["n_components"], changed={"latent_dim": {"default": LATENT_DIM}})
def select(
    *,
    data: Data = None,
    components: Components = "2-12",
    restarts: Restarts = 2,
    classes: options.Classes = None,
    resize: options.Resize = None,
    grey: options.Grey = False,
    strict: options.Strict = False,
    settings: options.SettingValues,
    jobs: options.Jobs = None,
    device: options.Device = "auto",
    data_root: options.DataRoot = None,
    output: Output = Path("gmvae-select"),
    force: options.Force = False,
    json: options.AsJson = False,
    resume: options.Resume = None,
    context: typer.Context,
) -> None:
    """Compare numbers of components.

    Each number is trained from several seeds. What speaks for one is that its runs find the same
    clusters, and the likelihood of images that were held out. The stability is the mean adjusted
    Rand index of two runs: 1 for the same clusters, 0 for what chance would give. Of numbers that
    are equally stable, to two decimals, the largest is marked whose log-likelihood is within a
    standard error of the best of theirs: it tells more apart, and as surely. Beside these stands
    what the density of the images says at the start of each run: by how many standard deviations
    the split that makes so many components of one fewer stands out of the noise, 4.4 or more for a
    cluster.

    Ctrl-C, or a kill, loses no more than half a minute: --resume goes on, and what has ended is not
    run again.
    """
    if resume is not None:
        unfinished.check_alone(context)
        asked = unfinished.asked_for(resume, unfinished.AskedComparison)
        _run(asked, unfinished.folder_of(resume))
        return
    if data is None:
        context.fail("Missing argument 'DATA'.")
    asked = unfinished.AskedComparison(
        data=data,
        numbers=number_list(components),
        classes=class_list(classes),
        settings=settings,
        restarts=restarts,
        jobs=jobs,
        device=device,
        data_root=data_root,
        output=output,
        force=force,
        resize=resize,
        grey=grey,
        strict=strict,
        json=json,
    )
    _run(asked, None)


def _run(asked: unfinished.AskedComparison, folder: Path | None) -> None:
    """Train with each number, compare and write.

    Args:
        asked: what for.
        folder: of the unfinished runs that go on; None where they begin.
    """
    from gmvae import Settings

    # What was typed comes before what lies there, and that before torch is imported and images are
    # read.
    settings = Settings(**asked.settings)
    output, numbers, data = asked.output, asked.numbers, asked.data
    check_request(asked.request)
    check_folder(output, asked.force, FILES)
    if folder is None:
        unfinished.check_free(asked)
    device = named_device(asked.device)
    experiment = prepare(asked.request)
    _check(numbers, settings, experiment)
    if folder is None:
        folder = unfinished.begin(asked)
    # Nothing is said before all of them are known to fit the images.
    if not asked.json:
        for line in summary.read_lines(experiment.train):
            say(line)
        say(_runs(numbers, asked.restarts))
    with unfinished.kept(folder, output) as stop:
        candidates = _compare(experiment, settings, asked, device, folder, stop)
    normalised = all(candidate.likelihood_normalised for candidate in candidates)
    named = _named(candidates)
    with unfinished.told(folder, output):
        _write(output, candidates, named, normalised)
    unfinished.end(folder)
    if asked.json:
        answer(as_json(_record(output, candidates, named)))
        return
    title = f"{data}: {asked.restarts} runs for each number of components"
    rows = [choice.row(candidate, candidate is named) for candidate in candidates]
    table(title, rows, headings=choice.HEADINGS)
    density = "" if normalised else ", of no normalised density"
    say(f"Log-likelihood: on held-out images, in nats an image{density}.")
    say("Split: of the density, that makes one more component, in standard deviations.")
    if named is not None:
        for line in (
            choice.why(candidates, named),
            *choice.evidence(candidates, named),
            *choice.doubts(named, settings),
        ):
            answer(line)
    say(f"Figures and picture: {output}")


def _check(numbers: Sequence[int], settings: "Settings", experiment: Experiment) -> None:
    """Refuse numbers of components that do not fit the images."""
    from gmvae.training.held_out import check_components

    check_components(numbers, experiment.train, settings, held_out=experiment.held_out)


def _compare(
    experiment: Experiment,
    settings: "Settings",
    asked: unfinished.AskedComparison,
    device: str,
    folder: Path,
    stop: Callable[[], bool],
) -> "tuple[Candidate, ...]":
    """Train with each number of components."""
    from gmvae.training.selection import compare_components

    from .progress import progress

    with progress() as callback:
        return compare_components(
            experiment.train,
            asked.numbers,
            settings,
            asked.restarts,
            held_out=experiment.held_out,
            callback=callback,
            checkpoint=folder,
            stop=stop,
            device=device,
            n_jobs=asked.jobs,
        )


def _named(candidates: "tuple[Candidate, ...]") -> "Candidate | None":
    """The one that is marked; None where no two runs of a number can be compared."""
    from gmvae.training.candidates import most_stable

    comparable = [c for c in candidates if c.n_components > 1 and c.stability is not None]
    return most_stable(candidates) if comparable else None


def _record(
    output: Path, candidates: "tuple[Candidate, ...]", named: "Candidate | None"
) -> dict[str, Any]:
    """What came of it, ready for JSON: the number that is named, and each candidate's figures."""
    from gmvae.training.candidates import n_peaks

    return {
        "output": str(output),
        "most_stable": None if named is None else named.n_components,
        "peaks": n_peaks(candidates),
        "candidates": _records(candidates, named),
    }


def _records(
    candidates: "tuple[Candidate, ...]", named: "Candidate | None"
) -> list[dict[str, Any]]:
    """Each candidate's figures, and whether it is the one that is marked."""
    return [{**asdict(candidate), "marked": candidate is named} for candidate in candidates]


def _runs(numbers: Sequence[int], restarts: int) -> str:
    """How many runs there will be, and which of them have how many components."""
    shares = []
    for i, k in enumerate(numbers):
        first, last = 1 + i * restarts, (i + 1) * restarts
        shares.append(f"{first if first == last else f'{first}-{last}'} with {k}")
    return f"{len(numbers) * restarts} runs: {', '.join(shares)} components."


def number_list(text: str) -> tuple[int, ...]:
    """``2-5`` as (2, 3, 4, 5), and ``2,5`` as (2, 5).

    Raises:
        ArgumentError: anything but a rising range, or distinct whole numbers from 1.
    """
    first, dash, last = text.partition("-")
    parts = [part.strip() for part in ((first, last) if dash else text.split(","))]
    numbers = [int(part) for part in parts if part.isdecimal()]
    fits = len(numbers) == len(parts) and min(numbers) > 0 and len(set(numbers)) == len(numbers)
    if not fits or (dash and numbers[0] > numbers[1]):
        raise ArgumentError(
            f"`--components` expected a range or distinct whole numbers from 1; got {text!r}. "
            "Write 2-12, or 2,5,10."
        )
    return tuple(range(numbers[0], numbers[1] + 1)) if dash else tuple(numbers)


def _write(
    output: Path,
    candidates: "tuple[Candidate, ...]",
    named: "Candidate | None",
    normalised: bool,
) -> None:
    """Write the folder, whole or not at all."""
    from gmvae import plots
    from gmvae.training.density import PROMINENT

    picture = plots.candidates(
        [c.n_components for c in candidates],
        [c.log_likelihoods for c in candidates],
        [c.standard_error for c in candidates],
        [c.stability for c in candidates],
        normalised,
        splits=[c.split for c in candidates],
        prominent=PROMINENT,
        marked=None if named is None else named.n_components,
    )
    with replacing(output) as draft:
        draft.mkdir()
        write_json(draft / CANDIDATES, _records(candidates, named))
        picture.savefig(draft / PICTURE)
