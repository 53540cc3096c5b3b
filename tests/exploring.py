"""What the tests of the page to explore in a browser share: two pages, and hands on them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser import Browser
from parsed import EVIL
from toys import tiny

from gmvae import GMVAE, Images, load
from gmvae.explore import page

N = 60


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
