"""Pictures of clusters, classes and training, and the colours and planes they share: by value."""

import numpy as np
import pytest
import torch
from test_plots import build

from gmvae import GMVAE, Images, plots
from gmvae.answers import probability_of_components
from gmvae.plots import groups, style
from gmvae.plots.clusters import chosen
from gmvae.plots.groups import Told, component_of_class
from gmvae.plots.plane import Plane, write_apart


def told(
    gmvae: GMVAE,
    images: Images,
    latents: list[float],
    components: list[int],
    honest: list[float],
) -> Told:
    """Latents on a line; of two components the one that an image has is so probable."""
    rows = np.arange(len(latents))
    probabilities = np.empty((len(latents), 2))
    probabilities[rows, components] = honest
    probabilities[rows, 1 - np.array(components)] = 1 - np.array(honest)
    answers = Told(gmvae, images)
    answers.latents, answers.components = np.array(latents)[:, None], np.array(components)
    answers.sharp = answers.honest = probabilities
    return answers


def one_dimensional(images: Images) -> GMVAE:
    """Two components of variance 1 at 0 and 10."""
    gmvae = build(images, latent_dim=1, n_components=2)
    means = torch.tensor([[0.0], [10.0]])
    gmvae.model.prior.set(torch.ones(2) / 2, means, torch.ones(2, 1, 1))
    return gmvae


@pytest.fixture
def images() -> Images:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 1, 6, 5), dtype=np.uint8)
    return Images(pixels, np.repeat([4, 8], 10), "some", {4: "cat", 8: "dog"})


def test_the_nearest_the_random_and_the_oddest(images: Images) -> None:
    """Rows 0 to 19 lie at 0, 1, ... 19 and get less and less probable, all of component 0."""
    latents = [float(i) for i in range(20)]
    gmvae = one_dimensional(images)
    answers = told(gmvae, images, latents, [0] * 20, [1 - i / 100 for i in range(20)])
    groups = chosen(gmvae, answers, 0, np.random.default_rng(0))
    nearest, random, oddest = (rows.tolist() for rows in groups)
    assert nearest == list(range(8))
    assert oddest == [19, 18, 17, 16]
    assert len(random) == 4
    assert {*random} <= {*range(8, 16)}


def test_where_there_are_few_none_is_shown_twice(images: Images) -> None:
    gmvae = one_dimensional(images)
    answers = told(gmvae, images, [9.0, 12.0, 0.0], [1, 1, 0], [0.9, 0.8, 0.7])
    groups = chosen(gmvae, answers, 1, np.random.default_rng(0))
    assert [rows.tolist() for rows in groups] == [[0, 1], [], []]


def test_clusters_say_how_large_and_how_pure(images: Images) -> None:
    gmvae = one_dimensional(images)
    # Ten cats and five dogs; five dogs.
    answers = told(gmvae, images, [0.0] * 20, [0] * 15 + [1] * 5, [0.9] * 20)
    figure = plots.clusters(gmvae, images, told=answers)
    labels = [axes.get_yticklabels()[0].get_text() for axes in figure.axes]
    assert labels == ["component 0\n15 images, 67% cat", "component 1\n5 images, 100% dog"]
    headings = [text.get_text() for text in figure.axes[0].get_xticklabels()]
    assert headings == ["nearest its mean", "at random", "oddest"]
    unlabelled = plots.clusters(gmvae, Images(images.pixels), told=answers)
    assert unlabelled.axes[1].get_yticklabels()[0].get_text() == "component 1\n5 images"
    # The first image of the strip is the first of the rows nearest the mean: row 0.
    strip = np.asarray(figure.axes[0].images[0].get_array())
    np.testing.assert_allclose(strip[:, :5], images.pixels[0, 0] / 255)


def test_the_table_counts_classes_in_components(images: Images) -> None:
    gmvae = one_dimensional(images)
    answers = told(gmvae, images, [0.0] * 20, [0] * 15 + [1] * 5, [0.9] * 20)
    (axes,) = plots.class_table(gmvae, images, answers).axes
    shares = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(shares, [[1, 0], [0.5, 0.5]])
    assert [text.get_text() for text in axes.texts] == ["10", "5", "5"]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["cat", "dog"]


