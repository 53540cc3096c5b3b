"""The pictures of a diagnosis: what is in them."""

import dataclasses

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from gmvae.diagnostics import Diagnosis, Ranks, arviz_bridge, pictures, plot_diagnosis
from gmvae.diagnostics.calibration import Reliability
from gmvae.diagnostics.model_checks import Predictive
from gmvae.diagnostics.nuts_pictures import plot_chain_ranks
from gmvae.diagnostics.pictures import _from_one, _of_nuts, plot_ranks, plot_reliability
from gmvae.plots.style import COLOURS

# Eight images of 4 x 3 pixels.
OBSERVED = xr.Dataset(
    {"x": (("image", "pixel"), np.linspace(0, 1, 96).reshape(8, 12))},
    {"image": range(8)},
    {"image_shape": np.array([1, 4, 3])},
)


@pytest.fixture
def diagnosis():
    """The figures of 30 images, 100 draws and two latents, without NUTS."""
    rng = np.random.default_rng(0)
    statistics = xr.Dataset(
        {"khat": ("image", rng.normal(0.4, 0.1, 30)), "w": (("draw", "image"), np.ones((100, 30)))}
    )
    values = {name: rng.normal(size=30) for name in ("ink", "row", "column", "distance")}
    replicated = {name: rng.normal(size=(5, 30)) for name in values}
    return Diagnosis(
        tree=xr.DataTree.from_dict({"sample_stats": statistics, "observed_data": OBSERVED}),
        checks=(),
        ranks=Ranks(rng.integers(0, 100, (400, 2)), 99, 0.5),
        predictive=Predictive(values, replicated),
        reliability={"simulated": curve(), "labels": curve()},
        nuts_rows=np.array([5, 6]),
        nuts_tree=nuts_draws(rng.normal(size=(2, 20, 2, 2)), modes=[1, 1]),
    )


def curve(count=(50, 100, 400), ece=0.1234):
    at = np.array([0.4, 0.6, 0.9])
    return Reliability(at, at / 2, np.array(count), ece)


def test_pictures_are_drawn_and_titled(diagnosis, tmp_path):
    drawn = plot_diagnosis(diagnosis)
    assert {name: figure.get_suptitle() for name, figure in drawn.items()} == {
        "khat": "k-hat of 30 images",
        "predictive": "Statistics of the images and of their replicates",
        "ranks_simulated": "Ranks of simulated latents among draws of the posterior",
        "reliability": "How often a prediction is right",
        "forest": "z[image, latent] by NUTS",
        "rank": "Ranks by chain, image 5",
        "pair": "Latent of image 5, by NUTS and by the guide",
    }
    for name, figure in drawn.items():
        figure.savefig(tmp_path / f"{name}.png")
        title = figure._suptitle
        assert (title.get_ha(), title.get_weight(), title.get_fontsize()) == ("left", "bold", 11)
        assert title.get_position()[0] == 0.01
        assert figure.dpi == 150
        # A page's width at most, and letters and frame as in the other pictures.
        assert figure.get_size_inches()[0] <= 10
        for axes in figure.axes:
            assert not axes.spines["top"].get_visible()
            assert not axes.spines["right"].get_visible()
            assert axes.xaxis.label.get_fontsize() == axes.yaxis.label.get_fontsize() == 9
            assert "\n" not in axes.title.get_text()
    assert [line.get_text() for line in drawn["khat"].axes[0].texts] == [
        "above 0.50:\nunreliable",
        "above 1.00:\nno finite mean",
    ]
    assert sum(axes.get_legend() is not None for axes in drawn["predictive"].axes) == 1
    titles = {axes.get_title() + axes.get_xlabel() for axes in drawn["predictive"].axes}
    for words in ("ink", "vertical centre", "horizontal centre", "pairwise distance"):
        assert sum(words in title for title in titles) == 1
    (legend,) = drawn["reliability"].legends
    (axes,) = drawn["reliability"].axes
    assert legend.get_window_extent().y1 < axes.get_window_extent().y0


def test_without_nuts_its_pictures_are_missing(diagnosis):
    without = dataclasses.replace(diagnosis, nuts_tree=None)
    assert set(plot_diagnosis(without)) == {"khat", "predictive", "ranks_simulated", "reliability"}


