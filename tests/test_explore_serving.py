"""The page to explore whose images the model decodes: who is answered, and with what."""

from collections.abc import Iterator
from http.client import HTTPConnection
from threading import Thread
from typing import Any

import numpy as np
import pytest
import torch
from browser import Browser, browser
from exploring import World, click, digits, folder, on_screen, pixels, press, text, world, z_of

from gmvae.explore import Server, page, server

__all__ = ["browser", "digits", "folder", "world"]


@pytest.fixture(scope="module")
def serving(world: World) -> Iterator[Server]:
    with server(world.model, world.images) as found:
        thread = Thread(target=found.serve_forever)
        thread.start()
        yield found
        found.shutdown()
        thread.join()


def asked(serving: Server, method: str, path: str, body: bytes = b"", **headers: str) -> Any:
    """The status and the content of the answer."""
    connection = HTTPConnection(*serving.server_address[:2], timeout=20)  # type: ignore[arg-type]
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.status, answer.read()
    connection.close()
    return content


def test_it_decodes_as_the_model_does(serving: Server, world: World) -> None:
    z = torch.randn(5, 2)
    status, content = asked(serving, "POST", "/decode", z.numpy().tobytes())
    assert status == 200
    assert content == world.model.decode(z).numpy().tobytes()


def test_this_machine_alone_can_ask(serving: Server) -> None:
    assert serving.server_address[0] == "127.0.0.1"


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status"),
    [
        ("GET", "/../gmvae-run/config.json", b"", {}, 404),
        ("GET", "/", b"", {"Host": "elsewhere.example"}, 404),
        ("POST", "/decode", b"\0" * 8, {"Origin": "http://elsewhere.example"}, 404),
        ("POST", "/other", b"\0" * 8, {}, 404),
        ("POST", "/decode", b"\0" * 7, {}, 400),
        ("POST", "/decode", b"\0" * 12, {}, 400),
        ("POST", "/decode", b"", {}, 400),
        ("POST", "/decode", b"\0" * 8 * 65, {}, 400),
        ("PUT", "/decode", b"\0" * 8, {}, 501),
    ],
)
def test_nobody_else_is_answered(
    method: str, path: str, body: bytes, headers: dict[str, str], status: int, serving: Server
) -> None:
    assert asked(serving, method, path, body, **headers)[0] == status


def test_the_page_holds_no_decoder_and_asks_its_own_server_alone(
    serving: Server, world: World
) -> None:
    status, content = asked(serving, "GET", "/")
    assert status == 200
    assert content.decode() == page(world.model, world.images, served=True)
    assert '"decoder": null' in content.decode()
    assert "; connect-src 'self'\"" in content.decode()
    assert "connect-src" not in page(world.model, world.images)


def test_in_a_browser_it_shows_what_the_model_decodes(
    browser: Browser, serving: Server, world: World
) -> None:
    browser.open(f"{serving.address}/")
    click(browser, *on_screen(browser, 3))
    press(browser, "go")
    expected = world.reconstruction(z_of(browser))
    browser.until(lambda: shown(browser, "decoded", expected))
    assert shown(browser, "reconstruction", expected)
    for end in ("a", "b"):
        button = f"document.querySelector('.end[data-of=image][data-end={end}]').click()"
        browser.run(button)
    browser.until(lambda: shown(browser, "strip", expected, columns=8))
    assert {address.partition("data:")[0] for address in browser.requests()} <= {
        "",
        f"{serving.address}/",
        f"{serving.address}/decode",
        f"{serving.address}/favicon.ico",
    }
    # No page asks for an icon, or reads its pixels back: this test does.
    ours = ("favicon", "willReadFrequently")
    assert [line for line in browser.errors() if not any(word in line for word in ours)] == []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Server, "decode", gone)
        click(browser, *on_screen(browser, 5))
        browser.until(lambda: "Nothing is decoded any more" in text(browser, "status"))


def gone(serving: Server, body: bytes) -> bytes:
    raise ValueError


def shown(browser: Browser, id_: str, expected: np.ndarray, columns: int | None = None) -> bool:
    """Whether the canvas holds these pixels."""
    found = pixels(browser, id_)[:, :columns]
    return found.shape == expected.shape and bool(np.abs(found - expected).max() <= 1)
