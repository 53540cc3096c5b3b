"""What is said of clusters: from states and evidence whose answers are known."""

import dataclasses

import numpy as np
import pytest
import torch
from toys import random_images, tiny

from gmvae.data import Images
from gmvae.settings import Settings
from gmvae.training.cluster_warnings import cluster_evidence, cluster_warnings
from gmvae.training.stability import Evidence
from gmvae.training.state import begin

N, K = 30, 3


@pytest.fixture
def images():
    return Images(random_images(N).numpy())


def make(**settings):
    """A state before the first phase, of a model that is not trained."""
    gmvae = tiny(n_components=K)
    return begin(gmvae, Settings(**({"n_components": K} | settings)), np.full(N, -1), None)


class TestClusterWarnings:
    @pytest.mark.parametrize(
        ("prominences", "line"),
        [
            ([9.0, 4.5, 1.0], None),
            ([9.0, 3.0], "clusters: the density of the images has 2 peaks"),
            ([3.0, 1.0], "clusters: nothing was found: between the 3 clusters"),
            # Too few images for a density, or labels led.
            ([], None),
        ],
    )
    def test_three_clusters_by_what_parts_them(self, images, prominences, line):
        state = dataclasses.replace(make(), prominences=np.array(prominences))
        lines = [x for x in cluster_warnings(state, images) if x.startswith("clusters")]
        assert len(lines) == (line is not None)
        assert all(x.startswith(line) for x in lines)

    @pytest.mark.parametrize(
        ("effort", "remedies"),
        [
            ("standard", ("Try 2, or --components auto.", "or a larger `latent_dim`.")),
            ("quick", ("look again after one of standard effort.",) * 2),
        ],
    )
    def test_a_quick_run_gives_no_number_to_try(self, images, monkeypatch, effort, remedies):
        state = make(effort=effort)
        state = dataclasses.replace(state, prominences=np.array([9.0, 3.0]))
        sure = torch.eye(3)[torch.arange(N) % 3]
        monkeypatch.setattr(state.gmvae, "classify", lambda x: sure)
        monkeypatch.setattr(state.gmvae, "responsibilities", lambda x: sure.roll(1, -1))
        of_peaks, of_agreement = cluster_warnings(state, images)
        assert of_peaks.endswith(remedies[0])
        assert of_agreement.endswith(remedies[1])

    @pytest.mark.parametrize(("n_apart", "warned"), [(1, False), (2, True)])
    def test_one_in_twenty_may_be_of_another_component(self, monkeypatch, n_apart, warned):
        """Of 30 images 1 is 3.3 %, and 2 are 6.7 %."""
        state = make()
        sure = torch.eye(3)[torch.arange(N) % 3]
        monkeypatch.setattr(state.gmvae, "classify", lambda x: sure)
        other = sure.clone()
        other[:n_apart] = other[:n_apart].roll(1, -1)
        monkeypatch.setattr(state.gmvae, "responsibilities", lambda x: other)
        pixels = np.zeros((N, 1, 3, 4), np.float32)
        lines = cluster_warnings(state, Images(pixels))
        assert len(lines) == warned
        assert all(line.startswith("agreement: of 6.7% of the images") for line in lines)


def evidence(**changes):
    """Three stable components, each a peak, of a half, 30 % and a fifth of the images."""
    sound = Evidence(
        np.array([0.5, 0.3, 0.2]),
        np.array([0.95, 0.9, 0.8]),
        np.array([True, True, True]),
        np.array([[0.9, 0.1], [1.0, 0.0], [1.0, 0.0]]),
    )
    return dataclasses.replace(sound, **changes)


