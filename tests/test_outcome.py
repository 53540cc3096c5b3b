"""Figures, names and warnings of a run, from states whose answers are known."""

import numpy as np
import pytest
import torch
from toys import Noise, random_images, tiny

from gmvae.data import Images
from gmvae.probability.likelihood import Bernoulli, ContinuousBernoulli, Gaussian
from gmvae.settings import Settings
from gmvae.training.outcome import (
    bound_warnings,
    component_classes,
    figures,
    independent_pixels,
    majorities,
    run_warnings,
)
from gmvae.training.state import begin

N, K = 30, 3


@pytest.fixture
def images():
    return Images(random_images(N).numpy())


class Told(torch.nn.Module):
    """Logits that are nearly one-hot, by the first pixel: below a third, two thirds, one."""

    def __init__(self, k=K, logit=30.0):
        super().__init__()
        self.k, self.logit = k, logit

    def forward(self, x):
        component = (x[:, 0, 0, 0] * self.k).long().clamp(max=self.k - 1)
        return self.logit * torch.nn.functional.one_hot(component, self.k).float()


def make(observed=None, held_out=None, assigner=None, **settings):
    k = settings.setdefault("n_components", K)
    gmvae = tiny(n_components=k, likelihood=settings.get("likelihood", "bernoulli"))
    if assigner is not None:
        gmvae.guide.assigner = assigner
    labels = np.full(N, -1) if observed is None else np.asarray(observed)
    return begin(gmvae, Settings(**settings), labels, held_out)


@pytest.mark.parametrize(
    ("components", "labels", "names"),
    [
        ([0, 0, 0, 2], [4, 8, 8, 1], (8, None, 1)),
        ([1, 1], [7, 3], (None, 3, None)),
        ([0, 1, 1, 1, 1, 2], [5, 5, 6, 6, 5, 5], (5, 5, 5)),
        ([], [], (None, None, None)),
    ],
)
def test_the_majority_names_a_component(components, labels, names):
    assert majorities(np.array(components, int), np.array(labels, int), K) == names


class TestNames:
    def test_none_without_a_label(self, images):
        assert component_classes(make(), images) is None

    def test_labels_of_as_many_classes_are_the_names(self, images):
        observed = np.where(np.arange(N) < 3, [9, 2, 5] * 10, -1)
        assert component_classes(make(observed), images) == (2, 5, 9)

    def test_of_fewer_classes_the_majority_of_the_labelled_images(self):
        pixels = np.zeros((N, 1, 3, 4), np.float32)
        pixels[:, 0, 0, 0] = np.repeat([0.1, 0.5, 0.9], 10)
        observed = np.full(N, -1)
        observed[[0, 1, 2]] = [6, 6, 4]
        observed[[10, 11]] = [4, 4]
        state = make(observed, assigner=Told())
        assert component_classes(state, Images(pixels)) == (6, 4, None)


def held_to(state, share, n):
    """What holding the shares of n images to the mixture's weights adds to their information."""
    sizes = state.gmvae.model.prior.weights.detach().numpy().astype(float)
    counted = (n * share + K * sizes) / (n + K)
    used = share[share > 0]
    entropies = (used * np.log(used)).sum() - (sizes * np.log(sizes)).sum()
    return entropies - (sizes * np.log(sizes / counted)).sum()