@pytest.mark.parametrize(
    ("names", "components", "expected"),
    [
        ((8, 4), [0] * 10 + [1] * 10, {4: 1, 8: 0}),  # by name, whatever the images say
        (None, [1] * 10 + [0] * 10, {4: 1, 8: 0}),  # by most images
        ((None, 4), [0] * 10 + [1] * 10, {4: 1, 8: 2}),  # the other one's is taken
        (None, [0] * 20, {4: 0, 8: 2}),
    ],
)
def test_a_class_has_the_colour_of_its_component(
    names: tuple[int | None, ...] | None,
    components: list[int],
    expected: dict[int, int],
    images: Images,
) -> None:
    gmvae = one_dimensional(images)
    gmvae.component_classes = names
    assert component_of_class(gmvae, images, np.array(components)) == expected


def test_a_run_of_pictures_asks_the_model_once(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The views of every image are by far the most work."""
    gmvae = build(images, n_components=2)
    asked: list[int] = []

    def honest(gmvae: GMVAE, x: torch.Tensor, q_y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        asked.append(len(x))
        return probability_of_components(gmvae, x, q_y, z)

    monkeypatch.setattr(groups, "probability_of_components", honest)
    shared = Told(gmvae, images)
    plots.latent_space(gmvae, images, shared)
    plots.mixture(gmvae, images, shared)
    assert asked == []  # they show q(y | x)
    plots.ambiguous(gmvae, images, told=shared)
    plots.clusters(gmvae, images, told=shared)
    assert asked == [20]


def test_of_many_images_an_even_share_is_told(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    gmvae = build(images, n_components=2)
    monkeypatch.setattr(style, "MOST_POINTS", 3)
    whole = Told(gmvae, images)
    few = whole.thinned()
    np.testing.assert_array_equal(few.images.pixels, images.pixels[[0, 9, 19]])
    np.testing.assert_array_equal(few.latents, whole.latents[[0, 9, 19]])
    np.testing.assert_array_equal(few.components, whole.components[[0, 9, 19]])


def test_colours_are_the_same_in_both_pictures(images: Images) -> None:
    gmvae = build(images, n_components=2)
    gmvae.component_classes, gmvae.class_names = (8, 4), {4: "cat", 8: "dog"}

    def colours(figure: object) -> dict[str, object]:
        legend = figure.axes[0].get_legend()  # type: ignore[attr-defined]
        return {
            text.get_text().split(",")[0].partition(": ")[2] or text.get_text(): handle.get_color()
            for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
        }

    of_classes = colours(plots.latent_space(gmvae, images))
    of_components = colours(plots.mixture(gmvae, images))
    assert {word: of_classes[word] for word in ("cat", "dog")} == {
        word: of_components[word] for word in ("cat", "dog")
    }
    assert of_classes["cat"] != of_classes["dog"]


def test_the_plane_parts_what_the_most_variance_hides() -> None:
    """Five dimensions: one of variance 100 that parts nothing, two in which the means differ."""
    pixels = np.zeros((3, 1, 2, 2), np.uint8)
    gmvae = build(Images(pixels), latent_dim=5)
    means = torch.zeros(3, 5)
    means[1, 1], means[2, 3] = 6.0, 5.0
    covariance = torch.diag(torch.tensor([100.0, 1, 1, 1, 1]))
    gmvae.model.prior.set(torch.ones(3) / 3, means, covariance.repeat(3, 1, 1))
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 5)) * [10, 1, 1, 1, 1] + np.repeat(means.numpy(), 100, axis=0)
    plane = Plane.parting(gmvae, z)
    np.testing.assert_allclose(plane.axes @ plane.axes.T, np.eye(2), atol=1e-6)
    # No part of the loud dimension, nor of those in which nothing differs.
    assert np.abs(plane.axes[:, [0, 2, 4]]).max() < 1e-3
    assert plane.names[0].startswith("discriminant axis 1 (")
    shares = [float(name.split("(")[1].split("%")[0]) for name in plane.names]
    assert sum(shares) == pytest.approx(100, abs=1)
    assert plane.project(plane.lift(np.eye(2))) == pytest.approx(np.eye(2))


def test_two_components_part_along_one_axis() -> None:
    gmvae = build(Images(np.zeros((2, 1, 2, 2), np.uint8)), latent_dim=4, n_components=2)
    means = torch.zeros(2, 4)
    means[1, 2] = 5.0
    gmvae.model.prior.set(torch.ones(2) / 2, means, torch.eye(4).repeat(2, 1, 1))
    z = np.random.default_rng(0).normal(size=(200, 4)) * [9, 1, 1, 1]
    plane = Plane.parting(gmvae, z)
    assert abs(plane.axes[0, 2]) == pytest.approx(1, abs=1e-6)
    assert abs(plane.axes[1, 0]) == pytest.approx(1, abs=0.02)  # the largest of the rest
    assert plane.names[1] == "principal axis of the rest"


def test_the_mixture_says_how_much_its_gaussians_overlap(images: Images) -> None:
    """Unit Gaussians two apart: exp(-4 / 8)."""
    gmvae = build(images, n_components=2)
    means = torch.tensor([[0.0, 0.0], [2.0, 0.0]])
    gmvae.model.prior.set(torch.ones(2) / 2, means, torch.eye(2).repeat(2, 1, 1))
    words = plots.mixture(gmvae, images).axes[0].get_title("left")
    assert f"(Bhattacharyya coefficient): {np.exp(-0.5):.2f}, of component 0 and comp" in words


def test_the_manifold_fades_where_no_image_lies(
    images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images in two corners of a square; what lies between is faint, by hand a quarter."""
    gmvae = build(images)
    corners = torch.tensor([[0.0, 0.0], [10.0, 10.0]]).repeat(10, 1)
    monkeypatch.setattr(gmvae, "encode", lambda x: corners[: len(x)])
    monkeypatch.setattr(gmvae, "decode", lambda z: torch.zeros(len(z), 1, 6, 5))
    picture = np.asarray(plots.manifold(gmvae, images, side=11).axes[0].images[0].get_array())
    cells = picture[::7, ::6][:11, :11]  # the first pixel of each
    assert (cells[-3:, :3] == 0).all()  # within two steps of (0, 0), black as it is decoded
    assert (cells[:3, -3:] == 0).all()
    assert cells[5, 5] == pytest.approx(0.75)
    assert cells[0, 0] == pytest.approx(0.75)


def test_of_sixty_classes_no_two_names_lie_on_each_other() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (600, 1, 4, 4), dtype=np.uint8)
    images = Images(pixels, np.repeat(np.arange(60), 10))
    figure = plots.latent_space(build(images), images)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = [text.get_window_extent() for text in axes.texts]
    assert boxes
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    legend = axes.get_legend()
    assert legend is not None
    assert len(legend.get_texts()) == 61  # all of them, and the heading


