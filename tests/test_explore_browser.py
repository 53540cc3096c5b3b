"""The page to explore in a real browser: pointer, keys, touch, and how fast it is."""

import csv
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import Browser, browser
from parsed import EVIL
from toys import tiny

from gmvae import GMVAE, Images, load
from gmvae.explore import page
from gmvae.plots import Told

__all__ = ["browser"]

# Of axe-core, from npm: `npm install axe-core`.
AXE = os.environ.get("GMVAE_AXE", "")
N = 60
SAVED = "selection.csv"


class World:
    """A model, its images and the file of its page."""

    def __init__(self, path: Path, model: GMVAE, images: Images) -> None:
        self.path, self.model, self.images = path, model, images
        path.write_text(page(model, images), encoding="utf-8")

    def reconstruction(self, z: Any) -> np.ndarray:
        """Bytes of what is decoded there, (8, 8)."""
        decoded = self.model.decode(torch.tensor([z], dtype=torch.float32))
        return np.asarray(np.rint(decoded[0, 0].numpy() * 255))


def model_of(network: str, latent_dim: int = 2) -> GMVAE:
    torch.manual_seed(0)
    sizes = {"hidden": (64, 32), "channels": (8, 16), "assigner_hidden": (16,)}
    model = tiny(image_shape=(1, 8, 8), network=network, latent_dim=latent_dim, **sizes)
    # Decoded images that differ: an untrained network's hardly do.
    with torch.no_grad():
        for parameter in model.model.decoder.parameters():
            parameter.mul_(2)
    model.component_classes = (1, 4, 8)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def digits() -> Images:
    images = load("digits").only([1, 4, 8]).subset(slice(0, N))
    names = [f"pics/{i}.png" for i in range(N)]
    names[5:12] = EVIL.values()
    return replace(images, files=np.array(names), class_names={1: EVIL["markup"]})


@pytest.fixture(scope="module")
def world(folder: Path, digits: Images) -> World:
    return World(folder / "mlp.html", model_of("mlp"), digits)


@pytest.fixture(scope="module")
def deep(folder: Path, digits: Images) -> World:
    return World(folder / "conv.html", model_of("conv", 5), digits)


@pytest.fixture
def opened(browser: Browser, world: World) -> Browser:
    browser.open(world.path)
    return browser


# Into an input, as by hand.
TYPED = """const input = document.getElementById(arguments[0]);
    input.value = arguments[1]; input.dispatchEvent(new Event("input"))"""


def pixels(browser: Browser, id_: str) -> np.ndarray:
    """The red of a canvas, (h, w)."""
    script = """const c = document.getElementById(arguments[0]);
        const {data} = c.getContext("2d").getImageData(0, 0, c.width, c.height);
        return [c.height, [...data].filter((_, i) => i % 4 === 0)]"""
    height, values = browser.run(script, id_)
    return np.array(values).reshape(height, -1)


def z_of(browser: Browser) -> list[float]:
    z: list[float] = browser.run("return [...gmvae.state.z]")
    return z


def text(browser: Browser, id_: str) -> str:
    found: str = browser.run("return document.getElementById(arguments[0]).textContent", id_)
    return found


def on_screen(browser: Browser, i: int) -> tuple[float, float]:
    """Where a point is, in the window."""
    script = """const box = document.getElementById("pad").getBoundingClientRect();
        const [x, y] = gmvae.toScreen(...gmvae.place(arguments[0]));
        return [box.left + x, box.top + y]"""
    x, y = browser.run(script, i)
    return x, y


def mouse(browser: Browser, kind: str, x: float, y: float, **more: Any) -> None:
    browser.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


def drag(browser: Browser, places: list[tuple[float, float]], **more: Any) -> None:
    mouse(browser, "mousePressed", *places[0], button="left", clickCount=1, **more)
    for place in places[1:]:
        mouse(browser, "mouseMoved", *place, button="left", buttons=1, **more)
    mouse(browser, "mouseReleased", *places[-1], button="left", clickCount=1, **more)
    browser.frame()


def click(browser: Browser, x: float, y: float) -> None:
    mouse(browser, "mouseMoved", x, y)
    drag(browser, [(x, y)])


def press(browser: Browser, id_: str) -> None:
    browser.run("document.getElementById(arguments[0]).click()", id_)
    browser.frame()


def keys(browser: Browser, words: str) -> None:
    browser.driver.find_element("id", "pad").send_keys(words)
    browser.frame()


def corners(browser: Browser) -> list[tuple[float, float]]:
    """Of a frame just inside the plane, in the window."""
    script = """const b = document.getElementById("pad").getBoundingClientRect();
        return [b.left + 3, b.top + 3, b.right - 3, b.bottom - 3]"""
    left, top, right, bottom = browser.run(script)
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def test_it_opens_from_a_file_without_the_network_and_without_an_error(
    opened: Browser, world: World
) -> None:
    click(opened, *on_screen(opened, 0))
    addresses = [a for a in opened.requests() if not a.startswith("data:image/png;base64,")]
    assert addresses == [world.path.as_uri()]
    assert opened.errors() == []


