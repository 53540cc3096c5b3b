"""``classify``, ``encode`` and ``name``: their files, value by value."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cli_spies import Spies, images_called, save_run, spies, untrained
from gmvae_cli import summary
from PIL import Image as Picture

from gmvae import GMVAE, Images

__all__ = ["spies"]

FILES = ["cat/1.png", "cat/2.png", "cat/10.png", "dog/1.png"]


def rows_of(path: str) -> list[list[str]]:
    with Path(path).open(newline="") as file:
        return list(csv.reader(file))


def pictures() -> Images:
    """Four pictures as files in two folders, and the images they are."""
    pixels = np.random.default_rng(3).integers(0, 256, (4, 1, 3, 4), dtype=np.uint8)
    for file, pixel in zip(FILES, pixels, strict=True):
        (Path("pics") / file).parent.mkdir(parents=True, exist_ok=True)
        Picture.fromarray(pixel[0]).save(Path("pics") / file)
    return Images(pixels, np.array([0, 0, 0, 1]), "pics", {0: "cat", 1: "dog"}, np.array(FILES))


@pytest.fixture
def folder(spies: Spies, monkeypatch: pytest.MonkeyPatch) -> Images:
    """The real reader in place of the spy, for a folder."""
    from gmvae.data.sources import load

    monkeypatch.setattr("gmvae.load", load)
    return pictures()


def test_a_row_an_image(spies: Spies) -> None:
    lines = spies.run(["classify", "other"]).at("command.out").splitlines()
    model, images = untrained(), images_called("other")
    components = model.classify(images).argmax(-1)
    probabilities = (model.responsibilities(images) + model.classify(images)) / 2
    honest = probabilities.gather(1, components[:, None])[:, 0]
    labels = model.predict(images)
    assert rows_of("gmvae-run-vae.csv") == [
        ["Row", "Predicted_Label", "Component", "Probability"],
        *(
            [str(i), str(y), str(k), f"{p:.6f}"]
            for i, (y, k, p) in enumerate(
                zip(labels, components.tolist(), honest.tolist(), strict=True)
            )
        ),
    ]
    assert lines[:2] == [
        "Predicted labels of 24 images (other): gmvae-run-vae.csv",
        "Components named by the labels observed in training: 0 is class 1, 1 is class 4, 2 is "
        "class 8.",
    ]
    counts = np.bincount(components, minlength=3)
    assert lines[2] == (
        f"Images in each: 0: class 1, {counts[0]}; 1: class 4, {counts[1]}; 2: class 8, "
        f"{counts[2]}."
    )


@pytest.mark.parametrize("columns", ["label", " label,"])
def test_the_single_column_of_the_original_byte_for_byte(columns: str, spies: Spies) -> None:
    spies.run(["classify", "other", "--columns", columns, "-o", "vae.csv"])
    labels = untrained().predict(images_called("other"))
    expected = "\n".join(["Predicted_Label", *map(str, labels), ""])
    assert Path("vae.csv").read_bytes() == expected.encode()


def test_all_columns(spies: Spies) -> None:
    spies.run(["classify", "other", "--columns", "all", "-o", "a.csv"])
    model, images = untrained(), images_called("other")
    rows = rows_of("a.csv")
    assert rows[0] == [
        *("Row", "Predicted_Label", "Component", "Probability"),
        *("Q_0", "Q_1", "Q_2", "P_0", "P_1", "P_2", "Z_0", "Z_1", "Log_Prob"),
    ]
    table = np.array(rows[1:], dtype=float)
    np.testing.assert_allclose(table[:, 4:7], model.classify(images), rtol=1e-5)
    np.testing.assert_allclose(table[:, 7:10], model.responsibilities(images), rtol=1e-5)
    np.testing.assert_allclose(table[:, 10:12], model.encode(images), rtol=1e-5)
    assert (table[:, 12] < 0).all()


@pytest.mark.parametrize("columns", ["latents", "latents,probabilities"])
def test_some_columns_in_every_kind_of_file(columns: str, spies: Spies) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    for suffix in ("csv", "json", "npz", "parquet"):
        spies.run(["classify", "other", "--columns", columns, "-o", f"a.{suffix}"])
        assert spies.at("command.code") == 0
    names = [
        *("Row", "Predicted_Label", "Component", "Probability"),
        *(("Q_0", "Q_1", "Q_2") if "probabilities" in columns else ()),
        *("Z_0", "Z_1"),
    ]
    with Path("a.csv").open(newline="") as file:
        of_csv = list(csv.DictReader(file))
    of_json = json.loads(Path("a.json").read_text())
    of_parquet = pq.read_table("a.parquet").to_pylist()
    latents = untrained().encode(images_called("other")).tolist()
    for row in range(24):
        for rows in (of_csv, of_json, of_parquet):
            assert list(rows[row]) == names
            assert int(rows[row]["Row"]) == row
            assert rows[row]["Predicted_Label"] == of_csv[row]["Predicted_Label"]
            z = [float(rows[row][f"Z_{i}"]) for i in range(2)]
            assert z == pytest.approx(latents[row], rel=1e-5)
    with np.load("a.npz", allow_pickle=False) as arrays:
        assert arrays["Z"].shape == (24, 2)
        assert ("Q" in arrays.files) == ("probabilities" in columns)
        assert arrays["Predicted_Label"].tolist() == [row["Predicted_Label"] for row in of_csv]


@pytest.mark.parametrize("columns", ["colour", "latents,colour", "latents,label", "all,latents"])
def test_columns_that_there_are_not(columns: str, spies: Spies) -> None:
    assert spies.run(["classify", "--columns", columns]).at("command.code") == 2
    assert "`--columns` expected probabilities, responsibilities," in spies.at("command.err")


def test_parquet_without_pyarrow(spies: Spies, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert spies.run(["classify", "-o", "a.parquet"]).at("command.code") == 2
    assert "pip install 'gmvae[parquet]', or write .csv" in spies.at("command.err")
    assert "answers" not in spies.calls


def test_two_models_do_not_collide(spies: Spies) -> None:
    spies.run(["classify"])
    spies.run(["classify", "--model", "other-run"])
    spies.run(["encode", "--model", "other-run"])
    assert sorted(map(str, Path().glob("*-run-*"))) == [
        "gmvae-run-vae.csv",
        "other-run-latents.npz",
        "other-run-vae.csv",
    ]


def test_words_and_files_in_natural_order(folder: Images, spies: Spies) -> None:
    model = untrained()
    model.component_classes, model.class_names = (0, 1, None), {0: "cat", 1: "dog"}
    save_run(Path("mine"), model, class_names={"0": "cat", "1": "dog"}, data="pics")
    lines = spies.run(["classify", "pics", "--model", "mine"]).at("command.out").splitlines()
    rows = rows_of("mine-vae.csv")
    assert [row[0] for row in rows] == ["File", *FILES]
    words = {0: "cat", 1: "dog"}
    assert [row[1] for row in rows[1:]] == [words[k] for k in model.predict(folder)]
    assert lines[0] == (
        "pics: 4 pictures, grey, 4 x 3, in 2 folders (the first below pics is the class): cat 3, "
        "dog 1."
    )
    assert "0 is cat, 1 is dog." in lines[2]


def test_what_is_no_picture_is_counted_and_what_is_broken_named() -> None:
    pixels, files = np.zeros((1, 1, 4, 3), np.uint8), np.array(["1.png"])
    skipped = ("a: b.png: no picture, or a damaged one", "c.heic: of a kind that is not read")
    images = Images(pixels, None, "pics", {}, files, skipped, others=2)
    assert list(summary.read_lines(images)) == [
        "pics: 1 picture, grey, 3 x 4. 2 other files left alone. Skipped 2 files: a: b.png (no "
        "picture, or a damaged one), c.heic (of a kind that is not read)."
    ]


@pytest.mark.parametrize("copies", [False, True])
def test_pictures_sorted_into_a_folder_a_component(
    copies: bool, folder: Images, spies: Spies
) -> None:
    model = untrained()
    model.component_classes, model.class_names = (0, 1, None), {0: "cat", 1: "a/b"}
    save_run(Path("mine"), model, data="pics")
    spies.run(["classify", "pics", "--model", "mine", "--into", "sorted", *["--copy"] * copies])
    names = ["0-cat", "1-a_b", "2"]
    assert sorted(path.name for path in Path("sorted").iterdir()) == names
    components = model.classify(folder).argmax(-1).tolist()
    for file, k in zip(FILES, components, strict=True):
        path = Path("sorted") / names[k] / file.replace("/", "_")
        assert path.is_symlink() is not copies
        assert path.read_bytes() == (Path("pics") / file).read_bytes()
    assert len(list(Path("sorted").glob("*/*"))) == 4
    again = ["classify", "pics", "--model", "mine", "--into", "sorted", "--force"]
    assert spies.run(again).at("command.code") == 2
    # --force, which is given, does not replace that folder: it is no advice.
    assert "sorted exists. Choose another --into.\n" in spies.at("command.err")


def test_one_picture_of_a_folder(folder: Images, spies: Spies) -> None:
    save_run(Path("mine"), untrained(), data="pics")
    lines = spies.run(["classify", "pics/cat/2.png", "--model", "mine", "--into", "to"])
    lines = lines.at("command.out").splitlines()
    assert lines[0] == "2.png: 1 picture, grey, 4 x 3."
    assert lines[1] == "Predicted labels of 1 image (pics/cat/2.png): mine-vae.csv"
    component = int(untrained().classify(folder)[1].argmax())
    assert [row[0] for row in rows_of("mine-vae.csv")] == ["File", "2.png"]
    (link,) = Path("to").glob("*/*")
    assert link.parent.name.startswith(f"{component}-")
    assert link.resolve() == Path("pics/cat/2.png").resolve()
    Path("pics/cat/3.heic").touch()
    heic = ["classify", "pics/cat/3.heic", "--model", "mine", "--force"]
    assert spies.run(heic).at("command.code") == 1
    assert "Convert or remove it." in spies.at("command.err")


def test_images_of_an_array_are_sorted_as_pictures(spies: Spies) -> None:
    spies.run(["classify", "other", "--into", "sorted"])
    model, images = untrained(), images_called("other")
    for row, k in enumerate(model.classify(images).argmax(-1).tolist()):
        path = Path("sorted") / f"{k}-{(1, 4, 8)[k]}" / f"{row}.png"
        expected = np.rint(images.pixels[row, 0] * 255)
        assert np.array_equal(np.asarray(Picture.open(path)), expected)


def test_pages_and_names_that_come_to_one(folder: Images, spies: Spies) -> None:
    shutil.rmtree("pics")
    Path("pics/a").mkdir(parents=True)
    Path("pics/a_b").mkdir()
    pages = [Picture.new("L", (4, 3), value) for value in (200, 100)]
    pages[0].save("pics/a/b_c.tif", save_all=True, append_images=pages[1:])
    Picture.new("L", (4, 3), 201).save("pics/a/b_d.png")
    Picture.new("L", (4, 3), 202).save("pics/a_b/d.png")
    save_run(Path("mine"), untrained(), data="pics")
    spies.run(["classify", "pics", "--model", "mine", "--into", "sorted"])
    made = sorted(path.name for path in Path("sorted").glob("*/*"))
    assert made in (
        ["a_b_c.tif#1.png", "a_b_c.tif#2.png", "a_b_d-2.png", "a_b_d.png"],
        ["a_b_c.tif#1.png", "a_b_c.tif#2.png", "a_b_d.png", "a_b_d.png"],
    )
    page = next(Path("sorted").glob("*/a_b_c.tif#2.png"))
    assert np.asarray(Picture.open(page)).max() == 100


@pytest.mark.parametrize("suffix", ["npz", "npy", "csv"])
def test_encode_writes_latents_alone(suffix: str, spies: Spies) -> None:
    spies.run(["encode", "other", "-o", f"z.{suffix}"])
    latents = untrained().encode(images_called("other")).numpy()
    if suffix == "npy":
        assert np.array_equal(np.load("z.npy"), latents)
    elif suffix == "npz":
        with np.load("z.npz", allow_pickle=False) as arrays:
            assert sorted(arrays.files) == ["Row", "Z"]
            assert np.array_equal(arrays["Z"], latents)
    else:
        rows = rows_of("z.csv")
        assert rows[0] == ["Row", "Z_0", "Z_1"]
        np.testing.assert_allclose(np.array(rows[1:], float)[:, 1:], latents, rtol=1e-5)
    assert spies.at("command.first") == f"Latents of 24 images (other): z.{suffix}"


def test_components_named_by_hand(spies: Spies) -> None:
    model = untrained()
    model.component_classes = None
    save_run(Path("mine"), model)
    before = Path("mine/model.safetensors").read_bytes()
    assert spies.run(["name", "mine", "0=cat", "2=my dog"]).at("command.code") == 0
    assert spies.at("command.out") == (
        "Named by hand in mine: 0 is cat, 2 is my dog.\n"
        "A table with these names: gmvae classify --model mine --force\n"
        "The page and its pictures with them, since the run's own stay as they are: "
        "gmvae evaluate --model mine\n"
    )
    assert Path("mine/model.safetensors").read_bytes() == before
    assert GMVAE.load("mine").component_names == ("cat", None, "my dog")
    spies.run(["classify", "other", "--model", "mine"])
    words = ["cat", "1", "my dog"]
    components = model.classify(images_called("other")).argmax(-1).tolist()
    assert [row[1] for row in rows_of("mine-vae.csv")[1:]] == [words[k] for k in components]
    for command in (["info", "--model", "mine"], ["name", "mine"]):
        assert spies.run(command).at("command.code") == 0
        assert "0: cat" in spies.at("command.out")
        assert "named by hand" in spies.at("command.out")
        assert "1: unnamed" in spies.at("command.out")
    assert spies.at("command.out").endswith(
        "To name one after a look at its images: gmvae name mine 0=WORD\n"
    )
    assert spies.run(["name", "mine", "--json"]).at("command.code") == 0
    assert json.loads(spies.at("command.out")) == {
        "run": "mine",
        "names_by_hand": {"0": "cat", "2": "my dog"},
    }
    assert spies.run(["name", "mine", "0=", "2="]).at("command.code") == 0
    assert GMVAE.load("mine").component_names is None


@pytest.mark.parametrize("text", ["3=cat", "cat", "x=cat", "-1=cat", "0=a\x1bb"])
def test_names_that_do_not_fit(text: str, spies: Spies) -> None:
    config = Path("gmvae-run/config.json").read_text()
    assert spies.run(["name", "gmvae-run", "--", text]).at("command.code") == 2
    assert "`K=WORD` expected a" in spies.at("command.err")
    assert Path("gmvae-run/config.json").read_text() == config


@pytest.mark.parametrize(("word", "k"), [("2", 2), ("cat", 0), ("my dog", 2), ("1", 1)])
def test_ways_between_components_by_number_or_name(word: str, k: int, spies: Spies) -> None:
    model = untrained()
    model.component_classes, model.names_by_hand = None, {0: "cat", 2: "my dog"}
    save_run(Path("mine"), model)
    spies.run(["interpolate", word, "1", "--model", "mine", "-o", "way.svg"])
    means = model.model.prior.means
    assert torch.equal(spies.at("interpolation.start"), means[k])
    assert torch.equal(spies.at("interpolation.end"), means[1])
    title = {0: "component 0 (cat)", 1: "component 1", 2: "component 2 (my dog)"}[k]
    assert spies.at("command.out") == f"From {title} to component 1: way.svg\n"
    assert spies.run(["interpolate", "bird", "1", "--model", "mine"]).at("command.code") == 2
    assert "number from 0 to 2 or a component's name (0: cat, component 1, 2: my dog)" in spies.at(
        "command.err"
    )
