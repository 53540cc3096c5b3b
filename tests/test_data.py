"""Images, named sets and files, against arrays and bytes made by hand."""

import gzip
import os
import re
import shutil
import struct
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from gmvae.data import NAMED, Images, from_arrays, load
from gmvae.data import images as images_module
from gmvae.data.named import data_root
from gmvae.support.errors import ArgumentError, ContentError

BYTES = np.arange(5 * 4 * 6, dtype=np.uint8).reshape(5, 4, 6) * 2
LABELS = np.array([1, 4, 8, 4, 1])

mnist = pytest.mark.skipif(
    "GMVAE_DATA_ROOT" not in os.environ, reason="GMVAE_DATA_ROOT names no folder with MNIST in it"
)


def idx(array, code=0x08, big_endian=">u1"):
    """The bytes of an IDX file, as its format says."""
    head = struct.pack(">BBBB", 0, 0, code, array.ndim) + struct.pack(
        f">{array.ndim}I", *array.shape
    )
    return head + array.astype(big_endian).tobytes()


def grey(folder, name, value, size=(6, 4), mode="L"):
    folder.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(folder / name)


@pytest.fixture
def few():
    """Twelve images in classes 1 (six), 4 (four) and 8 (two); each pixel is the row number."""
    pixels = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, None, None, None], (12, 1, 2, 3))
    return Images(pixels.copy(), np.repeat([1, 4, 8], [6, 4, 2]), "few")


def rows_of(images):
    return images.pixels[:, 0, 0, 0].tolist()


# Images


def test_images_know_their_shape_and_classes(few):
    assert (len(few), few.shape, few.classes, few.name) == (12, (1, 2, 3), (1, 4, 8), "few")
    assert Images(few.pixels).classes == ()
    assert all(type(value) is int for value in few.classes)


@pytest.mark.parametrize("rows", [slice(2, 7, 2), np.array([6, 2, 4]), np.arange(12) % 5 == 2])
def test_tensor_reads_only_the_rows_asked_for(few, rows):
    tensor = few.tensor(rows)
    assert tensor.dtype == torch.float32
    assert tensor.is_contiguous()
    torch.testing.assert_close(tensor, torch.from_numpy(few.pixels[rows]).float() / 255)
    torch.testing.assert_close(tensor, few.tensor()[torch.arange(12).numpy()[rows]])


@pytest.mark.parametrize(
    ("rows", "came"),
    [
        ("cpu", "'cpu' ("),
        ([99], "list (index 99 is out of bounds"),
        (np.ones(2, dtype=bool), "ndarray (boolean index did not match"),
        (2, "2. Choose among those, a single one as [0]"),
    ],
)
@pytest.mark.parametrize("ask", [Images.tensor, Images.subset])
def test_rows_that_are_not_there_are_refused(few, ask, rows, came):
    with pytest.raises(ArgumentError, match="`rows` expected a slice, numbers of rows"):
        ask(few, rows)
    with pytest.raises(ArgumentError, match=re.escape(f"; got {came}")):
        ask(few, rows)


def test_tensor_is_a_copy(few):
    few.tensor().zero_()
    floats = Images(np.ones((2, 1, 2, 2), dtype=np.float32))
    floats.tensor().zero_()
    assert few.pixels.any()
    assert floats.pixels.all()


def test_only_keeps_the_order_of_the_set(few):
    some = few.subset(np.array([11, 0, 6, 1])).only([8, 1])
    assert rows_of(some) == [11, 0, 1]
    assert some.labels.tolist() == [8, 1, 1]
    assert some.classes == (1, 8)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.75])
def test_split_divides_each_class_in_proportion(few, fraction, seed):
    first, second = few.split(fraction, seed)
    assert sorted(rows_of(first) + rows_of(second)) == list(range(12))
    for value, count in zip((1, 4, 8), (6, 4, 2), strict=True):
        assert (first.labels == value).sum() == round(fraction * count)
    assert rows_of(first) == rows_of(few.split(fraction, seed)[0])
    assert rows_of(first) == sorted(rows_of(first))


