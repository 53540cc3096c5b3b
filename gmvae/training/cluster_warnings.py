"""What a user should be told of the clusters: a line each."""

from collections.abc import Iterator

import numpy as np

from gmvae.data import Images
from gmvae.support.names import counted, listed
from gmvae.training.density import LEAST_POINTS, n_clusters
from gmvae.training.neighbours import mutual_graph
from gmvae.training.outcome import remedy_for, spread_out
from gmvae.training.stability import STABLE, Evidence
from gmvae.training.state import State

# Of the images: a few in a hundred lie between two Gaussians in any case.
_PARTING = 0.05


def cluster_evidence(state: State, images: Images) -> Evidence | None:
    """What the representation, where the clusters were found, says of each component.

    It is that of the sample that the placing left, up to 2,000 training images. None of one
    component, of a quick run, whose features have hardly been learned, where labels led, and of too
    few images.

    Args:
        state: at the end of the run.
        images: the training images.
    """
    k, rows, places = state.n_components, state.sample, state.places
    nothing = state.prominences is None or len(state.prominences) == 0
    if k == 1 or nothing or state.settings.effort == "quick" or rows is None or places is None:
        return None
    if len(rows) < max(LEAST_POINTS, 3 * k):
        return None
    neighbours = state.view_neighbours
    by_views = None if neighbours is None else mutual_graph(neighbours)
    components = state.gmvae.classify(images.subset(rows)).argmax(-1).numpy()
    return Evidence.of(places, components, k, state.settings.seed, by_views)


def cluster_warnings(state: State, images: Images, evidence: Evidence | None = None) -> list[str]:
    """A line where the clusters are no kinds, or the two classifications part.

    Args:
        state: of the run.
        images: the training images.
        evidence: what :func:`cluster_evidence` says of them.
    """
    n_peaks = _n_peaks(state)
    # Where nothing was found, that is said of all of them.
    known = () if evidence is None or n_peaks == 1 else _component_warnings(evidence, n_peaks)
    return [*_valley_warnings(state), *known, *_agreement_warnings(state, images)]


def _n_peaks(state: State) -> int:
    """How many peaks of the density stand out of its noise, at the start; 1 where not known."""
    return 1 if state.prominences is None else n_clusters(state.prominences)


def _component_warnings(evidence: Evidence, n_peaks: int) -> Iterator[str]:
    """A line on the components that hold two peaks, and one on those that are not found again."""
    k, shares, stabilities = len(evidence.shares), evidence.shares, evidence.stabilities
    holds_two, cut = evidence.hold_two, evidence.fall_apart
    more, fewer = max(n_peaks, k + int(holds_two.sum())), min(n_peaks, k - 1)
    if holds_two.any() and (cut.any() or n_peaks < k):
        # Two kinds in one and one kind in two: the number may be right, and the clusters are not.
        first_remedy = second_remedy = "try another seed."
    else:
        first_remedy, second_remedy = (
            f"try {more} components.",
            f"try {counted(fewer, 'component')}.",
        )
    if holds_two.any():
        percents = {i: " and ".join(f"{m:.0%}" for m in evidence.modes[i]) for i in range(k)}
        named = [
            f"{i} ({shares[i]:.1%} of the images: {percents[i]} of it)"
            for i in np.flatnonzero(holds_two).tolist()
        ]
        yield (
            f"modes: two peaks of the density of the images lie in component {listed(named)}. It "
            f"may be two kinds. Look at clusters.png; {first_remedy}"
        )
    if cut.any():
        named = [
            f"{i} ({shares[i]:.1%} of the images: {stabilities[i]:.2f})"
            for i in np.flatnonzero(cut).tolist()
        ]
        yield (
            "stability: not found again where a fifth of the images is left out, and no peak of "
            f"their density: component {listed(named)}. (The mean Jaccard index with what is found "
            f"then is {STABLE} or more of a stable one.) It may be a cut through one kind. Look at "
            f"clusters.png; {second_remedy}"
        )


def _valley_warnings(state: State) -> list[str]:
    """A line where the clusters are cuts through one cloud, all of them or some."""
    k, prominences = state.n_components, state.prominences
    if k == 1 or prominences is None or len(prominences) == 0:
        return []
    n = _n_peaks(state)
    if n >= k:
        return []
    if n == 1:
        return [
            f"clusters: nothing was found: between the {k} clusters the density of the images has "
            "no valley that stands out of its noise, so that they are cuts through one cloud. Do "
            "not take them for kinds; more images, or other views, may tell more."
        ]
    # After a quick run, whose features have hardly been learned, it is no number to try.
    remedy = remedy_for(state, f"Try {n}, or --components auto.")
    return [
        f"clusters: the density of the images has {n} peaks that stand out of its noise, and there "
        f"are {k} components: some share one kind, or a kind is small. {remedy}"
    ]


def _agreement_warnings(state: State, images: Images) -> list[str]:
    """A line where the two classifications part."""
    if state.n_components == 1 or state.settings.assignment == "exact":
        return []
    looked_at = spread_out(images)
    of_guide = state.gmvae.classify(looked_at).argmax(-1)
    of_mixture = state.gmvae.responsibilities(looked_at).argmax(-1)
    part = (of_guide != of_mixture).double().mean().item()
    if part <= _PARTING:
        return []
    remedy = remedy_for(state, "Try more epochs, or a larger `latent_dim`.")
    return [
        f"agreement: of {part:.1%} of the images q(y|x) names another component than the mixture, "
        f"whose Gaussians lie beside them. {remedy}"
    ]