def test_the_lines_of_khat_are_named_at_their_heights():
    figure = Figure()
    axes = figure.add_subplot()
    pictures._name_lines(figure, 0.63)
    first, second = axes.texts
    assert (first.get_text(), second.get_text()) == (
        "above 0.63:\nunreliable",
        "above 1.00:\nno finite mean",
    )
    assert (first.xy, second.xy) == ((1.01, 0.63), (1.01, 1.0))
    # The lower one hangs below its line, the upper one stands on it.
    assert (first.get_va(), second.get_va()) == ("top", "bottom")


def test_pictures_wider_than_a_page_shrink_and_others_do_not():
    wide, narrow = Figure(figsize=(20, 8)), Figure(figsize=(5, 4))
    for figure in (wide, narrow):
        figure.add_subplot(title="z[0,\n 1]")
        pictures._house_style(figure)
        assert figure.axes[0].get_title() == "z[0, 1]"
    assert wide.get_size_inches().tolist() == [10, 4]
    assert narrow.get_size_inches().tolist() == [5, 4]


@pytest.mark.parametrize(("d", "grid"), [(1, (1, 1)), (2, (1, 2)), (4, (2, 3)), (8, (2, 3))])
def test_ranks_are_counted_in_twenty_bins(d, grid):
    ranks = np.tile(np.arange(400) % 100, (d, 1)).T
    ranks[:50, 0] = 99
    figure = plot_ranks(Ranks(ranks, 99, 0.5))
    shown = min(d, 6)
    assert len(figure.axes) == shown
    rows, columns = grid
    assert figure.get_size_inches() == pytest.approx((3.3 * columns, 2.8 * rows + 0.4))
    heights = [bar.get_height() for bar in figure.axes[0].patches[:20]]
    counts = np.histogram(ranks[:, 0], np.arange(-0.5, 100, 5))[0]
    assert heights == counts.tolist()
    assert heights[-1] > 60
    bar, band = figure.axes[0].patches[0], figure.axes[0].patches[-1]
    assert to_hex(bar.get_facecolor()) == COLOURS[0]
    assert (to_hex(band.get_facecolor()), band.get_alpha()) == ("#808080", 0.3)
    for i, axes in enumerate(figure.axes):
        assert axes.get_xlabel() == f"rank of latent {i + 1} among 99 draws"
        assert axes.get_ylabel() == ("images" if i % columns == 0 else "")
        (line,) = axes.get_lines()
        assert list(line.get_ydata()) == [20, 20]
        # Twenty of 400 a bin: two standard deviations are 2 sqrt(400 / 20 * 19 / 20).
        low, high = axes.patches[-1].get_extents().transformed(axes.transData.inverted()).intervaly
        assert (low, high) == pytest.approx((20 - 2 * 19**0.5, 20 + 2 * 19**0.5))
        assert not axes.spines["top"].get_visible()


def test_the_reliability_says_whose_it_is_and_how_far_off():
    figure = plot_reliability({"labels": curve(ece=0.1), "simulated": curve((5, 100, 400))})
    (axes,) = figure.axes
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "honest",
        "labels, error 0.100",
        "simulated images, error 0.123",
        "fewer than 10 predictions",
    ]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("confidence", "share of right predictions")
    assert axes.get_xlim() == axes.get_ylim() == (0, 1.02)
    honest, labels, simulated, _ = axes.get_lines()
    assert (honest.get_linestyle(), to_hex(honest.get_color())) == ("--", "#999999")
    assert [to_hex(line.get_color()) for line in (labels, simulated)] == list(COLOURS[:2])
    assert (list(honest.get_xdata()), list(honest.get_ydata())) == ([0, 1], [0, 1])
    assert list(labels.get_xdata()) == [0.4, 0.6, 0.9]
    assert list(labels.get_ydata()) == [0.2, 0.3, 0.45]
    assert (labels.get_marker(), simulated.get_marker()) == ("o", "s")
    # Markers have the area of their bin's share of the largest.
    dots = axes.collections[0]
    assert dots.get_sizes() == pytest.approx([25 + 175 * 50 / 400, 25 + 175 * 100 / 400, 200])
    assert dots.get_offsets().tolist() == [[0.4, 0.2], [0.6, 0.3], [0.9, 0.45]]
    other = plot_reliability({"mine": curve()})
    assert other.legends[0].get_texts()[1].get_text() == "mine, error 0.123"


def test_ten_predictions_are_enough_for_a_line():
    figure = plot_reliability({"labels": curve((10, 9, 400))})
    _, line, _ = figure.axes[0].get_lines()
    assert np.isfinite(line.get_ydata()).tolist() == [True, False, True]