def test_split_without_labels_and_with_other_seeds(few):
    bare = Images(few.pixels)
    firsts = [rows_of(bare.split(0.25, seed)[0]) for seed in range(5)]
    assert {len(rows) for rows in firsts} == {3}
    assert len(set(map(tuple, firsts))) > 1
    assert bare.split(0.25, 0)[1].labels is None


def test_per_class_draws_as_many_of_each(few):
    rows = few.per_class(2, np.random.default_rng(0))
    assert few.labels[rows].tolist() == [1, 1, 4, 4, 8, 8]
    assert len(set(rows.tolist())) == 6
    draws = {tuple(few.per_class(1, np.random.default_rng(seed)).tolist()) for seed in range(9)}
    assert len(draws) > 1
    assert few.per_class(0, np.random.default_rng(0)).size == 0


@pytest.mark.parametrize(
    ("pixels", "binary"),
    [
        (np.array([0, 255], np.uint8), True),
        (np.array([0, 254], np.uint8), False),
        (np.array([0, 1], np.float32), True),
        (np.array([0, 0.5], np.float32), False),
    ],
)
def test_binary(pixels, binary):
    assert Images(np.broadcast_to(pixels, (3, 1, 1, 2))).binary is binary


def test_joined_concatenates(few):
    both = few.joined(few.only([8]))
    assert rows_of(both) == [*range(12), 10, 11]
    assert both.labels.tolist() == [*few.labels, 8, 8]
    assert both.pixels.dtype == np.uint8
    assert few.joined(Images(few.pixels)).labels is None


def test_joined_refuses_a_class_of_two_names(few):
    one, other = (Images(few.pixels, few.labels, name, {1: name}) for name in ("one", "ace"))
    with pytest.raises(ArgumentError, match=r"1 to be one, as in one; got ace in ace\. Name"):
        one.joined(other)


def test_joined_bytes_and_floats_agree_in_scale(few):
    both = few.joined(Images(few.tensor().numpy(), few.labels))
    torch.testing.assert_close(both.tensor(slice(0, 12)), both.tensor(slice(12, 24)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda few: few.only([1, 7, 9]), r"`classes` expected some of 1, 4, 8; got 7, 9\."),
        (lambda few: few.only([]), "`classes` expected some of 1, 4, 8; got none"),
        (lambda few: Images(few.pixels).only([1]), "`classes` expected images with labels"),
        (lambda few: Images(few.pixels).per_class(1, None), "`n` expected images with labels"),
        (lambda few: few.per_class(3, None), "`n` expected 0 to 2 images a class; got 3. Class 8"),
        (lambda few: few.per_class(1, 3), "`rng` expected a NumPy generator; got 3. Make it with"),
        (lambda few: few.per_class(-1, None), "`n` expected at least 0; got -1"),
        (lambda few: few.only(["1"]), r"`classes` expected some of 1, 4, 8; got '1'\."),
        (lambda few: few.split(0.5, "a"), "`seed` expected a whole number; got 'a'"),
        (lambda few: few.split(0.0, 0), r"`fraction` expected .*; got 0.0"),
        (lambda few: few.split(1.5, 0), r"`fraction` expected .*; got 1.5"),
        (lambda few: few.split(0.01, 0), "leaves images in both parts; got 0.01 of 12"),
        (
            lambda few: few.joined(Images(few.pixels[:, :, :1])),
            r"`other` expected images of \(1, 2, 3\), as in few; got \(1, 1, 3\)",
        ),
        (lambda few: Images(few.pixels[0]), r"`pixels` expected \(N, C, H, W\)"),
        (lambda few: Images(few.pixels.astype(float)), "`pixels` expected .* got .* of float64"),
        (lambda few: Images(few.pixels, LABELS), r"`labels` expected \(12,\) of int64; got \(5,\)"),
        (lambda few: load("digits", part="validation"), "`part` expected train or test"),
    ],
)
def test_bad_arguments(few, call, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        call(few)
    assert "\n" not in str(caught.value)


# Arrays


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 28, 28), (1, 28, 28)),
        ((5, 3, 9, 8), (3, 9, 8)),
        ((5, 9, 8, 4), (4, 9, 8)),
        ((5, 1, 4, 4), (1, 4, 4)),
        ((5, 3, 4, 4), (3, 4, 4)),
    ],
)
def test_layouts(shape, expected):
    data = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    images = from_arrays(data)
    assert images.shape == expected
    first = data[0] if data.ndim == 3 else data[0].reshape(shape[1:])
    if expected[0] == 4:
        first = np.moveaxis(first, -1, 0)
    np.testing.assert_array_equal(images.pixels[0].squeeze(), first.squeeze())


