"""Photographs in named folders: to a table, a sorted folder and pictures."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from travel import QUICK, Traveller, cut_into_patches

from gmvae import GMVAE, load
from gmvae.answers import answers

N, CLASSES = 30, ("cat", "china", "coffee", "flower")


def test_from_folders_to_a_sorted_folder_and_a_parquet_file(tmp_path, monkeypatch, capsys):
    pq = pytest.importorskip("pyarrow.parquet")
    monkeypatch.chdir(tmp_path)
    user = Traveller(capsys)
    cut_into_patches(Path("photos"), N)

    (error,) = user.types("train photos", code=1)
    assert "pictures of one size" in error
    assert "--resize 32" in error

    said = user.types(["train", "photos", "--resize", "16", "--labels", "5", "-o", "run", *QUICK])
    assert said[0] == (
        "photos: 120 pictures, colour, 16 x 16, in 4 folders (the first below photos is the "
        "class): cat 30, china 30, coffee 30, flower 30."
    )
    assert said[1] == (
        "20 labels observed in training (5 of cat, 5 of china, 5 of coffee, 5 of flower). All "
        "other labels only score the result."
    )
    assert said[-1] == "Next: gmvae classify --model run"
    (heading,) = [line.split() for line in said if line.startswith("component ")]
    assert heading == ["component", "images", "share", "probability", "class", "purity"]
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["n_images"] == 4 * N - 20
    assert metrics["acc_named"] >= 0.6  # one patch in four by chance
    for name in ("clusters", "classes", "latent", "mixture", "curves", "ambiguous", "manifold"):
        with Image.open(f"run/{name}.png") as picture:
            assert picture.size[0] > 400

    said = user.types("classify --model run --into sorted -o answers.parquet")
    table = pq.read_table("answers.parquet")
    assert table.column_names == ["File", "Predicted_Label", "Component", "Probability", "Outlier"]
    rows = table.to_pylist()
    files = [f"{name}/{i}.png" for name in CLASSES for i in range(1, N + 1)]
    assert [row["File"] for row in rows] == files  # 1, 2, 10
    model, images = GMVAE.load("run"), load("photos", resize=16)
    assert model.component_names == CLASSES  # labels lead: the components are the classes
    components = model.classify(images).argmax(-1)
    assert [row["Component"] for row in rows] == components.tolist()
    assert [row["Predicted_Label"] for row in rows] == [CLASSES[k] for k in components.tolist()]
    expected = answers(model, images, ["outlier"])
    np.testing.assert_allclose(
        [row["Probability"] for row in rows], expected.probability, atol=1e-5
    )
    np.testing.assert_allclose([row["Outlier"] for row in rows], expected.outlier, atol=1e-5)
    right = [row["Predicted_Label"] == row["File"].split("/")[0] for row in rows]
    assert np.mean(right) >= metrics["acc_named"] - 0.1

    counts = np.bincount(components, minlength=4)
    sizes = "; ".join(f"{k}: {name}, {counts[k]}" for k, name in enumerate(CLASSES))
    assert f"Images in each: {sizes}." in said
    record = json.loads("\n".join(user.types("classify --model run -o again.json --json")))
    assert [of["images"] for of in record["components"]] == counts.tolist()
    assert [of["name"] for of in record["components"]] == [*CLASSES]
    for k, of in enumerate(record["components"]):
        mine = [row["File"].split("/")[0] for row in rows if row["Component"] == k]
        assert of["purity"] == pytest.approx(max(map(mine.count, CLASSES)) / len(mine))
    said = user.types("sample --model run --component coffee -n 3 -o coffee.svg")
    assert said == ["3 samples of component 2 (coffee): coffee.svg"]
    assert sorted(path.name for path in Path("sorted").iterdir()) == [
        f"{k}-{name}" for k, name in enumerate(CLASSES)
    ]
    for row in rows:
        link = Path("sorted") / f"{row['Component']}-{row['Predicted_Label']}"
        link /= row["File"].replace("/", "_")
        assert link.is_symlink()
        assert link.resolve() == (Path("photos") / row["File"]).resolve()
    assert len(list(Path("sorted").glob("*/*"))) == 4 * N

    # Another folder of two of the classes is compared by word, not by number.
    Path("two").mkdir()
    for name in ("flower", "coffee"):
        (Path("two") / name).symlink_to((Path("photos") / name).resolve())
    figures = json.loads("\n".join(user.types("evaluate two --model run --samples 2 --json")))
    of_two = [row for row in rows if row["File"].split("/")[0] in ("coffee", "flower")]
    right = [row["Predicted_Label"] == row["File"].split("/")[0] for row in of_two]
    assert figures["acc_named"] == pytest.approx(np.mean(right))

    # And only some classes are trained on, by their words.
    command = ["train", "photos", "--resize", "8", "--grey", "--classes", "cat,flower"]
    said = user.types([*command, "-o", "two-run", *QUICK])
    assert said[0].startswith("photos: 60 pictures, grey, 8 x 8, in 2 folders")
    assert "trained on" in "\n".join(user.types("info --model two-run"))
    assert GMVAE.load("two-run").config.image_shape == (1, 8, 8)
