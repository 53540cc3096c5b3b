"""Figures, names and warnings of a run, from states whose answers are known."""

import numpy as np
import pytest
import torch
from toys import random_images, tiny

from gmvae.data import Images
from gmvae.settings import Settings
from gmvae.training.outcome import component_classes, figures, majorities, run_warnings
from gmvae.training.state import begin

N, K = 30, 3


@pytest.fixture
def images():
    return Images(random_images(N).numpy())


class Told(torch.nn.Module):
    """Logits that are nearly one-hot, by the first pixel: below a third, two thirds, one."""

    def forward(self, x):
        component = (x[:, 0, 0, 0] * K).long().clamp(max=K - 1)
        return 30.0 * torch.nn.functional.one_hot(component, K).float()


def make(observed=None, held_out=None, assigner=None, **settings):
    gmvae = tiny()
    if assigner is not None:
        gmvae.guide.assigner = assigner
    labels = np.full(N, -1) if observed is None else np.asarray(observed)
    return begin(gmvae, Settings(n_components=K, **settings), labels, held_out)


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
        assert [line.partition(" (")[0] for line in lines] == (
            [f"collapse: only {use:.1f} of 3 components are in use"] if use else []
        )

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