@pytest.mark.parametrize(
    ("values", "dtype", "stored", "as_tensor"),
    [
        ([0, 51, 255], np.uint8, np.uint8, [0, 0.2, 1]),
        ([0, 51, 255], np.int64, np.uint8, [0, 0.2, 1]),
        ([0, 51, 255], np.float64, np.float32, [0, 0.2, 1]),
        ([0, 0.2, 1], np.float64, np.float32, [0, 0.2, 1]),
        ([0, 0.2, 0.5], np.float32, np.float32, [0, 0.2, 0.5]),
        ([0, 0.25, 1], np.float16, np.float32, [0, 0.25, 1]),
        ([0, 1, 1], np.uint8, np.uint8, [0, 1, 1]),
        ([0, 1, 1], np.int8, np.uint8, [0, 1, 1]),
        ([0, 1, 1], bool, np.uint8, [0, 1, 1]),
        ([0, 0, 0], np.uint8, np.uint8, [0, 0, 0]),
    ],
)
def test_scales(values, dtype, stored, as_tensor):
    images = from_arrays(np.array(values, dtype=dtype).reshape(1, 1, 3))
    assert images.pixels.dtype == stored
    torch.testing.assert_close(images.tensor().flatten(), torch.tensor(as_tensor).float())


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_fits_is_not_copied(dtype):
    data = np.zeros((4, 5, 6), dtype=dtype)
    assert np.shares_memory(from_arrays(data).pixels, data)


def test_labels_become_int64():
    assert from_arrays(BYTES, LABELS.astype(np.uint8)).labels.dtype == np.int64


def with_pixel(value):
    data = np.zeros((5, 4, 6))
    data[3, 0, 0] = value
    return data


@pytest.mark.parametrize(
    ("data", "labels", "message"),
    [
        (np.zeros((0, 28, 28)), None, r"`images` expected images; got an empty array .*0, 28, 28"),
        (np.zeros((5, 784)), None, r"got \(5, 784\)\. Reshape it to \(5, 28, 28\)\."),
        (np.zeros((5, 783)), None, r"expected pixels of shape \(N, H, W\).*; got \(5, 783\)"),
        (np.zeros(5), None, r"got \(5,\)"),
        (np.zeros((2, 5, 9, 8)), None, r"got \(2, 5, 9, 8\)"),
        (np.zeros((2, 1, 3, 9, 8)), None, r"got \(2, 1, 3, 9, 8\)"),
        (with_pixel(np.nan), None, "expected finite pixels; got NaN or infinity in image 3"),
        (with_pixel(np.inf), None, "expected finite pixels; got NaN or infinity in image 3"),
        (with_pixel(-np.inf), None, "expected finite pixels; got NaN or infinity in image 3"),
        (with_pixel(-1), None, r"expected pixels in 0-255 or in \[0, 1\]; got -1 to 0"),
        (with_pixel(256), None, "got 0 to 256"),
        (with_pixel(65535).astype(np.uint16), None, "got 0 to 65535"),
        (with_pixel(1.001), None, r"got floats from 0 to 1.001\. Clip them"),
        (BYTES.astype(object), None, "expected pixels that are numbers; got an array of object"),
        (BYTES.astype(str), None, "expected pixels that are numbers"),
        (BYTES.astype(complex), None, "expected pixels that are numbers"),
        (BYTES, LABELS[:4], r"expected labels of shape \(5,\), one an image; got \(4,\)"),
        (BYTES, LABELS[:, None], r"expected labels of shape \(5,\), one an image; got \(5, 1\)"),
        (BYTES, LABELS.astype(float), "expected labels that are integers; got float64"),
        (BYTES, LABELS.astype(object), "expected labels that are integers; got object"),
        (BYTES, LABELS - 2, "expected labels of 0 or more; got -1"),
    ],
)
def test_bad_content(data, labels, message):
    with pytest.raises(ContentError, match=message) as caught:
        from_arrays(data, labels)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("row", [0, 1, 6])
