"""The run folder, whole and damaged."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from cli_spies import images_called, save_run, untrained
from cli_toys import QUICK, one_line
from gmvae_cli import app, experiment, run_folder
from PIL import Image as Picture
from safetensors.torch import load_file, save_file
from torch import nn

from gmvae import GMVAE, Config, Images
from gmvae.support.errors import ContentError

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.mark.parametrize(
    ("training", "code", "words"),
    [
        ({"classes": [77]}, 1, "config.json names data that cannot be read: `classes` expected"),
        ({"data": "/gone.npz"}, 2, "`DATA` expected where "),
    ],
)
def test_a_run_whose_data_cannot_be_had(
    training: dict[str, object],
    code: int,
    words: str,
    named_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(named_run, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    config["training"] |= training
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    output = str(tmp_path / "vae.csv")
    assert app.run(["classify", "--model", str(tmp_path / "run"), "-o", output]) == code
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "change",
    [
        {"data": 5},
        {"classes": "148"},
        {"classes": [1.5]},
        {"settings": None},
        {"labels_observed": "many"},
        None,
    ],
)
@pytest.mark.parametrize("command", ["info", "classify"])
def test_a_damaged_record_of_the_training_is_said_to_be(
    change: dict[str, Any] | None,
    command: str,
    named_run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = shutil.copytree(named_run, tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["training"] = [] if change is None else config["training"] | change
    (copy / "config.json").write_text(json.dumps(config))
    assert app.run([command, "--model", str(copy)]) == 1
    assert "expected the section `training` as gmvae train wrote it" in one_line(capsys)


def test_weights_that_are_no_numbers(
    named_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(named_run, tmp_path / "copy")
    weights = load_file(copy / "model.safetensors")
    weights["model.prior.means"][0, 0] = float("nan")
    save_file(weights, copy / "model.safetensors")
    assert app.run(["classify", "--model", str(copy)]) == 1
    assert "expected finite numbers; got NaN or infinity in model.prior.means" in one_line(capsys)


def test_a_model_with_a_decoder_of_ones_own_is_for_python(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Config(image_shape=(1, 8, 8), n_components=2)
    decoder = nn.Sequential(nn.Linear(2, 64), nn.Unflatten(-1, (1, 8, 8)))
    GMVAE(config, decoder=decoder).save(tmp_path / "own")
    assert app.run(["classify", "digits", "--model", str(tmp_path / "own")]) == 1
    line = one_line(capsys)
    assert "Load it in Python: gmvae.GMVAE.load(" in line
    assert line.endswith("decoder=...).")


@pytest.mark.usefixtures("quick")
def test_words_for_classes_are_told_and_may_not_change(
    digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"one": 1, "four": 4, "eight": 8}.items():
        pictures = (digits.only([value]).pixels[:8, 0] * 255).astype(np.uint8)
        for folder in ("pics", "others") if name != "eight" else ("pics",):
            (tmp_path / folder / name).mkdir(parents=True)
            for i, pixels in enumerate(pictures):
                Picture.fromarray(pixels).save(tmp_path / folder / name / f"{i}.png")
    assert app.run(["train", "pics", *QUICK]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(
        "pics: 24 pictures, grey, 8 x 8, in 3 folders (the first below pics is the class): eight "
        "8, four 8, one 8.\nNo labels observed"
    )
    assert app.run(["classify", "pics"]) == 0
    capsys.readouterr()
    assert app.run(["info"]) == 0
    assert "0 (eight), 1 (four), 2 (one)" in capsys.readouterr().out
    # Fewer of the words are numbered otherwise, and compared by word.
    assert app.run(["evaluate", "others"]) == 0
    (tmp_path / "others" / "one").rename(tmp_path / "others" / "two")
    capsys.readouterr()
    assert app.run(["evaluate", "others"]) == 1
    words = "on, 0 (eight), 1 (four), 2 (one); got 0 (four), 1 (two) in others. Give it a subf"
    assert words in one_line(capsys)
    np.savez(tmp_path / "numbers.npz", data=digits.pixels[:9, 0], labels=digits.labels[:9])
    assert app.run(["train", "pics", "--val", "numbers.npz", "--output", "never"]) == 2
    assert "got 0 (eight), 1 (four), 2 (one) in pics and 1, 4, 8 in numbers." in one_line(capsys)
    assert app.run(["train", "pics", "--val", "others", "--output", "never"]) == 2
    assert "`--val` expected class 0 to be eight, as in pics; got four" in one_line(capsys)


class TestWordsAndNumbers:
    """The classes of a model are 0 (eight), 1 (four), 2 (one), or 1, 4 and 8."""

    WORDS: ClassVar[dict[int, str]] = {0: "eight", 1: "four", 2: "one"}

    def run(self, folder: Path, words: bool) -> run_folder.Run:
        run = opened(
            folder, class_names={str(k): v for k, v in self.WORDS.items()} if words else {}
        )
        run.gmvae.component_classes = (0, 1, 2) if words else (1, 4, 8)
        return run

    def images(self, labels: list[int], words: bool = False) -> Images:
        pixels = np.zeros((len(labels), 1, 3, 4), np.uint8)
        return Images(pixels, np.array(labels), "other", self.WORDS if words else {})

    def test_numbers_that_stood_for_no_word_are_refused(self, tmp_path: Path) -> None:
        run = self.run(tmp_path, words=True)
        assert refusal(run_folder._check_names, run, self.images([1, 4, 8, 4])) == (
            "`DATA` expected the classes that the model was trained on, 0 (eight), 1 (four), 2 "
            "(one); got 1, 4, 8 in other. Name them alike: subfolders by the words, or by the "
            "numbers; or leave the labels out."
        )

    def test_words_where_numbers_are_predicted_are_refused(self, tmp_path: Path) -> None:
        run = self.run(tmp_path, words=False)
        assert refusal(run_folder._check_names, run, self.images([0, 1, 2], words=True)) == (
            "`DATA` expected the classes that the model was trained on, 1, 4, 8, without words; "
            "got 0 (eight), 1 (four), 2 (one) in other. Name them alike: subfolders by the words, "
            "or by the numbers; or leave the labels out."
        )

    @pytest.mark.parametrize(
        ("words", "labels", "line"),
        [
            (True, [2, 0, 0], "0, 2 in other, 0 (eight), 1 (four), 2 (one) in training."),
            (False, [1, 1], "0 (eight), 1 (four), 2 (one) in other, 1, 4, 8, without words in "),
        ],
    )
    def test_values_that_stood_for_classes_are_taken_and_told(
        self,
        words: bool,
        labels: list[int],
        line: str,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        run_folder._check_names(self.run(tmp_path, words), self.images(labels, words=not words))
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith(f"Classes are compared by number: {line}")
        assert shown.err.count("\n") == 1

    @pytest.mark.parametrize("words", [True, False])
    def test_where_no_class_is_predicted_or_none_is_there_nothing_is_compared(
        self, words: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        run = self.run(tmp_path, words)
        run_folder._check_names(run, replace(self.images([1, 4]), labels=None))
        run.gmvae.component_classes = None
        run_folder._check_names(run, self.images([1, 4, 8]))
        run_folder._check_names(run, self.images([0, 1], words=True))
        assert capsys.readouterr().err == ""


@pytest.mark.parametrize("command", ["classify", "reconstruct", "evaluate"])
def test_images_of_another_shape_than_the_model(
    command: str, named_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "large.npz", data=np.zeros((4, 28, 28), np.uint8))
    arguments = [command, "large.npz", "--model", str(named_run)]
    if command != "evaluate":
        arguments += ["-o", "a.csv" if command == "classify" else "a.npz"]
    assert app.run(arguments) == 1
    assert "(1, 8, 8)" in one_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["large.npz"]


def test_a_run_and_its_classes(tmp_path: Path) -> None:
    for classes, expected in (([1, 4], (1, 4)), (None, None)):
        save_run(tmp_path / "run", untrained(), classes=classes)
        run = run_folder.open_run(tmp_path / "run", "cpu")
        assert run.classes == expected
        assert run.folder == tmp_path / "run"
        assert run.training["data"] == "data.npz"
        assert run.config["training"] == run.training
        assert run.gmvae.component_classes == (1, 4, 8)


@pytest.mark.parametrize(
    ("training", "fits"),
    [
        ({}, True),
        ({"classes": [1, 4]}, True),
        ({"classes": None}, True),
        ({"class_names": {"1": "one"}}, True),
        ({"data": None}, False),
        ({"labels_observed": None}, False),
        ({"settings": {}}, False),
        ({"settings": {"seed": "0"}}, False),
        ({"settings": 3}, False),
        ({"classes": (1, 4)}, False),
        ({"classes": [1, "4"]}, False),
        ({"classes": ["cat", "dog"], "resize": 32, "grey": True}, True),
        ({"resize": "32"}, False),
        ({"grey": 1}, False),
        ({"class_names": ["one"]}, False),
    ],
)
def test_a_record_is_as_train_wrote_it(training: dict[str, Any], fits: bool) -> None:
    record = {"data": "a.npz", "labels_observed": 0, "settings": {"seed": 0}, "classes": None}
    config = {"training": record | training}
    if fits:
        assert run_folder.training_of(config, Path("run")) == record | training
    else:
        with pytest.raises(ContentError, match=r"run.config\.json expected the section `training`"):
            run_folder.training_of(config, Path("run"))
    assert run_folder.training_of({}, Path("run")) == {}


def opened(tmp_path: Path, **training: Any) -> run_folder.Run:
    save_run(tmp_path / "run", untrained(), **training)
    return run_folder.open_run(tmp_path / "run", "cpu")


def test_which_images_a_command_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def load_part(*arguments: Any) -> Images:
        asked.append(arguments)
        return images_called("other")

    monkeypatch.setattr("gmvae_cli.run_folder.load_part", load_part)
    root = Path("root")
    Path("mine.npz").touch()
    of_a_set = opened(tmp_path, data="digits", classes=[1, 4])
    of_a_file = opened(tmp_path, data="mine.npz", classes=[1, 4])
    names = [
        run_folder.images_for(run, data, root)[1]
        for run, data in (
            (of_a_set, None),
            (of_a_file, None),
            (of_a_set, "mnist"),
            (of_a_set, "their.npz"),
        )
    ]
    as_it_is = experiment.Reading()
    assert asked == [
        ("digits", "test", (1, 4), root, as_it_is),
        ("mine.npz", "test", (1, 4), root, as_it_is),
        ("mnist", "test", (1, 4), root, as_it_is),
        ("their.npz", "test", None, root, as_it_is),
    ]
    assert names == [
        "digits, test part, classes 1, 4",
        "mine.npz, classes 1, 4",
        "mnist, test part, classes 1, 4",
        "their.npz",
    ]


def test_a_model_of_python_says_nothing_of_its_images(tmp_path: Path) -> None:
    untrained().save(tmp_path / "run")
    run = run_folder.open_run(tmp_path / "run", "cpu")
    with pytest.raises(FileNotFoundError, match=r"run does not say what it was trained on\. Name"):
        run_folder.images_for(run, None, None)


def test_names_of_classes_may_be_new_where_there_were_none(tmp_path: Path) -> None:
    images = replace(images_called("other"), class_names={1: "one"})
    run_folder._check_names(opened(tmp_path), images)
    named = opened(tmp_path, class_names={"1": "one", "4": "four"})
    run_folder._check_names(named, images)
    run_folder._check_names(named, images_called("other"))
    with pytest.raises(ContentError, match=r"trained on, 1 \(one\), 4 \(four\); got 1 \(two\) in"):
        run_folder._check_names(named, replace(images, class_names={1: "two"}))


def test_what_a_folder_lacks_or_holds(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"which has no config\.json\. Make one with: "):
        run_folder.open_run(tmp_path, "cpu")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ContentError, match=r"config\.json"):
        run_folder.open_run(tmp_path, "cpu")
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(ContentError, match=r"config\.json"):
        run_folder.open_run(tmp_path, "cpu")


def test_a_history_of_phases_with_other_columns(tmp_path: Path) -> None:
    history = [{"phase": "start", "a": 1}, {"phase": "joint", "b": 2.5}]
    run_folder.write_history(tmp_path / "history.csv", history)
    assert (tmp_path / "history.csv").read_text().split() == ["phase,a,b", "start,1,", "joint,,2.5"]


@pytest.mark.parametrize("labels", [True, False])
@pytest.mark.parametrize("history", [[], [{"phase": "joint"}]])
def test_pictures_by_the_names_of_their_files(
    labels: bool, history: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gmvae import plots

    model, images = untrained(), images_called("other" if labels else "bare.npz")
    functions = {
        "latent": "latent_space",
        "reconstructions": "reconstructions",
        "manifold": "manifold",
        "mixture": "mixture",
        "ambiguous": "ambiguous",
        "clusters": "clusters",
        "classes": "class_table",
        "curves": "curves",
    }
    for name in functions.values():
        monkeypatch.setattr(plots, name, lambda *asked, name=name, told=None: (name, *asked))
    expected: dict[str, Any] = {
        file: (function, model, images) for file, function in functions.items()
    }
    expected["curves"] = ("curves", history)
    for file, there in (("classes", labels), ("curves", bool(history))):
        if not there:
            del expected[file]
    assert run_folder.draw(plots.Told(model, images), history) == expected
    assert tuple(functions) == run_folder.PICTURES


@pytest.mark.parametrize(
    ("source", "kept"),
    [("digits", "digits"), ("a.npz", "{here}/a.npz"), ("/a/b.npz", "/a/b.npz")],
)
def test_a_source_that_lasts(source: str, kept: str) -> None:
    assert run_folder.lasting(source) == kept.format(here=Path.cwd())


def refusal(of: Any, *arguments: Any) -> str:
    with pytest.raises((ContentError, FileNotFoundError)) as error:
        of(*arguments)
    return str(error.value)


def test_refusals_in_full(tmp_path: Path) -> None:
    run, config = tmp_path / "run", tmp_path / "run" / "config.json"
    run.mkdir()
    assert refusal(run_folder.open_run, run, "cpu") == (
        f"`--model` expected a run folder; got {run}, which has no config.json. Make one with: "
        "gmvae train"
    )
    config.write_text("{")
    line = refusal(run_folder.open_run, run, "cpu")
    assert line.startswith(f"{config} expected JSON; got: Expecting property name")
    assert line.endswith(". Restore it, or train again.")
    config.write_text("[]")
    assert refusal(run_folder.open_run, run, "cpu") == f"{config} expected a JSON object; got list."
    config.write_text('{"training": []}')
    assert refusal(run_folder.open_run, run, "cpu") == (
        f"{config} expected the section `training` as gmvae train wrote it; got another. Restore "
        "it, or remove it and name DATA."
    )
    config.write_text('{"model": {"custom": ["encoder", "decoder"]}}')
    assert refusal(run_folder.open_run, run, "cpu") == (
        f"{run} holds a model with modules of its user's own, which the command line cannot make. "
        f"Load it in Python: gmvae.GMVAE.load({str(run)!r}, encoder=..., decoder=...)."
    )


def test_refusals_of_images_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = opened(tmp_path, data="gone.npz")
    config = tmp_path / "run" / "config.json"
    assert refusal(run_folder.images_for, run, None, None) == (
        f"`DATA` expected where {config} names data that are there; got gone.npz, which does not "
        "exist. Name DATA."
    )
    wide = Images(np.zeros((2, 1, 9, 9), np.uint8), name="wide")
    assert refusal(run_folder.check_shape, run.gmvae, wide) == (
        "`DATA` expected images of shape (1, 3, 4), as the model was trained on; got (1, 9, 9) in "
        "wide. Use a model trained on such images."
    )
    named = opened(tmp_path, class_names={"1": "one"})
    images = replace(images_called("other"), class_names={1: "two"})
    assert refusal(run_folder._check_names, named, images) == (
        "`DATA` expected the classes that the model was trained on, 1 (one); got 1 (two) in other. "
        "Give it a subfolder of each name, or name the subfolders of both by numbers."
    )


def test_a_configuration_that_is_a_pipe_or_endless_is_refused(
    tmp_path: Path, named_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(named_run, tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    config.unlink()
    os.mkfifo(config)
    assert app.run(["classify", "--model", "run"]) == 1
    assert one_line(capsys) == (
        "Error: run/config.json expected a regular file; got a folder, a pipe or a device. Copy "
        "what it holds to a file."
    )
    config.unlink()
    with config.open("wb") as file:
        file.truncate(2**34)  # 16 GB that take no room on the disk
    assert app.run(["classify", "--model", "run"]) == 1
    assert "run/config.json expected at most 16,777,216 bytes; got more" in one_line(capsys)
    assert not Path("run-vae.csv").exists()
