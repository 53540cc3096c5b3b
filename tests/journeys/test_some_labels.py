"""A flat folder, and a table that labels a few of its pictures by hand."""

from pathlib import Path

import numpy as np
from PIL import Image
from travel import QUICK, Traveller, rows_of

from gmvae import GMVAE, load

WORDS = {1: "one", 4: "four", 8: "eight"}


def test_a_table_of_some_labels(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    user = Traveller(capsys)
    digits = load("digits").only([1, 4, 8]).subset(slice(0, 150))
    Path("pictures").mkdir()
    for row, pixels in enumerate(digits.pixels):
        Image.fromarray(np.rint(pixels[0] * 255).astype(np.uint8)).save(f"pictures/{row}.png")
    labelled = np.concatenate([np.flatnonzero(digits.labels == value)[:5] for value in WORDS])
    lines = [f"{row}.png,{WORDS[digits.labels[row]]}" for row in labelled]
    Path("labels.csv").write_text("\n".join(["file,label", *lines, ""]))

    said = user.types(["train", "pictures", "--labels-from", "labels.csv", "-o", "run", *QUICK])
    assert said[0] == "pictures: 150 pictures, grey, 8 x 8."
    assert said[1] == "15 labels observed in training (5 of eight, 5 of four, 5 of one)."
    model = GMVAE.load("run")
    assert model.config.n_components == 3
    assert model.component_names == ("eight", "four", "one")

    user.types("classify --model run")
    rows = rows_of("run-vae.csv")
    assert [row["File"] for row in rows] == [f"{row}.png" for row in range(150)]
    right = [row["Predicted_Label"] == WORDS[y] for row, y in zip(rows, digits.labels, strict=True)]
    assert np.mean(right) >= 0.8
    assert all(right[row] for row in labelled)  # what was told is not forgotten

    (error,) = user.types("train pictures --labels-from none.csv -o never", code=2)
    assert "`--labels-from` expected a CSV file" in error
    assert "none.csv, which does not exist" in error
    Path("labels.csv").write_text("file,label\n999.png,one\n")
    (error,) = user.types("train pictures --labels-from labels.csv -o never", code=1)
    assert "`labels.csv` expected files of pictures; got 999.png" in error
