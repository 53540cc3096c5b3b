"""The run folder that ``train`` writes and the other commands read."""

import csv
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmvae.support import reading
from gmvae.support.card import CARD_FILE
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.support.files import CONFIG_FILE, WEIGHTS_FILE, beside_its_folder
from gmvae.support.names import listed as listed_names

from .experiment import Reading, as_shown, describe, has_test_part, is_named, load_part

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gmvae import GMVAE, Images
    from gmvae.plots import Told

HISTORY, METRICS, REPORT = "history.csv", "metrics.json", "report.html"
PICTURES = (
    *("latent", "reconstructions", "manifold", "mixture", "ambiguous"),
    *("clusters", "classes", "curves"),
)
# What each PNG file begins with; a page of a run takes a megabyte with all of its pictures.
PNG, LARGEST_PICTURE = b"\x89PNG\r\n\x1a\n", 4 * 2**20
FILES = (
    CONFIG_FILE,
    WEIGHTS_FILE,
    CARD_FILE,
    HISTORY,
    METRICS,
    REPORT,
    *(f"{name}.png" for name in PICTURES),
)


@dataclass(frozen=True)
class Run:
    """A trained model, its configuration, and of this the section ``training``."""

    folder: Path
    gmvae: "GMVAE"
    config: Mapping[str, Any]
    training: Mapping[str, Any]

    @property
    def classes(self) -> tuple[int | str, ...] | None:
        """The classes it was trained on; None for all of its set."""
        classes = self.training.get("classes")
        return None if classes is None else tuple(classes)

    def reading(self, strict: bool = False) -> Reading:
        """How the images that it was trained on were read; others are read alike."""
        return Reading(self.training.get("resize"), self.training.get("grey", False), strict)


def open_run(folder: Path, device: str, option: str = "--model") -> Run:
    """The run in ``folder``, named by ``option``, on ``device`` as the command line names it.

    Raises:
        ArgumentError: an unknown or absent device.
        ContentError: the folder's files do not fit.
        FileNotFoundError: ``folder`` is no run folder.
    """
    config = read_json(folder, CONFIG_FILE, option)
    training = training_of(config, folder)
    _refuse_own_modules(config, folder)
    from gmvae import GMVAE

    from .device import named_device

    return Run(folder, GMVAE.load(folder, device=named_device(device)), config, training)


def training_of(config: Mapping[str, Any], folder: Path) -> Mapping[str, Any]:
    """The section ``training`` of a folder's configuration; empty where it has none.

    Raises:
        ContentError: it is there, and not as ``train`` wrote it.
    """
    training = config.get("training", {})
    if not isinstance(training, dict) or (training and not _as_written(training)):
        raise ContentError(
            f"{folder / CONFIG_FILE} expected the section `training` as gmvae train wrote it; got "
            "another. Restore it, or remove it and name DATA."
        )
    return training


def _as_written(training: Mapping[str, Any]) -> bool:
    """Whether what the commands read of the section is there and of its type."""
    classes, settings = training.get("classes"), training.get("settings")
    return (
        isinstance(training.get("data"), str)
        and isinstance(training.get("labels_observed"), int)
        and isinstance(settings, dict)
        and isinstance(settings.get("seed"), int)
        and (classes is None or (isinstance(classes, list) and _alike(classes)))
        and isinstance(training.get("resize"), int | None)
        and isinstance(training.get("grey", False), bool)
        and isinstance(training.get("class_names", {}), dict)
    )


def _alike(classes: Sequence[Any]) -> bool:
    """Whether they are all numbers, or all words."""
    return {*map(type, classes)} in ({int}, {str})


def _refuse_own_modules(config: Mapping[str, Any], folder: Path) -> None:
    """What a user wrote in Python cannot be named here."""
    model = config.get("model")
    custom = model.get("custom") if isinstance(model, dict) else None
    if custom and isinstance(custom, list):
        arguments = ", ".join(f"{name}=..." for name in custom)
        raise ContentError(
            f"{folder} holds a model with modules of its user's own, which the command line cannot "
            f"make. Load it in Python: gmvae.GMVAE.load({str(folder)!r}, {arguments})."
        )


