"""The pictures: what is in them, not how they look."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import pyplot, rcParams
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from toys import SHAPE, tiny

from gmvae import GMVAE, Images, load, plots
from gmvae.config import Config
from gmvae.plots import style
from gmvae.plots.plane import Plane, limits

Picture = Callable[[GMVAE, Images], Figure]
OF_THE_LATENT: list[Picture] = [plots.latent_space, plots.mixture, plots.manifold]
PICTURES: list[Picture] = [
    *OF_THE_LATENT,
    plots.reconstructions,
    plots.ambiguous,
    plots.clusters,
]


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
    assert "discriminant axis 1" in figure.axes[0].get_xlabel()
    words = "in the plane of its 5 dimensions in which the components part most"
    assert words in figure.axes[0].get_title("left")


@pytest.mark.parametrize("picture", OF_THE_LATENT)
def test_a_latent_of_one_dimension_has_one_scale(picture: Picture, images: Images) -> None:
    axes = picture(build(images, latent_dim=1), images).axes[0]
    assert len(axes.get_xticks()) > 0
    assert (len(axes.get_yticks()), axes.get_ylabel()) == (0, "")


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("channels", [2, 3, 4])
def test_colour_images_without_labels(picture: Picture, channels: int) -> None:
    rng = np.random.default_rng(0)
    images = Images(rng.random((9, channels, 6, 5), np.float32))
    figure = picture(build(images), images)
    figure.draw_without_rendering()


def test_the_plane_of_one_image_has_two_axes_all_the_same() -> None:
    plane = Plane.of(np.arange(5.0).reshape(1, 5))
    np.testing.assert_allclose(plane.axes @ plane.axes.T, np.eye(2), atol=1e-12)
    assert plane.names[1] == "principal axis 2 (0% of the variance)"


def test_the_plane_of_two_dimensions_is_the_latent_itself() -> None:
    z = np.random.default_rng(0).normal(size=(20, 2))
    assert Plane.of(z).project(z) == pytest.approx(z)


def test_the_plane_of_more_dimensions_holds_the_most_variance() -> None:
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    z = rng.normal(size=(500, 6)) * [9, 5, 1, 1, 1, 1] @ rotation + 3
    plane = Plane.of(z)
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


def test_latent_space_names_every_class_and_says_how_many(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    gmvae = build(images)
    apart = torch.as_tensor(images.labels)[:, None] * torch.tensor([[1.0, 0.5]])
    monkeypatch.setattr(gmvae, "encode", lambda x: apart[: len(x)])
    figure = plots.latent_space(gmvae, images)
    assert {text.get_text() for text in figure.axes[0].texts} == {"1", "4", "8"}
    assert str(len(images)) in title(figure)


def test_more_images_than_can_be_seen_are_thinned(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "MOST_POINTS", 50)
    axes = plots.latent_space(build(images), images).axes[0]
    assert sum(len(points.get_offsets()) for points in axes.collections) == 50


def test_more_groups_than_colours_differ_by_marker() -> None:
    styles = {(style.style(i)["color"], style.style(i)["marker"]) for i in range(60)}
    assert len(styles) == 60


def test_ambiguous_shows_the_least_certain_and_the_likeliest_other(images: Images) -> None:
    gmvae = build(images)
    gmvae.component_classes = (1, 4, None)
    figure = plots.ambiguous(gmvae, images, n=3)
    components = gmvae.classify(images).argmax(-1)
    honest = gmvae.responsibilities(images)
    row = int(honest.gather(1, components[:, None])[:, 0].argmin())
    first = figure.axes[0]
    assert np.asarray(first.images[0].get_array()) == pytest.approx(images.tensor()[row, 0].numpy())
    names = ["0: class 1", "1: class 4", "component 2"]
    best = int(components[row])
    other = max((k for k in range(3) if k != best), key=lambda k: float(honest[row, k]))
    assert first.get_title().split("\n")[0].startswith(names[best])
    assert first.get_title().split("\n")[1].startswith(names[other])


def test_ambiguous_marks_what_is_wrong(images: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    """Component 0 is class 1: of four images of classes 1, 4, 1, 8 two are right."""
    gmvae = build(images)
    gmvae.component_classes = (1, 4, 8)
    few = Images(images.pixels[:4], np.array([1, 4, 1, 8]))
    certain(monkeypatch, gmvae, few, [0.3, 0.05, 0.2, 0.0])
    figure = plots.ambiguous(gmvae, few, n=4)
    labels = [axes.get_xlabel() for axes in figure.axes]
    assert labels == ["labelled 1", "labelled 1", "labelled 4: wrong", "labelled 8: wrong"]
    assert [axes.spines["top"].get_visible() for axes in figure.axes] == [False, False, True, True]
    assert "wrong, in a frame: 2" in figure.subfigs[0].get_suptitle()


def legend(figure: Figure) -> list[str]:
    found = figure.axes[0].get_legend()
    assert found is not None
    return [text.get_text() for text in found.get_texts()]


def test_mixture_names_components_as_latent_space_names_classes(images: Images) -> None:
    gmvae = build(images)
    gmvae.component_classes = (4, None, 8)
    figure = plots.mixture(gmvae, images)
    assert {text.get_text() for text in figure.axes[0].texts} == {"class 4", "1", "class 8"}
    lines = legend(figure)
    assert [line.split(",")[0] for line in lines[1:4]] == [
        "0: class 4",
        "component 1",
        "2: class 8",
    ]
    assert "top probability" in lines
    assert "coloured by their most probable component" in title(figure)


@pytest.mark.parametrize("latent_dim", [1, 2, 5])
def test_both_pictures_of_the_latent_have_the_same_limits(
    latent_dim: int, images: Images, tmp_path: Path
) -> None:
    gmvae = build(images, latent_dim)
    gmvae.model.prior.set(
        torch.ones(3) / 3, torch.randn(3, latent_dim), torch.eye(latent_dim).repeat(3, 1, 1)
    )
    found = []
    for picture in (plots.latent_space, plots.mixture):
        figure = picture(gmvae, images)
        figure.savefig(tmp_path / "picture.png")
        found.append(figure.axes[0].get_xlim() + figure.axes[0].get_ylim())
        width, height = figure.axes[0].get_position().size
        # No large blank margins: the axes fill the figure but for the legend and the labels.
        assert height > 0.5
        assert width > 0.5
    assert found[0] == pytest.approx(found[1])


def test_limits_show_points_and_ellipses_and_little_else() -> None:
    points = np.array([[-9.0, 0.0], [1.0, 1.0]])
    low, high = limits(points, np.array([[0.0, 5.0]]), np.array([np.diag([4.0, 9.0])]))
    # The ellipse reaches 2 * 2 beside its mean and 2 * 3 above and below it.
    corners = np.array([[-9.0, -1.0], [4.0, 11.0]])
    assert (low <= corners[0]).all()
    assert (high >= corners[1]).all()
    assert high - low == pytest.approx(corners[1] - corners[0], rel=0.1)


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (1.0, ">99.9%"),
        (0.9995, ">99.9%"),
        (0.9986, "99.9%"),
        (0.996, "99.6%"),
        (0.9949, "99%"),
        (0.47, "47%"),
        (0.0041, "0.4%"),
        (0.0004, "<0.1%"),
        (0.0, "<0.1%"),
    ],
)
def test_no_probability_is_rounded_to_certainty(probability: float, words: str) -> None:
    assert style.percent(probability) == words


def certain(patch: pytest.MonkeyPatch, gmvae: GMVAE, images: Images, doubts: list[float]) -> None:
    """Let the model doubt each image so much, all of it in favour of component 1."""
    probabilities = torch.tensor([[0.0, doubt, 0.0] for doubt in doubts])
    probabilities[:, 0] = 1 - probabilities[:, 1]
    patch.setattr(gmvae, "classify", lambda _: probabilities)
    patch.setattr("gmvae.plots.groups.probability_of_components", lambda gmvae, x, q_y, z: q_y)


def test_ambiguous_says_how_many_images_are_unsure(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    gmvae, few = build(images), Images(images.pixels[:4])
    certain(monkeypatch, gmvae, few, [0.3, 0.05, 0.2, 0.0])
    (body,) = plots.ambiguous(gmvae, few, n=2).subfigs
    assert body.get_suptitle() == "Probability below 0.9: 2 of 4 images"


def test_ambiguous_tells_near_certainties_apart(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    gmvae, few = build(images), images.subset(slice(0, 3))
    certain(
        monkeypatch, gmvae, few, [1e-12, 1e-9, 1e-10]
    )  # one minus each is 1 in single precision
    shown = [np.asarray(axes.images[0].get_array()) for axes in plots.ambiguous(gmvae, few).axes]
    for picture, row in zip(shown, [1, 2, 0], strict=True):
        assert picture == pytest.approx(few.tensor()[row, 0].numpy())


def test_reconstructions_have_the_class_above_each_image(images: Images) -> None:
    above, below = plots.reconstructions(build(images), images, n=12).axes
    shown = [[tick.get_text() for tick in axes.get_xticklabels()] for axes in (above, below)]
    classes = [f"class {c}" for c in (1, 4, 8) for _ in range(4)]
    assert shown == [classes[:10], classes[10:]]
    middles = above.get_xticks()
    width = images.shape[2]
    assert [int(middle // (width + 1)) for middle in middles] == list(range(10))


def test_reconstructions_without_labels_have_no_captions(images: Images) -> None:
    unlabelled = Images(images.pixels)
    (axes,) = plots.reconstructions(build(images), unlabelled, n=5).axes
    assert len(axes.get_xticks()) == 0


@pytest.mark.parametrize("picture", [plots.reconstructions, plots.ambiguous])
def test_tiles_leave_no_blank_band(picture: Picture, images: Images, tmp_path: Path) -> None:
    from PIL import Image

    picture(build(images), images).savefig(tmp_path / "picture.png")
    rows = (np.asarray(Image.open(tmp_path / "picture.png").convert("L")) < 250).any(1)
    edges = np.flatnonzero(np.diff(np.concatenate([[1], rows, [1]])))
    bands = np.diff(edges)[::2] if len(edges) else np.zeros(1)
    assert bands.max() < 0.4 * style.DPI


@pytest.mark.parametrize(("k", "n"), [(3, 6), (6, 20), (8, 20), (9, 20), (15, 20)])
def test_reconstructions_show_every_class(k: int, n: int) -> None:
    labels = np.repeat(np.arange(k), 10)
    rows = style.spread(Images(np.zeros((10 * k, 1, 2, 2), np.uint8), labels), n)
    counts = np.bincount(labels[rows])
    assert (len(counts), counts.sum(), counts.max() - counts.min()) == (k, n, int(n % k > 0))
    assert (np.diff(labels[rows]) >= 0).all()


def test_samples_are_shown_by_component(images: Images) -> None:
    drawn, components = build(images).sample(30, generator=torch.Generator().manual_seed(0))
    figure = plots.samples(drawn, components, (1, 4, 8))
    labels = [axes.get_yticklabels()[0].get_text() for axes in figure.axes]
    assert labels == ["0: class 1", "1: class 4", "2: class 8"]
    assert title(figure) == "30 samples of the mixture, by component"


def test_samples_of_one_component_name_it(images: Images) -> None:
    drawn, components = build(images).sample(13, component=1)
    figure = plots.samples(drawn, components, (1, 4, 8))
    assert title(figure) == "13 samples of component 1 (class 4)"
    assert title(plots.samples(drawn, components)) == "13 samples of component 1"
    # Rows of ten 8 x 8 images, a line of pixels between.
    assert np.asarray(figure.axes[0].images[0].get_array()).shape == (2 * 9 - 1, 10 * 9 - 1)


def test_no_global_state_is_touched(images: Images) -> None:
    before = dict(rcParams)
    plots.latent_space(build(images), images)
    assert pyplot.get_fignums() == []
    assert dict(rcParams) == before


def test_candidates_show_every_run_and_both_measures():
    figure = plots.candidates([2, 3], [(-5.0, -4.0), (-3.0, -3.5)], [0.1, 0.2], [0.4, None])
    above, below = figure.axes
    (line,) = above.get_lines()
    assert np.array_equal(line.get_ydata(), [0.4, np.nan], equal_nan=True)
    dots = [dot for dot in below.get_lines() if dot.get_marker() == "o"]
    assert "no normalised density" not in below.get_ylabel()
    grey = plots.candidates([2], [(-5.0, -4.0)], [0.1], [0.4], normalised=False)
    assert "no normalised density" in grey.axes[1].get_ylabel()
    assert [list(dot.get_ydata()) for dot in dots] == [[-5.0, -4.0], [-3.0, -3.5]]
    means = below.containers[0].lines[0]
    assert list(means.get_ydata()) == [-4.5, -3.25]


def test_candidates_show_the_density_and_the_chosen_number():
    drawn = {"splits": [9.0, None, 1.5], "prominent": 3.7, "marked": 3}
    runs = [(-5.0,), (-3.0,), (-2.0,)]
    figure = plots.candidates([2, 3, 4], runs, [0.1] * 3, [0.4, 0.5, 0.6], **drawn)
    *_, density = figure.axes
    splits, least, _ = density.get_lines()
    assert np.array_equal(splits.get_ydata(), [9.0, np.nan, 1.5], equal_nan=True)
    assert list(least.get_ydata()) == [3.7, 3.7]
    assert [list(axes.get_lines()[-1].get_xdata()) for axes in figure.axes] == [[3, 3]] * 3
    assert "3, chosen" in density.get_xlabel()


def test_a_dollar_in_a_name_begins_no_formula(tmp_path):
    """Nor does what a terminal obeys come into a picture, which would warn of a missing letter."""
    names = {0: r"$\frac$", 1: "a\x1b[31m", 2: "_u$x_$"}
    gmvae = tiny().eval()
    gmvae.names_by_hand = names
    images = Images(
        np.random.default_rng(0).random((12, *SHAPE), dtype=np.float32),
        np.arange(12) % 3,
        "noise",
        names,
    )
    for draw in (
        plots.latent_space,
        plots.mixture,
        plots.manifold,
        plots.ambiguous,
        plots.clusters,
        plots.class_table,
        plots.reconstructions,
    ):
        draw(gmvae, images).savefig(tmp_path / "picture.png")
    drawn = plots.samples(torch.rand(3, *SHAPE), torch.zeros(3, dtype=int), gmvae.component_names)
    drawn.savefig(tmp_path / "picture.png")
    ends = torch.zeros(2), torch.ones(2)
    plots.interpolation(gmvae, *ends, 3, (names[0], names[2])).savefig(tmp_path / "picture.png")


def test_ambiguous_names_the_files_that_it_shows(images: Images) -> None:
    names = np.array([f"cats/{i}$.png" for i in range(len(images))])
    figure = plots.ambiguous(build(images), replace(images, files=names), n=3)
    for axes in figure.axes:
        file, label = axes.get_xlabel().split("\n")
        assert re.fullmatch(r"\d+\\\$\.png", file)
        assert label.startswith("labelled ")
    long = replace(images, files=np.array(["x" * 200 + ".png"] * len(images)))
    assert len(plots.ambiguous(build(images), long, n=1).axes[0].get_xlabel().split("\n")[0]) == 24
