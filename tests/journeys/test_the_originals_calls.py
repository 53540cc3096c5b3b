"""The three calls of the project that this one grew from, on files in its format."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from travel import QUICK, Traveller

from gmvae import GMVAE, load
from gmvae.metrics import accuracy


def test_train_reconstruct_classify(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    user = Traveller(capsys)
    digits = {part: load("digits", part=part).only([1, 4, 8]) for part in ("train", "test")}
    bytes_of = {
        part: np.rint(of.pixels[:, 0] * 255).astype(np.uint8) for part, of in digits.items()
    }
    labels = {part: of.labels for part, of in digits.items()}
    few = np.concatenate([np.flatnonzero(labels["train"] == value)[:5] for value in (1, 4, 8)])
    rest = np.setdiff1d(np.arange(len(labels["train"])), few)
    for name, part, rows in (
        ("train_data", "train", rest),
        ("validate_data", "train", few),
        ("test_data", "test", slice(None)),
    ):
        np.savez(f"{name}.npz", data=bytes_of[part][rows], labels=labels[part][rows])

    said = user.types(["train", "train_data.npz", "--val", "validate_data.npz", *QUICK])
    assert said[0] == (
        "15 labels observed in training (5 of class 1, 5 of class 4, 5 of class 8). All other "
        "labels only score the result."
    )
    said = user.types("reconstruct test_data.npz -o vae_reconstructed.npz")
    assert said == [
        f"Reconstructions of {len(labels['test'])} images (test_data.npz): vae_reconstructed.npz"
    ]
    with np.load("vae_reconstructed.npz", allow_pickle=False) as arrays:
        assert arrays.files == ["data"]
        assert arrays["data"].shape == bytes_of["test"].shape
        assert arrays["data"].dtype == np.float32
        assert 0 <= arrays["data"].min() <= arrays["data"].max() <= 1

    user.types("classify test_data.npz --columns label -o vae.csv")
    predicted = GMVAE.load("gmvae-run").predict(load("test_data.npz"))
    written = "\n".join(["Predicted_Label", *map(str, predicted.tolist()), ""])
    assert Path("vae.csv").read_bytes() == written.encode()
    assert {*predicted.tolist()} <= {1, 4, 8}
    figures = json.loads("\n".join(user.types("evaluate test_data.npz --samples 2 --json")))
    assert figures["acc_named"] == accuracy(labels["test"], predicted)
    assert figures["acc_named"] >= 0.85


def test_the_module_is_the_command_line_too():
    done = subprocess.run(
        [sys.executable, "-m", "gmvae", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("gmvae ")