def test_the_statistics_go_to_arviz_by_their_names(monkeypatch):
    monkeypatch.setattr(pictures, "_MOST_IMAGES", 3)
    observed = {name: np.arange(5.0) + i for i, name in enumerate(pictures._STATISTICS)}
    replicated = {name: values + np.array([[10.0], [20.0]]) for name, values in observed.items()}
    tree = pictures._statistics_tree(Predictive(observed, replicated))
    names = ["ink", "vertical centre", "horizontal centre", "pairwise distance"]
    assert list(tree["observed_data"].data_vars) == names
    for i, name in enumerate(names):
        # Three of five images: the first, the middle one and the last.
        assert tree["observed_data"][name].values.tolist() == [0.0 + i, 2.0 + i, 4.0 + i]
        shown = tree["posterior_predictive"][name]
        assert shown.dims == ("chain", "draw", "image")
        assert shown.values[0, 1].tolist() == [20.0 + i, 22.0 + i, 24.0 + i]


def test_of_many_images_two_thousand_are_in_the_densities():
    names = pictures._STATISTICS
    predictive = Predictive(
        {name: np.zeros(2_500) for name in names}, {name: np.zeros((1, 2_500)) for name in names}
    )
    assert pictures._statistics_tree(predictive)["observed_data"].sizes["image"] == 2_000


def test_of_more_latents_than_are_shown_it_is_said():
    assert [pictures._shown_of(n, 4) for n in (3, 4, 5)] == ["", "", ": latents 1 to 4 of 5"]


def test_latents_are_counted_from_one_in_pictures_alone():
    tree = nuts_draws(np.random.default_rng(0).normal(size=(2, 5, 1, 2)), modes=[1])
    shown = _from_one(tree)["posterior"]
    assert tree["posterior"]["latent"].values.tolist() == [0, 1]
    assert shown["latent"].values.tolist() == [1, 2]
    np.testing.assert_array_equal(shown["z"], tree["posterior"]["z"])


def test_one_latent_has_no_pair():
    draws = np.random.default_rng(0).normal(size=(2, 20, 1, 1))
    assert set(_of_nuts(nuts_draws(draws, modes=[1]), OBSERVED)) == {"forest", "rank"}


def test_of_many_latents_the_pictures_show_some_and_say_so():
    draws = np.random.default_rng(0).normal(size=(2, 20, 1, 7))
    drawn = _of_nuts(nuts_draws(draws, modes=[1]), OBSERVED)
    shown = {name: title.partition(": ")[2] for name, (_, title) in drawn.items()}
    assert shown == {
        "forest": "latents 1 to 6 of 7",
        "rank": "latents 1 to 4 of 7",
        "pair": "latents 1 to 4 of 7",
    }
    assert len(drawn["rank"][0].axes) == 4


def test_the_forest_leaves_out_images_of_several_modes_and_says_so(monkeypatch):
    asked = []
    plot = arviz_bridge.plot_forest

    def plot_forest(tree, names, coords):
        asked.append(coords["image"])
        return plot(tree, names, coords)

    monkeypatch.setattr(arviz_bridge, "plot_forest", plot_forest)
    draws = np.random.default_rng(0).normal(size=(2, 20, 3, 1))
    _, title = _of_nuts(nuts_draws(draws, modes=[2, 1, 3]), OBSERVED)["forest"]
    assert title.endswith("\nLeft out, since they have several modes: images 5, 7")
    _, title = _of_nuts(nuts_draws(draws, modes=[2, 2, 3]), OBSERVED)["forest"]
    assert title.endswith("\nNo error bars, since they have several modes: images 5, 6, 7")
    assert asked == [[6], [5, 6, 7]]
    _, title = _of_nuts(nuts_draws(draws, modes=[1, 1, 1]), OBSERVED)["forest"]
    assert "modes" not in title