def read_json(folder: Path, name: str, option: str = "--model") -> dict[str, Any]:
    """One of the JSON files of the folder that ``option`` names."""
    path = folder / name
    if not path.exists():
        raise FileNotFoundError(
            f"`{option}` expected a run folder; got {folder}, {_state(folder, name)}"
        )
    content = reading.read_json(path)
    if not isinstance(content, dict):
        raise ContentError(f"{path} expected a JSON object; got {type(content).__name__}.")
    return content


def _state(folder: Path, name: str) -> str:
    """Why a folder is no run folder, and what to do."""
    # Here: that module imports from this one.
    from . import unfinished

    if (unfinished.folder_of(folder) / unfinished.ASKED).exists():
        return f"whose run has not ended. Go on with it: {unfinished.go_on(folder)}"
    missing = f"which has no {name}" if folder.exists() else "which does not exist"
    return f"{missing}. Make one with: gmvae train"


def lasting(source: str) -> str:
    """``source`` as it can be found again from any folder: a name, or an absolute path."""
    return source if is_named(source) else str(Path(source).absolute())


def beside(model: Path, name: str) -> Path:
    """Where a command's result about a run goes by default: ``RUN-name`` beside its folder."""
    place = beside_its_folder(model)
    # As it was typed where that says it: gmvae-run, not /home/me/gmvae-run.
    around = model.parent if model.name == place.name else place.parent
    return around / f"{place.name}-{name}"


def images_for(
    run: Run, data: str | None, root: Path | None, *, scored: bool = True, strict: bool = False
) -> tuple["Images", str]:
    """The images that ``data`` names, and what they are in words.

    Without ``data`` those of the run. A set that has a test part means that part, of the classes
    that the run was trained on where it is a named one or the run's own. They are read as the run's
    were: brought to the same size, grey or not. Classes of the same word become the model's.

    Args:
        run: the model and what it was trained on.
        data: a name or a path; None for the data of the run.
        root: where named sets lie.
        scored: whether labels of the images are compared with what the model predicts.
        strict: whether a picture that cannot be read stops all.

    Raises:
        ContentError: images of another shape than the model's, or whose classes have the names of
            others.
    """
    source = run.training.get("data") if data is None else data
    if source is None:
        raise FileNotFoundError(f"{run.folder} does not say what it was trained on. Name DATA.")
    named = is_named(source)
    classes = run.classes if named or data is None else None
    reading = run.reading(strict)
    if data is None:
        images = _trained_on(run, source, classes, root, reading)
    else:
        images = load_part(source, "test", classes, root, reading)
    check_shape(run.gmvae, images)
    images = _check_names(run, images, scored)
    part = "test" if named or has_test_part(source) else ""
    return images, describe(as_shown(source), classes, part)


def _trained_on(
    run: Run,
    source: str,
    classes: tuple[int | str, ...] | None,
    root: Path | None,
    reading: Reading,
) -> "Images":
    """The images that the run's configuration names; it is to blame if they cannot be had."""
    config = run.folder / CONFIG_FILE
    if not is_named(source) and not Path(source).exists():
        raise FileNotFoundError(
            f"`DATA` expected where {config} names data that are there; got {source}, which does "
            "not exist. Name DATA."
        )
    try:
        return load_part(source, "test", classes, root, reading)
    except ArgumentError as error:
        raise ContentError(f"{config} names data that cannot be read: {error}") from error


def check_shape(gmvae: "GMVAE", images: "Images") -> None:
    """Refuse images that the model was not made for."""
    expected = tuple(gmvae.config.image_shape)
    if images.shape != expected:
        raise ContentError(
            f"`DATA` expected images of shape {expected}, as the model was trained on; got "
            f"{images.shape} in {images.name}. Use a model trained on such images."
        )