def test_checks_are_the_same_over_many_chunks(monkeypatch, row):
    monkeypatch.setattr(images_module, "CHUNK_BYTES", 2 * 6 * 8)
    data = np.linspace(0, 1, 7 * 6).reshape(7, 2, 3)
    torch.testing.assert_close(from_arrays(data).tensor(), torch.from_numpy(data)[:, None].float())
    data[row, 1, 2] = np.nan
    with pytest.raises(ContentError, match=f"image {row}"):
        from_arrays(data)


# Files


def test_npz(tmp_path):
    np.savez(tmp_path / "train.npz", data=BYTES, labels=LABELS, other=np.zeros(3))
    images = load(tmp_path / "train.npz")
    np.testing.assert_array_equal(images.pixels[:, 0], BYTES)
    np.testing.assert_array_equal(images.labels, LABELS)
    assert images.name == "train.npz"
    np.savez_compressed(tmp_path / "bare.npz", data=BYTES)
    assert load(str(tmp_path / "bare.npz")).labels is None


@pytest.mark.parametrize("array", [BYTES, BYTES.astype(np.float32) / 255])
def test_npy_stays_on_disk(tmp_path, array):
    np.save(tmp_path / "images.npy", array)
    images = load(tmp_path / "images.npy")
    assert isinstance(images.pixels, np.memmap)
    assert images.pixels.dtype == array.dtype
    with torch.no_grad():
        torch.testing.assert_close(images.tensor()[:, 0], from_arrays(array).tensor()[:, 0])
    assert images.subset(slice(1, 3)).tensor().shape == (2, 1, 4, 6)


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("labels_zipped", [False, True])
def test_idx_with_labels_beside(tmp_path, zipped, labels_zipped):
    for name, array, pack in (
        ("t10k-images-idx3-ubyte", BYTES, zipped),
        ("t10k-labels-idx1-ubyte", LABELS, labels_zipped),
    ):
        path = tmp_path / (name + ".gz" * pack)
        path.write_bytes(gzip.compress(idx(array)) if pack else idx(array))
    images = load(tmp_path / ("t10k-images-idx3-ubyte" + ".gz" * zipped))
    np.testing.assert_array_equal(images.pixels[:, 0], BYTES)
    np.testing.assert_array_equal(images.labels, LABELS)
    assert isinstance(images.pixels, np.memmap) is not zipped


