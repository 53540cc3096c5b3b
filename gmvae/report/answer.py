"""The answer of a run in three sentences: how many clusters, how sure, what to doubt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from gmvae.gmvae import component_title
from gmvae.plots.tiles import SURE
from gmvae.support.names import counted

# Why there are so many, by what decided it.
ORIGINS = {
    "classes": "as many as there are classes",
    "asked": "as many as were asked for",
    "density": "as many as their density has peaks that stand out of its noise",
}
# Of a few hundred images, clustered without labels, the probabilities are too sure; of some
# thousand they are not (see the README, "Which probability?").
FEW_IMAGES = 2_000


@dataclass(frozen=True)
class Training:
    """What of a training bears on how far its answer can be trusted.

    Attributes:
        origin: what decided the number of components: a key of ``ORIGINS``; None where that is not
            known.
        n_images: that were trained on.
        labels_observed: how many of their labels the model saw.
        warnings: of the run.
    """

    origin: str | None
    n_images: int
    labels_observed: int
    warnings: Sequence[str] = ()

    @classmethod
    def of(cls, record: Mapping[str, Any], warnings: Sequence[str] = ()) -> "Training":
        """From the record of a training, as :attr:`gmvae.GMVAE.training_record` has it."""
        classes = record.get("classes") or ()
        observed = int(record.get("labels_observed") or 0)
        settings = record.get("settings") or {}
        asked = settings.get("n_components")
        origin = None
        if asked is not None:
            origin = "classes" if asked == len(classes) else "asked"
        elif "n_components" in settings:
            origin = "classes" if observed else "density"
        return cls(origin, int(record.get("n_images") or 0), observed, tuple(warnings))


def sentences(
    records: Sequence[Mapping[str, Any]],
    probability: NDArray[Any],
    accuracy: float | None,
    training: Training,
) -> tuple[str, str, str]:
    """How many clusters, how sure, what to doubt.

    Args:
        records: a record a component: ``name``, ``images``, ``share`` and ``probability``.
        probability: how probable the component of each image is, (N,), from 0 to 1.
        accuracy: of the labels of these images; None without labels.
        training: what the answer rests on.
    """
    unsure = int((probability < SURE).sum())
    return (
        _how_many(records, len(probability), training.origin),
        _how_sure(probability, unsure, accuracy),
        _what_to_doubt(records, unsure, training),
    )


def _how_many(records: Sequence[Mapping[str, Any]], n: int, origin: str | None) -> str:
    sizes = [record["share"] for record in records if record["images"]]
    k, used = len(records), len(sizes)
    clusters = counted(used, "cluster")
    clusters += "" if used == k else f", of {k} components that could hold some"
    why = f", {ORIGINS[origin]}" if origin is not None and used == k else ""
    images = f"{counted(n, 'image')} {'falls' if n == 1 else 'fall'}"
    line = f"The {images} into {clusters}{why}"
    if used < 2:
        return f"{line}."
    return f"{line}: the largest holds {max(sizes):.1%} of them, the smallest {min(sizes):.1%}."


def _how_sure(probability: NDArray[Any], unsure: int, accuracy: float | None) -> str:
    line = (
        f"On average an image is in its cluster with probability {probability.mean():.3f}, and "
        f"{unsure:,} of {len(probability):,} are below {SURE:g}"
    )
    if accuracy is None:
        return f"{line}; no labels say whether that is right."
    return f"{line}; their labels agree with the clusters on {accuracy:.1%}."


def _what_to_doubt(records: Sequence[Mapping[str, Any]], unsure: int, training: Training) -> str:
    n = len(training.warnings)
    if n:
        return (
            f"Doubt the clusters themselves: the training ended with "
            f"{counted(n, 'warning')}, which {'stands' if n == 1 else 'stand'} below."
        )
    held = [record for record in records if record["probability"] is not None]
    least = min(held, key=lambda record: float(record["probability"]))
    names = tuple(record["name"] for record in records)
    line = f"Doubt {component_title(names, least['component'])} first"
    if len(held) > 1:
        line += f", whose images have the least probability, {least['probability']:.3f} on average"
    if unsure:
        line += f", then the {counted(unsure, 'image')} of a probability below {SURE:g}"
    if training.n_images < FEW_IMAGES and not training.labels_observed:
        return (
            f"{line}; of so few images, clustered without labels, the probabilities are too sure."
        )
    return f"{line}."