@pytest.mark.parametrize("network", ["world", "deep"])
def test_it_decodes_as_python_does(
    network: str, browser: Browser, request: pytest.FixtureRequest
) -> None:
    of: World = request.getfixturevalue(network)
    browser.open(of.path)
    z = 3 * torch.randn(100, of.model.config.latent_dim, generator=torch.Generator().manual_seed(0))
    script = "return arguments[0].map(z => [[...gmvae.decode(z)], [...gmvae.responsibilities(z)]])"
    decoded, probabilities = zip(*browser.run(script, z.tolist()), strict=True)
    expected = of.model.decode(z).reshape(100, -1).numpy()
    assert np.abs(np.array(decoded) - expected).max() <= 1e-4
    assert np.ptp(expected) > 0.5
    p = of.model.model.prior.responsibilities(z).detach().numpy()
    assert np.abs(np.array(probabilities) - p).max() <= 1e-4


def test_what_is_decoded_follows_the_pointer(opened: Browser, world: World) -> None:
    seen = []
    for x, y in ((200, 300), (500, 600)):
        mouse(opened, "mouseMoved", x, y)
        opened.frame()
        assert np.abs(pixels(opened, "decoded") - world.reconstruction(z_of(opened))).max() <= 1
        seen.append(z_of(opened))
    assert seen[0][0] < seen[1][0]
    assert seen[0][1] > seen[1][1]
    p = opened.run("return [...gmvae.responsibilities(gmvae.state.z)]")
    bars = text(opened, "here-bars")
    assert "2: class 8" in bars
    assert EVIL["markup"] not in bars
    widths = "return [...document.querySelectorAll('#here-bars .fill')].map(f => f.style.width)"
    shown = [float(width.rstrip("%")) for width in opened.run(widths)]
    assert np.allclose(shown, 100 * np.array(p), atol=0.06)


def test_a_click_on_a_point_shows_its_image(opened: Browser, world: World, digits: Images) -> None:
    i = 20
    click(opened, *on_screen(opened, i))
    assert opened.run("return gmvae.state.chosen") == i
    label = EVIL["markup"] if digits.labels[i] == 1 else str(digits.labels[i])
    assert text(opened, "image-name") == f"pics/{i}.png, labelled {label}"
    original = np.rint(digits.pixels[i, 0] * 255)
    opened.until(lambda: np.array_equal(pixels(opened, "original"), original))
    latent = world.model.encode(digits)[i].tolist()
    assert np.abs(pixels(opened, "reconstruction") - world.reconstruction(latent)).max() <= 1
    likeliest = Told(world.model, digits).honest[i].max()
    assert f"{100 * likeliest:.0f}%" in text(opened, "image-bars")


def test_a_click_beside_all_points_holds_the_place(opened: Browser) -> None:
    ends = "return [...document.querySelectorAll('.end[data-of=here]')].map(b => b.disabled)"
    (left, top), *_ = corners(opened)
    click(opened, left, top)
    held = z_of(opened)
    mouse(opened, "mouseMoved", left + 300, top + 300)
    opened.frame()
    assert z_of(opened) == held
    assert opened.run(ends) == [False, False]
    click(opened, left, top)
    mouse(opened, "mouseMoved", left + 300, top + 300)
    opened.frame()
    assert z_of(opened) != held
    # On its way there the pointer would take the place along.
    assert opened.run(ends) == [True, True]


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


def test_above_two_dimensions_the_pointer_keeps_to_its_distance_from_the_plane(
    browser: Browser, deep: World
) -> None:
    browser.open(deep.path)
    click(browser, *on_screen(browser, 20))
    press(browser, "go")
    latent = deep.model.encode(deep.images)[20].numpy()
    assert np.allclose(z_of(browser), latent, atol=1e-6)
    press(browser, "hold")
    mouse(browser, "mouseMoved", *corners(browser)[0])
    browser.frame()
    axes = np.array(browser.run("return gmvae.axes"))
    moved = np.array(z_of(browser)) - latent
    assert np.allclose(moved - moved @ axes.T @ axes, 0, atol=1e-5)
    assert np.abs(moved).max() > 0.1


