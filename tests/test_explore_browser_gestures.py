"""The page to explore in a real browser: drags, keys, touch, sliders and the lasso."""

import csv

import numpy as np
from browser import Browser, browser
from exploring import (
    N,
    World,
    corners,
    deep,
    digits,
    drag,
    folder,
    keys,
    mouse,
    on_screen,
    opened,
    pixels,
    press,
    text,
    world,
    z_of,
)

from gmvae import Images
from gmvae.plots import Told

__all__ = ["browser", "deep", "digits", "folder", "opened", "world"]

SAVED = "selection.csv"


def test_a_drag_moves_the_plane_and_the_wheel_scales_it(opened: Browser) -> None:
    before = on_screen(opened, 0)
    drag(opened, [(300, 300), (330, 320), (350, 340)])
    after = on_screen(opened, 0)
    assert np.allclose(np.subtract(after, before), (50, 40), atol=0.1)
    assert opened.run("return gmvae.state.chosen") == -1
    a, b = on_screen(opened, 0), on_screen(opened, 1)
    mouse(opened, "mouseWheel", 400, 400, deltaX=0, deltaY=-200)
    opened.frame()
    wider = np.subtract(on_screen(opened, 0), on_screen(opened, 1))
    assert np.allclose(wider, np.subtract(a, b) * np.exp(0.4), rtol=0.01)
    press(opened, "whole")
    assert np.allclose(on_screen(opened, 0), before, atol=0.1)


def test_keys_do_what_a_pointer_does(opened: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    start = z_of(opened)
    keys(opened, Keys.ARROW_RIGHT * 3 + Keys.ARROW_UP)
    there = z_of(opened)
    assert there[0] > start[0]
    assert there[1] > start[1]
    assert "%" in text(opened, "status")
    keys(opened, "a" + Keys.ARROW_LEFT * 6 + "b")
    assert text(opened, "path-ends").startswith("From (")
    keys(opened, " ")
    assert opened.run("return [gmvae.state.held, document.getElementById('hold').checked]") == [
        True,
        True,
    ]
    keys(opened, Keys.ENTER)
    chosen = opened.run("return gmvae.state.chosen")
    assert chosen >= 0
    assert text(opened, "image-name").startswith(
        opened.run("return gmvae.nameOf(arguments[0])", chosen)
    )
    a, b = on_screen(opened, 0), on_screen(opened, 1)
    keys(opened, "+")
    assert np.hypot(*np.subtract(on_screen(opened, 0), on_screen(opened, 1))) > np.hypot(
        *np.subtract(a, b)
    )
    keys(opened, "0")
    assert np.allclose(on_screen(opened, 0), a, atol=0.1)


def test_a_lasso_by_keys(opened: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    keys(opened, "l")
    big = Keys.SHIFT + "{}" + Keys.NULL
    for arrow, n in (
        (Keys.ARROW_RIGHT, 9),
        (Keys.ARROW_UP, 9),
        (Keys.ARROW_LEFT, 18),
        (Keys.ARROW_DOWN, 18),
    ):
        keys(opened, big.format(arrow * n) + " ")
    keys(opened, Keys.ENTER)
    assert opened.run("return gmvae.state.selected.length") > 0
    assert opened.run("return gmvae.state.drawing") is False
    keys(opened, "l" + Keys.ESCAPE)
    assert opened.run("return gmvae.state.drawing") is False


def test_a_lasso_and_its_list(opened: Browser, world: World, digits: Images) -> None:
    press(opened, "lasso")
    places = [on_screen(opened, i)[0] for i in range(N)]
    middle = float(np.median(places))
    (left, top), _, (_, bottom), _ = corners(opened)
    drag(opened, [(left, top), (middle, top), (middle, bottom), (left, bottom)])
    expected = [i for i, x in enumerate(places) if x < middle]
    assert 0 < len(expected) < N
    assert opened.run("return gmvae.state.selected") == expected
    assert text(opened, "selection-count") == f"{len(expected)} images."
    press(opened, "download")
    saved = opened.downloads / SAVED
    opened.until(saved.exists)
    with saved.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    saved.unlink()
    assert [row["File"] for row in rows] == [digits.files[i] for i in expected]
    components = world.model.classify(digits).argmax(1)[expected].tolist()
    assert [int(row["Component"]) for row in rows] == components
    honest = Told(world.model, digits).honest[expected, components]
    assert np.allclose([float(row["Probability"]) for row in rows], honest, atol=1e-4)
    press(opened, "clear")
    assert opened.run("return gmvae.state.selected") == []


def test_a_slider_moves_one_dimension(browser: Browser, deep: World) -> None:
    browser.open(deep.path)
    before = z_of(browser)
    script = """const [slider] = document.querySelectorAll("#sliders input");
        slider.value = Number(slider.min) + .25; slider.dispatchEvent(new Event("input"));
        return [Number(slider.value), gmvae.state.held]"""
    value, held = browser.run(script)
    browser.frame()
    assert held
    assert z_of(browser) == [value, *before[1:]]
    assert np.abs(pixels(browser, "decoded") - deep.reconstruction(z_of(browser))).max() <= 1
    assert text(browser, "off").endswith("off it")
    press(browser, "flat")
    assert text(browser, "off") == "on it"


def touch(browser: Browser, kind: str, *places: tuple[float, float]) -> None:
    points = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(places)]
    browser.command("Input.dispatchTouchEvent", type=kind, touchPoints=points)
    browser.frame()


def test_touch_on_a_telephone(browser: Browser, world: World) -> None:
    browser.open(world.path, 390, 800)
    assert browser.run("return document.documentElement.scrollWidth <= innerWidth")
    # What is decoded stands right below the plane.
    top = "return document.getElementById(arguments[0]).getBoundingClientRect().top"
    tops = [browser.run(top, id_) for id_ in ("pad", "decoded", "legend")]
    assert tops == sorted(tops)
    i = 20
    place = on_screen(browser, i)
    touch(browser, "touchStart", place)
    touch(browser, "touchEnd")
    assert browser.run("return gmvae.state.chosen") >= 0
    before = z_of(browser)
    x, y = corners(browser)[0]
    touch(browser, "touchStart", (x + 20, y + 20))
    touch(browser, "touchMove", (x + 60, y + 60))
    touch(browser, "touchMove", (x + 80, y + 90))
    touch(browser, "touchEnd")
    assert z_of(browser) != before
    a, b = on_screen(browser, 0), on_screen(browser, 1)
    touch(browser, "touchStart", (x + 100, y + 100), (x + 140, y + 140))
    touch(browser, "touchMove", (x + 80, y + 80), (x + 160, y + 160))
    touch(browser, "touchEnd")
    wider = np.subtract(on_screen(browser, 0), on_screen(browser, 1))
    assert np.allclose(wider, 2 * np.subtract(a, b), rtol=0.1)
