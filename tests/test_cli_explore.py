"""``gmvae explore``: the file it writes, and what it says."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

import numpy as np
import pytest
from cli_toys import one_line
from explored import read
from gmvae_cli import app
from parsed import EVIL
from PIL import Image as Picture

from gmvae import GMVAE, Config, Images
from gmvae.explore import Server, document

pytestmark = pytest.mark.usefixtures("elsewhere")


def explored(run: Path, *arguments: str) -> int:
    return app.run(["explore", "--model", str(run), *arguments])


def test_the_page_of_the_default_run(named_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its test part, in a file beside the run folder, of less than 3 MB."""
    path = named_run.with_name("run-explore.html")
    path.unlink(missing_ok=True)
    assert explored(named_run) == 0
    assert capsys.readouterr().out == (
        "A page to explore 134 images (digits, test part, classes 1, 4, 8), for a browser: "
        f"{path}\n"
    )
    assert path.stat().st_size < 3 * 10**6
    page = read(path.read_text(encoding="utf-8"))
    assert "Latent space of digits, test part, classes 1, 4, 8" in page.parsed.text
    assert page.data["groups"]["component"]["short"] == ["class 1", "class 4", "class 8"]


def test_a_share_of_many_is_told(
    named_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(document, "MOST_POINTS", 100)
    assert explored(named_run, "-o", "few.html") == 0
    assert "explore 100 of 134 images, an even share, (digits" in capsys.readouterr().out
    assert explored(named_run, "-o", "few.html", "--force", "--json") == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["output"], record["n_images"], record["n_points"]) == ("few.html", 134, 100)


def test_names_of_files_and_folders_are_text(
    unnamed_run: Path, digits: Images, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [EVIL[kind].replace("/", "\u2215") for kind in ("script", "terminal", "attribute")]
    for i, name in enumerate(names * 2):
        place = Path("<i>pics") / name
        place.mkdir(parents=True, exist_ok=True)
        pixels = (digits.pixels[i, 0] * 255).astype(np.uint8)
        Picture.fromarray(pixels).save(place / f"{i} {name}.png")
    (Path("<i>pics") / names[1] / "broken\x1b[31m.png").write_bytes(b"no picture")
    assert explored(unnamed_run, "<i>pics", "-o", "page.html") == 0
    shown = capsys.readouterr()
    assert r"broken\x1b[31m.png" in shown.out
    assert "\x1b" not in shown.out + shown.err
    source = Path("page.html").read_text(encoding="utf-8")
    assert "\x1b" not in source
    page = read(source)
    assert "Latent space of <i>pics" in page.parsed.text
    assert len(page.data["points"]["files"]) == 6
    assert sorted(page.data["groups"]["class"]["names"]) == sorted(
        name.replace("\x1b", r"\x1b") for name in names
    )


def test_what_a_page_cannot_hold_is_refused_in_one_line(
    unnamed_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((unnamed_run / "config.json").read_text())["training"]
    GMVAE(Config((1, 8, 8), 3, latent_dim=65)).save(Path("large"), extra={"training": record})
    assert explored(Path("large"), "-o", "page.html") == 2
    assert "at most 64; got 65 latent dimensions" in one_line(capsys)
    assert not Path("page.html").exists()


def test_what_is_there_is_kept_and_the_name_says_what_it_is(
    named_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explored(named_run, "-o", "page.txt") == 2
    assert "expected a .html file; got page.txt" in one_line(capsys)
    Path("page.html").write_text("mine")
    assert explored(named_run, "-o", "page.html") == 2
    assert "page.html exists" in one_line(capsys)
    assert Path("page.html").read_text() == "mine"


def test_a_page_that_is_served_is_no_file(
    named_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(serving: Server) -> None:
        with urlopen(f"{serving.address}/") as page:
            assert "Latent space of digits" in page.read().decode()
        raise KeyboardInterrupt

    monkeypatch.setattr(Server, "serve_forever", served_until(interrupted))
    assert explored(named_run, "--serve") == 0
    said = capsys.readouterr().out
    assert re.fullmatch(
        r"Open http://127\.0\.0\.1:\d+/ in a browser on this machine; Ctrl-C ends it\.\n", said
    )
    assert explored(named_run, "--serve", "-o", "page.html") == 2
    assert "`--serve` expected no --output" in one_line(capsys)
    assert not list(Path().iterdir())


def served_until(looks: Callable[[Server], None]) -> Callable[[Server], None]:
    """In place of ``serve_forever``: in a thread, until that returns."""
    serve = Server.serve_forever

    def served(serving: Server) -> None:
        thread = Thread(target=serve, args=(serving,))
        thread.start()
        try:
            looks(serving)
        finally:
            serving.shutdown()
            thread.join()

    return served
