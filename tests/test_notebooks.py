"""The notebooks run from top to bottom, what they train a tenth as long where that will do."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

# Its photographs are told apart only by a whole training, as its last line asks.
WHOLE = "my_own_folder"
BRIEFLY = "from gmvae.training.recipe import EFFORTS\nEFFORTS['standard'] = 0.1"
NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
# The Jupyter client's own sockets are closed by the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_notebook_runs(path):
    notebook = nbformat.read(path, as_version=4)
    if path.stem != WHOLE:
        notebook.cells.insert(0, nbformat.v4.new_code_cell(BRIEFLY))
    # An error in any cell raises here.
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(pictures) >= 5
