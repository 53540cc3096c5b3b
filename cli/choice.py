"""What ``gmvae select`` says of the numbers of components that it compared."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from gmvae.support.names import listed

if TYPE_CHECKING:
    from gmvae import Settings
    from gmvae.training.candidates import Candidate

HEADINGS = (
    "components",
    "stability",
    "log-likelihood",
    "standard error",
    "components in use",
    "empty",
    "split",
)
# Beside the number that is named.
MARK = " *"


def row(candidate: "Candidate", marked: bool) -> tuple[str, ...]:
    """What the table says of a number of components, below the headings."""
    stability, split = candidate.stability, candidate.split
    return (
        f"{candidate.n_components}{MARK if marked else ''}",
        "" if stability is None else f"{stability:.3f}",
        f"{candidate.log_likelihood:.2f}",
        f"{candidate.standard_error:.2f}",
        f"{candidate.effective_components:.2f}",
        f"{candidate.empty_components:.1f}",
        "" if split is None else f"{split:.1f}",
    )


def why(candidates: "tuple[Candidate, ...]", named: "Candidate") -> str:
    """Why the number that is marked is."""
    from gmvae.training.candidates import equally_stable

    k, equals = named.n_components, equally_stable(candidates)
    if len(equals) == 1:
        return f"Marked (*): {k} components, the most stable."
    numbers = listed([str(candidate.n_components) for candidate in equals])
    return (
        f"Marked (*): {k} components. Most stable, alike to two decimals, are {numbers}; of these "
        f"{k} is the largest number whose log-likelihood is within a standard error of the best."
    )


def evidence(candidates: "tuple[Candidate, ...]", named: "Candidate") -> Iterator[str]:
    """What the density of the images says of the number that is marked."""
    from gmvae.training.candidates import n_peaks
    from gmvae.training.density import PROMINENT

    n, k = n_peaks(candidates), named.n_components
    if n is None:
        yield "Of so few images the density says nothing of their number."
    elif n == k:
        yield f"The density of the images says so too: {k} peaks stand out of its noise."
    else:
        tried = {candidate.n_components: candidate for candidate in candidates}
        # The split that would have to part clusters, or to part none, for the two to agree.
        split = tried[number].split if (number := k if n < k else k + 1) in tried else None
        by = ""
        if split is not None:
            by = f", and the split that makes {number} has {split:.1f}"
        what = "some may be cuts through one kind" if n < k else "some may hold two kinds"
        other = "" if n in tried else f" Compare {n} too."
        peaks = "1 peak stands" if n == 1 else f"{n} peaks stand"
        yield (
            f"The density of the images says otherwise: {peaks} out of its noise by "
            f"{PROMINENT:g} standard deviations{by}. Of {k} components {what}.{other}"
        )


def doubts(named: "Candidate", settings: "Settings") -> Iterator[str]:
    """Why not to settle on the number that is marked."""
    k, empty = named.n_components, named.empty_components
    if empty >= 0.5:
        yield (
            f"Of its {k} components {empty:.1f} are empty on average, the most probable one of no "
            f"image: {k - round(empty)} may be the better number."
        )
    if settings.effort == "quick":
        yield "Quick runs are short: compare again with the standard effort before you decide."
