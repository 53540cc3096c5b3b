"""The page to explore in a real browser: what it shows, and how fast it is."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import Browser, browser, needs_axe
from exploring import (
    TYPED,
    N,
    World,
    click,
    corners,
    deep,
    digits,
    folder,
    mouse,
    on_screen,
    opened,
    pixels,
    press,
    text,
    world,
    z_of,
)
from parsed import EVIL
from toys import tiny

from gmvae import Images
from gmvae.plots import Told

__all__ = ["browser", "deep", "digits", "folder", "opened", "world"]


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


@needs_axe
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
    assert browser.serious_faults() == []
