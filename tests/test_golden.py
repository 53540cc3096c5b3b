"""Models that were saved long ago load for ever, and answer as they did.

Each folder of ``tests/golden`` is named for the commit or release that saved it, and holds what
it answered then. They are never made anew: a new format gets new folders beside them.
"""

import json
from pathlib import Path

import pytest
import torch

from gmvae.gmvae import GMVAE

GOLDEN = Path(__file__).parent / "golden"
FOLDERS = sorted(path.parent for path in GOLDEN.rglob("config.json"))


def test_every_one_is_there():
    names = {"/".join(folder.parts[-2:]) for folder in FOLDERS}
    kinds = {"conv", "default", "exact"}
    assert names == {
        *(f"0c55733/{kind}" for kind in kinds),
        *(f"first-release/{kind}" for kind in kinds | {"full-guide"}),
    }


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda path: "/".join(path.parts[-2:]))
def test_it_answers_as_it_did(folder):
    gmvae = GMVAE.load(folder)
    answers = json.loads((folder / "answers.json").read_text("utf-8"))
    assert list(gmvae.component_classes) == answers.pop("component_classes")
    x = ((torch.arange(60).reshape(5, 1, 4, 3) * 7) % 11 / 10).float()
    assert len(answers) >= 3
    for query, expected in answers.items():
        answer = torch.as_tensor(getattr(gmvae, query)(x)).double()
        torch.testing.assert_close(
            answer, torch.tensor(expected).double(), atol=1e-5, rtol=1e-4, msg=query
        )


def test_the_first_ones_are_of_a_diagonal_guide():
    """There was no choice then, and the file says nothing of it."""
    folder = GOLDEN / "0c55733" / "default"
    assert '"guide"' not in (folder / "config.json").read_text("utf-8")
    assert GMVAE.load(folder).config.guide == "diagonal"
