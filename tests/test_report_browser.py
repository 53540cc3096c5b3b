"""The page on a run in a real browser: from a file, by day and night, wide and narrow."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, browser, needs_axe
from gmvae_cli import app
from parsed import EVIL

__all__ = ["browser"]

WIDE, NARROW = 1200, 390


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, named_run: Path) -> Path:
    """A page with pictures, cards and a table of classes, and a name that a page could obey."""
    path = tmp_path_factory.mktemp("report") / "report.html"
    run = shutil.copytree(named_run, path.with_name("run"))
    assert app.run(["name", str(run), f"1={EVIL['script']}"]) == 0
    assert app.run(["evaluate", "--model", str(run), "--report", str(path)]) == 0
    return path


@pytest.fixture(params=[(WIDE, False), (WIDE, True), (NARROW, False), (NARROW, True)])
def opened(request: pytest.FixtureRequest, browser: Browser, page: Path) -> Browser:
    """A browser with the page, wide or narrow, light or dark."""
    width, dark = request.param
    browser.open(page, width, dark=dark)
    browser.width, browser.dark = width, dark
    return browser


def test_it_opens_from_a_file_without_the_network_and_without_an_error(
    opened: Browser, page: Path
) -> None:
    assert opened.run("return document.querySelectorAll('section.card').length") == 3
    loaded = "return [...document.images].map(i => i.complete && i.naturalWidth > 0)"
    pictures = opened.run(loaded)
    assert len(pictures) > 15
    assert all(pictures)
    addresses = [a for a in opened.requests() if not a.startswith("data:image/png;base64,")]
    assert addresses == [page.as_uri()]
    assert opened.errors() == []


def test_nothing_sticks_out_of_the_window(opened: Browser) -> None:
    script = "return [innerWidth, document.documentElement.scrollWidth]"
    inside, needed = opened.run(script)
    assert inside == opened.width
    assert needed <= inside


def test_words_stand_out_by_day_and_by_night(opened: Browser) -> None:
    """4.5 to 1, of all that is read; and the paper is dark where that is asked for."""
    ratios = opened.run(CONTRASTS)
    assert len(ratios) > 50
    assert {word: ratio for word, ratio in ratios if ratio < 4.5} == {}
    (paper,) = opened.run("return [getComputedStyle(document.body).backgroundColor]")
    assert (max(numbers(paper)) < 64) == opened.dark


def test_a_heading_of_the_page_is_a_step_away(opened: Browser) -> None:
    for name in ("clusters", "classes", "pictures", "figures", "diagnosis", "again"):
        opened.run(f"document.querySelector('nav a[href=\"#{name}\"]').click()")
        opened.frame()
        place = f"return document.getElementById('{name}').getBoundingClientRect().top"
        assert -1 <= opened.run(place) < 900


@needs_axe
def test_axe_finds_no_serious_fault(opened: Browser) -> None:
    assert opened.serious_faults() == []


def numbers(colour: str) -> list[int]:
    """Of ``rgb(1, 2, 3)``."""
    return [int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")]


# Of each element with words of its own: these, and the contrast of ink and paper (WCAG 2.1).
CONTRASTS: Any = """
    const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
      .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const paper = (element) => {
      const colours = [];
      for (let at = element; at; at = at.parentElement) {
        const [r, g, b, a = 1] = parts(getComputedStyle(at).backgroundColor);
        if (a > 0) colours.push([r, g, b, a]);
        if (a === 1) break;
      }
      return colours.reverse().reduce((under, [r, g, b, a]) =>
        [r, g, b].map((v, i) => a * v + (1 - a) * under[i]), [255, 255, 255]);
    };
    return [...document.body.querySelectorAll("*")]
      .filter((e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
      .map((e) => {
        const both = [light(parts(getComputedStyle(e).color)), light(paper(e))];
        const ratio = (Math.max(...both) + 0.05) / (Math.min(...both) + 0.05);
        return [e.textContent.trim().slice(0, 40), ratio];
      });
"""
