"""Which images a run trains on, which labels it may see, which images score it."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_toys import QUICK, one_line, prepared, save
from gmvae_cli import app, experiment, summary

from gmvae import Images, load
from gmvae.support.errors import ArgumentError

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_without_data_it_is_the_experiment_of_the_original() -> None:
    found = prepared()
    assert found.train.classes == found.scored.classes == (1, 4, 8)
    assert found.n_components == 3
    seen = found.observed[found.observed >= 0]
    assert np.unique(seen, return_counts=True)[1].tolist() == [5, 5, 5]
    assert found.scored_name == "digits, test part, classes 1, 4, 8"
    assert len(found.scored) == len(load("digits", part="test").only([1, 4, 8]))


def test_named_data_observes_nothing() -> None:
    found = prepared(data="digits")
    assert found.n_components == 10
    assert found.n_observed == 0
    assert found.held_out is None


@pytest.mark.parametrize("seed", [0, 1])
def test_observed_labels_are_the_right_ones(seed: int) -> None:
    found = prepared(data="digits", labels=2, seed=seed)
    rows = np.flatnonzero(found.observed >= 0)
    assert found.train.labels is not None
    assert found.observed[rows].tolist() == found.train.labels[rows].tolist()
    assert len(rows) == 20


def test_other_seeds_observe_other_images() -> None:
    assert not np.array_equal(prepared(seed=0).observed, prepared(seed=1).observed)


def test_a_path_is_scored_on_what_was_not_observed(digits: Images, tmp_path: Path) -> None:
    found = prepared(data=save(tmp_path / "a.npz", digits), labels=3)
    assert len(found.scored) == len(digits) - 9
    assert "the training images themselves but the 9 observed ones" in found.scored_name


def test_labelled_val_is_observed_and_joins(digits: Images, tmp_path: Path) -> None:
    train = save(tmp_path / "train.npz", digits.subset(slice(0, 40)))
    val = save(tmp_path / "val.npz", digits.subset(slice(40, 60)))
    found = prepared(data=train, val=val)
    assert found.n_observed == 20
    assert len(found.train) == 60
    assert (found.observed[:40] == experiment.UNSEEN).all()
    assert digits.labels is not None
    assert found.observed[40:].tolist() == digits.labels[40:].tolist()
    assert len(found.scored) == 40
    assert found.held_out is None


def test_labels_chosen_from_val_leave_the_rest_held_out(digits: Images, tmp_path: Path) -> None:
    train = save(tmp_path / "train.npz", digits.subset(slice(0, 40)))
    val = save(tmp_path / "val.npz", digits.subset(slice(40, 60)))
    found = prepared(data=train, val=val, labels=1)
    assert found.n_observed == 3
    assert len(found.train) == 43
    assert found.held_out is not None
    assert len(found.held_out) == 17
    unseen = prepared(data=train, val=val, labels=0)
    assert unseen.held_out is not None
    assert (unseen.n_observed, len(unseen.train), len(unseen.held_out)) == (0, 40, 20)


def test_val_without_labels_is_held_out(digits: Images, tmp_path: Path) -> None:
    train = save(tmp_path / "train.npz", digits.subset(slice(0, 40)))
    val = save(tmp_path / "val.npz", Images(digits.pixels[40:]))
    found = prepared(data=train, val=val, labels=2)
    assert found.held_out is not None
    assert len(found.held_out) == 20
    assert (found.n_observed, len(found.train)) == (6, 40)


def test_val_of_an_archive_with_such_a_part_is_that_part(digits: Images, tmp_path: Path) -> None:
    assert digits.labels is not None
    pixels, path = (digits.pixels[:, 0] * 255).astype(np.uint8), str(tmp_path / "parts.npz")
    parts = {"train": slice(0, 40), "val": slice(40, 50), "test": slice(50, 60)}
    images = {f"{part}_images": pixels[rows] for part, rows in parts.items()}
    np.savez(path, val_labels=digits.labels[40:50, None], **images)
    found = prepared(data=path, val=path)
    assert (len(found.train), found.n_observed, len(found.scored)) == (50, 10, 10)
    (line,) = summary.left_out(experiment.Request(data=path))
    assert line.endswith(f"which is left out; to take it: --val {path}")
    assert not [*summary.left_out(experiment.Request(data=path, val=path))]
    assert not [*summary.left_out(experiment.Request(data="digits"))]
    assert found.observed[40:].tolist() == digits.labels[40:50].tolist()


def test_labels_of_val_name_an_unlabelled_set(digits: Images, tmp_path: Path) -> None:
    train = save(tmp_path / "train.npz", Images(digits.pixels))
    found = prepared(data=train, val=save(tmp_path / "val.npz", digits))
    assert found.n_components == 3
    assert found.scored.labels is None


def test_without_any_label_the_number_of_components_is_to_be_found(
    digits: Images, tmp_path: Path
) -> None:
    assert prepared(data=save(tmp_path / "a.npz", Images(digits.pixels))).n_components is None


def test_labels_are_refused_where_there_are_none(digits: Images, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="--val"):
        prepared(data=save(tmp_path / "a.npz", Images(digits.pixels)), labels=1)


@pytest.mark.parametrize("text", ["", "1,x", "1,,2", "-1", "1,1", "1.5"])
def test_class_lists_that_are_none(text: str) -> None:
    with pytest.raises(ArgumentError, match="--classes"):
        experiment.class_list(text)


def test_class_lists() -> None:
    assert experiment.class_list("1, 4,8") == (1, 4, 8)
    assert experiment.class_list(None) is None


def test_a_second_set_without_a_class_of_the_first(
    digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert digits.labels is not None
    data = save(tmp_path / "data.npz", digits)
    val = save(tmp_path / "val.npz", dataclasses.replace(digits, labels=digits.labels + 20))
    assert app.run(["train", data, "--val", val, *QUICK]) == 1
    assert "`--val` expected some of the classes of data.npz, 1, 4, 8; got 21, 24" in one_line(
        capsys
    )


@pytest.mark.parametrize("labelled", [True, False])
def test_a_second_set_of_another_shape_is_refused_before_training(
    labelled: bool, digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save(tmp_path / "data.npz", digits)
    labels = {"labels": np.arange(6)} if labelled else {}
    np.savez(tmp_path / "val.npz", data=np.zeros((6, 9, 9), np.uint8), **labels)
    assert app.run(["train", data, "--val", "val.npz"]) == 1
    assert "`--val` expected images of shape (1, 8, 8), as in data.npz" in one_line(capsys)


def test_a_request_without_data_is_completed() -> None:
    original = experiment.Request("digits", None, (1, 4, 8), 5)
    complete = experiment.Request().completed()
    assert (complete.source, complete.classes, complete.labels) == ("digits", (1, 4, 8), 5)
    assert experiment.Request().source == original.source
    named = experiment.Request("mnist")
    assert named.completed() is named
    assert experiment.Request(labels=0).completed().labels == 0
    assert experiment.Request(val="x").completed().labels is None
    assert experiment.Request(val="x", labels=2).completed().labels == 2
    assert experiment.Request(classes=(7,)).completed().classes == (7,)


@pytest.mark.parametrize(
    ("source", "classes", "part", "words"),
    [
        ("digits", (1, 4, 8), "test", "digits, test part, classes 1, 4, 8"),
        ("digits", (1,), "", "digits, class 1"),
        ("a.npz", None, "", "a.npz"),
        ("mnist", None, "train", "mnist, train part"),
    ],
)
def test_images_in_words(source: str, classes: Any, part: str, words: str) -> None:
    assert experiment.describe(source, classes, part) == words


@pytest.mark.parametrize(
    ("source", "named"), [("digits", True), ("kmnist", True), ("a.npz", False), ("./mnist", False)]
)
def test_named_sets(source: str, named: bool) -> None:
    assert experiment.is_named(source) is named


@pytest.mark.parametrize(
    ("labels", "observed", "n"),
    [
        (None, [4, 4, -1], 1),
        ([1, 1, 8], [-1, -1, -1], 2),
        ([1, 1, 8], [4, -1, -1], 3),
        (None, [-1, -1, -1], None),
    ],
)
def test_a_component_for_each_class(labels: Any, observed: list[int], n: int | None) -> None:
    images = Images(np.zeros((3, 1, 2, 2), np.uint8), None if labels is None else np.array(labels))
    found = experiment.Experiment(images, np.array(observed), None, images, "these")
    assert found.n_components == n
    assert found.n_observed == sum(value >= 0 for value in observed)


def test_labels_of_val_are_chosen_by_class_and_seed(digits: Images, tmp_path: Path) -> None:
    source = save(tmp_path / "train.npz", digits.subset(slice(0, 30)))
    val = save(tmp_path / "val.npz", digits.subset(slice(30, 60)))
    rest = digits.subset(slice(30, 60))
    for seed in (0, 3):
        found = prepared(data=source, val=val, labels=2, seed=seed)
        rows = rest.per_class(2, np.random.default_rng(seed))
        others = np.setdiff1d(np.arange(30), rows)
        assert found.observed.tolist() == [-1] * 30 + rest.labels[rows].tolist()
        assert np.array_equal(found.train.pixels[30:], load_back(val).pixels[rows])
        assert found.held_out is not None
        assert np.array_equal(found.held_out.pixels, load_back(val).pixels[others])
        assert np.array_equal(found.scored.pixels, load_back(source).pixels)
        assert found.scored_name == f"{source}, the training images themselves"


def load_back(path: str) -> Images:
    return load(path)


def test_only_the_classes_asked_for_of_val_are_observed(digits: Images, tmp_path: Path) -> None:
    source = save(tmp_path / "train.npz", digits.subset(slice(0, 30)))
    val = save(tmp_path / "val.npz", digits.subset(slice(30, 60)))
    found = prepared(data=source, val=val, classes=(1, 4))
    assert set(found.observed.tolist()) == {-1, 1, 4}
    assert set(found.train.classes) == {1, 4}


def test_observed_images_do_not_score(digits: Images, tmp_path: Path) -> None:
    source = save(tmp_path / "a.npz", digits)
    found = prepared(data=source, labels=3)
    unseen = np.flatnonzero(found.observed < 0)
    assert np.array_equal(found.scored.pixels, found.train.pixels[unseen])
    assert found.scored_name == f"{source}, the training images themselves but the 9 observed ones"
    few = digits.subset(digits.per_class(1, np.random.default_rng(0)))
    every = prepared(data=save(tmp_path / "b.npz", few), labels=1)
    assert len(every.scored) == 3  # nothing is left to score on but these
    assert every.scored_name.endswith("the training images themselves")


def test_a_second_set_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^`--val` expected a path that exists"):
        prepared(data="digits", val=str(tmp_path / "absent.npz"))
    with pytest.raises(ArgumentError, match=r"^`--val` expected"):
        prepared(data="digits", val="emnist")


def test_labels_where_there_are_none_in_full(digits: Images, tmp_path: Path) -> None:
    bare = save(tmp_path / "bare.npz", Images(digits.pixels))
    with pytest.raises(ArgumentError) as error:
        prepared(data=bare, labels=1)
    assert str(error.value) == (
        "`--labels` expected images with labels; got bare.npz, which has none. Add labels to the "
        "file, or give a labelled --val."
    )
    assert prepared(data=bare, labels=0).n_observed == 0


def test_an_archive_with_parts_is_scored_on_its_test_part(digits: Images, tmp_path: Path) -> None:
    assert digits.labels is not None
    np.savez(
        tmp_path / "parts.npz",
        train_images=digits.pixels[:40, 0],
        train_labels=digits.labels[:40, None],
        test_images=digits.pixels[40:, 0],
        test_labels=digits.labels[40:, None],
    )
    path = str(tmp_path / "parts.npz")
    result = prepared(data=path, labels=2)
    assert (len(result.train), len(result.scored)) == (40, 20)
    assert result.scored.labels is not None
    assert result.scored.labels.tolist() == digits.labels[40:].tolist()
    assert result.scored_name == f"{path}, test part"


def test_classes_by_their_words(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 8, 8), dtype=np.uint8)
    words = np.repeat(["cat", "dog", "flower"], 10)
    np.savez(tmp_path / "pets.npz", data=pixels, labels=words)
    result = prepared(data=str(tmp_path / "pets.npz"), classes=("cat", "flower"), labels=1)
    assert result.train.classes == (0, 2)
    assert (result.n_components, result.n_observed) == (2, 2)
    assert experiment.class_list("cat, flower") == ("cat", "flower")
    with pytest.raises(ArgumentError, match=r"some of cat, dog, flower; got 'bird'\."):
        prepared(data=str(tmp_path / "pets.npz"), classes=("cat", "bird"))


def test_a_table_of_labels_is_observed_whole_or_in_part(digits: Images, tmp_path: Path) -> None:
    data = save(tmp_path / "a.npz", Images(digits.pixels))
    lines = ["row,label", *(f"{i},{'ab'[i % 2]}" for i in range(8))]
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    result = prepared(data=data, labels_from=tmp_path / "labels.csv")
    assert result.observed[:9].tolist() == [0, 1, 0, 1, 0, 1, 0, 1, -1]
    assert result.train.class_names == {0: "a", 1: "b"}
    assert result.n_components == 2
    fewer = prepared(data=data, labels_from=tmp_path / "labels.csv", labels=3)
    assert np.bincount(fewer.observed[fewer.observed >= 0]).tolist() == [3, 3]
    assert (fewer.observed[8:] == -1).all()
    # What may not be seen scores: of the eight rows in the table the two others.
    assert len(fewer.scored) == 2
    rest = np.flatnonzero(fewer.observed[:8] < 0)
    assert fewer.scored.labels is not None
    assert fewer.scored.labels.tolist() == (rest % 2).tolist()
    np.testing.assert_array_equal(fewer.scored.pixels, result.train.pixels[rest])
    assert fewer.scored_name == f"{data}, the images with other labels in {tmp_path}/labels.csv"
    assert result.scored.labels is None
    with pytest.raises(ArgumentError, match="expected no --val beside it"):
        prepared(data=data, labels_from=tmp_path / "labels.csv", val=data)
