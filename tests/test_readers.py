"""Files and folders, against bytes and pictures made by hand."""

import gzip
import io
import os
import subprocess
import sys
import tracemalloc
import zipfile

import numpy as np
import pytest
import spoilt
import torch
from PIL import Image
from toys import BYTES, LABELS, idx

from gmvae.data import from_arrays, load
from gmvae.support.errors import ArgumentError, ContentError


def grey(folder, name, value, size=(6, 4), mode="L"):
    folder.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value).save(folder / name)


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
        grey(tmp_path / name, "b.png", 100 + value)
        grey(tmp_path / name, "a.PNG", 100 + value)
    grey(tmp_path / ".hidden", "a.png", 9)
    (tmp_path / names[0] / "notes.txt").write_text("no picture")
    images = load(tmp_path)
    assert images.shape == (1, 4, 6)
    assert sorted(set(images.labels.tolist())) == labels
    of = dict(zip(images.labels.tolist(), images.pixels[:, 0, 0, 0].tolist(), strict=True))
    if labels[-1] == 10:
        assert of == {8: 100, 1: 101, 10: 102}
        assert images.class_names == {}
    else:
        assert of == {2: 100, 1: 101, 0: 102}
        assert images.class_names == {0: "1", 1: "eight", 2: "four"}
        assert images.only([1, 2]).joined(images).class_names == images.class_names


