"""The pictures: what is in them, not how they look."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot, rcParams
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from gmvae import GMVAE, Images, load, plots
from gmvae.gmvae import Config

Picture = Callable[[GMVAE, Images], Figure]
OF_THE_LATENT: list[Picture] = [plots.latent_space, plots.mixture, plots.manifold]
PICTURES: list[Picture] = [*OF_THE_LATENT, plots.reconstructions, plots.ambiguous]


def build(images: Images, latent_dim: int = 2, n_components: int = 3) -> GMVAE:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = Config(images.shape, n_components, latent_dim, hidden=(16,), assigner_hidden=(16,))
        return GMVAE(config).eval()


@pytest.fixture
def images() -> Images:
    return load("digits", part="test").only([1, 4, 8])


def title(figure: Figure) -> str:
    return figure.get_suptitle()


@pytest.mark.parametrize("picture", PICTURES)
def test_every_picture_is_written_and_titled(
    picture: Picture, images: Images, tmp_path: Path
) -> None:
    figure = picture(build(images), images)
    figure.savefig(tmp_path / "picture.png")
    assert title(figure)


@pytest.mark.parametrize("picture", OF_THE_LATENT)
@pytest.mark.parametrize("latent_dim", [1, 5])
def test_latents_of_any_dimension(picture: Picture, latent_dim: int, images: Images) -> None:
    picture(build(images, latent_dim), images).draw_without_rendering()


@pytest.mark.parametrize("picture", OF_THE_LATENT)
def test_axes_are_named_for_what_they_are(picture: Picture, images: Images) -> None:
    axes = picture(build(images), images).axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("latent 1", "latent 2")
    figure = picture(build(images, latent_dim=5), images)
    assert "principal axis 1" in figure.axes[0].get_xlabel()
    assert "2 leading principal axes of its 5 dimensions" in figure.axes[0].get_title("left")


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colour_images_without_labels(picture: Picture, channels: int) -> None:
    rng = np.random.default_rng(0)
    images = Images(rng.random((9, channels, 6, 5), np.float32))
    figure = picture(build(images), images)
    figure.draw_without_rendering()


def test_the_plane_of_two_dimensions_is_the_latent_itself() -> None:
    z = np.random.default_rng(0).normal(size=(20, 2))
    assert plots.Plane.of(z).project(z) == pytest.approx(z)


def test_the_plane_of_more_dimensions_holds_the_most_variance() -> None:
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    z = rng.normal(size=(500, 6)) * [9, 5, 1, 1, 1, 1] @ rotation + 3
    plane = plots.Plane.of(z)
    points = plane.project(z)
    largest = np.linalg.eigvalsh(np.cov(z.T))[::-1][:2]
    assert np.var(points, axis=0, ddof=1) == pytest.approx(largest)
    assert plane.project(plane.lift(points)) == pytest.approx(points)
    covariance = np.cov(z.T)
    assert plane.project_covariances(covariance[None])[0] == pytest.approx(np.cov(points.T))


def test_ellipses_lie_at_one_and_two_standard_deviations(images: Images) -> None:
    gmvae = build(images)
    covariance = torch.tensor([[4.0, 1.5], [1.5, 1.0]])
    gmvae.model.prior.set(
        torch.ones(3) / 3, torch.tensor([[0.0, 0.0], [5, 5], [9, 0]]), covariance.repeat(3, 1, 1)
    )
    patches = [p for p in plots.mixture(gmvae, images).axes[0].patches if isinstance(p, Ellipse)]
    assert len(patches) == 2 * 3
    precision = np.linalg.inv(covariance.numpy())
    for patch, sigmas in zip(patches, [1, 2] * 3, strict=True):
        corners = patch.get_co_vertices() + patch.get_vertices()
        for corner in np.array(corners) - np.array(patch.get_center()):
            assert corner @ precision @ corner == pytest.approx(sigmas**2, rel=1e-4)


def test_latent_space_names_every_class_and_says_how_many(images: Images) -> None:
    figure = plots.latent_space(build(images), images)
    assert {text.get_text() for text in figure.axes[0].texts} == {"1", "4", "8"}
    assert str(len(images)) in title(figure)


def test_more_images_than_can_be_seen_are_thinned(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "MOST_POINTS", 50)
    axes = plots.latent_space(build(images), images).axes[0]
    assert sum(len(points.get_offsets()) for points in axes.collections) == 50


def test_more_groups_than_colours_differ_by_marker() -> None:
    styles = {(plots._style(i)["color"], plots._style(i)["marker"]) for i in range(60)}
    assert len(styles) == 60


def test_ambiguous_shows_the_least_certain_and_their_two_components(images: Images) -> None:
    gmvae = build(images)
    gmvae.component_classes = (1, 4, None)
    figure = plots.ambiguous(gmvae, images, n=3)
    responsibilities = gmvae.classify(images)
    row = int(responsibilities.max(-1).values.argmin())
    first = figure.axes[0]
    assert np.asarray(first.images[0].get_array()) == pytest.approx(images.tensor()[row, 0].numpy())
    names = ["0: class 1", "1: class 4", "component 2"]
    best, second = responsibilities[row].topk(2).indices.tolist()
    assert first.get_title().split("\n")[0].startswith(names[best])
    assert first.get_title().split("\n")[1].startswith(names[second])


def test_reconstructions_show_every_class(images: Images) -> None:
    rows = plots._spread(images, 6)
    assert images.labels is not None
    assert images.labels[rows].tolist() == [1, 1, 4, 4, 8, 8]


def test_samples_are_shown_by_component(images: Images) -> None:
    drawn, components = build(images).sample(30, generator=torch.Generator().manual_seed(0))
    figure = plots.samples(drawn, components, (1, 4, 8))
    labels = [axes.get_yticklabels()[0].get_text() for axes in figure.axes]
    assert labels == ["0: class 1", "1: class 4", "2: class 8"]


def test_no_global_state_is_touched(images: Images) -> None:
    before = dict(rcParams)
    plots.latent_space(build(images), images)
    assert pyplot.get_fignums() == []
    assert dict(rcParams) == before