def _check_names(run: Run, images: "Images", scored: bool = True) -> "Images":
    """The images, their classes numbered as in training where both have words for them.

    Words and numbers cannot be compared where the model predicts classes, the images have some and
    the two are ``scored``.

    Raises:
        ContentError: a class of a word that training had not, or of another kind.
    """
    trained: Mapping[str, str] = run.training.get("class_names", {})
    if scored and run.gmvae.component_classes is not None and images.classes:
        _check_kind(run.gmvae.component_classes, trained, images)
    if not trained or not images.class_names:
        return images
    numbers = {word: int(value) for value, word in trained.items()}
    if not {*images.class_names.values()} <= {*numbers}:
        if not scored:
            return images
        raise ContentError(
            f"`DATA` expected the classes that the model was trained on, {listed(trained)}; "
            f"got {listed(images.class_names)} in {images.name}. Give it a subfolder of each "
            "name, or name the subfolders of both by numbers."
        )
    values = {value: numbers[word] for value, word in images.class_names.items()}
    of_all = {value: values.get(value, value) for value in images.classes}
    return images.renumbered(of_all, {int(value): word for value, word in trained.items()})


def _check_kind(
    predicted: Sequence[int | None], trained: Mapping[str, str], images: "Images"
) -> None:
    """Refuse words where numbers are predicted, and numbers where words are.

    Values that all stood for a class in training are compared by number, and this is told.
    """
    if bool(images.class_names) == bool(trained):
        return
    numbers = sorted({value for value in predicted if value is not None})
    classes = {*map(str, numbers), *trained}
    expected = listed(trained) or f"{', '.join(map(str, numbers))}, without words"
    values = listed(images.class_names) or ", ".join(map(str, images.classes))
    if not {*map(str, images.classes)} <= classes:
        raise ContentError(
            f"`DATA` expected the classes that the model was trained on, {expected}; got {values} "
            f"in {images.name}. Name them alike: subfolders by the words, or by the numbers; or "
            "leave the labels out."
        )
    line = f"Classes are compared by number: {values} in {images.name}, {expected} in training."
    print(line, file=sys.stderr, flush=True)


def listed(class_names: Mapping[Any, str]) -> str:
    """``0 (four), 1 (one)``."""
    return listed_names(f"{value} ({name})" for value, name in class_names.items())


def write_history(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """One row an epoch; a column that a phase has not is empty."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(history)


def stored_picture(folder: Path, name: str) -> bytes | None:
    """A picture of a run folder; None where there is none, or what is no picture of a run."""
    path = folder / f"{name}.png"
    if not path.is_file() or path.stat().st_size > LARGEST_PICTURE:
        return None
    content = path.read_bytes()
    return content if content.startswith(PNG) else None


def draw(
    told: "Told",
    history: Sequence[Mapping[str, Any]] = (),
    names: Sequence[str] = PICTURES,
) -> dict[str, "Figure"]:
    """The pictures of a run, by their file's name.

    That of the classes needs labels, and that of the training its history.

    Args:
        told: what the model says of the images that are drawn.
        history: of the training, a row of figures an epoch.
        names: of those to draw.
    """
    from gmvae import plots

    gmvae, images = told.gmvae, told.images
    ways: dict[str, Callable[[], Figure]] = {
        "latent": lambda: plots.latent_space(gmvae, images, told=told),
        "reconstructions": lambda: plots.reconstructions(gmvae, images),
        "manifold": lambda: plots.manifold(gmvae, images, told=told),
        "mixture": lambda: plots.mixture(gmvae, images, told=told),
        "ambiguous": lambda: plots.ambiguous(gmvae, images, told=told),
        "clusters": lambda: plots.clusters(gmvae, images, told=told),
        "classes": lambda: plots.class_table(gmvae, images, told=told),
        "curves": lambda: plots.curves(history),
    }
    absent = {"classes"} if images.labels is None else set()
    absent |= set() if history else {"curves"}
    return {name: ways[name]() for name in names if name not in absent}