class TestFigures:
    def test_of_the_held_out_images_by_value(self, images):
        held_out = Images(random_images(11).numpy())
        state = make(held_out=held_out, augment="none", information_weight=3.0, seed=4)
        told = figures(state, images)
        parts = state.gmvae.elbo(held_out, generator=torch.Generator().manual_seed(4))
        q_y = state.gmvae.classify(held_out).numpy().astype(float)
        joint = q_y.T @ q_y / len(q_y)
        share = joint.sum(0)
        information = (joint * np.log(joint / np.outer(share, share))).sum()
        information += held_to(state, share, len(q_y))
        use = q_y.mean(0)
        assert told == pytest.approx(
            {
                "loss": -parts.elbo.mean().item() - 3.0 * information,
                "elbo": parts.elbo.mean().item(),
                "reconstruction": parts.reconstruction.mean().item(),
                "kl_z": parts.kl_z.mean().item(),
                "kl_y": parts.kl_y.mean().item(),
                "effective_components": np.exp(-(use * np.log(use)).sum()),
            },
            rel=1e-4,
        )

    def test_the_information_is_of_an_image_and_its_view(self, images):
        state = make(augment="affine", information_weight=2.0, assigner=Told(), seed=4)
        told = figures(state, images)
        views = state.view(images.tensor(), torch.Generator().manual_seed(4))
        kinds = [
            (x[:, 0, 0, 0] * K).long().clamp(max=K - 1).numpy() for x in (images.tensor(), views)
        ]
        joint = np.zeros((K, K))
        np.add.at(joint, tuple(kinds), 1 / N)
        joint = (joint + joint.T) / 2
        share = joint.sum(0)
        held = joint > 0
        information = (joint[held] * np.log((joint / np.outer(share, share))[held])).sum()
        information += held_to(state, share, N)
        assert (told["loss"] + told["elbo"]) / -2 == pytest.approx(information, abs=1e-4)

    def test_without_held_out_images_of_the_training_images(self, images, monkeypatch):
        state = make()
        every = figures(state, images)["elbo"]
        generator = torch.Generator().manual_seed(0)
        assert every == pytest.approx(state.gmvae.elbo(images, generator=generator).elbo.mean())
        monkeypatch.setattr("gmvae.training.outcome._LOOKED_AT", 4)
        some = images.subset(np.array([0, 9, 19, 29]))
        generator = torch.Generator().manual_seed(0)
        expected = state.gmvae.elbo(some, generator=generator).elbo.mean().item()
        assert figures(state, images)["elbo"] == pytest.approx(expected)


class TestWarnings:
    def test_none_of_a_good_run(self):
        pixels = np.zeros((N, 1, 3, 4), np.float32)
        pixels[:, 0, 0, 0] = np.repeat([0.1, 0.5, 0.9], 10)
        assert run_warnings(make(assigner=Told()), Images(pixels)) == []

    @pytest.mark.parametrize(("elsewhere", "use"), [(0, 1.0), (4, 1.5), (5, None)])
    def test_collapse_is_fewer_than_half_of_the_components(self, elsewhere, use):
        """4 of 30 images elsewhere are 1.48 components in use, 5 are 1.57; half of 3 is 1.5."""
        pixels = np.full((N, 1, 3, 4), 0.1, np.float32)
        pixels[:elsewhere, 0, 0, 0] = 0.5
        lines = run_warnings(make(assigner=Told()), Images(pixels))
        # With none of the third component, it is at least told.
        (line,) = lines
        assert line.partition(" (")[0] == (
            f"collapse: only {use:.1f} of 3 components are in use"
            if use
            else "empty: no image is most probably of component 2. Try another seed, a longer "
            "warm-up, or fewer components."
        )

    @pytest.mark.parametrize(
        ("elsewhere", "warned"), [(0, True), (1, True), (2, False), (60, False)]
    )
    def test_of_two_components_one_alone_is_a_collapse(self, elsewhere, warned):
        """1 of 120 images elsewhere are 1.05 components in use, 2 are 1.09: above 1 % of them."""
        pixels = np.full((120, 1, 3, 4), 0.1, np.float32)
        pixels[:elsewhere, 0, 0, 0] = 0.5
        state = make(assigner=Told(2), n_components=2)
        lines = run_warnings(state, Images(pixels))
        assert [line.partition(" (")[0] for line in lines] == (
            ["collapse: only 1.0 of 2 components are in use"] if warned else []
        )

    @pytest.mark.parametrize(("logit", "told"), [(0.0, "1.0"), (1.0, None), (30.0, None)])
    def test_components_that_are_not_told_apart_are_a_collapse(self, logit, told):
        """Two halves: of logits 0 and 1 the mutual information is .11 nats, whose exp is 1.12."""
        pixels = np.full((N, 1, 3, 4), 0.1, np.float32)
        pixels[::2, 0, 0, 0] = 0.9
        state = make(assigner=Told(2, logit), n_components=2)
        lines = run_warnings(state, Images(pixels))
        assert [line.partition(" (")[0] for line in lines] == (
            [f"collapse: only {told} of 2 components are told apart"] if told else []
        )

    @pytest.mark.parametrize(
        ("effort", "remedy"),
        [
            ("standard", "Try another seed, a longer warm-up, or fewer components."),
            ("quick", "A quick run is short: try the standard effort, or fewer components."),
        ],
    )
    def test_what_to_do_follows_the_effort(self, effort, remedy):
        pixels = np.full((N, 1, 3, 4), 0.1, np.float32)
        (line,) = run_warnings(make(assigner=Told(), effort=effort), Images(pixels))
        assert line.endswith(remedy)

    def test_a_class_that_names_no_component(self, images):
        observed = np.full(N, -1)
        observed[:4] = [1, 4, 8, 8]
        state = make(observed, assigner=Told())
        state.gmvae.component_classes = (8, None, 4)
        pixels = np.zeros((N, 1, 3, 4), np.float32)
        pixels[:, 0, 0, 0] = np.repeat([0.1, 0.5, 0.9], 10)
        (line,) = run_warnings(state, Images(pixels))
        assert line == (
            "labels: no component is named by class 1, so none is predicted; 3 classes were "
            "observed, and there are 3 components. Try as many as classes, or more."
        )