def bad_pickled_npy(path):
    np.save(path / "bad.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    return "bad.npy"


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
    np.savez(path / "bad.npz", faces=BYTES, y=LABELS)
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
    grey(path, "a.png", 0)
    (path / "bad").mkdir()
    (path / "bad" / "b.png").write_bytes((path / "a.png").read_bytes()[:42])
    return "bad"


@pytest.mark.parametrize(
    ("write", "exception", "message"),
    [
        (bad_pickled_npy, ContentError, "`bad.npy` expected arrays of numbers; got Python objects"),
        (bad_pickled_npz, ContentError, "`bad.npz` expected arrays of numbers; got Python objects"),
        (bad_keys, ContentError, r"expected an array `data` .*; got faces, y\."),
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
            r"\(4, 6\) as a.png; got \(6, 4\) in b.png\. .*--resize 32",
        ),
        (
            bad_folder(("1", "a.png", (6, 4)), ("2", "a.png", (4, 6))),
            ContentError,
            r"as 1.a\.png; got \(6, 4\) in 2.a\.png",
        ),
        (
            bad_folder(("1", "a.png", (6, 4)), ("01", "a.png", (6, 4))),
            ContentError,
            "got two of the same number",
        ),
        (bad_picture, ContentError, "/b.png` expected a picture"),
        (bad_model, ArgumentError, r"a model's folder. Read it with gmvae\.GMVAE\.load"),
        (
            bad_bytes("a.csv", b"1,2"),
            ArgumentError,
            r"a\.csv', a table\. For rows of numbers there",
        ),
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


def test_folders_without_pictures_are_no_classes(tmp_path):
    for value in (1, 4, 8):
        grey(tmp_path / str(value), "a.png", 100 + value)
    (tmp_path / "unsorted").mkdir()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").touch()
    grey(tmp_path / "__MACOSX" / "1", "._a.png", 0)  # as unpacking on a Mac leaves them
    images = load(tmp_path)
    assert images.labels.tolist() == [1, 4, 8]
    assert images.pixels[:, 0, 0, 0].tolist() == [101, 104, 108]
    assert images.class_names == {}
    for value, name in ((101, "cat"), (102, "flower")):
        grey(tmp_path / "words" / name, "a.png", value)
    (tmp_path / "words" / "china").mkdir()
    assert load(tmp_path / "words").class_names == {0: "cat", 1: "flower"}


def test_every_ending_of_a_jpeg_is_read(tmp_path):
    for name in ("a.jpg", "b.jpeg", "c.jfif", "d.JFIF"):
        Image.new("L", (6, 4), 200).save(tmp_path / name, format="JPEG")
    assert load(tmp_path).pixels.tolist() == np.full((4, 1, 4, 6), 200).tolist()


def test_deeper_pictures_are_of_the_class_above(tmp_path):
    for name in ("cat/10.png", "cat/2.png", "cat/holiday/2024/1.png", "dog/1.png"):
        grey((tmp_path / name).parent, name.rpartition("/")[2], 200)
    (tmp_path / "cat" / "again").symlink_to(tmp_path / "cat")  # read once
    images = load(tmp_path)
    assert images.class_names == {0: "cat", 1: "dog"}
    files = ["cat/2.png", "cat/10.png", "cat/holiday/2024/1.png", "dog/1.png"]
    assert images.files.tolist() == files
    assert images.labels.tolist() == [0, 0, 0, 1]
    assert images.subset(np.array([3, 1])).files.tolist() == ["dog/1.png", "cat/10.png"]


def test_parts_are_no_classes(tmp_path):
    grey(tmp_path / "train" / "cat", "a.png", 200)
    grey(tmp_path / "test" / "cat", "a.png", 200)
    with pytest.raises(ContentError, match=r"got the parts test, train\. Name one of them: .*test"):
        load(tmp_path)
    assert load(tmp_path / "train").class_names == {0: "cat"}


def test_what_cannot_be_read_is_skipped_and_listed(tmp_path):
    grey(tmp_path / "1", "a.png", 200)
    (tmp_path / "1" / "b.HEIC").write_bytes(b"apple's")
    (tmp_path / "1" / "c.png").write_bytes((tmp_path / "1" / "a.png").read_bytes()[:42])
    (tmp_path / "1" / "notes.txt").touch()
    nan = np.full((4, 6), np.nan, np.float32)
    Image.fromarray(nan).save(tmp_path / "1" / "d.tiff")
    images = load(tmp_path)
    assert images.files.tolist() == ["1/a.png"]
    assert images.skipped == (
        "1/b.HEIC: of a kind that is not read",
        "1/c.png: no picture, or a damaged one",
        "1/d.tiff: no picture, or a damaged one",
    )
    assert images.others == 1
    assert images.subset(slice(0, 1)).skipped == images.skipped
    for name, message in (
        ("b.HEIC", r"`b\.HEIC` expected a picture of \.bmp"),
        ("c.png", "`1/c.png` expected a picture; got a file that Pillow cannot read"),
        ("d.tiff", "`1/d.tiff` expected finite pixels; got NaN"),
    ):
        with pytest.raises(ContentError, match=message):
            load(tmp_path, strict=True)
        (tmp_path / "1" / name).unlink()
    assert load(tmp_path, strict=True).skipped == ()


def test_a_large_picture_is_said_to_be_large(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # Pillow refuses twice as many
    grey(tmp_path, "a.png", 70, (8, 5))  # and warns between the two
    assert load(tmp_path).shape == (1, 5, 8)
    grey(tmp_path / "large", "a.png", 70, (41, 1))
    with pytest.raises(ContentError, match="a picture of at most 40 pixels; got a larger one"):
        load(tmp_path / "large")


@pytest.mark.parametrize("kind", ["EPS", "ICO", "PCX", "SGI", "TGA", "PDF"])
def test_only_promised_formats_are_opened_whatever_the_name(tmp_path, monkeypatch, kind):
    def refuse(*_, **__):
        pytest.fail("another program was started")

    monkeypatch.setattr("subprocess.check_call", refuse)
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png", format=kind)
    with pytest.raises(ContentError, match="a file that Pillow cannot read as one of BMP, GIF, J"):
        load(tmp_path)


def test_pillow_adds_no_line_of_its_own(tmp_path):
    """In a process of its own: under pytest the records go elsewhere."""
    (tmp_path / "a.png").write_bytes(spoilt.tiffs()["TIFF of 2,000 samples"])
    code = """
import sys
from gmvae.data import load
from gmvae.support.errors import ContentError
try:
    load(sys.argv[1])
except ContentError:
    sys.exit(7)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, b"", b"")


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.idx", "a-idx3.gz", "folder/a.png"])
def test_a_pipe_is_refused_at_once(tmp_path, name):
    """Reading it would wait for a writer."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / name)
    with pytest.raises(
        ContentError, match="expected a regular file; got a folder, a pipe or a dev"
    ):
        load((tmp_path / name).parent if "folder" in name else tmp_path / name)


@pytest.mark.parametrize("name", ["a.npz", "a.npy", "a.idx", "a-idx3.gz"])
def test_a_device_is_refused_at_once(tmp_path, name):
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(ContentError, match="expected a regular file"):
        load(tmp_path / name)


def peak_of(call):
    """The most that Python and NumPy held during a call, bytes."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def refuse(path):
    with pytest.raises(ContentError):
        load(path)


def test_no_more_is_inflated_than_was_declared(tmp_path):
    """30 MB of zeros in 130 kB, behind a head of five small images."""
    zeros = bytes(3 * 10**7)
    bomb = tmp_path / "x-idx3.gz"
    bomb.write_bytes(gzip.compress(idx(BYTES) + zeros, 1))
    assert peak_of(lambda: refuse(bomb)) < 10**7
    buffer = io.BytesIO()
    np.save(buffer, BYTES)
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("data.npy", buffer.getvalue() + zeros)
    assert peak_of(lambda: refuse(tmp_path / "x.npz")) < 10**7
    head = b"\x93NUMPY\2\0" + (2 * 10**7).to_bytes(4, "little")
    with zipfile.ZipFile(tmp_path / "y.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("data.npy", head + zeros)
    assert peak_of(lambda: refuse(tmp_path / "y.npz")) < 10**7


def test_an_array_that_declares_fewer_rows_than_it_holds_is_refused(tmp_path):
    buffer = io.BytesIO()
    np.save(buffer, BYTES)
    content = buffer.getvalue().replace(b"(5, 4, 6)", b"(4, 4, 6)")
    (tmp_path / "a.npy").write_bytes(content)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("data.npy", content)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(ContentError, match="a damaged or incomplete file"):
            load(tmp_path / name)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", ">i2", "<f4", ">f8"])
def test_every_layout_of_numpy_is_read(tmp_path, order, dtype):
    array = np.asarray(BYTES, dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", data=array)
    np.savez_compressed(tmp_path / "b.npz", data=array)
    for version in ((2, 0), (3, 0)):
        with (tmp_path / f"{version[0]}.npy").open("wb") as file:
            np.lib.format.write_array(file, array, version)
    for name in ("a.npy", "a.npz", "b.npz", "2.npy", "3.npy"):
        pixels = load(tmp_path / name).tensor().numpy()[:, 0] * 255
        np.testing.assert_allclose(pixels, BYTES, atol=1e-4)


def test_labels_of_python_objects_are_named(tmp_path):
    words = np.array(["cat", "dog", "cat", "dog", "cat"], dtype=object)
    np.savez(tmp_path / "a.npz", data=BYTES, labels=words)
    with pytest.raises(ContentError, match="integers or words; got Python objects"):
        load(tmp_path / "a.npz")