@pytest.mark.parametrize(
    ("code", "dtype"), [(0x0B, ">i2"), (0x0C, ">i4"), (0x0D, ">f4"), (0x0E, ">f8")]
)
def test_idx_of_other_types_and_without_labels(tmp_path, code, dtype):
    (tmp_path / "some.idx").write_bytes(idx(BYTES, code, dtype))
    images = load(tmp_path / "some.idx")
    torch.testing.assert_close(images.tensor(), from_arrays(BYTES).tensor())
    assert images.labels is None


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (("8", "1", "10"), [1, 8, 10]),
        (("four", "eight", "1"), [0, 1, 2]),  # the sorted names are 1, eight, four
    ],
)
def test_folder_of_classes(tmp_path, names, labels):
    for value, name in enumerate(names):
        grey(tmp_path / name, "b.png", value)
        grey(tmp_path / name, "a.PNG", value)
    grey(tmp_path / ".hidden", "a.png", 9)
    (tmp_path / names[0] / "notes.txt").write_text("no picture")
    images = load(tmp_path)
    assert images.shape == (1, 4, 6)
    assert sorted(set(images.labels.tolist())) == labels
    of = dict(zip(images.labels.tolist(), images.pixels[:, 0, 0, 0].tolist(), strict=True))
    if labels[-1] == 10:
        assert of == {8: 0, 1: 1, 10: 2}
        assert images.class_names == {}
    else:
        assert of == {2: 0, 1: 1, 0: 2}
        assert images.class_names == {0: "1", 1: "eight", 2: "four"}
        assert images.only([1, 2]).joined(images).class_names == images.class_names


@pytest.mark.parametrize(
    ("mode", "value", "pixel"),
    [
        ("L", 7, [7]),
        ("1", 1, [255]),
        ("RGB", (1, 2, 3), [1, 2, 3]),
        ("RGBA", (1, 2, 3, 4), [1, 2, 3, 4]),
        ("LA", (7, 9), [7, 7, 7, 9]),
        ("P", 0, [0, 0, 0]),
        ("I;16", 0x0A0B, [0x0A]),
    ],
)
def test_modes_of_pictures(tmp_path, mode, value, pixel):
    grey(tmp_path, "one.png", value, mode=mode)
    images = load(tmp_path)
    assert images.labels is None
    assert images.shape == (len(pixel), 4, 6)
    assert images.pixels[0, :, 0, 0].tolist() == pixel