def test_texts_that_would_lie_on_another_are_left_out(images: Images) -> None:
    axes = plots.latent_space(build(images), Images(images.pixels)).axes[0]
    low, high = np.array([axes.get_xlim(), axes.get_ylim()]).T
    before = len(axes.texts)
    places = [low + share * (high - low) for share in (0.1, 0.101, 0.9)]
    write_apart(axes, places, ["first", "second", "third"])
    assert [text.get_text() for text in axes.texts[before:]] == ["first", "third"]


def test_the_curves_are_those_of_the_history() -> None:
    history = [
        {"phase": "warm-up", "epoch": 1, "objective": 4.0},
        {"phase": "warm-up", "epoch": 2, "objective": 2.0},
        {"phase": "warm-up", "epoch": 3, "objective": 3.0},
        {"phase": "start", "epoch": 1},
        {"phase": "joint", "epoch": 1, "elbo": -9.0, "kl_z": 2.0},
        {"phase": "joint", "epoch": 2, "elbo": -8.0, "kl_z": 3.0},
    ]
    cells = plots.curves(history).axes
    titles = [axes.get_title("left") for axes in cells]
    elbo = cells[titles.index("ELBO (nats an image)")].get_lines()[0]
    assert elbo.get_xydata().tolist() == [[1, -9], [2, -8]]
    assert not cells[titles.index("components in use")].get_lines()
    (warm_up,) = cells[-1].get_lines()
    assert warm_up.get_label() == "warm-up"
    assert warm_up.get_ydata().tolist() == [1, 0, 0.5]


def test_an_interpolation_is_what_is_decoded_on_the_way(images: Images) -> None:
    gmvae = build(images)
    start, end = torch.tensor([0.0, 0.0]), torch.tensor([4.0, 2.0])
    (axes,) = plots.interpolation(gmvae, start, end, 3, ("cat", "dog")).axes
    strip = np.asarray(axes.images[0].get_array())
    middle = gmvae.decode(torch.tensor([[2.0, 1.0]]))[0, 0].numpy()
    np.testing.assert_allclose(strip[:, 6:11], middle, rtol=1e-5)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["0.00", "0.50", "1.00"]