def test_a_path_between_two_points(opened: Browser, world: World, digits: Images) -> None:
    latents = world.model.encode(digits).numpy()
    for i, letter in ((20, "a"), (40, "b")):
        click(opened, *on_screen(opened, i))
        opened.run(
            "document.querySelector(arguments[0]).click()",
            f".end[data-of=image][data-end={letter}]",
        )
    assert text(opened, "path-ends") == "From pics/20.png to pics/40.png."
    strip = pixels(opened, "strip")
    assert strip.shape == (8, 10 * 9 - 1)
    for j in (0, 4, 9):
        z = latents[20] + j / 9 * (latents[40] - latents[20])
        assert np.abs(strip[:, 9 * j : 9 * j + 8] - world.reconstruction(z.tolist())).max() <= 1
    opened.run(TYPED, "along", 50)
    assert np.allclose(z_of(opened), (latents[20] + latents[40]) / 2, atol=1e-5)
    press(opened, "play")
    opened.until(lambda: text(opened, "play") == "Play")
    assert np.allclose(z_of(opened), latents[40], atol=1e-5)


def test_names_are_found_and_are_text(opened: Browser) -> None:
    for words, name in (
        ("<b>", EVIL["markup"]),
        ("SCRIPT", EVIL["script"]),
        (r"\x1b[31m", r"a\x1b[31mred"),
    ):
        opened.driver.find_element("id", "search").clear()
        opened.driver.find_element("id", "search").send_keys(words)
        buttons = opened.driver.find_elements("css selector", "#found button")
        assert [button.text for button in buttons] == [name]
        assert text(opened, "found-count") == f"1 of {N} names"
        buttons[0].click()
        assert text(opened, "image-name").startswith(name)
    assert (
        opened.run("return document.querySelectorAll('main b, li script, #image script').length")
        == 0
    )
    assert opened.errors() == []


def test_colours_are_of_classes_or_of_components_and_groups_are_switched_off(
    opened: Browser,
) -> None:
    legend = "return [...document.querySelectorAll('#legend button')].map(b => b.textContent)"
    assert opened.run(legend)[0].startswith(EVIL["markup"])
    opened.run("document.querySelector('[value=component]').click()")
    opened.frame()
    assert [name.split(" (")[0] for name in opened.run(legend)] == [
        "0: class 1",
        "1: class 4",
        "2: class 8",
    ]
    drawn = "return document.getElementById('points').toDataURL()"
    before = opened.run(drawn)
    opened.run("document.querySelector('#legend button').click()")
    opened.frame()
    assert opened.run(drawn) != before
    pressed = "return document.querySelector('#legend button').getAttribute('aria-pressed')"
    assert opened.run(pressed) == "false"


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


FRAMES = """
const done = arguments[0], pad = document.getElementById("pad"), box = pad.getBoundingClientRect();
const send = (type, x, y, more) => pad.dispatchEvent(new PointerEvent(type,
  { clientX: box.left + x, clientY: box.top + y, pointerId: 1, bubbles: true, ...more }));
let n = 0, begun = null;
send("pointerdown", 200, 200, { button: 0 });
requestAnimationFrame(function next(now) {
  begun ??= now;
  send("pointermove", 200 + n % 90, 200 + n % 70, { buttons: 1 });
  n++;
  if (now - begun < 1000) return requestAnimationFrame(next);
  send("pointerup", 200, 200);
  done(1000 * (n - 1) / (now - begun));
});
"""


def test_twenty_thousand_points_move_at_thirty_frames_a_second(
    browser: Browser, folder: Path, record_property: Any
) -> None:
    rng = np.random.default_rng(0)
    images = Images(rng.random((20_000, 1, 3, 4), dtype=np.float32))
    torch.manual_seed(0)
    many = World(folder / "many.html", tiny(), images)
    browser.open(many.path)
    # The plane is moved, so that all points are drawn anew.
    before = browser.cpu_seconds()
    frames = [browser.driver.execute_async_script(FRAMES) for _ in range(3)]
    # Of one second each.
    possible = sum(frames) / (browser.cpu_seconds() - before)
    record_property("frames a second", f"{max(frames):.0f}, {possible:.0f} on a core of its own")
    assert possible >= 30
    if os.getloadavg()[0] < 1:  # With other work around there are as many as that leaves.
        assert max(frames) >= 30


@pytest.mark.skipif(not Path(AXE).is_file(), reason="GMVAE_AXE names no axe.min.js of axe-core")
@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1200, 390])
def test_axe_finds_no_serious_fault(width: int, dark: bool, browser: Browser, world: World) -> None:
    browser.open(world.path, width, dark=dark)
    script = """document.querySelector("details").open = true;
        document.querySelector(".end").click();
        document.querySelector(".end[data-end=b]").click();
        gmvae.select([1, 2, 3, 4, 5, 6, 7]);"""
    browser.run(script)
    browser.run(TYPED, "search", "png")
    browser.run("document.querySelector('#found button').click()")
    browser.frame()
    browser.run(Path(AXE).read_text(encoding="utf-8"))
    faults = browser.driver.execute_async_script("axe.run().then(arguments[0])")["violations"]
    serious = [f for f in faults if f["impact"] in ("serious", "critical")]
    assert [(f["id"], [n["html"] for n in f["nodes"]]) for f in serious] == []
