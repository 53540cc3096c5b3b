"""Pixels of arrays and pictures, and how they are shaped, against values worked out by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from gmvae.data import from_arrays, load
from gmvae.data.shaping import greyed, resized
from gmvae.support.errors import ContentError

# Three pixels a row of one picture or array, as stored, and what they are in [0, 1].
ARRAYS = [
    ("bytes", np.uint8, [0, 51, 255], [0, 0.2, 1]),
    ("bytes, the least white", np.uint8, [0, 51, 64], [0, 0.2, 64 / 255]),
    ("bytes of 0 and 1", np.uint8, [0, 1, 1], [0, 1, 1]),
    ("truth values", bool, [0, 1, 0], [0, 1, 0]),
    ("16 bits, full", np.uint16, [0, 13107, 65535], [0, 0.2, 1]),
    ("16 bits, a quarter", np.uint16, [0, 13107, 16384], [0, 0.2, 16384 / 65535]),
    ("bytes in 16 bits", np.uint16, [0, 51, 255], [0, 0.2, 1]),
    ("0 and 1 in 16 bits", np.uint16, [0, 1, 1], [0, 1, 1]),
    ("bytes in 32 bits", np.int32, [0, 51, 255], [0, 0.2, 1]),
    ("0 and 1 in 32 bits", np.int32, [0, 0, 1], [0, 0, 1]),
    ("floats in [0, 1]", np.float32, [0, 0.2, 0.5], [0, 0.2, 0.5]),
    ("floats in 0-255", np.float32, [0, 51, 255], [0, 0.2, 1]),
]
REFUSED = [
    ("16 grey values", np.uint8, [0, 8, 15], "got 0 to 15, of which 255 would make black"),
    ("12 bits in 16", np.uint16, [0, 100, 4095], "got 0 to 4095"),
    ("16 bits in 32", np.int32, [0, 100, 65535], "got 0 to 65535"),
    ("negative numbers", np.int32, [-1, 0, 255], "got -1 to 255"),
    ("floats beyond 1", np.float32, [0, 0.5, 1.5], r"floats from 0 to 1\.5\. Clip them"),
    ("floats beyond 255", np.float32, [0, 0.5, 256], "got 0 to 256"),
]


def as_array(path, values, dtype):
    return from_arrays(np.array(values, dtype).reshape(1, 1, 3))


def as_npz(path, values, dtype):
    np.savez(path / "a.npz", images=np.array(values, dtype).reshape(1, 1, 3))
    return load(path / "a.npz")


def as_tiff(path, values, dtype):
    Image.fromarray(np.array(values, dtype).reshape(1, 3)).save(path / "a.tif")
    return load(path)


def as_png(path, values, dtype):
    Image.fromarray(np.array(values, dtype).reshape(1, 3)).save(path / "a.png")
    return load(path)


WAYS = [as_array, as_npz, as_tiff, as_png]
# A PNG has no 32 bits, no floats and no sign; Pillow writes truth values of bits as bits.
NO_PNG = (np.int32, np.float32)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("dtype", "stored", "expected"), [row[1:] for row in ARRAYS], ids=[row[0] for row in ARRAYS]
)
def test_one_rule_for_pixels_whatever_they_came_in(tmp_path, way, dtype, stored, expected):
    if way is as_png and dtype in NO_PNG:
        pytest.skip("no such PNG")
    images = way(tmp_path, stored, dtype)
    assert images.shape == (1, 1, 3)
    torch.testing.assert_close(images.tensor().flatten(), torch.tensor(expected).float())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("dtype", "stored", "message"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_one_rule_refuses_whatever_they_came_in(tmp_path, way, dtype, stored, message):
    if way is as_png and dtype in NO_PNG:
        pytest.skip("no such PNG")
    with pytest.raises(ContentError, match=message):
        way(tmp_path, stored, dtype)


def palette(colours, transparent=None):
    picture = Image.new("P", (3, 1))
    picture.putpalette([value for colour in colours for value in colour])
    picture.putdata(range(3))
    options = {} if transparent is None else {"transparency": transparent}
    return picture, options


def coloured(mode, pixels):
    picture = Image.new(mode, (len(pixels), 1))
    picture.putdata(pixels)
    return picture, {}


RED, GREEN, WHITE = [255, 0, 0], [0, 255, 0], [255, 255, 255]
# A picture, the ending it is saved under, and the bytes of its pixels: (C, W) of one row.
PICTURES = [
    ("grey", coloured("L", [0, 7, 255]), "png", [[0, 7, 255]]),
    ("bits", coloured("1", [0, 1, 1]), "png", [[0, 255, 255]]),
    ("bits of a TIFF", coloured("1", [0, 1, 1]), "tif", [[0, 255, 255]]),
    ("colour", coloured("RGB", [(1, 2, 200), (3, 4, 5)]), "png", [[1, 3], [2, 4], [200, 5]]),
    # Black at an opacity of a fifth: 255 x 0.8; 100 at the same: 20 + 204.
    (
        "colour and transparency",
        coloured("RGBA", [(0, 100, 255, 51), (9, 9, 9, 0), (9, 8, 200, 255)]),
        "png",
        [[204, 255, 9], [224, 255, 8], [255, 255, 200]],
    ),
    ("grey and transparency", coloured("LA", [(100, 51), (9, 0)]), "png", [[224, 255]]),
    ("palette", palette([RED, GREEN, WHITE]), "png", np.transpose([RED, GREEN, WHITE]).tolist()),
    (
        "palette with a transparent colour",
        palette([RED, GREEN, WHITE], transparent=1),
        "png",
        np.transpose([RED, WHITE, WHITE]).tolist(),
    ),
    ("a GIF", palette([RED, GREEN, WHITE]), "gif", np.transpose([RED, GREEN, WHITE]).tolist()),
    # Ink: no cyan, all magenta and yellow.
    (
        "ink",
        coloured("CMYK", [(0, 255, 255, 0), (0, 0, 0, 255)]),
        "tif",
        [[255, 0], [0] * 2, [0] * 2],
    ),
]


@pytest.mark.parametrize(
    ("made", "ending", "expected"), [row[1:] for row in PICTURES], ids=[row[0] for row in PICTURES]
)
def test_modes_of_pictures(tmp_path, made, ending, expected):
    picture, options = made
    picture.save(tmp_path / f"a.{ending}", **options)
    images = load(tmp_path)
    assert images.pixels.dtype == np.uint8
    assert images.pixels[0, :, 0].tolist() == expected


# Where the corner of the stored picture lies when it is upright, by the EXIF standard's table 6:
# row 0 of what is stored is the side named first, column 0 the second.
UPRIGHT = {
    1: [[64, 1, 2], [3, 4, 5]],
    2: [[2, 1, 64], [5, 4, 3]],
    3: [[5, 4, 3], [2, 1, 64]],
    4: [[3, 4, 5], [64, 1, 2]],
    5: [[64, 3], [1, 4], [2, 5]],
    6: [[3, 64], [4, 1], [5, 2]],
    7: [[5, 2], [4, 1], [3, 64]],
    8: [[2, 5], [1, 4], [64, 3]],
}


@pytest.mark.parametrize(("orientation", "expected"), UPRIGHT.items())
@pytest.mark.parametrize("ending", ["png", "tif", "webp"])
def test_photographs_stand_upright(tmp_path, orientation, expected, ending):
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = Image.fromarray(np.array(UPRIGHT[1], np.uint8))
    options = {"lossless": True} if ending == "webp" else {}
    picture.save(tmp_path / f"a.{ending}", exif=exif, **options)
    # WebP has no grey: its three channels are alike.
    assert load(tmp_path).pixels[0, 0].tolist() == expected


def test_a_picture_of_many_pages_is_many_images(tmp_path):
    pages = [Image.new("L", (3, 2), value) for value in (100, 150, 200)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "single.png")
    images = load(tmp_path)
    assert images.files.tolist() == ["scan.tif#1", "scan.tif#2", "scan.tif#3", "single.png"]
    assert images.pixels[:, 0, 0, 0].tolist() == [100, 150, 200, 100]


def test_depths_of_one_folder_are_scaled_each_by_its_own_white(tmp_path):
    Image.fromarray(np.array([[0, 51, 255]], np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(np.array([[0, 13107, 65535]], np.uint16)).save(tmp_path / "b.png")
    Image.fromarray(np.array([[0, 0.2, 1]], np.float32)).save(tmp_path / "c.tif")
    Image.new("RGB", (3, 1), (0, 51, 255)).save(tmp_path / "d.png")
    images = load(tmp_path)
    assert images.pixels.dtype == np.float32
    grey = torch.tensor([[0, 0.2, 1]]).expand(3, 3)  # in each of three channels
    for row in range(3):
        torch.testing.assert_close(images.tensor()[row, :, 0], grey)
    torch.testing.assert_close(images.tensor()[3, :, 0], grey.T)


# Weights of a triangle two pixels to each side, at 1 and 3 in a row of four: 3, 3, 1 of sevenths.
HALVED = [
    ("a row of one value", [[64] * 4] * 4, [[64, 64], [64, 64]]),
    ("the last column", [[0, 0, 0, 70]] * 4, [[0, 30], [0, 30]]),
    ("the third column", [[0, 0, 70, 0]] * 4, [[10, 30], [10, 30]]),
    ("the last row", [[0] * 4] * 3 + [[70] * 4], [[0, 0], [30, 30]]),
    ("a corner", [[0] * 4] * 3 + [[0, 0, 0, 245]], [[0, 0], [0, 45]]),
]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.uint16])
@pytest.mark.parametrize(
    ("pixels", "expected"), [row[1:] for row in HALVED], ids=[row[0] for row in HALVED]
)
def test_resized_to_half(pixels, expected, dtype):
    small = resized(np.array(pixels, dtype)[:, :, None], 2)
    np.testing.assert_allclose(small[:, :, 0], expected, atol=1e-4)
    assert small.dtype == (np.uint8 if dtype == np.uint8 else np.float32)


def test_the_middle_square_is_kept():
    wide = np.array([[0, 7, 8, 0], [0, 9, 10, 0]], np.uint8)[:, :, None]
    assert resized(wide, 2)[:, :, 0].tolist() == [[7, 8], [9, 10]]
    assert resized(wide.swapaxes(0, 1), 2)[:, :, 0].tolist() == [[7, 9], [8, 10]]
    # Of five columns two and a half are beside the middle: the edge pixels count by their half.
    uneven = np.array([[100, 0, 0, 0, 100]] * 2, np.float32)[:, :, None]
    assert resized(uneven, 1).item() == pytest.approx(0)


@pytest.mark.parametrize(
    ("pixel", "expected"),
    [
        ((255, 0, 0), 76),  # 0.299 x 255 = 76.2
        ((0, 255, 0), 150),  # 149.7
        ((0, 0, 255), 29),  # 29.1
        ((100, 100, 100), 100),
        ((255, 255, 255), 255),
    ],
)
def test_grey_is_what_we_see_of_colour(tmp_path, pixel, expected):
    array = np.array(pixel, np.uint8).reshape(1, 1, 3)
    assert greyed(array, "x").tolist() == [[[expected]]]
    assert greyed(array[:, :, :1], "x").tolist() == [[[pixel[0]]]]
    as_floats = greyed(array.astype(np.float32) / 255, "x")
    assert as_floats.item() == pytest.approx(expected / 255, abs=0.002)
    Image.fromarray(array).save(tmp_path / "a.png")
    Image.new("L", (1, 1), 80).save(tmp_path / "b.png")
    assert load(tmp_path, grey=True).pixels.ravel().tolist() == [expected, 80]


def test_arrays_are_shaped_as_pictures_are(tmp_path):
    """One set of colour images as an array and as files: the same bytes."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 6, 9, 3), dtype=np.uint8)
    np.save(tmp_path / "a.npy", pixels)
    for row, image in enumerate(pixels):
        (tmp_path / "folder").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "folder" / f"{row}.png")
    for options in ({}, {"grey": True}, {"resize": 4}, {"resize": 4, "grey": True}):
        from_array = load(tmp_path / "a.npy", **options)
        from_files = load(tmp_path / "folder", **options)
        assert np.array_equal(from_array.pixels, from_files.pixels)
        assert from_array.shape == (
            1 if "grey" in options else 3,
            *((4, 4) if "resize" in options else (6, 9)),
        )
    np.save(tmp_path / "b.npy", pixels[..., :2])
    with pytest.raises(ContentError, match="1 or 3 channels to make grey; got 2"):
        load(tmp_path / "b.npy", grey=True)


