"""Make what a reader sees first: the pictures of the README, and the notebooks with their outputs.

    python benchmarks/shop_window.py
    python benchmarks/shop_window.py counts.ipynb

The pictures are those of the first command of the README, `gmvae train`.
"""

import base64
import io
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

TOP = Path(__file__).parents[1]
PICTURES, NOTEBOOKS = TOP / "docs" / "pictures", TOP / "notebooks"
# Two of them stand side by side in the README.
SHOWN = {"clusters": 900, "mixture": 560, "manifold": 480}
# Of a picture in a notebook: wide enough for its column. As many colours as a plot has.
WIDTH, COLOURS = 640, 32
# Of a notebook with its outputs, in bytes: what a page of code shows without delay.
LARGEST = 300_000


def small(content: bytes, width: int = WIDTH) -> bytes:
    """A PNG of few colours, no wider than that many pixels."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    if image.width > width:
        size = width, round(image.height * width / image.width)
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def make_pictures() -> None:
    """Train as the README begins, and keep three of the pictures."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "gmvae-run"
        subprocess.run([sys.executable, "-m", "gmvae", "train", "-o", str(run)], check=True)
        for name, width in SHOWN.items():
            content = small((run / f"{name}.png").read_bytes(), width)
            (PICTURES / f"{name}.png").write_bytes(content)


def make_notebook(path: Path) -> None:
    """Run a notebook and store it with its outputs, the pictures among them made small."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=1200, kernel_name="python3").execute()
    for cell in notebook.cells:
        # When a cell ran, which changes each time and helps nobody.
        cell.metadata.pop("execution", None)
        # Nor what this machine's packages warn of.
        kept = [output for output in cell.get("outputs", []) if output.get("name") != "stderr"]
        if cell.cell_type == "code":
            cell.outputs = kept
        for output in kept:
            if "image/png" in output.get("data", {}):
                content = base64.b64decode(output["data"]["image/png"])
                output["data"]["image/png"] = base64.b64encode(small(content)).decode()
    notebook.metadata.pop("widgets", None)
    nbformat.write(notebook, path)
    size = path.stat().st_size
    print(f"{path.name}: {size:,} bytes")
    if size > LARGEST:
        raise SystemExit(f"{path.name} is larger than {LARGEST:,} bytes: show less.")


def main() -> None:
    """Make all of it, or only the notebooks that are named."""
    named = [NOTEBOOKS / name for name in sys.argv[1:]]
    if not named:
        make_pictures()
    for path in named or sorted(NOTEBOOKS.glob("*.ipynb")):
        make_notebook(path)


if __name__ == "__main__":
    main()
