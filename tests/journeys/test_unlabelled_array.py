"""An array of pixels and nothing else: clusters, their pictures, names by hand."""

import json
from pathlib import Path

import numpy as np
from travel import QUICK, Traveller, rows_of

from gmvae import load
from gmvae.metrics import clustering_accuracy


def test_an_array_without_labels(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    user = Traveller(capsys)
    digits = load("digits").only([1, 4, 8])
    np.save("pixels.npy", np.rint(digits.pixels[:, 0] * 255).astype(np.uint8))

    said = user.types(["train", "pixels.npy", "--components", "3", "-o", "run", *QUICK])
    assert said[0] == "No labels observed in training."
    assert not Path("run/classes.png").exists()  # there are no classes
    assert Path("run/clusters.png").exists()

    said = user.types("classify --model run")
    assert (
        said[1] == "No label was observed in training: Predicted_Label is the component's number."
    )
    rows = rows_of("run-vae.csv")
    assert [int(row["Row"]) for row in rows] == list(range(len(digits)))
    assert all(row["Predicted_Label"] == row["Component"] for row in rows)
    components = np.array([int(row["Component"]) for row in rows])
    # A quick run, of which two kinds may lie together: a third by chance.
    assert clustering_accuracy(digits.labels, components) >= 0.6

    # A look at clusters.png, and the components have names.
    kinds = [digits.labels[components == k] for k in range(3)]
    named = {k: f"digit {np.bincount(of, minlength=10).argmax()}" for k, of in enumerate(kinds)}
    words = [f"{k}={word}" for k, word in named.items()]
    user.types(["name", "run", *words])
    user.types("classify --model run --force --columns latents")
    rows = rows_of("run-vae.csv")
    assert [row["Predicted_Label"] for row in rows] == [named[k] for k in components.tolist()]
    user.types("encode --model run -o z.npy")
    latents = np.array([[float(row["Z_0"]), float(row["Z_1"])] for row in rows])
    np.testing.assert_allclose(np.load("z.npy"), latents, rtol=1e-5, atol=1e-6)
    config = json.loads("\n".join(user.types("info --model run --json")))
    assert config["names_by_hand"] == {str(k): word for k, word in named.items()}
    said = user.types(["sample", "--model", "run", "--component", "1", "-o", "one.svg"])
    assert said == [f"60 samples of component 1 ({named[1]}): one.svg"]
    assert "<svg" in Path("one.svg").read_text()[:600]
