"""The commands that ask a trained model: their files and tables, by value."""

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from cli_toys import one_line, save
from gmvae_cli import app

from gmvae import GMVAE, Images, load
from gmvae.answers import answers

pytestmark = pytest.mark.usefixtures("elsewhere")


def test_classify_writes_labels_components_and_probabilities(
    named_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["classify", "--model", str(named_run), "-o", "vae.csv"]) == 0
    gmvae, images = GMVAE.load(named_run), load("digits", part="test").only([1, 4, 8])
    with Path("vae.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["Row", "Predicted_Label", "Component", "Probability"]
    assert [int(row[0]) for row in rows[1:]] == list(range(134))
    assert [int(row[1]) for row in rows[1:]] == gmvae.predict(images).tolist()
    components = gmvae.classify(images).argmax(-1)
    assert [int(row[2]) for row in rows[1:]] == components.tolist()
    # An untrained model does not say how well it explains its training images: no outlier score.
    expected = answers(gmvae, images, ["outlier"])
    assert expected.outlier is None
    written = [float(row[3]) for row in rows[1:]]
    assert written == pytest.approx(expected.probability.tolist(), abs=1e-6)
    shown = capsys.readouterr().out
    assert "0 is class 1, 1 is class 4, 2 is class 8" in shown
    assert "134 images (digits, test part, classes 1, 4, 8): vae.csv" in shown


def test_classify_writes_the_single_column_of_the_original(named_run: Path) -> None:
    arguments = ["classify", "digits", "--model", str(named_run), "--columns", "label"]
    assert app.run([*arguments, "-o", "labels.csv"]) == 0
    lines = Path("labels.csv").read_text().splitlines()
    assert lines[0] == "Predicted_Label"
    assert set(lines[1:]) <= {"1", "4", "8"}


def test_a_file_is_classified_whole_and_in_order(
    named_run: Path, digits: Images, tmp_path: Path
) -> None:
    data = save(tmp_path / "some.npz", digits)
    assert app.run(["classify", data, "--model", str(named_run), "-o", "vae.csv"]) == 0
    assert len(Path("vae.csv").read_text().splitlines()) == 1 + len(digits)


def test_without_observed_labels_the_component_is_the_prediction(
    unnamed_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["classify", "--model", str(unnamed_run), "-o", "vae.csv"]) == 0
    assert "No label was observed in training" in capsys.readouterr().out
    with Path("vae.csv").open(newline="") as file:
        assert all(row["Predicted_Label"] == row["Component"] for row in csv.DictReader(file))


def test_reconstruct_writes_images_in_the_format_of_the_original(named_run: Path) -> None:
    assert app.run(["reconstruct", "--model", str(named_run), "-o", "vae_reconstructed.npz"]) == 0
    with np.load("vae_reconstructed.npz", allow_pickle=False) as arrays:
        data = arrays["data"]
    assert data.shape == (134, 8, 8)
    assert data.dtype == np.float32
    assert data.min() >= 0
    assert data.max() <= 1


def test_evaluate_prints_json_and_writes_it(
    trained_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["evaluate", "--model", str(trained_run), "--samples", "2", "--json"]
    assert app.run([*arguments, "-o", "figures.json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(Path("figures.json").read_text())
    assert len(printed["overlap"]) == 3
    metrics = json.loads((trained_run / "metrics.json").read_text())
    assert printed["acc_named"] == pytest.approx(metrics["acc_named"])


def test_evaluate_prints_a_table(named_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["evaluate", "--model", str(named_run), "--samples", "2"]) == 0
    shown = capsys.readouterr().out
    assert "accuracy of predicted labels" in shown
    assert "no normalised density" not in shown
    overlap = shown[shown.index("Overlap of the Gaussians") :]
    assert re.search(r"component +0 +1 +2\n", overlap.replace(" \n", "\n"))
    found = {
        name: figures.split() for name, figures in re.findall(r"(\d: class \d) +([\d. ]+)", overlap)
    }
    assert list(found) == ["0: class 1", "1: class 4", "2: class 8"]
    # A Gaussian overlaps with itself wholly, and as much with another as that with it.
    assert [found[name][i] for i, name in enumerate(found)] == ["1.00"] * 3
    assert found["0: class 1"][1] == found["1: class 4"][0]


def test_evaluate_without_names_leaves_their_figures_out(
    unnamed_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["evaluate", "--model", str(unnamed_run), "--samples", "2"]) == 0
    shown = capsys.readouterr().out
    assert "accuracy of predicted labels" not in shown
    assert "components matched to classes" in shown


def test_sample_draws_a_picture_or_arrays(
    named_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(["sample", "--model", str(named_run), "-n", "7", "-o", "samples.png"]) == 0
    assert "7 samples of all 3 components: samples.png" in capsys.readouterr().out
    assert Path("samples.png").read_bytes().startswith(b"\x89PNG")
    arguments = ["sample", "--model", str(named_run), "-n", "7", "-o", "samples.npz"]
    assert app.run([*arguments, "--component", "2"]) == 0
    with np.load("samples.npz") as arrays:
        assert arrays["data"].shape == (7, 8, 8)
        assert (arrays["components"] == 2).all()
    assert "7 samples of component 2 (class 8): samples.npz" in capsys.readouterr().out


def test_a_component_that_is_not_there(named_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        app.run(["sample", "--model", str(named_run), "--component", "9", "-o", "samples.png"]) == 2
    )
    shown = one_line(capsys)
    assert "`--component` expected a number from 0 to 2 or a component's name (0: class 1," in shown
    assert "2: class 8); got '9'." in shown
    assert "leave it out for all" in shown
    assert not Path("samples.png").exists()


def test_info_tells_what_the_model_is(named_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["info", "--model", str(named_run)]) == 0
    shown = capsys.readouterr().out
    assert "1 x 8 x 8" in shown
    assert "digits, classes 1, 4, 8" in shown
    assert "0: class 1" in shown
    assert app.run(["info", "--model", str(named_run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["training"]["labels_observed"] == 15
