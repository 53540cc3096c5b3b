"""Sets known by name: where they lie, and how they are fetched."""

import gzip
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits
from toys import BYTES, LABELS, idx

from gmvae.data import NAMED, load
from gmvae.data.named import TORCHVISION, data_root
from gmvae.support.errors import ArgumentError

mnist = pytest.mark.skipif(
    "GMVAE_DATA_ROOT" not in os.environ, reason="GMVAE_DATA_ROOT names no folder with MNIST in it"
)


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


def test_every_name_has_its_reader():
    assert set(NAMED) == {"digits", *TORCHVISION}