def bad_pickled_npy(path):
    np.save(path / "bad.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    return "bad.npy"


def bad_label_key(folder):
    np.savez(folder / "bad.npz", data=np.zeros((2, 3, 3)), label=np.zeros(2, int))
    return "bad.npz"


def bad_pickled_npz(path):
    np.savez(path / "bad.npz", data=np.array([{}, 1], dtype=object))
    return "bad.npz"


def bad_truncated(path):
    np.savez(path / "bad.npz", data=BYTES)
    (path / "bad.npz").write_bytes((path / "bad.npz").read_bytes()[:-60])
    return "bad.npz"


def bad_header(path):
    np.save(path / "bad.npy", BYTES)
    (path / "bad.npy").write_bytes((path / "bad.npy").read_bytes().replace(b"}", b"("))
    return "bad.npy"


def bad_keys(path):
    np.savez(path / "bad.npz", images=BYTES, y=LABELS)
    return "bad.npz"


def bad_labels(path):
    np.savez(path / "bad.npz", data=BYTES, labels=LABELS[:3])
    return "bad.npz"


def bad_bytes(name, content):
    def write(path):
        (path / name).write_bytes(content)
        return name

    return write


def bad_folder(*pictures):
    def write(path):
        (path / "bad").mkdir()
        for folder, name, size in pictures:
            grey(path / "bad" / folder, name, 0, size)
        return "bad"

    return write


def bad_model(path):
    grey(path / "bad", "latent.png", 0)
    for name in ("config.json", "model.safetensors"):
        (path / "bad" / name).touch()
    return "bad"


def bad_picture(path):
    grey(path / "bad", "a.png", 0)
    (path / "bad" / "b.png").write_bytes((path / "bad" / "a.png").read_bytes()[:42])
    return "bad"


@pytest.mark.parametrize(
    ("write", "exception", "message"),
    [
        (bad_label_key, ContentError, "under the name `labels`; got `label`"),
        (bad_pickled_npy, ContentError, "`bad.npy` expected arrays of numbers; got Python objects"),
        (bad_pickled_npz, ContentError, "`bad.npz` expected arrays of numbers; got Python objects"),
        (bad_keys, ContentError, r"expected an array `data` .*; got images, y\."),
        (bad_labels, ContentError, r"expected labels of shape \(5,\)"),
        (bad_bytes("bad.npz", b""), ContentError, "a file that is no .npz, whatever its name"),
        (bad_bytes("bad.npz", b"1,2,3"), ContentError, "a file that is no .npz, whatever its name"),
        (bad_bytes("bad.npy", b"no array"), ContentError, "a file that is no .npy, whatever its"),
        (bad_header, ContentError, "a damaged or incomplete file"),
        (bad_truncated, ContentError, "a damaged or incomplete file"),
        (bad_bytes("bad.npz", b"PK\3\4 no zip"), ContentError, "a damaged or incomplete file"),
        (bad_bytes("x.idx", b""), ContentError, "`x.idx` expected an IDX file"),
        (bad_bytes("x.idx", b"\0\0"), ContentError, "expected an IDX file"),
        (bad_bytes("x.idx", b"\1\0" + idx(BYTES)[2:]), ContentError, "expected an IDX file"),
        (bad_bytes("x.idx", b"\0\0\7\3" + idx(BYTES)[4:]), ContentError, "expected an IDX file"),
        (bad_bytes("x.idx", idx(BYTES)[:-1]), ContentError, "expected an IDX file"),
        (bad_bytes("x.idx", idx(BYTES) + b"\0"), ContentError, "expected an IDX file"),
        (bad_bytes("x-idx3.gz", idx(BYTES)), ContentError, "expected an IDX file"),
        (bad_bytes("x-idx3.gz", gzip.compress(idx(BYTES))[:-20]), ContentError, "an IDX file"),
        (bad_bytes("x-labels-idx1", idx(LABELS)), ContentError, r"\(N, H, W\).*; got \(5,\)"),
        (bad_bytes("x.idx", idx(BYTES[:0])), ContentError, "got an empty array"),
        (bad_folder(), ContentError, "`bad` expected pictures .*; got none"),
        (
            bad_folder(("", "a.png", (6, 4)), ("1", "a.png", (6, 4))),
            ContentError,
            "got both",
        ),
        (
            bad_folder(("", "a.png", (6, 4)), ("", "b.png", (4, 6))),
            ContentError,
            r"\(4, 6, 1\) as a.png; got \(6, 4, 1\) in b.png",
        ),
        (
            bad_folder(("1", "a.png", (6, 4)), ("2", "a.png", (4, 6))),
            ContentError,
            r"as 1.a\.png; got \(6, 4, 1\) in 2.a\.png",
        ),
        (
            bad_folder(("1", "a.png", (6, 4)), ("01", "a.png", (6, 4))),
            ContentError,
            "got two of the same number",
        ),
        (bad_picture, ContentError, "/b.png` expected a picture"),
        (bad_model, ArgumentError, r"a model's folder. Read it with gmvae\.GMVAE\.load"),
        (bad_bytes("notes.txt", b"x"), ArgumentError, "notes.txt', a file of another kind"),
        (lambda path: "absent.npz", FileNotFoundError, "expected a path that exists; got .*absent"),
        (lambda path: "no/such/folder", FileNotFoundError, "expected a path that exists"),
    ],
)
def test_bad_files(tmp_path, write, exception, message):
    name = write(tmp_path)
    with pytest.raises(exception, match=message) as caught:
        load(tmp_path / name)
    assert "\n" not in str(caught.value)


# Named sets


def test_digits_are_all_of_scikit_learns_in_two_parts():
    train, test = load("digits"), load("digits", part="test")
    data = load_digits()
    assert (len(train), len(test), train.shape) == (1347, 450, (1, 8, 8))
    assert train.classes == test.classes == tuple(range(10))
    both = np.concatenate([train.pixels, test.pixels])[:, 0] * 16
    expected = data.images
    order = np.lexsort(both.reshape(len(both), -1).T)
    order_expected = np.lexsort(expected.reshape(len(both), -1).T)
    np.testing.assert_array_equal(both[order], expected[order_expected])
    shares = np.bincount(test.labels) / np.bincount(data.target)
    np.testing.assert_allclose(shares, 0.25, atol=0.01)


def test_an_unknown_name_lists_the_names():
    with pytest.raises(ArgumentError, match=", ".join(NAMED) + ".*; got 'mnits'"):
        load("mnits")


def test_where_named_sets_lie(monkeypatch):
    monkeypatch.setenv("GMVAE_DATA_ROOT", "/somewhere")
    assert data_root() == Path("/somewhere")
    monkeypatch.delenv("GMVAE_DATA_ROOT")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    monkeypatch.setattr(sys, "platform", "linux")
    assert data_root() == Path("/cache/gmvae")


def put_kmnist(raw):
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(BYTES)))
    (raw / "train-labels-idx1-ubyte").write_bytes(idx(LABELS))