def test_pictures_of_any_size_become_one(tmp_path):
    for name, size in (("a", (9, 4)), ("b", (4, 4)), ("c", (30, 50))):
        Image.new("L", size, 200).save(tmp_path / f"{name}.png")
    images = load(tmp_path, resize=4)
    assert images.pixels.tolist() == np.full((3, 1, 4, 4), 200).tolist()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 2, 9, 8), (2, 9, 8)),
        ((5, 9, 8, 2), (2, 9, 8)),
        ((5, 13, 9, 8), (8, 13, 9)),  # the shorter one of the two
        ((5, 8, 9, 13), (8, 9, 13)),
        ((5, 8, 9, 8), (8, 9, 8)),  # the second where both are alike
        ((5, 2, 9, 3), (3, 2, 9)),  # colour before two of anything
        ((5, 28, 28, 1), (1, 28, 28)),
    ],
)
def test_any_number_of_channels(shape, expected):
    data = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    images = from_arrays(data)
    assert images.shape == expected
    last = expected[0] == shape[3] and expected[1:] == shape[1:3]
    assert np.array_equal(images.pixels, np.moveaxis(data, 3, 1) if last else data)


PIXELS, LABELS = np.full((2, 3, 3), 200, np.uint8), np.array([4, 8])
WORDS = np.array(["cat", "a bird"])


