"""The page that ``train`` and ``evaluate`` write."""

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_spies import Spies, images_called, spies, untrained
from cli_toys import QUICK, one_line
from gmvae_cli import app, reporting, run_folder
from parsed import EVIL, Parsed, check_whole
from PIL import Image as Picture
from toys import SHAPE

import gmvae
from gmvae import Images
from gmvae.plots import Told

__all__ = ["spies"]

pytestmark = pytest.mark.usefixtures("elsewhere")


def read(path: str | Path) -> Parsed:
    return check_whole(Path(path).read_text(encoding="utf-8"))


def test_the_page_of_a_run(trained_run: Path) -> None:
    page = read(trained_run / "report.html")
    assert (trained_run / "report.html").stat().st_size < 3 * 2**20
    assert "Clusters of digits" in page.text
    assert "The 134 images fall into " in page.text
    assert ["trained on", "digits, classes 1, 4, 8"] in page.rows
    assert ["clusters and figures of", "digits, test part, classes 1, 4, 8: 134 images"] in (
        page.rows
    )
    assert ["gmvae, in training", gmvae.__version__] in page.rows
    metrics = json.loads((trained_run / "metrics.json").read_text())
    assert ["accuracy of predicted labels", f"{metrics['acc_named']:.4f}"] in page.rows
    # What stands in the folder's pictures is what stands on the page.
    embedded = {base64.b64decode(i["src"].partition(",")[2]) for i in page.all("img")}
    shown = {"latent", "mixture", "manifold", "reconstructions", "ambiguous", "curves"}
    for name in run_folder.PICTURES:
        assert ((trained_run / f"{name}.png").read_bytes() in embedded) == (name in shown)


def test_the_command_for_the_same_run_again(trained_run: Path) -> None:
    config, again = trained_run / "config.json", trained_run.with_name("run-again")
    page = read(trained_run / "report.html")
    assert f"gmvae train --config {config} -o {again}" in page.text
    assert f"gmvae diagnose --model {trained_run}" in page.text


