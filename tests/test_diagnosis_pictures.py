"""The pictures of a diagnosis: what is in them."""

import numpy as np
import xarray as xr

from gmvae.diagnostics.calibration import Reliability
from gmvae.diagnostics.pictures import _from_one, _of_nuts, plot_diagnosis, plot_reliability
from gmvae.diagnostics.verdict import khat_threshold


def test_pictures_are_drawn(diagnosis, tmp_path):
    drawn = plot_diagnosis(diagnosis)
    assert set(drawn) == {
        "khat",
        "predictive",
        "ranks_simulated",
        "reliability",
        "forest",
        "rank",
        "pair",
    }
    for name, figure in drawn.items():
        figure.savefig(tmp_path / f"{name}.png")
    lines = [text.get_text() for text in drawn["khat"].axes[0].texts]
    limit = khat_threshold(diagnosis.tree["sample_stats"].sizes["draw"])
    assert f"above {limit:.2f}:\nunreliable" in lines
    assert sum(axes.get_legend() is not None for axes in drawn["predictive"].axes) <= 1
    (legend,) = drawn["reliability"].legends
    (axes,) = drawn["reliability"].axes
    assert legend.get_window_extent().y1 < axes.get_window_extent().y0


def test_latents_are_counted_from_one_in_pictures_alone(diagnosis):
    held = diagnosis.nuts_tree["posterior"]
    shown = _from_one(diagnosis.nuts_tree)["posterior"]
    assert held["latent"].values.tolist() == [0, 1]
    assert shown["latent"].values.tolist() == [1, 2]
    np.testing.assert_array_equal(shown["z"], held["z"])


def test_of_many_latents_the_pictures_show_some_and_say_so():
    draws = np.random.default_rng(0).normal(size=(2, 20, 1, 7))
    drawn = _of_nuts(nuts_draws(draws, modes=[1]))
    shown = {name: title.partition(": ")[2] for name, (_, title) in drawn.items()}
    assert shown == {
        "forest": "latents 1 to 6 of 7",
        "rank": "latents 1 to 4 of 7",
        "pair": "latents 1 to 4 of 7",
    }
    assert len(drawn["rank"][0].axes) == 4


def test_the_forest_says_which_images_have_several_modes():
    draws = np.random.default_rng(0).normal(size=(2, 20, 3, 1))
    _, title = _of_nuts(nuts_draws(draws, modes=[2, 1, 3]))["forest"]
    assert title.endswith("\nNo error bars, since they have several modes: images 5, 7")
    _, title = _of_nuts(nuts_draws(draws, modes=[1, 1, 1]))["forest"]
    assert "modes" not in title


def nuts_draws(z, modes):
    """Draws (chain, draw, image, latent) of images 5, 6 and so on, of so many modes each."""
    coords = dict(zip(("chain", "draw", "image", "latent"), map(range, z.shape), strict=True))
    coords["image"] = range(5, 5 + z.shape[2])
    groups = {
        "posterior": xr.Dataset({"z": (tuple(coords), z)}, coords),
        "sample_stats": xr.Dataset({"modes": ("image", modes)}, {"image": coords["image"]}),
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