class TestBound:
    """Against one image for all: the mean of the training images."""

    def halves(self, n=100):
        """Of the first pixel a half is white, of all others none."""
        pixels = np.zeros((n, 1, 3, 4), np.float32)
        pixels[::2, 0, 0, 0] = 1
        return Images(pixels)

    def test_the_baseline_of_a_bernoulli_is_the_entropy_of_its_pixels(self):
        x = self.halves()
        one, rest = -np.log(2), 11 * np.log(100.5 / 101)
        value = independent_pixels(Bernoulli(), x, x)
        assert value == pytest.approx(one + rest, abs=1e-4)

    def test_that_of_a_gaussian_has_the_scale_of_the_pixels_around_their_means(self):
        x = self.halves()
        mean = np.full(12, 0.5 / 101)
        mean[0] = 0.5
        squares = np.array([0.25, *mean[1:] ** 2])
        variance = squares.mean()
        expected = -6 * np.log(2 * np.pi * variance) - squares.sum() / (2 * variance)
        assert independent_pixels(Gaussian(), x, x) == pytest.approx(expected, rel=1e-4)

    def test_that_of_grey_pixels_is_a_density(self):
        """At a mean of one half a continuous Bernoulli is uniform: 0 nats."""
        x = Images(np.full((50, 1, 2, 2), 0.5, np.float32))
        assert independent_pixels(ContinuousBernoulli(), x, x) == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize(
        ("elbo", "reconstruction", "warned"),
        [
            (-3.7, -0.75, False),
            (-3.7, -0.76, True),
            (-10.7, -0.70, False),
            (-10.8, -0.70, True),
            (-987_181.0, -0.70, True),
        ],
    )
    def test_below_the_baseline(self, elbo, reconstruction, warned):
        """It is -ln 2 - 11 ln(101 / 100.5) = -.748: the bound may be ten nats below it."""
        last = {"elbo": elbo, "reconstruction": reconstruction}
        assert bound_warnings(make(), self.halves(), last) == (
            [
                f"bound: the ELBO is {elbo:,.1f} nats an image, the reconstruction in it "
                f"{reconstruction:,.1f}, where one image for all, the mean of the training images, "
                "reaches -0.7. Try a lower learning rate, or more epochs."
            ]
            if warned
            else []
        )

    @pytest.mark.parametrize(("factor", "warned"), [(1.99, False), (2.01, True)])
    def test_a_bound_twice_as_low_on_the_held_out_images(self, factor, warned):
        """Training images are all black, the held-out ones all white: a baseline far below 0."""
        black, white = (Images(np.full((10, 1, 3, 4), v, np.float32)) for v in (0, 1))
        elbo = factor * 12 * np.log(0.5 / 11)
        lines = bound_warnings(make(held_out=white), black, {"elbo": elbo, "reconstruction": 0.0})
        assert bool(lines) == warned

    def test_of_a_likelihood_of_ones_own_nothing_is_said(self):
        state = make()
        state.gmvae.model.likelihood = Noise()
        assert bound_warnings(state, self.halves(), {"elbo": -1e9}) == []
