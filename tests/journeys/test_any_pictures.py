"""A folder as it is found: sizes, modes and depths of all kinds, and two files that are broken."""

from pathlib import Path

import numpy as np
from PIL import Image
from travel import QUICK, Traveller, rows_of

from gmvae import load

GREY = 120


def any_pictures(folder):
    """Thirteen pictures, all of one grey but for a bright square in half of them, in any way."""
    folder.mkdir()
    modes = {
        "1.png": "L",
        "2.png": "RGB",
        "3.png": "RGBA",
        "4.png": "LA",
        "5.bmp": "RGB",
        "6.gif": "P",
        "7.tif": "I;16",
        "8.tif": "F",
        "9.webp": "RGB",
        "10.jpg": "L",
    }
    for i, (name, mode) in enumerate(modes.items()):
        pixels = np.full((10 + 3 * i, 12 + 2 * i), GREY, np.uint8)
        if i % 2:
            pixels[3:-3, 3:-3] = 240
        if mode == "I;16":
            picture = Image.fromarray(pixels.astype(np.uint16) * 257)
        elif mode == "F":
            picture = Image.fromarray(pixels.astype(np.float32) / 255)
        else:
            picture = Image.fromarray(pixels).convert(mode)
        picture.save(folder / name)
    pages = [Image.new("L", (9, 9), value) for value in (GREY, GREY, 240)]
    pages[0].save(folder / "11.tiff", save_all=True, append_images=pages[1:])
    (folder / "12.png").write_bytes((folder / "1.png").read_bytes()[:40])
    (folder / "13.jpg").write_bytes(b"no picture at all")
    (folder / "notes.txt").write_text("not looked at")


def test_any_pictures_with_two_broken_ones(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    user = Traveller(capsys)
    any_pictures(Path("found"))

    (error,) = user.types("train found --components 2", code=1)
    assert "pictures of one size, (H, W) (10, 12) as 1.png; got (13, 14) in 2.png" in error
    (error,) = user.types("train found --resize 8 --components 2 --strict", code=1)
    assert "`found/12.png` expected a picture" in error

    command = ["train", "found", "--resize", "8", "--grey", "--components", "2", "-o", "run"]
    said = user.types([*command, "--held-out", "0", *QUICK])
    assert said[0] == (
        "found: 13 pictures, grey, 8 x 8. 1 other file left alone. Skipped 2 files: 12.png (no "
        "picture, or a damaged one), 13.jpg (no picture, or a damaged one)."
    )
    said = user.types("classify --model run")
    assert said[0].endswith("13.jpg (no picture, or a damaged one).")
    endings = ["png"] * 4 + ["bmp", "gif", "tif", "tif", "webp", "jpg"]
    files = [f"{i}.{ending}" for i, ending in enumerate(endings, start=1)]
    files += ["11.tiff#1", "11.tiff#2", "11.tiff#3"]
    assert [row["File"] for row in rows_of("run-vae.csv")] == files

    # Whatever they came in, the grey of the middle is the same: 120 of 255, or 240 in each other.
    pixels = load("found", resize=8, grey=True).tensor()[:, 0]
    np.testing.assert_allclose(pixels[:10:2, 4, 4], GREY / 255, atol=0.02)
    np.testing.assert_allclose(pixels[10:, 4, 4], [GREY / 255, GREY / 255, 240 / 255], atol=1e-6)
    np.testing.assert_allclose(pixels[1:10:2, 4, 4], 240 / 255, atol=0.02)
    (error,) = user.types("classify --model run --strict --force", code=1)
    assert "12.png" in error