class TestOfEachComponent:
    def said(self, of_each, prominences=(9.0, 8.0)):
        state = dataclasses.replace(make(assignment="exact"), prominences=np.array(prominences))
        images = Images(random_images(N).numpy())
        return [
            line
            for line in cluster_warnings(state, images, of_each)
            if not line.startswith("clusters")
        ]

    def test_nothing_of_stable_ones(self):
        assert self.said(evidence()) == []
        assert self.said(None) == []

    @pytest.mark.parametrize(
        ("stability", "peak", "warned"),
        [(0.74, False, True), (0.75, False, False), (0.2, True, False), (0.0, False, True)],
    )
    def test_one_that_falls_apart_and_is_no_peak(self, stability, peak, warned):
        of_each = evidence(
            stabilities=np.array([0.95, 0.9, stability]), peaks=np.array([True, True, peak])
        )
        lines = self.said(of_each, prominences=(9.0, 3.0))
        assert lines == (
            [
                "stability: not found again where a fifth of the images is left out, and no peak "
                f"of their density: component 2 (20.0% of the images: {stability:.2f}). (The mean "
                "Jaccard index with what is found then is 0.75 or more of a stable one.) It may be "
                "a cut through one kind. Look at clusters.png; try 2 components."
            ]
            if warned
            else []
        )

    def test_an_empty_one_is_said_to_be_empty_elsewhere(self):
        of_each = evidence(
            shares=np.array([0.6, 0.4, 0.0]),
            stabilities=np.array([0.9, 0.9, 0.0]),
            peaks=np.array([True, True, False]),
            modes=np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]),
        )
        assert self.said(of_each) == []

    @pytest.mark.parametrize(("second", "warned"), [(0.19, False), (0.2, True)])
    @pytest.mark.parametrize(("n_peaks", "number"), [(3, 4), (6, 6)])
    def test_one_of_two_peaks(self, second, warned, n_peaks, number):
        """Whether it is stable, too: two kinds that always come together are."""
        of_each = evidence(modes=np.array([[0.6, second], [1, 0], [1, 0]]))
        lines = self.said(of_each, prominences=[9.0] * (n_peaks - 1))
        assert lines == (
            [
                "modes: two peaks of the density of the images lie in component 0 (50.0% of the "
                f"images: 60% and {second:.0%} of it). It may be two kinds. Look at clusters.png; "
                f"try {number} components."
            ]
            if warned
            else []
        )

    def test_one_of_two_peaks_where_there_are_fewer_peaks_than_components(self):
        """Elsewhere one kind is cut: the number may be right."""
        of_each = evidence(modes=np.array([[0.6, 0.4], [1, 0], [1, 0]]))
        (line,) = [line for line in self.said(of_each, prominences=[9.0]) if "modes" in line]
        assert line.endswith("Look at clusters.png; try another seed.")

    def test_several_are_in_one_line(self):
        of_each = evidence(stabilities=np.array([0.5, 0.9, 0.4]), peaks=np.zeros(3, dtype=bool))
        (line,) = self.said(of_each, prominences=(9.0, 3.0))
        named = "component 0 (50.0% of the images: 0.50), 2 (20.0% of the images: 0.40)."
        assert f"no peak of their density: {named}" in line

    def test_two_kinds_in_one_and_one_in_two_need_no_other_number(self):
        of_each = evidence(
            modes=np.array([[0.6, 0.4], [1, 0], [1, 0]]),
            stabilities=np.array([0.5, 0.9, 0.5]),
            peaks=np.array([False, True, False]),
        )
        of_modes, of_cuts = self.said(of_each)
        assert of_modes.endswith("Look at clusters.png; try another seed.")
        # What holds two is no cut, though it falls apart.
        assert "no peak of their density: component 2 (20.0%" in of_cuts
        assert of_cuts.endswith("try another seed.")

    def test_where_nothing_was_found_no_single_one_is_named(self):
        of_each = evidence(stabilities=np.zeros(3), peaks=np.zeros(3, dtype=bool))
        assert self.said(of_each, prominences=(3.0, 1.0)) == []


class TestEvidence:
    """60 images in three far groups, of which the model knows two."""

    def state(self, **changes):
        rng = np.random.default_rng(0)
        kinds = np.arange(60) % 3
        points = 20 * np.eye(3)[kinds] + rng.normal(size=(60, 3))
        state = dataclasses.replace(
            make(augment="none"),
            sample=np.arange(60),
            places=points,
            prominences=np.array([9.0, 8.0]),
        )
        components = torch.eye(3)[torch.as_tensor(np.minimum(kinds, 1))]
        state.gmvae.classify = lambda x: components[np.round(59 * x.pixels[:, 0, 0, 0]).astype(int)]
        return dataclasses.replace(state, **changes)

    @pytest.fixture
    def sixty(self):
        """Images that say which they are."""
        pixels = np.zeros((60, 1, 3, 4), np.float32)
        pixels[:, 0, 0, 0] = np.arange(60) / 59
        return Images(pixels)

    def test_is_of_the_components_as_the_model_names_them(self, sixty):
        found = cluster_evidence(self.state(), sixty)
        assert found.shares == pytest.approx([1 / 3, 2 / 3, 0])
        assert found.stabilities[2] == 0
        assert found.modes[0] == pytest.approx([1, 0])
        assert found.modes[1] == pytest.approx([0.5, 0.5])

    def test_is_of_the_sample(self, sixty, monkeypatch):
        noted = []
        of = Evidence.of
        monkeypatch.setattr(Evidence, "of", lambda *args: noted.append(args) or of(*args))
        rows = np.random.default_rng(1).permutation(60)[:40]
        whole = self.state()
        cluster_evidence(dataclasses.replace(whole, sample=rows, places=whole.places[rows]), sixty)
        ((points, components, k, seed, by_views),) = noted
        assert (points.shape, k, seed, by_views) == ((40, 3), 3, 0, None)
        # The rows are the same of both: far groups have one component each.
        assert np.array_equal(np.minimum(points.argmax(1), 1), components)

    @pytest.mark.parametrize(
        "changes",
        [
            {"prominences": None},
            {"prominences": np.zeros(0)},
            {"places": None},
            {"sample": None, "places": None},
            {"settings": Settings(n_components=K, effort="quick")},
        ],
    )
    def test_none_where_the_clusters_were_not_looked_for(self, sixty, changes):
        assert cluster_evidence(self.state(**changes), sixty) is None

    def test_none_of_too_few_images(self, sixty):
        whole = self.state()
        few = dataclasses.replace(whole, sample=np.arange(15), places=whole.places[:15])
        assert cluster_evidence(few, sixty) is None
