"""Which images a run trains on, which labels it may see, and which images score it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from gmvae.support.choices import NAMED
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.support.reading import check_source

if TYPE_CHECKING:
    import numpy as np

    from gmvae import Images

# The original's experiment, on the embedded digits.
ORIGINAL_DATA = "digits"
ORIGINAL_CLASSES = (1, 4, 8)
ORIGINAL_LABELS = 5
# In place of the class of an image whose label the model may not see.
UNSEEN = -1


@dataclass(frozen=True)
class Reading:
    """How images are read: the side to bring them to, grey or not, and what stops the reading."""

    resize: int | None = None
    grey: bool = False
    strict: bool = False

    def options(self) -> dict[str, Any]:
        """What `gmvae.load` is told, where it is not the default."""
        values = {"resize": self.resize, "grey": self.grey, "strict": self.strict}
        return {name: value for name, value in values.items() if value}


@dataclass(frozen=True)
class Request:
    """What the user asked for; None where nothing was said."""

    data: str | None = None
    val: str | None = None
    classes: tuple[int | str, ...] | None = None
    labels: int | None = None
    data_root: Path | None = None
    seed: int = 0
    reading: Reading = Reading()
    labels_from: Path | None = None

    @property
    def source(self) -> str:
        """The name or path of the data."""
        return ORIGINAL_DATA if self.data is None else self.data

    def completed(self) -> "Request":
        """The same, with the original's experiment where no data is named."""
        if self.data is not None:
            return self
        labels = ORIGINAL_LABELS if self.labels is None and self.val is None else self.labels
        return replace(self, classes=self.classes or ORIGINAL_CLASSES, labels=labels)


@dataclass(frozen=True)
class Experiment:
    """The images of a run.

    Attributes:
        train: the images to train on, N of them.
        observed: (N,) int64, the class of an image whose label the model may see, else -1.
        held_out: images that tell when to stop; None leaves the choice to the recipe.
        scored: the images that the run is scored on.
        scored_name: what those are, in words.
    """

    train: "Images"
    observed: "np.ndarray"
    held_out: "Images | None"
    scored: "Images"
    scored_name: str

    @property
    def n_observed(self) -> int:
        """How many labels the model may see."""
        return int((self.observed != UNSEEN).sum())

    @property
    def n_components(self) -> int | None:
        """One component a class; None, so that it is found, where no class is known."""
        classes = {*self.train.classes, *self.observed.tolist()} - {UNSEEN}
        return len(classes) or None


def class_list(text: str | None) -> tuple[int | str, ...] | None:
    """``1,4,8`` as (1, 4, 8), ``cat,flower`` as the words; None stays None.

    Raises:
        ArgumentError: anything but distinct whole numbers, or distinct words, between commas.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    numbers = [part for part in parts if part.isdecimal()]
    # A part that begins as a number does, and is none, was not meant as a word.
    words = [part for part in parts if part and not part[0].isdecimal() and part[0] not in "-+."]
    if len(parts) not in (len(numbers), len(words)) or len(set(parts)) < len(parts):
        raise ArgumentError(
            f"`--classes` expected distinct whole numbers, or distinct words, between commas; got "
            f"{text!r}. Write them as 1,4,8 or cat,dog."
        )
    return tuple(map(int, parts)) if numbers else tuple(parts)


def prepare(request: Request) -> Experiment:
    """Load the images of a run and choose the labels it may see.

    Observed labels come from ``val`` where it has labels: those rows join the training images,
    and what is left of ``val`` is held out. Else they come from the training images.

    Raises:
        ArgumentError: labels asked for where there are none, too few of a class, an unknown
            name or class.
        ContentError: what a file holds does not fit.
        FileNotFoundError: a path that does not exist.
    """
    request = request.completed()
    train = load_part(request.source, "train", request.classes, request.data_root, request.reading)
    if request.labels_from is not None:
        return _with_table(request, train)
    if request.val is None:
        return _without_val(request, train)
    val = _load_val(request.val, request.data_root, request.reading)
    if val.shape != train.shape:
        raise ContentError(
            f"`--val` expected images of shape {train.shape}, as in {train.name}; got {val.shape} "
            f"in {val.name}. Bring both to one size and one number of channels."
        )
    if val.labels is None:
        return replace(_without_val(request, train), held_out=val)
    return _with_labelled_val(request, train, val.only(request.classes or val.classes))


def load_part(
    source: str,
    part: Literal["train", "test", "val"],
    classes: tuple[int | str, ...] | None,
    root: Path | None,
    reading: Reading = Reading(),
) -> "Images":
    """The images of a named set's part, or of a path, of these classes or of all."""
    from gmvae import load

    images = load(source, part=part, root=root, **reading.options())
    return images if classes is None else images.only(classes)


def _load_val(source: str, root: Path | None, reading: Reading) -> "Images":
    """The images of ``--val``: of a file with a part for validation, that part."""
    from gmvae.data import has_val_part

    with _of_val():
        part: Literal["train", "val"] = "val" if has_val_part(source) else "train"
        return load_part(source, part, None, root, reading)


def is_named(source: str) -> bool:
    """Whether ``source`` is a named set, which has a test part."""
    return source in NAMED


