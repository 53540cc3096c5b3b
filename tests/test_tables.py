"""Tables of labels: which image gets which class."""

import numpy as np
import pytest

from gmvae import Images
from gmvae.data.tables import read_labels
from gmvae.support.errors import ContentError

FILES = np.array(["cat/1.png", "cat/2.png", "dog/1.png", "dog/10.png"])


def images(files=FILES, labels=None, names=None):
    pixels = np.zeros((4, 1, 2, 2), np.uint8)
    return Images(pixels, labels, "pics", names or {}, files)


def test_a_table_may_name_what_could_not_be_read(tmp_path):
    (tmp_path / "labels.csv").write_text("name,label\ncat/9.png,a\n8.png,a\ncat/1.png,b\n")
    pixels = np.zeros((4, 1, 2, 2), np.uint8)
    skipped = ("cat/9.png: no picture, or a damaged one", "dog/8.png: of a kind that is not read")
    of_all = Images(pixels, None, "pics", {}, FILES, skipped)
    values, words = read_labels(tmp_path / "labels.csv", of_all)
    assert (values.tolist(), words) == ([0, -1, -1, -1], {0: "b"})
    (tmp_path / "labels.csv").write_text("cat/7.png,a\n")
    with pytest.raises(ContentError, match=r"expected files of pics; got cat/7\.png"):
        read_labels(tmp_path / "labels.csv", of_all)


@pytest.mark.parametrize(
    ("table", "observed", "names"),
    [
        ("file,label\ncat/1.png,b\ndog/1.png,a\n", [1, -1, 0, -1], {0: "a", 1: "b"}),
        ("cat/1.png,tabby\n10.png,beagle\n", [1, -1, -1, 0], {0: "beagle", 1: "tabby"}),
        ("File,Label\r\n2.png,8\r\n./dog/1.png,4\r\n", [-1, 8, 4, -1], {}),
        ("image,size,class\ncat/1.png,9,x\ncat/2.png,9,\n", [0, -1, -1, -1], {0: "x"}),
        ('\ufefffile,label\n"cat\\1.png",a b\n', [0, -1, -1, -1], {0: "a b"}),
        ("cat/1.png,2\ncat/1.png,2\n", [2, -1, -1, -1], {}),
    ],
)  # fmt: skip
def test_a_table_labels_files(tmp_path, table, observed, names):
    (tmp_path / "labels.csv").write_text(table, encoding="utf-8")
    result = read_labels(tmp_path / "labels.csv", images())
    assert result[0].tolist() == observed
    assert result[1] == names


def test_a_table_labels_rows_where_there_are_no_files(tmp_path):
    (tmp_path / "labels.csv").write_text("row,label\n3,cat\n0,dog\n")
    observed, names = read_labels(tmp_path / "labels.csv", images(files=None))
    assert observed.tolist() == [1, -1, -1, 0]
    assert names == {0: "cat", 1: "dog"}


def test_the_classes_of_the_images_stay(tmp_path):
    named = images(labels=np.array([0, 0, 3, 3]), names={0: "cat", 3: "dog"})
    (tmp_path / "labels.csv").write_text("dog/1.png,dog\n")
    observed, names = read_labels(tmp_path / "labels.csv", named)
    assert observed.tolist() == [-1, -1, 3, -1]
    assert names == {0: "cat", 3: "dog"}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("cat/1.png,a\nbird.png,b\n", r"expected files of pics; got bird\.png\. .*as cat/1\.png"),
        ("1.png,a\n", r"got 1\.png"),  # of two classes
        ("cat/1.png,a\ncat/1.png,b\n", r"one class an image; got a and b for cat/1\.png"),
        ("file,label\n", "expected the class of an image or more; got none"),
        ("cat/1.png\n", "expected 2 columns or more, file and label; got 1 in row 1"),
        ("File,Predicted_Label,Outlier\ncat/1.png,a,3\n", "a column label among more than two"),
        ("cat/1.png,wolf\n", r"the classes of pics, cat, dog; got wolf"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, table, message):
    (tmp_path / "labels.csv").write_text(table)
    named = images(labels=np.array([0, 0, 3, 3]), names={0: "cat", 3: "dog"})
    with pytest.raises(ContentError, match=message) as caught:
        read_labels(tmp_path / "labels.csv", named if "wolf" in table else images())
    assert "\n" not in str(caught.value)


def test_tables_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"got .*absent\.csv, which does not exist"):
        read_labels(tmp_path / "absent.csv", images())
    (tmp_path / "bytes.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ContentError, match="expected a CSV file of file and label; got another"):
        read_labels(tmp_path / "bytes.csv", images())
