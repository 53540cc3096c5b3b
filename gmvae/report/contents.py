"""What stands on a page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gmvae.report.pictures import Picture

if TYPE_CHECKING:
    from gmvae.report.cards import Card, ClassTable

# A name and a value in words; a name without a value is a heading of those below it.
Row = tuple[str, str]


@dataclass(frozen=True)
class Report:
    """A page on one run.

    Attributes:
        title: of the page.
        asked: what for and on what data.
        answer: in three sentences.
        warnings: of the run.
        scored_on: which images the clusters and figures are of.
        cards: a cluster each.
        classes: how they agree with classes; None without labels.
        pictures: by name: ``latent``, ``mixture``, ``manifold``, ``reconstructions``,
            ``ambiguous``, ``curves``; those that there are.
        figures: what was measured.
        diagnosis: ``checks``, as :meth:`gmvae.diagnostics.Check.as_dict` has them, the ``verdict``,
            ``images`` and ``n_images`` it is of, and ``consequences``, lines; None where none was
            made.
        settings: of the training.
        versions: what it was made with.
        again: what to type to run the same again.
        diagnose: what to type for a diagnosis.
        running: how far a run has come that has not ended, in words; None of one that has. Such a
            page opens itself anew from time to time, and has no diagnosis and nothing to run again.
    """

    title: str
    asked: Sequence[Row]
    scored_on: str
    settings: Sequence[Row]
    versions: Sequence[Row]
    answer: Sequence[str] = ()
    warnings: Sequence[str] = ()
    cards: "Sequence[Card]" = ()
    classes: "ClassTable | None" = None
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    figures: Sequence[Row] = ()
    diagnosis: Mapping[str, Any] | None = None
    again: str = ""
    diagnose: str = ""
    running: str | None = None
    template: str = field(default="report.html", init=False)


@dataclass(frozen=True)
class Column:
    """A run among several.

    Attributes:
        name: its folder.
        pictures: by name, as in `Report`.
    """

    name: str
    pictures: Mapping[str, Picture]


@dataclass(frozen=True)
class Comparison:
    """A page on several runs.

    Attributes:
        title: of the page.
        columns: a run each, R of them.
        remarks: what forbids to compare them, or to compare some figures.
        figures: a name, R values in words, and which of them is the best, None for none.
        settings: those that differ: a name and R values.
        pictures: the names of the pictures that any run has, and what they show.
    """

    title: str
    columns: Sequence[Column]
    remarks: Sequence[str]
    figures: Sequence[tuple[str, Sequence[str], int | None]]
    settings: Sequence[tuple[str, Sequence[str]]]
    pictures: Sequence[Row]
    template: str = field(default="compare.html", init=False)
