"""Files and folders, against bytes and pictures made by hand."""

import gzip

import numpy as np
import pytest
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
