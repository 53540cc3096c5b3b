"""``--report-every``: the page on a run while it trains, and that the run does not feel it."""

from pathlib import Path

import pytest
from cli_spies import Spies, spies
from cli_toys import one_line
from gmvae_cli import app, live
from parsed import check_whole
from test_cli_unfinished import GO_ON, QUICK, hears, here, same, undisturbed

import gmvae

__all__ = ["here", "spies", "undisturbed"]

PAGE = Path("run-report.html")
FOLLOWED = ["train", *QUICK, "-o", "run", "--report-every", "2"]


@pytest.fixture
def pages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is written to the page, in order."""
    found: list[str] = []
    write = live.write_text

    def noted(path: Path, text: str) -> None:
        assert path == PAGE
        found.append(text)
        write(path, text)

    monkeypatch.setattr(live, "write_text", noted)
    return found


def test_the_page_follows_the_run_which_ends_as_without_it(
    here: Path, undisturbed: Path, pages: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.run(FOLLOWED) == 0
    said = capsys.readouterr().out
    assert f"The page on it while it trains, for a browser: {PAGE}\n" in said
    # The first says that it begins, the last is that of the run.
    assert f"The same page: {PAGE} (made {len(pages) - 2} times meanwhile, in " in said
    assert same(here / "run", undisturbed)
    assert "It begins." in check_whole(pages[0]).text
    first = next(page for page in pages if "Phase joint, epoch 2 of at most 4." in page)
    shown = check_whole(first)
    assert len(shown.all("section")) == 3
    words = [image["alt"] for image in shown.all("img")]
    assert "curves of the bound and its parts over the epochs" in words
    assert {"accuracy, components matched to classes"} <= {row[0] for row in shown.rows}
    assert [m["content"] for m in shown.all("meta") if m.get("http-equiv") == "refresh"] == ["10"]
    assert "Run it again" not in shown.text
    assert "Phase warm-up, epoch 4 of at most 4." in check_whole(pages[2]).text
    assert "Phase covering" not in "".join(pages)  # a quick run has none
    # Nothing of it is left where the run has ended.
    assert PAGE.read_bytes() == (here / "run/report.html").read_bytes()
    assert 'http-equiv="refresh"' not in pages[-1]
    assert sorted(path.name for path in here.iterdir()) == ["run", PAGE.name]


def test_a_run_that_goes_on_is_followed_as_before(
    here: Path,
    undisturbed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        hears(patch, 6)
        assert app.run(FOLLOWED) == 130
    assert GO_ON in capsys.readouterr().err
    shown = check_whole(PAGE.read_text()).text
    assert "was training when this page was made" in shown
    assert "goes on by gmvae train --resume run." in shown
    assert app.run(["train", "--resume", "run"]) == 0
    assert same(here / "run", undisturbed)
    assert PAGE.read_bytes() == (here / "run/report.html").read_bytes()


def test_a_page_that_cannot_be_written_does_not_end_the_run(
    here: Path,
    undisturbed: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(path: Path, text: str) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(live, "write_text", full)
    assert app.run(FOLLOWED) == 0
    said = capsys.readouterr()
    assert said.err.count(f"{PAGE} is not made any more: ") == 1
    assert "The same page" not in said.out
    assert same(here / "run", undisturbed)


def test_several_runs_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run([*FOLLOWED, "--restarts", "2"]) == 2
    assert one_line(capsys) == (
        "Error: `--report-every` expected one run to show; got --restarts 2, which train side by "
        "side in processes of their own. Leave one of the two out; --log tensorboard draws the "
        "curves of all."
    )
    assert not list(here.iterdir())


def test_a_page_of_others_is_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    PAGE.write_text("<p>mine</p>")
    assert app.run(FOLLOWED) == 2
    assert "run-report.html exists. Choose another" in one_line(capsys)
    assert PAGE.read_text() == "<p>mine</p>"


def test_of_many_images_an_even_share_is_shown(
    spies: Spies, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_IMAGES", 10)
    monkeypatch.setattr(live.Live, "end", lambda self: ())
    assert (
        spies.run(["train", "data.npz", "-o", "new", "--report-every", "1"]).at("command.code") == 0
    )
    rows = check_whole(Path("new-report.html").read_text()).rows
    (shown,) = [row[1] for row in rows if row[0] == "clusters and figures of"]
    assert shown.endswith(", an even share: 10 images")


def test_a_callback_sees_the_model_as_it_is() -> None:
    images = gmvae.load("digits").only([1, 4]).subset(slice(0, 60))
    settings = gmvae.Settings(n_components=2, effort="quick", epochs=2, warmup_epochs=1)
    seen = []
    fit = gmvae.fit(images, settings, callback=lambda now: seen.append(now.model))
    assert seen[-1] is fit.gmvae
    assert "model" not in repr(gmvae.training.loop.Progress("joint", 1, 2, model=fit.gmvae))
