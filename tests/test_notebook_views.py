"""What objects show of themselves in a notebook."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from toys import tiny

import gmvae
from gmvae import Images
from gmvae.support.html import html_table
from gmvae.training.fitting import Fit
from gmvae.training.loop import Progress


def cells(html):
    """The rows of a table, without its headings."""
    rows = re.findall("<tr>(.*?)</tr>", html)
    return [found for row in rows if (found := re.findall("<td>(.*?)</td>", row))]


def test_a_table_shows_text_as_text():
    html = html_table("a < b", [("<script>", 1)], ("name", "n"))
    assert "<caption>a &lt; b</caption>" in html
    assert "<th>name</th><th>n</th>" in html
    assert cells(html) == [["&lt;script&gt;", "1"]]


def test_images_count_their_classes():
    images = Images(
        np.zeros((3, 1, 4, 5), np.uint8),
        np.array([0, 1, 0]),
        "pets",
        {0: "cat"},
        skipped=("b.png: no picture",),
        others=1,
    )
    assert cells(images._repr_html_()) == [
        ["images", "3"],
        ["shape (C, H, W)", "1 x 4 x 5"],
        ["pixels", "uint8"],
        ["class cat", "2"],
        ["class 1", "1"],
        ["skipped", "b.png: no picture"],
        ["left alone", "1 other file"],
    ]


def test_a_model_in_a_line_and_a_table():
    model = tiny()
    assert repr(model) == (
        "GMVAE(1 x 3 x 4 images, 3 components, 2 latent dimensions, full covariance, mlp, "
        "bernoulli, amortised)"
    )
    model.component_classes, model.class_names = (1, None, 0), {0: "cat"}
    assert "3 components, 2 of them named" in repr(model)
    weights = model.model.prior.weights.tolist()
    assert cells(model._repr_html_()) == [
        ["0: class 1", f"{weights[0]:.3f}"],
        ["component 1", f"{weights[1]:.3f}"],
        ["2: cat", f"{weights[2]:.3f}"],
    ]


def test_a_prior_shows_its_gaussians():
    prior = tiny().model.prior
    rows = cells(prior._repr_html_())
    means = prior.means.tolist()
    deviations = np.sqrt(np.diagonal(prior.full_covariances.detach().numpy(), axis1=1, axis2=2))
    assert rows[2] == [
        "2",
        f"{prior.weights[2].item():.3f}",
        ", ".join(f"{value:.2f}" for value in means[2]),
        ", ".join(f"{value:.2f}" for value in deviations[2]),
    ]


def test_a_fit_shows_figures_and_warnings():
    fit = Fit(tiny(), [], ("collapse: all",), {"elbo": -5.126})
    assert cells(fit._repr_html_()) == [["elbo", "-5.13"], ["warning", "collapse: all"]]


def test_progress_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show = gmvae.progress()
    show(Progress("warm-up", 1, 2))
    show(Progress("joint", 2, 2, {"elbo": -7.25, "effective_components": 2.5}, restart=3))
    lines = capsys.readouterr().err.split("\r")[1:]
    assert lines[0].startswith("warm-up       ██████████░░░░░░░░░░ 1/2")
    assert lines[1].startswith("3: joint      ████████████████████ 2/2, ELBO -7.2, 2.5 components")
    assert not lines[0].endswith("\n")
    assert lines[1].endswith("\n")


def test_a_file_gets_a_line_a_phase(capsys):
    show = gmvae.progress()
    for epoch in (1, 2):
        show(Progress("warm-up", epoch, 2))
    assert capsys.readouterr().err == "warm-up       ████████████████████ 2/2\n"


def test_progress_in_a_notebook(monkeypatch, capsys):
    """One table, which changes."""
    pytest.importorskip("IPython")
    updated = []
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: shell)
    handle = SimpleNamespace(update=updated.append)
    shown = []

    def display(table, display_id):
        shown.append(table)
        return handle

    monkeypatch.setattr("IPython.display.display", display)
    show = gmvae.progress()
    show(Progress("warm-up", 1, 4))
    show(Progress("warm-up", 4, 4))
    assert len(shown) == len(updated) == 1
    assert cells(updated[0].data) == [["warm-up", "█" * 20, "4/4"]]
    assert capsys.readouterr().err == ""
