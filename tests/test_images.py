"""Images, their parts and their joins, against arrays made by hand."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from toys import LABELS

from gmvae.data import Images, load
from gmvae.data.images import let_go
from gmvae.support.errors import ArgumentError


@pytest.fixture
def few():
    """Twelve images in classes 1 (six), 4 (four) and 8 (two); each pixel is the row number."""
    pixels = np.broadcast_to(np.arange(12, dtype=np.uint8)[:, None, None, None], (12, 1, 2, 3))
    return Images(pixels.copy(), np.repeat([1, 4, 8], [6, 4, 2]), "few")


def rows_of(images):
    return images.pixels[:, 0, 0, 0].tolist()


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


def test_joined_compares_words_with_words_only(few):
    words = {0: "eight", 1: "four", 2: "one"}
    named = replace(few, labels=np.arange(len(few)) % 3, class_names=words)
    for one, other in ((named, few), (few, named)):
        with pytest.raises(ArgumentError, match=r"0 \(eight\), 1 \(four\), 2 \(one\) in .* and "):
            one.joined(other)
    numbered = replace(named, class_names={})
    assert named.joined(numbered).class_names == words
    assert named.joined(replace(few, labels=None)).labels is None


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
        (
            lambda few: load("digits", part="val"),
            "of an .npz file with arrays such as val_images; ",
        ),
        (lambda few: load("digits", part="validation"), "`part` expected train, test or val; got"),
        (
            lambda few: Images(few.pixels, files=np.array(["a.png"])),
            r"`files` expected \(12,\); got \(1,\)",
        ),
    ],
)
def test_bad_arguments(few, call, message):
    with pytest.raises(ArgumentError, match=message) as caught:
        call(few)
    assert "\n" not in str(caught.value)


def test_files_and_what_was_skipped_stay_with_the_images():
    pixels = np.zeros((2, 1, 2, 2), np.uint8)
    files = np.array(["a.png", "b.png"])
    images = Images(pixels, None, "some", {}, files, ("c.png: no picture",), 2)
    other = Images(
        pixels, None, "more", {}, np.array(["d.png", "e.png"]), ("f.png: no picture",), 1
    )
    both = images.joined(other)
    assert both.files.tolist() == ["a.png", "b.png", "d.png", "e.png"]
    assert both.skipped == ("c.png: no picture", "f.png: no picture")
    assert both.others == 3
    assert images.subset(np.array([1])).others == 2
    assert images.joined(Images(pixels)).files is None
    assert images.joined(Images(pixels)).skipped == images.skipped
    assert images.subset(np.array([1])).files.tolist() == ["b.png"]


def test_classes_by_word_and_under_other_numbers():
    pixels = np.arange(4, dtype=np.uint8).reshape(4, 1, 1, 1)
    images = Images(pixels, np.array([0, 2, 0, 5]), "pets", {0: "cat", 2: "dog"})
    assert images.only(["dog"]).pixels.ravel().tolist() == [1]
    assert images.only(["cat", 5]).pixels.ravel().tolist() == [0, 2, 3]
    moved = images.renumbered({0: 7, 2: 1, 5: 5}, {7: "cat", 1: "dog"})
    assert moved.labels.tolist() == [7, 1, 7, 5]
    assert moved.only(["cat"]).pixels.ravel().tolist() == [0, 2]
    with pytest.raises(ArgumentError, match="expected some of cat, dog, 5; got 'bird'"):
        images.only(["bird"])


class TestSelected:
    """Rows that stay where they are answer as copies of them."""

    @pytest.fixture
    def both(self, few):
        rows = np.array([7, 1, 4, 11])
        return few.selected(rows), few.subset(rows)

    @pytest.mark.parametrize(
        "rows", [None, slice(1, 3), np.array([3, 0]), np.array([True, False, False, True])]
    )
    def test_pixels_and_labels(self, both, rows):
        selected, copied = both
        torch.testing.assert_close(selected.tensor(rows), copied.tensor(rows), rtol=0, atol=0)
        if rows is not None:
            selected, copied = selected.subset(rows), copied.subset(rows)
        np.testing.assert_array_equal(selected.pixels, copied.pixels)
        np.testing.assert_array_equal(selected.labels, copied.labels)
        assert (len(selected), selected.shape) == (len(copied), copied.shape)

    def test_of_a_selection(self, both, few):
        selected, copied = both
        rows = np.array([2, 2, 0])
        again = selected.selected(rows)
        assert again.pixels.stored is few.pixels
        np.testing.assert_array_equal(again.pixels, copied.subset(rows).pixels)

    def test_what_is_asked_of_all_pixels(self, both):
        selected, copied = both
        assert (selected.binary, selected.alike) == (copied.binary, copied.alike)
        assert repr(selected) == repr(copied)
        joined = selected.joined(copied)
        np.testing.assert_array_equal(joined.pixels, copied.joined(copied).pixels)

    def test_a_row_that_is_not_there(self, few):
        with pytest.raises(ArgumentError, match="`rows` expected a slice, numbers of rows below"):
            few.selected(np.array([3, 12]))


def test_what_was_changed_of_a_map_alone_is_not_let_go(tmp_path):
    np.save(tmp_path / "some.npy", np.zeros((4, 1, 2, 2), np.uint8))
    pixels = np.load(tmp_path / "some.npy", mmap_mode="c")
    pixels[2] = 255
    let_go(pixels)
    let_go(Images(pixels).selected(np.array([2, 3])).pixels)
    assert pixels[2].min() == 255


@pytest.mark.parametrize(
    "rows", [[0, 1], slice(0, 1), np.array([True, False]), np.array([[0]]), np.array([0.0])]
)
def test_selected_are_numbers_of_rows(rows):
    with pytest.raises(ArgumentError, match="`rows` expected"):
        Images(np.zeros((2, 1, 2, 2), np.uint8)).selected(rows)