def test_a_copy_is_read_without_torchvision(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    put_kmnist(tmp_path / "KMNIST" / "raw")
    images = load("kmnist", root=tmp_path)
    np.testing.assert_array_equal(images.pixels[:, 0], BYTES)
    np.testing.assert_array_equal(images.labels, LABELS)
    assert images.name == "kmnist"


def fake_torchvision(monkeypatch, **datasets):
    module = ModuleType("torchvision")
    module.datasets = SimpleNamespace(**datasets)
    monkeypatch.setitem(sys.modules, "torchvision", module)


def test_an_absent_set_is_downloaded_once(tmp_path, monkeypatch):
    calls = []

    def download(root, download):
        calls.append(download)
        put_kmnist(Path(root) / "KMNIST" / "raw")

    fake_torchvision(monkeypatch, KMNIST=download)
    monkeypatch.setenv("GMVAE_DATA_ROOT", str(tmp_path / "new"))
    assert len(load("kmnist")) == len(load("kmnist")) == 5
    assert calls == [True]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["KMNIST"]


def fail(error):
    def download(root, download):
        (Path(root) / "MNIST" / "raw").mkdir(parents=True)
        (Path(root) / "MNIST" / "raw" / "half").touch()
        raise error

    return download


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("Error downloading:\nTried it, got:\n<no network>\n"), "<no network>"),
        (OSError("timed out"), "timed out"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_a_failed_download_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, error, reason):
    fake_torchvision(monkeypatch, MNIST=fail(error))
    with pytest.raises(FileNotFoundError, match=f"`mnist` .*{reason}.*--data-root") as caught:
        load("mnist", root=tmp_path / "mistyped" / "root")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_torchvision_of_another_torch_is_one_line(tmp_path, monkeypatch):
    class Broken(ModuleType):
        def __getattr__(self, name):
            raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setitem(sys.modules, "torchvision", Broken("torchvision"))
    with pytest.raises(FileNotFoundError, match=r"nms does not exist.*--data-root"):
        load("fashion-mnist", root=tmp_path)


@mnist
def test_real_mnist():
    train, test = load("mnist"), load("mnist", part="test")
    assert (len(train), len(test), train.shape) == (60_000, 10_000, (1, 28, 28))
    assert train.labels[:8].tolist() == [5, 0, 4, 1, 9, 2, 1, 3]
    assert len(test.only([1, 4, 8])) == 3_091
    assert train.pixels.dtype == np.uint8
    assert not train.binary
    assert train.pixels.mean() / 255 == pytest.approx(0.1307, abs=1e-4)


@mnist
def test_real_mnist_as_torchvision_reads_it(tmp_path):
    from torchvision import datasets

    # torchvision unpacks beside the files, so it gets a copy.
    raw = tmp_path / "MNIST" / "raw"
    shutil.copytree(Path(os.environ["GMVAE_DATA_ROOT"]) / "MNIST" / "raw", raw)
    reference = datasets.MNIST(tmp_path, train=False, download=True)
    images = load("mnist", part="test", root=tmp_path)
    np.testing.assert_array_equal(images.pixels[:, 0], reference.data.numpy())
    np.testing.assert_array_equal(images.labels, reference.targets.numpy())