def test_the_pair_shows_the_image_the_draws_and_the_guide():
    z = np.random.default_rng(0).normal(size=(2, 20, 1, 3))
    tree = nuts_draws(z, modes=[1])
    figure, _ = _of_nuts(tree, OBSERVED)["pair"]
    left, right = figure.subfigs
    shown = np.asarray(left.axes[0].images[0].get_array())
    np.testing.assert_allclose(shown, OBSERVED["x"][5].to_numpy().reshape(4, 3), rtol=1e-6)
    words = [text.get_text() for text in left.legends[0].get_texts()]
    assert words == ["NUTS, chain 1", "NUTS, chain 2", "guide, 1 sd", "guide, 2 sd"]
    panels = [axes for axes in right.axes if axes.axison]
    names = [(axes.get_xlabel(), axes.get_ylabel()) for axes in panels]
    assert names == [("", "latent 2"), ("latent 1", "latent 3"), ("latent 2", "")]
    mean, sd = z.mean((0, 1, 2)) + 1, 2 * z.std((0, 1, 2))
    for axes, pair in zip(panels, ([0, 1], [0, 2], [1, 2]), strict=True):
        for chain, dots in enumerate(axes.collections):
            np.testing.assert_allclose(dots.get_offsets(), z[chain, :, 0, pair].T)
            assert to_hex(dots.get_facecolor()[0]) == COLOURS[chain]
        for sigmas, patch in enumerate(axes.patches, start=1):
            np.testing.assert_allclose(patch.get_center(), mean[pair])
            sides = sorted([patch.get_width(), patch.get_height()])
            np.testing.assert_allclose(sides, sorted(2 * sigmas * sd[pair]))


def test_ranks_of_chains_are_level_where_they_agree_and_stay_in_their_panel():
    z = np.arange(400.0).reshape(200, 2).T[:, :, None]  # two chains, each every other value
    figure = plot_chain_ranks(np.concatenate([z, np.sort(z.ravel()).reshape(2, 200, 1)], axis=2))
    agreeing, apart = figure.axes
    assert all((stairs.get_data().values == 10).all() for stairs in agreeing.patches[1:])
    first, second = (stairs.get_data().values for stairs in apart.patches[1:])
    assert (first == [20] * 10 + [0] * 10).all()
    assert (second == first[::-1]).all()
    assert apart.get_ylim()[0] == 0
    assert apart.get_ylim()[1] >= 20
    # Told apart by colour, and without colours by their dashes.
    styles = [(to_hex(s.get_edgecolor()), s.get_linestyle()) for s in apart.patches[1:]]
    assert styles == [(COLOURS[0], "-"), (COLOURS[1], "--")]
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert not boxes[0].overlaps(boxes[1])


def nuts_draws(z, modes):
    """Draws (chain, draw, image, latent) of images 5, 6 and so on, of so many modes each."""
    coords = dict(zip(("chain", "draw", "image", "latent"), map(range, z.shape), strict=True))
    coords["image"] = range(5, 5 + z.shape[2])
    groups = {
        "posterior": xr.Dataset({"z": (tuple(coords), z)}, coords),
        "sample_stats": xr.Dataset(
            {
                "modes": ("image", modes),
                "guide_mean": (("image", "latent"), z.mean((0, 1)) + 1),
                "guide_sd": (("image", "latent"), 2 * z.std((0, 1))),
            },
            {"image": coords["image"]},
        ),
    }
    return xr.DataTree.from_dict(groups)


def test_no_line_leads_to_a_bin_of_few_predictions():
    at = np.array([0.4, 0.5, 0.8, 0.9])
    curve = Reliability(at, at, np.array([50, 2, 30, 400]), 0.0)
    figure = plot_reliability({"labels": curve})
    _, line, _ = figure.axes[0].get_lines()
    assert np.isfinite(line.get_ydata()).tolist() == [True, False, True, True]
    many, few = figure.axes[0].collections
    assert few.get_offsets().tolist() == [[0.5, 0.5]]
    assert few.get_alpha() < many.get_alpha()
    assert "fewer than 10 predictions" in [t.get_text() for t in figure.legends[0].get_texts()]
    full = plot_reliability({"labels": Reliability(at, at, np.full(4, 50), 0.0)})
    assert len(full.axes[0].get_lines()) == 2


@pytest.mark.parametrize(
    ("lowest", "low"),
    [
        (0.2, 0.0),
        (0.74, 0.0),
        (0.8, 0.6),  # as much again below it
        (0.99, 0.98),
        (1.0, 0.998),
    ],
)
def test_the_axes_of_sure_models_are_near_one(lowest, low):
    at = np.array([lowest, 1.0])
    figure = plot_reliability({"labels": Reliability(at, at, np.full(2, 50), 0.0)})
    assert figure.axes[0].get_xlim() == pytest.approx((low, 1 + 0.02 * (1 - low)))
    assert figure.axes[0].get_ylim() == figure.axes[0].get_xlim()
    # A bin of few predictions may lie below.
    few = Reliability(np.array([0.1, *at]), np.array([0.1, *at]), np.array([2, 50, 50]), 0.0)
    assert plot_reliability({"labels": few}).axes[0].get_xlim()[0] == pytest.approx(low)
