"""``gmvae train --config RUN/config.json`` and ``--from RUN``, and ``gmvae select --resume``."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_toys import one_line, save
from gmvae_cli import app, unfinished

from gmvae import GMVAE, Images
from gmvae.support.errors import ArgumentError
from gmvae.training import jobs

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.fixture(autouse=True)
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """They take two seconds a run, and are tested elsewhere."""
    monkeypatch.setattr("gmvae_cli.run_folder.draw", lambda *_, **__: {})


SHORT = ("--effort", "quick", "--epochs", "2", "--warmup-epochs", "2")


def same(one: str, other: str) -> bool:
    """The bytes of model and history, and every figure: only a path may be written in full."""
    names = ("model.safetensors", "history.csv")
    figures = [json.loads((Path(folder) / "metrics.json").read_text()) for folder in (one, other)]
    for of_run in figures:
        del of_run["scored_on"]
    bytes_alike = all((Path(one) / n).read_bytes() == (Path(other) / n).read_bytes() for n in names)
    return bytes_alike and figures[0] == figures[1]


def training(folder: str) -> Any:
    return json.loads((Path(folder) / "config.json").read_text())["training"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--seed", "3"),
        ("data.npz", "--components", "4", "--lr", "0.01", "--labels", "2"),
        ("data.npz", "--val", "val.npz", "--classes", "1,8", "--restarts", "2", "--jobs", "1"),
        ("data.npz", "--components", "auto"),
    ],
    ids=["the original's", "labels", "val, restarts", "auto"],
)
def test_a_run_made_again_by_its_configuration(digits: Images, arguments: tuple[str, ...]) -> None:
    save(Path("data.npz"), digits.subset(slice(0, 40)))
    save(Path("val.npz"), digits.subset(slice(40, 60)))
    assert app.run(["train", *arguments, *SHORT, "-o", "run"]) == 0
    again = ["--jobs", "1"] if "--restarts" in arguments else []
    assert app.run(["train", "--config", "run/config.json", *again, "-o", "again"]) == 0
    assert same("run", "again")
    one, other = training("run"), training("again")
    assert one.pop("seconds") >= 0
    assert other.pop("seconds") >= 0
    assert one == other


@pytest.mark.usefixtures("quick")
def test_flags_win_over_a_run_s_configuration(trained_run: Path) -> None:
    config = str(trained_run / "config.json")
    arguments = ["--seed", "1", "--classes", "1,4", "--components", "2"]
    assert app.run(["train", "--config", config, *arguments, "-o", "other"]) == 0
    record = training("other")
    assert (record["classes"], record["labels"]) == ([1, 4], 5)
    assert (record["settings"]["seed"], record["settings"]["epochs"]) == (1, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[1]", "expected a JSON object; got list"),
        ("{", "expected JSON; got"),
        ("{}", "or the config.json of a run of gmvae train; got run/config.json, which does not"),
        ('{"training": {"data": 1}}', "expected the section `training` as gmvae train wrote it"),
    ],
)
def test_a_configuration_that_no_run_wrote(
    text: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("run").mkdir()
    Path("run/config.json").write_text(text)
    assert app.run(["train", "--config", "run/config.json", "-o", "again"]) == 1
    assert words in one_line(capsys)
    assert not Path("again").exists()


def test_a_model_of_the_library_does_not_say_its_labels(
    unnamed_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["train", "--config", str(unnamed_run / "config.json"), "-o", "again"]) == 1
    assert "which does not say all of its options ('val'). Name them." in one_line(capsys)


class TestFrom:
    def test_components_and_networks_are_kept(self, trained_run: Path, digits: Images) -> None:
        before = GMVAE.load(trained_run)
        save(Path("more.npz"), digits)
        arguments = ["train", "more.npz", "--from", str(trained_run), *SHORT]
        assert app.run([*arguments, "--components", "5", "-o", "larger"]) == 0
        after = GMVAE.load("larger")
        assert after.component_classes == (1, 4, 8, None, None)
        assert after.config.latent_dim == before.config.latent_dim
        record = training("larger")
        assert record["from"] == str(trained_run.absolute())
        assert record["start"]["data"] == "digits"
        assert record["data"] == str(Path("more.npz").absolute())
        # The same again by its configuration, which names the model, too.
        assert app.run(["train", "--config", "larger/config.json", "-o", "again"]) == 0
        assert same("larger", "again")

    def test_it_is_shown(self, trained_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
        arguments = ["train", "digits", "--classes", "1,4,8", *SHORT, "-o", "run"]
        assert app.run([*arguments, "--from", str(trained_run)]) == 0
        capsys.readouterr()
        assert app.run(["info", "--model", "run"]) == 0
        shown = " ".join(capsys.readouterr().out.split())
        assert "started from a model of │ digits, classes 1, 4, 8" in shown

    def test_stopped_it_goes_on(
        self, trained_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        arguments = ["train", "digits", "--classes", "1,4,8,0", "--components", "4", *SHORT]
        arguments += ["--from", str(trained_run)]
        assert app.run([*arguments, "-o", "whole"]) == 0
        with monkeypatch.context() as patch:
            interrupt_at(patch, 9)
            assert app.run([*arguments, "-o", "run"]) == 130
        assert "Go on: gmvae train --resume run" in capsys.readouterr().err
        assert app.run(["train", "--resume", "run"]) == 0
        assert same("run", "whole")

    @pytest.mark.parametrize(
        ("arguments", "line"),
        [
            (["--from", "RUN"], "`--from` expected DATA beside it, the images to go on with; got"),
            (
                ["digits", "--from", "nowhere"],
                "`--from` expected a run folder; got nowhere, which does not exist.",
            ),
            (
                ["digits", "--from", "RUN", "--latent-dim", "3"],
                "`--latent-dim` expected 2, that of the model to start from; got 3. Leave it out",
            ),
            (
                ["digits", "--from", "RUN", "--components", "2"],
                "`--components` expected at least 3, those of the model to start from; got 2.",
            ),
        ],
    )
    def test_what_does_not_fit(
        self,
        arguments: list[str],
        line: str,
        trained_run: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        words = [str(trained_run) if word == "RUN" else word for word in arguments]
        assert app.run(["train", *words, "-o", "run"]) == 2
        assert line in one_line(capsys)
        assert list(Path().iterdir()) == []

    def test_images_of_another_size(
        self, trained_run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        np.savez("wide.npz", data=np.random.default_rng(0).random((20, 8, 9)))
        assert app.run(["train", "wide.npz", "--from", str(trained_run), "-o", "run"]) == 2
        assert "`DATA` expected images of shape (1, 8, 8), as those of the" in one_line(capsys)
        assert sorted(path.name for path in Path().iterdir()) == ["wide.npz"]


def interrupt_at(patch: pytest.MonkeyPatch, step: int) -> None:
    """This process gets SIGINT when it asks for the so-manieth time whether it is to stop."""
    real, steps = unfinished.kept, iter(range(1, 10_000))

    class Kept:
        def __init__(self, *arguments: Any) -> None:
            self.kept = real(*arguments)

        def __enter__(self) -> Any:
            stop = self.kept.__enter__()

            def asked() -> bool:
                if next(steps) == step:
                    os.kill(os.getpid(), signal.SIGINT)
                return bool(stop())

            return asked

        def __exit__(self, *error: Any) -> Any:
            return self.kept.__exit__(*error)

    patch.setattr(unfinished, "kept", Kept)


class TestSelect:
    def test_what_has_ended_is_not_run_again(
        self, digits: Images, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        save(Path("data.npz"), digits)
        command = ["select", "data.npz", "--components", "2,3", "--jobs", "1", *SHORT]
        assert app.run([*command, "-o", "whole"]) == 0
        steps: list[str] = []
        fit = jobs.fit

        def counted(*arguments: Any, **options: Any) -> Any:
            steps.append(options["checkpoint"].parent.name)
            return fit(*arguments, **options)

        monkeypatch.setattr(jobs, "fit", counted)
        with monkeypatch.context() as patch:
            # A run asks some 70 times, its trial included: this is in the second or third.
            interrupt_at(patch, 150)
            assert app.run([*command, "-o", "run"]) == 130
        assert capsys.readouterr().err.splitlines()[-1] == (
            "Error: interrupted; what is done is kept. Go on: gmvae select --resume run"
        )
        stopped = steps[-1]
        assert steps == [str(number) for number in range(1, int(stopped) + 1)]
        assert stopped in ("2", "3")
        steps.clear()
        assert app.run(["train", "--resume", "run"]) == 2
        assert "one of gmvae select. Go on with it: gmvae select --resume run" in one_line(capsys)
        assert app.run(["select", "--resume", "run"]) == 0
        assert steps == [str(number) for number in range(int(stopped), 5)]
        assert (
            Path("run/candidates.json").read_bytes() == Path("whole/candidates.json").read_bytes()
        )
        assert not Path(".run.unfinished").exists()

    def test_what_was_asked_for_comes_back(self) -> None:
        asked = unfinished.AskedComparison(
            data="digits",
            numbers=(2, 5),
            classes=(1, 4),
            settings={"lr": 0.25, "epochs": None},
            restarts=2,
            jobs=None,
            device="cpu",
            data_root=None,
            output=Path("mine"),
            force=False,
        )
        unfinished.begin(asked)
        assert unfinished.asked_for(Path("mine"), unfinished.AskedComparison) == asked
        assert unfinished.go_on(Path("mine")) == "gmvae select --resume mine"
        with pytest.raises(ArgumentError, match="expected an unfinished run of gmvae train"):
            unfinished.asked_for(Path("mine"), unfinished.AskedTraining)

    def test_resume_stands_alone(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert app.run(["select", "--resume", "run", "--restarts", "3"]) == 2
        assert "expected to stand alone" in one_line(capsys)


@pytest.mark.parametrize("command", ["train", "select"])
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["missing.npz", "--lr", "-1"], "`--lr`"),
        (["missing.npz", "--classes", "1,a"], "`--classes`"),
    ],
)
def test_what_was_typed_is_refused_before_what_lies_there(
    command: str, arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """But a device, of which only torch knows: it is not loaded before what is quickly seen."""
    Path("there").mkdir()
    Path("there/mine").touch()
    assert app.run([command, *arguments, "-o", "there"]) == 2
    assert named in one_line(capsys)


def test_a_run_that_fails_before_anything_is_saved_leaves_nothing(
    digits: Images, capsys: pytest.CaptureFixture[str]
) -> None:
    save(Path("data.npz"), digits)
    assert app.run(["select", "data.npz", "--held-out", "0"]) == 2
    assert sorted(path.name for path in Path().iterdir()) == ["data.npz"]
    assert "expected a held-out part" in one_line_after_progress(capsys)


def one_line_after_progress(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().err.splitlines()[-1]