@pytest.mark.usefixtures("quick")
def test_names_of_files_and_classes_are_text_everywhere(
    digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On the page, in the terminal and in pictures, which would take a dollar for a formula."""
    names = [EVIL[kind] for kind in ("terminal", "formula", "markup", "attribute")]
    names = [name.replace("/", "\u2215") for name in names]
    pixels = (digits.pixels[:24, 0] * 255).astype(np.uint8)
    for i, picture in enumerate(pixels):
        place = tmp_path / "<i>pics" / names[i % 4]
        place.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(picture).save(place / f"{i} {names[i % 4]}.png")
    assert app.run(["train", "<i>pics", *QUICK]) == 0
    assert app.run(["name", "gmvae-run", "0=<u>$x_$"]) == 0
    assert app.run(["evaluate"]) == 0
    assert app.run(["compare", "gmvae-run", "gmvae-run"]) == 0
    shown = capsys.readouterr()
    assert "\x1b[31m" not in shown.out + shown.err
    for path in ("gmvae-run/report.html", "gmvae-run-report.html"):
        page = read(path)
        assert "Clusters of <i>pics" in page.text
        assert {cell for row in page.rows for cell in row} >= {
            name.replace("\x1b", r"\x1b") for name in names
        }
        assert "\x1b" not in Path(path).read_text()
    assert "0: <u>$x_$" in read("gmvae-run-report.html").text
    read("gmvae-compare.html")


class TestEvaluate:
    def test_it_writes_a_page_beside_the_run(self, spies: Spies) -> None:
        lines = spies.run(["evaluate", "other"]).at("command.out").splitlines()
        assert lines[-1] == "All of it on a page, for a browser: gmvae-run-report.html"
        page = read("gmvae-run-report.html")
        assert ["clusters and figures of", "other: 24 images"] in page.rows
        assert "None was made" in page.text

    def test_it_is_made_again_but_no_other_page_is_lost(self, spies: Spies) -> None:
        path = Path("gmvae-run-report.html")
        assert spies.run(["evaluate", "other"]).at("command.code") == 0
        assert spies.run(["evaluate", "bare.npz"]).at("command.code") == 0
        assert "bare.npz: 24 images" in read(path).text
        # One that was named is kept without --force.
        assert spies.run(["evaluate", "--report", str(path)]).at("command.code") == 2
        path.write_text("<p>mine</p>")
        assert spies.run(["evaluate"]).at("command.code") == 2
        assert path.read_text() == "<p>mine</p>"
        assert spies.run(["evaluate", "--force"]).at("command.code") == 0

    def test_a_page_that_cannot_be_is_named_by_its_option(self, spies: Spies) -> None:
        Path("file").touch()
        for path, words in (
            ("page.txt", "`--report` expected a .html file; got page.txt. Rename it."),
            ("file/page.html", "file is a file. Choose another --report."),
        ):
            assert spies.run(["evaluate", "--report", path]).at("command.code") == 2
            assert words in spies.at("command.err")

    @pytest.mark.parametrize(("n_classes", "drawn"), [(3, False), (26, True)])
    def test_classes_are_a_picture_where_no_table_shows_them(
        self, n_classes: int, drawn: bool, spies: Spies, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        images = images_called("other")
        images = Images(np.resize(images.pixels, (52, *SHAPE)), np.arange(52) % n_classes)
        assert ("classes" in reporting.pictures(Told(untrained(), images))) == drawn
        asked: list[str] = []
        monkeypatch.setattr(run_folder, "draw", lambda _, names: asked.extend(names) or {})
        spies.run(["evaluate", "other"])
        assert asked == ["latent", "mixture", "manifold", "reconstructions", "ambiguous"]

    def test_with_json_there_is_none_but_one_that_is_named(self, spies: Spies) -> None:
        assert spies.run(["evaluate", "--json"]).at("command.made") == []
        spies.run(["evaluate", "--json", "--report", "mine.html"])
        assert spies.at("command.made") == ["mine.html"]
        assert json.loads(spies.at("command.out"))["n_images"] == 24

    def test_the_curves_are_those_of_the_training(self, spies: Spies) -> None:
        curves = Path("gmvae-run/curves.png")
        Picture.new("L", (3, 2), 7).save(curves)
        spies.run(["evaluate"])
        (image,) = [i for i in read("gmvae-run-report.html").all("img") if "curves" in i["alt"]]
        assert base64.b64decode(image["src"].partition(",")[2]) == curves.read_bytes()

    @pytest.mark.parametrize("content", [b"<svg onload='alert(1)'/>", b"\x89PNG\r\n\x1a\n" * 2**20])
    def test_what_is_no_picture_of_a_run_is_left_out(self, content: bytes, spies: Spies) -> None:
        Path("gmvae-run/curves.png").write_bytes(content)
        assert spies.run(["evaluate"]).at("command.code") == 0
        assert not [i for i in read("gmvae-run-report.html").all("img") if "curves" in i["alt"]]


class TestDiagnosis:
    @pytest.fixture
    def diagnosed(self, named_run: Path, tmp_path: Path) -> Path:
        """A folder as ``gmvae diagnose`` writes it, but for the draws."""
        sha256 = json.loads((named_run / "config.json").read_text())["weights_sha256"]
        limits = {"good": 0.05, "bad": 0.2, "source": "here"}
        check = {"topic": "posterior", "check": "k-hat", "figure": 0.5, "threshold": limits}
        check |= {"status": "fail", "spared": None, "detail": "of six"}
        verdict = {"images": "digits", "n_images": 134, "verdict": "fail", "checks": [check]}
        (tmp_path / "made").mkdir()
        self.write(tmp_path / "made", verdict | {"weights_sha256": sha256})
        return tmp_path / "made"

    def write(self, folder: Path, verdict: dict[str, Any]) -> None:
        (folder / "verdict.json").write_text(json.dumps(verdict))

    def run(self, named_run: Path) -> int:
        arguments = ["evaluate", "--model", str(named_run), "--diagnosis", "made"]
        return app.run([*arguments, "--report", "page.html", "--force"])

    def test_it_stands_on_the_page(self, diagnosed: Path, named_run: Path) -> None:
        assert self.run(named_run) == 0
        assert ["fail", "k-hat", "0.5", "<= 0.05, fails beyond 0.2", "of six"] in (
            read("page.html").rows
        )
        assert (
            "The posterior fails: take error bars and log p(x) of certified images"
            in read("page.html").text
        )

    def test_that_of_another_model_is_refused(
        self, diagnosed: Path, named_run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        verdict = json.loads((diagnosed / "verdict.json").read_text())
        self.write(diagnosed, verdict | {"weights_sha256": "0" * 64})
        assert self.run(named_run) == 2
        assert one_line(capsys) == (
            f"Error: `--diagnosis` expected a diagnosis of the model in {named_run}; got made, "
            "which is of another one. Diagnose this one: gmvae diagnose"
        )

    @pytest.mark.parametrize(
        "change",
        [
            {"checks": None},
            {"checks": [{"check": "k-hat"}]},
            {"verdict": "<b>"},
            {"n_images": "many"},
            {"images": None},
        ],
    )
    def test_a_damaged_one_is_refused(
        self,
        change: dict[str, Any],
        diagnosed: Path,
        named_run: Path,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        verdict = json.loads((diagnosed / "verdict.json").read_text())
        self.write(diagnosed, verdict | change)
        assert self.run(named_run) == 1
        assert "expected a verdict as gmvae diagnose writes it" in one_line(capsys)

    def test_there_is_none(
        self, diagnosed: Path, named_run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.rmtree(diagnosed)
        assert self.run(named_run) == 2
        assert "which has no verdict.json. Make one with: gmvae diagnose -o made" in (
            one_line(capsys)
        )
