"""What the journeys share: the command line, and data as a user has them."""

import csv
from pathlib import Path

import numpy as np
from gmvae_cli import app
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_images

QUICK = ("--effort", "quick")


class Traveller:
    """Types commands, and reads what they say."""

    def __init__(self, capsys):
        self.capsys = capsys

    def types(self, command, code=0):
        """The lines that a command says on standard output; of a failing one its single error."""
        self.capsys.readouterr()
        came = app.run(command.split() if isinstance(command, str) else command)
        said = self.capsys.readouterr()
        assert came == code, said.err
        if code == 0:
            return said.out.splitlines()
        lines = [line for line in said.err.splitlines() if line.startswith("Error: ")]
        assert len(lines) == 1, said.err
        return lines


def photographs():
    """Four photographs, by what is on them."""
    china, flower = load_sample_images().images
    return {"cat": data.chelsea(), "china": china, "coffee": data.coffee(), "flower": flower}


def cut_into_patches(folder, n, seed=0):
    """``n`` patches of each photograph, of sides from 40 to 79, as folder/cat/1.png and so on."""
    rng = np.random.default_rng(seed)
    for name, photograph in photographs().items():
        (folder / name).mkdir(parents=True)
        for i in range(1, n + 1):
            side = int(rng.integers(40, 80))
            top, left = (int(rng.integers(0, edge - side)) for edge in photograph.shape[:2])
            patch = photograph[top : top + side, left : left + side]
            Image.fromarray(patch).save(folder / name / f"{i}.png")


def rows_of(path):
    """The rows of a CSV file, by the names of the columns."""
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
