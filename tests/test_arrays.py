"""Arrays of any layout and scale, and those that are refused."""

import numpy as np
import pytest
import torch
from toys import BYTES, LABELS

from gmvae.data import from_arrays
from gmvae.data import images as images_module
from gmvae.support.errors import ContentError


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
        (np.zeros((2, 1, 3, 9, 8)), None, r"got \(2, 1, 3, 9, 8\)"),
        (with_pixel(np.nan), None, "expected finite pixels; got NaN or infinity in image 3"),
        (with_pixel(np.inf), None, "expected finite pixels; got NaN or infinity in image 3"),
        (with_pixel(-np.inf), None, "expected finite pixels; got NaN or infinity in image 3"),
        (with_pixel(-1), None, r"expected pixels in 0-255 or in \[0, 1\]; got -1 to 0"),
        (with_pixel(256), None, "got 0 to 256"),
        (with_pixel(65535).astype(np.int32), None, "got 0 to 65535"),
        (with_pixel(4095).astype(np.uint16), None, "got 0 to 4095"),  # 12 bits in 16
        (with_pixel(16383).astype(np.uint16), None, "got 0 to 16383"),
        (with_pixel(1.001), None, r"got floats from 0 to 1.001\. Clip them"),
        (BYTES.astype(object), None, "expected pixels that are numbers; got an array of object"),
        (BYTES.astype(str), None, "expected pixels that are numbers"),
        (BYTES.astype(complex), None, "expected pixels that are numbers"),
        (BYTES, LABELS[:4], r"expected labels of shape \(5,\), one an image; got \(4,\)"),
        (BYTES, LABELS[None], r"expected labels of shape \(5,\), one an image; got \(1, 5\)"),
        (BYTES, LABELS.astype(float), "expected labels that are integers or words; got float64"),
        (BYTES, LABELS.astype(object), r"integers or words; got object\. .*labels.astype\(str\)"),
        (BYTES, ["1", "01", "1", "1", "1"], "got two of the same number, as 1 and 01"),
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