def check_data(source: str | None) -> None:
    """Refuse DATA that are not there, before anything slow is imported.

    Raises:
        ArgumentError: a word that names no set.
        FileNotFoundError: no such path.
    """
    if source is not None:
        check_source(source)


def check_request(request: Request) -> None:
    """The same of all that a run reads.

    Raises:
        ArgumentError, FileNotFoundError: as for `check_data`, of DATA or ``--val``.
    """
    check_data(request.data)
    with _of_val():
        check_data(request.val)


@contextmanager
def _of_val() -> Iterator[None]:
    """Name ``--val`` in an error of its images: the library knows one source, we know two."""
    try:
        yield
    except (ArgumentError, FileNotFoundError) as error:
        raise type(error)(str(error).replace("`source`", "`--val`")) from error


def has_test_part(source: str) -> bool:
    """Whether ``source`` has images for training and others for test."""
    from gmvae.data import has_test_part

    return has_test_part(source)


def describe(source: str, classes: Sequence[int | str] | None, part: str = "") -> str:
    """``digits, test part, classes 1, 4, 8``."""
    parts = [source, f"{part} part" if part else ""]
    if classes is not None:
        parts.append(f"class{'es' if len(classes) > 1 else ''} " + ", ".join(map(str, classes)))
    return ", ".join(filter(None, parts))


def as_shown(source: str) -> str:
    """A name as it is, and a path as one would type it here: of one elsewhere its last part alone.

    A run's record holds whole paths, and what it stands on is shown to others.
    """
    path = Path(source)
    if is_named(source) or not path.is_absolute():
        return source
    with suppress(OSError, ValueError):  # no folder to be in any more, or one elsewhere
        return str(path.relative_to(Path.cwd()))
    return path.name


def _without_val(request: Request, train: "Images") -> Experiment:
    observed = _unseen(train)
    if request.labels:
        rows = _chosen(train, request.labels, request.seed)
        observed[rows] = _labels(train)[rows]
    return Experiment(train, observed, None, *_scored(request, train, observed))


def _with_table(request: Request, train: "Images") -> Experiment:
    """The labels of a table are those that the model may see, or some of each class.

    Those that it may not see score the result.
    """
    import numpy as np

    from gmvae.data.tables import read_labels

    if request.val is not None:
        raise ArgumentError(
            "`--labels-from` expected no --val beside it; got both. Observe the labels of one."
        )
    assert request.labels_from is not None
    of_table, names = read_labels(request.labels_from, train)
    train = replace(train, class_names=names)
    if request.labels is None:
        return Experiment(train, of_table, None, *_scored(request, train, of_table))
    rows = np.flatnonzero(of_table != UNSEEN)
    labelled = replace(train.subset(rows), labels=of_table[rows])
    places = _chosen(labelled, request.labels, request.seed)
    observed = _unseen(train)
    observed[rows[places]] = of_table[rows[places]]
    others = np.setdiff1d(np.arange(len(rows)), places)
    if not len(others):
        return Experiment(train, observed, None, *_scored(request, train, observed))
    name = f"{request.source}, the images with other labels in {request.labels_from}"
    return Experiment(train, observed, None, labelled.subset(others), name)


def _with_labelled_val(request: Request, train: "Images", val: "Images") -> Experiment:
    import numpy as np

    if train.classes and not set(train.classes) & set(val.classes):
        raise ContentError(
            f"`--val` expected some of the classes of {train.name}, "
            f"{', '.join(map(str, train.classes))}; got {', '.join(map(str, val.classes))} in "
            f"{val.name}. Number the classes of both alike."
        )
    everything = np.arange(len(val))
    rows = everything if request.labels is None else _chosen(val, request.labels, request.seed)
    rest = np.setdiff1d(everything, rows)
    observed = np.concatenate([_unseen(train), _labels(val)[rows]])
    return Experiment(
        train.joined(val.subset(rows)) if len(rows) else train,
        observed,
        val.subset(rest) if len(rest) else None,
        *_scored(request, train, _unseen(train)),
    )


def _unseen(images: "Images") -> "np.ndarray":
    import numpy as np

    return np.full(len(images), UNSEEN, dtype=np.int64)


def _labels(images: "Images") -> "np.ndarray":
    if images.labels is None:
        raise ArgumentError(
            f"`--labels` expected images with labels; got {images.name}, which has none. "
            "Add labels to the file, or give a labelled --val."
        )
    return images.labels


def _chosen(images: "Images", n: int, seed: int) -> "np.ndarray":
    """The rows whose label the model may see, ``n`` of each class."""
    import numpy as np

    _labels(images)
    return images.per_class(n, np.random.default_rng(seed))


def _scored(request: Request, train: "Images", observed: "np.ndarray") -> tuple["Images", str]:
    """The test part of a named set; of a path, the images whose label was not observed."""
    import numpy as np

    if has_test_part(request.source):
        images = load_part(
            request.source, "test", request.classes, request.data_root, request.reading
        )
        return images, describe(request.source, request.classes, "test")
    name = describe(request.source, request.classes) + ", the training images themselves"
    unseen = np.flatnonzero(observed == UNSEEN)
    if len(unseen) in (0, len(train)):
        return train, name
    return train.subset(unseen), f"{name} but the {len(train) - len(unseen)} observed ones"
