"""What a page to explore is made of, read back from its HTML."""

import base64
import hashlib
import io
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from parsed import Parsed
from PIL import Image

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{}'"


@dataclass
class Explored:
    """A page.

    Attributes:
        parsed: its tags and its text.
        data: what its script reads.
        script: that script.
    """

    parsed: Parsed
    data: dict[str, Any]
    script: str


def read(source: str) -> Explored:
    """The page; fail where it could load anything, or run anything but its own script."""
    page = Parsed(source)
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", source, flags=re.DOTALL)
    assert [attributes for attributes, _ in scripts] == [' type="application/json" id="data"', ""]
    (_, data), (_, script) = scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    assert policy == POLICY.format(digest)
    assert {tag for tag, _ in page.tags} & {"iframe", "object", "link", "base", "img"} == set()
    for tag, attributes in page.tags:
        assert not {"src", "href", "srcset", "action"} & {*attributes}, tag
        assert not [name for name in attributes if name.startswith("on")], tag
    assert "url(" not in source
    assert "http" not in script.replace("http://www.w3.org/2000/svg", "")
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    return Explored(page, json.loads(data), script)


def unpacked(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), f"<{kind}")


def decode(record: dict[str, Any], z: np.ndarray) -> np.ndarray:
    """The decoder's steps in NumPy, at one latent (D,): what the script has to do."""
    weights = unpacked(record["weights"], "f4").astype(float)
    h = z
    for step in record["steps"]:
        used = 0
        if step["kind"] == "linear":
            n_in, n_out = step["inputs"], step["outputs"]
            used = (n_in + 1) * n_out
            h = weights[: n_in * n_out].reshape(n_out, n_in) @ h + weights[n_in * n_out : used]
        elif step["kind"] == "relu":
            h = np.maximum(h, 0)
        elif step["kind"] == "enlarge":
            (rows, columns), (height, width) = step["from"], step["to"]
            h = h.reshape(step["channels"], rows, columns)
            h = h[:, np.arange(height) * rows // height][:, :, np.arange(width) * columns // width]
        else:
            n_in, n_out, (height, width) = step["inputs"], step["outputs"], step["size"]
            used = (9 * n_in + 1) * n_out
            kernel = weights[: 9 * n_in * n_out].reshape(n_out, n_in, 3, 3)
            framed = np.pad(h, ((0, 0), (1, 1), (1, 1)))
            windows = np.lib.stride_tricks.sliding_window_view(framed, (3, 3), axis=(1, 2))
            h = np.einsum("oiab,ihwab->ohw", kernel, windows)
            h = h + weights[9 * n_in * n_out : used, None, None]
        weights = weights[used:]
    assert len(weights) == 0
    if record["mean"] == "sigmoid":
        return 1 / (1 + np.exp(-h.ravel()))
    assert record["mean"] == "continuous"
    h = np.where(np.abs(h) < 1e-6, 1e-6, h).ravel()
    return 1 / (1 - np.exp(-h)) - 1 / h


def sprites(sheets: dict[str, Any], n: int) -> np.ndarray:
    """The images on the sheets, (N, h, w) or (N, h, w, C)."""
    width, height = sheets["width"], sheets["height"]
    found = []
    for address in sheets["addresses"]:
        png = base64.b64decode(address.removeprefix("data:image/png;base64,"))
        sheet = np.asarray(Image.open(io.BytesIO(png)))
        for row in range(sheet.shape[0] // height):
            for column in range(sheets["columns"]):
                found.append(sheet[row * height :, column * width :][:height, :width])
                if len(found) % (sheets["columns"] * sheets["rows"]) == 0:
                    break
    return np.stack(found[:n])
