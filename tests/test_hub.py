"""Models that travel: the card of a run, and the Hub, which a folder stands in for."""

import inspect
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from markdown_it import MarkdownIt
from parsed import EVIL, Parsed
from toys import SHAPE, tiny

from gmvae import GMVAE
from gmvae.support.card import card_text
from gmvae.support.errors import ArgumentError, ContentError

MODEL_FILES = ["config.json", "model.safetensors"]


def rendered(text):
    """The card as a browser shows it, without its front matter; tables are as GitHub has them."""
    _, front, body = text.split("---\n", 2)
    return front, MarkdownIt("commonmark").enable("table").render(body)


class TestCard:
    def test_of_a_trained_run(self, trained_run):
        front, body = rendered((trained_run / "README.md").read_text(encoding="utf-8"))
        assert front.startswith("library_name: gmvae\ntags:\n- clustering\n")
        page = Parsed(body)
        assert "Clusters of digits" in page.text
        assert ["images in training", "403"] in page.rows
        assert ["labels observed", "15"] in page.rows
        assert ["latent dimensions", "2"] in page.rows
        assert "Of digits, test part, classes 1, 4, 8." in page.text
        (accuracy,) = [row[1] for row in page.rows if row[0] == "accuracy of predicted labels"]
        assert 0 <= float(accuracy) <= 1
        weights = [float(row[1]) for row in page.rows if row[0].startswith(("0: ", "1: ", "2: "))]
        assert sum(weights) == pytest.approx(1, abs=2e-3)

    @pytest.mark.parametrize("word", [*EVIL.values(), "a|b", "[x](http://y)", "www.y.org", "`c`"])
    def test_words_of_others_are_text(self, word):
        text = card_text(
            word,
            [(word, word)],
            [(word, "1")],
            figures=[(word, "2")],
            scored_on=word,
            warnings=[word],
        )
        front, body = rendered(text)
        assert word not in front
        page = Parsed(body)
        shown = word.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e")
        assert page.rows.count([shown, shown]) == 1
        assert page.text.count(shown) >= 6
        assert not {"a", "b", "script", "img", "em"} & {tag for tag, _ in page.tags}
        assert not {"http://y", "www.y.org"} & set(text.split())

    def test_names_of_components_and_warnings(self):
        gmvae = tiny()
        gmvae.names_by_hand = {1: "cat"}
        gmvae.training_record = {"data": "/home/me/photos", "warnings": ["collapse: only 1.0"]}
        text = gmvae.model_card()
        assert "# Clusters of photos\n" in text
        assert "/home/me" not in text
        assert "| 1: cat |" in text
        assert "- collapse: only 1.0" in text
        assert "## Figures" not in text


@pytest.fixture
def remote(tmp_path, monkeypatch):
    """A folder that stands in for the Hub, a folder a repository, and what it was asked."""
    asked = []

    def snapshot_download(repo_id, *, revision=None, allow_patterns=None):
        asked.append((repo_id, revision, allow_patterns))
        if not (tmp_path / "hub" / repo_id).is_dir():
            raise OSError("404 Client Error.\nmore")
        cache = tmp_path / "cache"
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir()
        for name in allow_patterns:
            shutil.copy(tmp_path / "hub" / repo_id / name, cache)
        return str(cache)

    class HfApi:
        def create_repo(self, repo_id, *, private=None, exist_ok=False):
            asked.append((repo_id, private))
            (tmp_path / "hub" / repo_id).mkdir(parents=True, exist_ok=exist_ok)

        def upload_folder(self, *, repo_id, folder_path, commit_message):
            shutil.copytree(folder_path, tmp_path / "hub" / repo_id, dirs_exist_ok=True)
            return f"https://hub/{repo_id}: {commit_message}"

    fake = SimpleNamespace(snapshot_download=snapshot_download, HfApi=HfApi)
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    return asked


def test_there_and_back_are_equal_bytes(remote, tmp_path):
    gmvae = tiny().eval()
    gmvae.component_classes = (1, 4, None)
    gmvae.save(tmp_path / "kept")
    address = gmvae.push_to_hub("me/cats", private=True, message="first")
    assert address == "https://hub/me/cats: first"
    there = tmp_path / "hub" / "me" / "cats"
    assert sorted(path.name for path in there.iterdir()) == sorted([*MODEL_FILES, "README.md"])
    (there / "evil.pkl").write_bytes(b"cos\nsystem\n")
    back = GMVAE.from_pretrained("me/cats", revision="v1")
    assert remote == [("me/cats", True), ("me/cats", "v1", MODEL_FILES)]
    back.save(tmp_path / "back")
    for name in MODEL_FILES:
        bytes_of = {(tmp_path / at / name).read_bytes() for at in ("kept", "back", "hub/me/cats")}
        assert len(bytes_of) == 1
    x = torch.rand(3, *SHAPE)
    assert torch.equal(back.classify(x), gmvae.classify(x))


def test_a_card_of_ones_own(remote, tmp_path):
    tiny().push_to_hub("cats", card="# Mine\n")
    assert (tmp_path / "hub" / "cats" / "README.md").read_text() == "# Mine\n"


def test_a_folder_comes_before_a_repository(remote, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny().save("me/cats")
    GMVAE.from_pretrained("me/cats")
    GMVAE.from_pretrained(tmp_path / "me" / "cats", device="cpu")
    assert remote == []


@pytest.mark.parametrize("name", ["/gone/run", "./gone", "../gone", "a/b/c", "gone/"])
def test_a_path_is_no_repository(remote, name):
    with pytest.raises((FileNotFoundError, ContentError)):
        GMVAE.from_pretrained(name)
    assert remote == []


def test_a_repository_that_is_not_there(remote):
    with pytest.raises(FileNotFoundError) as error:
        GMVAE.from_pretrained("me/gone")
    assert str(error.value) == (
        "`name` expected a folder, or a repository of the Hugging Face Hub; got 'me/gone', which "
        "is no folder, and the Hub answered: 404 Client Error. Check the name."
    )


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: GMVAE.from_pretrained("me/cats"), lambda: tiny().push_to_hub("me/cats")):
        with pytest.raises(ArgumentError, match=r"Install it: pip install 'gmvae\[hub\]'"):
            call()


def test_the_package_takes_what_it_is_asked():
    package = pytest.importorskip("huggingface_hub", reason="no huggingface_hub: gmvae[hub]")
    for function, names in (
        (package.snapshot_download, {"repo_id", "revision", "allow_patterns"}),
        (package.HfApi.create_repo, {"repo_id", "private", "exist_ok"}),
        (package.HfApi.upload_folder, {"repo_id", "folder_path", "commit_message"}),
    ):
        assert names <= set(inspect.signature(function).parameters)


def test_a_spoilt_model_from_the_hub_is_refused(remote, tmp_path):
    tiny().push_to_hub("me/cats")
    Path(tmp_path / "hub/me/cats/model.safetensors").write_bytes(b"\x80\x04.")
    with pytest.raises(ContentError):
        GMVAE.from_pretrained("me/cats")
