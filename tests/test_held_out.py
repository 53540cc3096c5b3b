"""Which images train and which are held out, by value; and what no run can begin with."""

import dataclasses

import numpy as np
import pytest

from gmvae.data import Images
from gmvae.settings import Settings
from gmvae.support.errors import ArgumentError, ContentError
from gmvae.training.held_out import check_components, hold_out, told_of_all
from gmvae.training.loop import STOP, Progress

TENTH = Settings(n_components=2, held_out=0.1, seed=3)


def numbered(n=100, labels=None):
    """Images that know their row: it is their pixel, in bytes."""
    pixels = np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1) * np.ones((1, 1, 2, 2), np.uint8)
    return Images(pixels, labels, "numbered")


def rows_of(images):
    return np.asarray(images.pixels)[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(("n", "share", "held"), [(100, 0.1, 10), (50, 0.25, 12), (7, 0.5, 4)])
def test_two_parts_that_share_no_image_and_miss_none(n, share, held):
    """The nearest whole number of images, 12.5 as Python rounds it; both in order."""
    train, observed, held_out = hold_out(
        numbered(n), dataclasses.replace(TENTH, held_out=share), None
    )
    assert len(held_out) == held
    assert sorted(rows_of(train) + rows_of(held_out)) == list(range(n))
    assert rows_of(train) == sorted(rows_of(train))
    assert rows_of(held_out) == sorted(rows_of(held_out))
    assert observed.tolist() == [-1] * (n - held)


def test_which_are_held_out_is_drawn_by_the_seed_alone():
    by_seed = [
        rows_of(hold_out(numbered(), dataclasses.replace(TENTH, seed=seed))[2])
        for seed in (3, 3, 4, 5)
    ]
    assert by_seed[0] == by_seed[1]
    assert len({tuple(rows) for rows in by_seed}) == 3
    expected = np.random.default_rng(3).permutation(100)[:10]
    assert by_seed[0] == sorted(expected.tolist())
    # From all over the set, of which files often hold one class after the other.
    assert max(by_seed[0]) - min(by_seed[0]) > 50


def test_observed_images_are_never_held_out_and_labels_go_along():
    labels = np.arange(100) % 7
    observed = np.where(np.arange(100) < 60, labels, -1)
    train, kept, held_out = hold_out(
        numbered(labels=labels), dataclasses.replace(TENTH, held_out=0.5), observed
    )
    # Half of the 40 whose class is not observed.
    assert len(held_out) == 20
    assert min(rows_of(held_out)) >= 60
    assert np.array_equal(kept, observed[rows_of(train)])
    assert np.array_equal(train.labels, labels[rows_of(train)])
    assert np.array_equal(held_out.labels, labels[rows_of(held_out)])


def test_a_callback_is_told_of_all_images():
    told = []

    def callback(progress):
        told.append(progress)
        return STOP

    tell = told_of_all(callback, 100, TENTH)
    train, _, held_out = hold_out(numbered(), TENTH)
    now = Progress("start", 1, 1, labels=np.array(rows_of(train)))
    assert tell(now) is STOP
    expected = np.arange(100)
    expected[rows_of(held_out)] = -1
    assert told[0].labels.tolist() == expected.tolist()
    assert tell(Progress("joint", 1, 2)) is STOP
    assert told[1] == Progress("joint", 1, 2)
    assert told[1].labels is None
    assert told_of_all(None, 100, TENTH) is None


def test_a_class_of_0_is_observed():
    observed = np.full(10, -1)
    observed[:9] = 0
    train, kept, held_out = hold_out(
        numbered(10), dataclasses.replace(TENTH, held_out=0.9), observed
    )
    assert rows_of(held_out) == [9]
    assert kept.tolist() == [0] * 9
    assert len(train) == 9


@pytest.mark.parametrize(
    ("n", "share", "observed"),
    [(100, 0.0, None), (5, 0.1, None), (10, 0.5, np.zeros(10, int))],
    ids=["none asked for", "half an image", "all observed"],
)
def test_where_none_is_held_out_all_train(n, share, observed):
    images = numbered(n)
    train, kept, held_out = hold_out(images, dataclasses.replace(TENTH, held_out=share), observed)
    assert train is images
    assert held_out is None
    assert kept.tolist() == ([-1] * n if observed is None else observed.tolist())


@pytest.mark.parametrize(
    ("observed", "message"),
    [
        (np.zeros(3, int), r"`observed` expected shape \(100,\); got \(3,\)\. Give one class an"),
        (np.zeros((100, 1), int), r"expected shape \(100,\); got \(100, 1\)"),
        (np.zeros(100), r"expected whole numbers from 0, or -1; got float64\. Number the classes"),
        (np.full(100, -2), r"expected whole numbers from 0, or -1; got -2\. Number the classes"),
    ],
)
def test_observed_classes_that_are_none(observed, message):
    with pytest.raises(ArgumentError, match=message):
        hold_out(numbered(), TENTH, observed)


def test_as_many_components_as_images_to_train_on_are_possible():
    check_components([2, 90], numbered(), TENTH)
    for numbers in ([91, 2], [2, 91]):
        with pytest.raises(
            ArgumentError,
            match=r"images to train on, 90 \(100 less 10 held out\); got 91\. Choose fewer",
        ):
            check_components(numbers, numbered(), TENTH)


def test_images_held_out_by_the_caller_leave_all_to_train_on():
    check_components([100], numbered(), TENTH, held_out=numbered(1))
    with pytest.raises(ArgumentError, match=r"images to train on, 100; got 101\. Choose fewer"):
        check_components([101], numbered(), TENTH, held_out=numbered(1))


def test_observed_images_are_not_counted_as_held_out():
    half = dataclasses.replace(TENTH, held_out=0.5)
    observed = np.where(np.arange(100) < 60, 1, -1)
    check_components([80], numbered(), half, observed)
    with pytest.raises(ArgumentError, match=r"to train on, 80 \(100 less 20 held out\); got 81"):
        check_components([81], numbered(), half, observed)


def test_two_images_to_train_on_are_enough_and_one_is_not():
    check_components([2], numbered(2), dataclasses.replace(TENTH, held_out=0.0))
    for images, held_out in ((numbered(1), None), (numbered(1), numbered(5))):
        with pytest.raises(ContentError, match="expected at least 2 images to train on; got 1"):
            check_components([1], images, TENTH, held_out=held_out)


def test_images_that_are_all_the_same():
    alike = Images(np.full((9, 1, 2, 2), 7, np.uint8), name="alike")
    with pytest.raises(ContentError, match="`alike` expected images that differ; got 9 that are"):
        check_components([2], alike, TENTH)


BRIGHT = Images(np.full((4, 1, 2, 2), 2.0, np.float32), name="bright")


@pytest.mark.parametrize(
    ("images", "held_out", "error", "message"),
    [
        (np.zeros((4, 1, 2, 2)), None, ArgumentError, "`images` expected gmvae.Images; got"),
        (numbered(), np.zeros((4, 1, 2, 2)), ArgumentError, "`held_out` expected gmvae.Images;"),
        (BRIGHT, None, ContentError, "`bright` expected float pixels between 0 and 1"),
        (numbered(), BRIGHT, ContentError, "`bright` expected float pixels between 0 and 1"),
        (
            numbered(),
            Images(np.zeros((4, 1, 2, 3), np.uint8)),
            ArgumentError,
            r"`held_out` expected images of shape \(1, 2, 2\), as `images`; got \(1, 2, 3\)",
        ),
    ],
)
def test_what_no_run_can_begin_with(images, held_out, error, message):
    with pytest.raises(error, match=message):
        check_components([2], images, TENTH, held_out=held_out)
