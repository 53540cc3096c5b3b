"""What each line of ArviZ is told, whichever is installed: a stand-in writes it down."""

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from matplotlib import pyplot
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from gmvae.diagnostics import arviz_bridge as bridge
from gmvae.diagnostics import arviz_line
from gmvae.support.errors import ArgumentError, ContentError


class ArviZ:
    """Answers every plot with a figure of one axes, some dots and two lines."""

    def __init__(self, old):
        self.old, self.calls = old, []

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.calls.append((name, args, kwargs))
            if name == "from_datatree":
                return ("InferenceData", *args)
            if name == "ELPDData":
                return kwargs
            figure, axes = pyplot.subplots(figsize=(3, 2))
            axes.scatter([0, 1], [0, 1])
            axes.plot([0, 1], color="C0", alpha=0.1)
            axes.plot([0, 1], color="black")
            visuals = {"figure": figure}
            return np.array([[axes]]) if self.old else SimpleNamespace(get_viz=visuals.pop)

        return call


@pytest.fixture(params=["old", "new"])
def line(request, monkeypatch):
    arviz = ArviZ(request.param == "old")
    monkeypatch.setattr(arviz_line, "is_old", lambda: arviz.old)
    monkeypatch.setattr(arviz_line, "arviz", lambda: arviz)
    return arviz


def told(line, name):
    """What the only call of that name was given: its first argument and its keywords."""
    ((args, kwargs),) = [call[1:] for call in line.calls if call[0] == name]
    return args[0], kwargs


@pytest.fixture
def tree():
    coords = {"chain": range(2), "draw": range(5), "image": [3, 5, 8], "latent": [0, 1]}
    z = xr.Dataset({"z": (tuple(coords), np.zeros((2, 5, 3, 2)))}, coords)
    z["w"] = (("chain", "draw"), np.zeros((2, 5)))
    replicated = xr.Dataset({n: (("chain", "draw"), np.zeros((1, 7))) for n in "abc"})
    observed = xr.Dataset({name: ("image", np.zeros(3)) for name in "abc"})
    return xr.DataTree.from_dict(
        {"posterior": z, "posterior_predictive": replicated, "observed_data": observed}
    )


def assert_tree(line, taken, tree):
    """The old line takes an InferenceData."""
    assert taken == ("InferenceData", tree) if line.old else taken is tree


def test_forest(line, tree):
    figure = bridge.plot_forest(tree, ("z",), {"image": 3})
    taken, kwargs = told(line, "plot_forest")
    assert_tree(line, taken, tree)
    more = {"hdi_prob": 0.94} if line.old else {"backend": "matplotlib"}
    assert kwargs == {"var_names": ["z"], "coords": {"image": 3}, "combined": True, **more}
    assert isinstance(figure, Figure)