@pytest.mark.parametrize(
    ("arrays", "part", "labels", "names"),
    [
        ({"data": PIXELS, "label": LABELS}, "train", [4, 8], {}),
        ({"images": PIXELS, "targets": LABELS[:, None]}, "train", [4, 8], {}),
        ({"X": PIXELS, "y": WORDS}, "train", [1, 0], {0: "a bird", 1: "cat"}),
        ({"X": PIXELS, "y": WORDS.astype("S")}, "train", [1, 0], {0: "a bird", 1: "cat"}),
        ({"data": PIXELS, "labels": np.array(["8", "10"])}, "train", [8, 10], {}),
        ({"data": PIXELS, "extra": np.zeros(7)}, "train", None, {}),
    ],
)
def test_layouts_of_others(tmp_path, arrays, part, labels, names):
    np.savez(tmp_path / "a.npz", **arrays)
    images = load(tmp_path / "a.npz", part=part)
    assert images.pixels.tolist() == PIXELS[:, None].tolist()
    assert (None if images.labels is None else images.labels.tolist()) == labels
    assert images.class_names == names


@pytest.mark.parametrize(
    ("pixels", "labels"), [("{}_images", "{}_labels"), ("x_{}", "y_{}"), ("X{}", "Y{}")]
)
def test_parts_of_one_archive(tmp_path, pixels, labels):
    arrays = {
        name.format(part): values
        for part, shift in (("train", 0), ("test", 1), ("val", 2))
        for name, values in ((pixels, PIXELS - shift), (labels, LABELS + shift))
    }
    np.savez(tmp_path / "a.npz", **arrays)
    for part, shift in (("train", 0), ("test", 1), ("val", 2)):
        images = load(tmp_path / "a.npz", part=part)
        assert images.pixels[0, 0, 0, 0] == 200 - shift
        assert images.labels.tolist() == (LABELS + shift).tolist()