@pytest.mark.parametrize(
    ("names", "coords", "n"),
    [(["z"], {"image": 3}, 2), (["z"], None, 6), (None, None, 7), (["w"], None, 1)],
)
def test_pair_and_rank_have_a_panel_for_each_quantity(line, tree, names, coords, n):
    bridge.plot_pair(tree, names, coords)
    taken, kwargs = told(line, "plot_pair")
    assert_tree(line, taken, tree)
    panels = n - 1 if line.old else n
    size = (max(2.3 * panels, 5.0), max(1.9 * panels, 4.5))
    more = (
        {"figsize": size, "textsize": 9}
        if line.old
        else {"marginal": False, "backend": "matplotlib", "figure_kwargs": {"figsize": size}}
    )
    assert kwargs == {"var_names": names, "coords": coords, **more}
    bridge.plot_rank(tree, names, coords)
    taken, kwargs = told(line, "plot_rank")
    assert_tree(line, taken, tree)
    rows, columns = -(-n // 2), min(n, 2)
    size = (4.5 * columns, 2.7 * rows + 0.5)
    more = (
        {"grid": (rows, columns), "figsize": size}
        if line.old
        else {"backend": "matplotlib", "col_wrap": columns, "figure_kwargs": {"figsize": size}}
    )
    assert kwargs == {"var_names": names, "coords": coords, **more}


@pytest.mark.parametrize(("names", "n"), [(None, 3), (["a"], 1), (["a", "b"], 2)])
def test_replicates_beside_what_was_observed(line, tree, names, n):
    figure = bridge.plot_ppc(tree, names)
    rows, columns = -(-n // 2), min(n, 2)
    size = (5.5 * columns, 3.6 * rows)
    if line.old:
        taken, kwargs = told(line, "plot_ppc")
        page = {"grid": (rows, columns), "figsize": size, "textsize": 10}
        assert kwargs == {"var_names": names, "mean": False, "legend": False, **page}
    else:
        taken, kwargs = told(line, "plot_ppc_dist")
        page = {"col_wrap": columns, "figure_kwargs": {"figsize": size}}
        more = {"num_samples": 7, "kind": "kde", "backend": "matplotlib"}
        assert kwargs == {"var_names": names, **more, **page}
    assert_tree(line, taken, tree)
    legend = figure.axes[0].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["replicates", "observed"]
    first, second = legend.legend_handles
    assert (to_hex(first.get_color()), to_hex(second.get_color())) == ("#1f77b4", "#000000")
    # The lines are pale; in the legend they are not.
    assert (first.get_alpha(), second.get_alpha()) == (1, 1)
    assert not legend.get_frame_on()


@pytest.mark.parametrize("threshold", [None, 0.6])
def test_khat(line, threshold):
    if line.old:
        pytest.importorskip("arviz.stats.stats_utils")
    more = {} if threshold is None else {"threshold": threshold}
    threshold = 0.7 if threshold is None else threshold
    figure = bridge.plot_khat([0.3, -np.inf, 0.8], 500, **more)
    taken, kwargs = told(line, "plot_khat")
    assert taken["pareto_k"].values.tolist() == [0.3, -1.0, 0.8]
    assert taken["pareto_k"].dims == ("image",)
    assert taken["pareto_k"]["image"].values.tolist() == [0, 1, 2]
    about = {"n_samples": 500, "n_data_points": 3, "scale": "log", "warning": False}
    about |= {"p": 0.0, "se": 0.0, "good_k": threshold}
    assert {name: taken[name] for name in about} == about
    if line.old:
        assert kwargs == {"show_hlines": True, "marker": "o"}
    else:
        assert taken["elpd"] == 0.0
        assert kwargs == {
            "hline_values": [0.0, threshold, 1.0],
            "visuals": {"hlines": {"linewidth": 1, "color": "C1"}},
            "backend": "matplotlib",
            "figure_kwargs": {"figsize": (6.4, 4.8)},
        }
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("image", "k-hat")


@pytest.mark.parametrize(
    ("n", "size", "alpha"), [(1, 25, 0.8), (200, 25, 0.8), (300, 50 / 3, 1.6 / 3), (5_000, 6, 0.4)]
)
def test_the_more_dots_the_smaller_and_paler(line, n, size, alpha):
    if line.old:
        pytest.importorskip("arviz.stats.stats_utils")
    (dots,) = [
        c for c in bridge.plot_khat(np.zeros(n), 500).axes[0].collections if len(c.get_offsets())
    ]
    assert dots.get_sizes() == pytest.approx([size])
    assert dots.get_alpha() == pytest.approx(alpha)
    assert dots.get_linewidths() == [0]
    assert dots.get_rasterized()


def test_a_figure_is_forgotten_by_pyplot_and_lettered(line, tree):
    figure = bridge.plot_forest(tree)
    assert pyplot.get_fignums() == []
    assert {text.get_fontsize() for text in figure.axes[0].get_xticklabels()} == {9}
    assert type(figure.get_layout_engine()).__name__ == "ConstrainedLayoutEngine"


@pytest.mark.parametrize("n_chains", [1, 2])
def test_the_table(line, tree, n_chains, monkeypatch):
    import pandas

    low, high = ("hdi_3%", "hdi_97%") if line.old else ("hdi94_lb", "hdi94_ub")
    names = ["mean", "sd", low, high, "ess_bulk", "ess_tail", "r_hat", "mcse_mean", "mcse_sd"]
    answer = pandas.DataFrame([[str(i) for i in range(9)]], columns=names)
    summary = SimpleNamespace(
        summary=lambda *args, **kwargs: line.calls.append(("summary", args, kwargs)) or answer,
        from_datatree=line.from_datatree,
    )
    monkeypatch.setattr(arviz_line, "arviz", lambda: summary)
    tree = xr.DataTree.from_dict(
        {"posterior": tree["posterior"].to_dataset().isel(chain=range(n_chains))}
    )
    table = bridge.summary(tree, ("z",), {"image": 3})
    taken, kwargs = told(line, "summary")
    assert_tree(line, taken, tree)
    kind = {"hdi_prob": 0.94} if line.old else {"ci_prob": 0.94, "ci_kind": "hdi"}
    assert kwargs == {"var_names": ["z"], "coords": {"image": 3}, "round_to": "none", **kind}
    expected = {"mean": 0, "sd": 1, "hdi_low": 2, "hdi_high": 3, "mcse_mean": 7, "mcse_sd": 8}
    expected |= {"ess_bulk": 4, "ess_tail": 5} | ({"r_hat": 6} if n_chains > 1 else {})
    assert table.iloc[0].to_dict() == expected
    assert list(table.columns) == list(expected)


def test_the_weights_are_smoothed_without_it(line, monkeypatch):
    """Its lines expect opposite signs, and answer constant weights by infinity or an error."""
    monkeypatch.setattr(arviz_line, "array_statistics", lambda: pytest.fail("ArviZ is asked"))
    tail = np.concatenate([np.full(25, -5.0), [0.0] * 5])
    assert bridge.khat(tail) == -np.inf
    smoothed, khat = bridge.psis(np.linspace(-3.0, 0.0, 30) - 100)
    assert np.exp(smoothed).sum() == pytest.approx(1)
    assert khat < 0.5


def test_axes_of_chains_are_told_to_the_new_line(line, monkeypatch):
    calls = []
    statistic = SimpleNamespace(
        rhat=lambda draws, **kwargs: calls.append((draws.shape, kwargs)) or np.array(1.5),
        ess=lambda draws, **kwargs: calls.append((draws.shape, kwargs)) or np.array(99.0),
    )
    monkeypatch.setattr(arviz_line, "array_statistics", lambda: statistic)
    assert bridge.rhat(np.zeros((2, 7))) == 1.5
    assert bridge.ess(np.zeros((1, 7))) == 99.0
    axes = {} if line.old else {"chain_axis": 0, "draw_axis": 1}
    assert calls == [((2, 7), axes), ((1, 7), axes)]


REFUSED = {
    "few draws": (
        lambda: bridge.psis(np.zeros((3, 24))),
        "`log_weights` expected at least 25 draws; got 24. Draw more.",
    ),
    "a number": (lambda: bridge.psis(1.0), "`log_weights` expected at least 25 draws; got 0. "),
    "no weight at all": (
        lambda: bridge.psis(np.full(30, -np.inf)),
        "`log_weights` expected finite numbers or -inf, not all -inf; got NaN, inf or none. Leave "
        "such rows out.",
    ),
    "one chain": (
        lambda: bridge.rhat(np.zeros((1, 9))),
        "`draws` expected (chain, draw) of at least 2 chains; got (1, 9). Draw more, or reshape "
        "it.",
    ),
    "a row": (
        lambda: bridge.ess(np.zeros(9)),
        "`draws` expected (chain, draw) of at least 1 chains; got (9,). ",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case):
    call, words = REFUSED[case]
    with pytest.raises(ArgumentError) as error:
        call()
    assert str(error.value).startswith(words)


def test_files_that_cannot_be_read_are_refused_by_name(tmp_path):
    with pytest.raises(FileNotFoundError) as missing:
        bridge.read(tmp_path / "absent.nc")
    words = "absent.nc does not exist. Name a file written by gmvae diagnose."
    assert str(missing.value) == f"{tmp_path}/{words}"
    (tmp_path / "text.nc").write_text("text")
    with pytest.raises(ContentError) as damaged:
        bridge.read(tmp_path / "text.nc")
    assert str(damaged.value).startswith(f"{tmp_path}/text.nc expected netCDF; got: ")
    assert str(damaged.value).endswith(". Diagnose again.")


def test_25_draws_are_enough_and_constant_up_to_a_millionth():
    weights, khat = bridge.psis(np.zeros(25))
    assert weights == pytest.approx(np.full(25, -np.log(25)))
    assert khat == -np.inf
    assert np.isfinite(bridge.khat(np.linspace(0, 1e-3, 100)))


def test_a_weight_of_zero_is_taken():
    log_weights = np.random.default_rng(0).normal(size=200)
    log_weights[0] = -np.inf
    weights, khat = bridge.psis(log_weights)
    assert np.exp(weights).sum() == pytest.approx(1)
    assert khat < 0.7
