"""``gmvae select``."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cli_spies import Spies, spies
from cli_toys import QUICK, one_line, save
from gmvae_cli import app, choice, select

from gmvae import Images
from gmvae.training import selection
from gmvae.training.candidates import Candidate

__all__ = ["spies"]
pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.mark.usefixtures("quick")
def test_select_compares_numbers_of_components(
    digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = save(tmp_path / "digits.npz", digits)
    output = tmp_path / "compared"
    arguments = ["select", source, "--components", "2,3", "--latent-dim", "2", "--jobs", "1"]
    assert app.run([*arguments, *QUICK, "-o", str(output)]) == 0
    shown = capsys.readouterr().out
    assert {path.name for path in output.iterdir()} == {"candidates.json", "candidates.png"}
    two, three = json.loads((output / "candidates.json").read_text())
    assert (two["n_components"], three["n_components"]) == (2, 3)
    assert len(two["log_likelihoods"]) == 2
    assert two["likelihood_normalised"] is True
    (marked,) = [figures["n_components"] for figures in (two, three) if figures["marked"]]
    assert f"Marked (*): {marked} components" in shown
    assert [line for line in shown.splitlines() if line.strip().startswith(f"{marked} * ")]
    assert f"{three['stability']:.3f}" in shown
    assert len(two["n_peaks"]) == len(three["splits"]) == 2
    assert f"{sum(three['splits']) / 2:.1f}" in shown
    assert "The density of the images says" in shown
    assert "no normalised density" not in shown


@pytest.mark.parametrize("text", ["", "0", "3-2", "2,2", "a", "2-", "-2", "1-2-3", "2,,3"])
def test_numbers_of_components_that_are_none(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.run(["select", "digits", f"--components={text}"]) == 2
    assert "`--components` expected a range or distinct whole numbers" in one_line(capsys)


@pytest.mark.parametrize(("text", "numbers"), [("2-4", (2, 3, 4)), ("7", (7,)), ("2,9", (2, 9))])
def test_numbers_of_components(text: str, numbers: tuple[int, ...]) -> None:
    from gmvae_cli.select import number_list

    assert number_list(text) == numbers


def test_select_checks_every_number_before_it_trains(
    digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save(tmp_path / "few.npz", digits)
    assert app.run(["select", data, "--components", "2,400"]) == 2
    line = one_line(capsys)  # and so no progress of the two components
    assert "`--components` expected at most the number of images to train on, 57" in line
    assert "(60 less 3 held out); got 400." in line


def test_select_needs_images_to_hold_out(
    digits: Images, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = save(tmp_path / "few.npz", digits.subset(slice(0, 5)))
    assert app.run(["select", data, "--components", "2"]) == 1
    assert "`few.npz` expected images enough to hold 5% of them out" in one_line(capsys)


def test_the_table_and_the_lines_of_select(spies: Spies, monkeypatch: pytest.MonkeyPatch) -> None:
    tables: list[Any] = []
    monkeypatch.setattr(
        "gmvae_cli.select.table",
        lambda title, rows, headings: tables.append((title, list(rows), headings)),
    )
    spies.run(["select", "data.npz", "--components", "2,4", "--restarts", "3"])
    assert spies.at("command.out").splitlines() == [
        "6 runs: 1-3 with 2, 4-6 with 4 components.",
        "Log-likelihood: on held-out images, in nats an image.",
        "Split: of the density, that makes one more component, in standard deviations.",
        "Marked (*): 4 components, the most stable.",
        "Of so few images the density says nothing of their number.",
        "Figures and picture: gmvae-select",
    ]
    assert tables == [
        (
            "data.npz: 3 runs for each number of components",
            [
                ("2", "0.500", "-5.50", "0.10", "2.00", "0.0", ""),
                ("4 *", "0.750", "-5.50", "0.10", "4.00", "0.0", ""),
            ],
            (
                "components",
                "stability",
                "log-likelihood",
                "standard error",
                "components in use",
                "empty",
                "split",
            ),
        )
    ]


def test_the_files_of_select(spies: Spies) -> None:
    spies.run(["select", "data.npz", "--components", "2,4"])
    candidate = {
        "log_likelihoods": [-5.0, -6.0],
        "likelihood_normalised": True,
        "standard_error": 0.1,
        "empty_components": 0.0,
        "n_peaks": [],
        "splits": [],
    }
    two = {"n_components": 2, "stability": 0.5, "effective_components": 2.0, "marked": False}
    four = {"n_components": 4, "stability": 0.75, "effective_components": 4.0, "marked": True}
    assert json.loads(Path("gmvae-select/candidates.json").read_text()) == [
        {**two, **candidate},
        {**four, **candidate},
    ]
    assert list(spies.at("candidates").values()) == [
        [2, 4],
        [(-5.0, -6.0), (-5.0, -6.0)],
        [0.1, 0.1],
        [0.5, 0.75],
        True,
        [None, None],
        4.4,
        4,
    ]


def test_select_says_what_is_no_density(spies: Spies, monkeypatch: pytest.MonkeyPatch) -> None:
    from gmvae.training import selection

    grey = [Candidate(k, (-5.0,), k == 1, 0.1, None, 1.0) for k in (1, 2)]
    monkeypatch.setattr(selection, "compare_components", lambda *_, **__: tuple(grey[:1]))
    spies.run(["select", "data.npz", "--components", "1"])
    lines = spies.at("command.out").splitlines()
    assert (spies.at("command.code"), lines[-1]) == (0, "Figures and picture: gmvae-select")
    assert lines[0] == "2 runs: 1-2 with 1 components."
    assert not [line for line in lines if line.startswith("Marked")]
    assert "Log-likelihood: on held-out images, in nats an image." in lines
    monkeypatch.setattr(selection, "compare_components", lambda *_, **__: tuple(grey))
    spies.run(["select", "data.npz", "--components", "1", "--force"])
    line = "Log-likelihood: on held-out images, in nats an image, of no normalised density."
    assert line in spies.at("command.out").splitlines()


def test_select_looks_at_no_label(spies: Spies) -> None:
    spies.run(["select", "data.npz"])
    assert spies.at("compare_components.settings.latent_dim") == 10
    assert spies.at("compare_components.numbers") == tuple(range(2, 13))
    assert spies.at("compare_components.n_restarts") == 2
    assert spies.at("compare_components.held_out") is None
    assert spies.at("command.first").startswith("22 runs: 1-2 with 2, 3-4 with 3, ")
    assert "no normalised density" not in spies.at("command.err")


def candidates(*figures: tuple[int, float, float]) -> tuple[Candidate, ...]:
    """Of K, a log-likelihood and a stability each, with a standard error of a tenth."""
    return tuple(
        Candidate(k, (log_likelihood,), True, 0.1, stability, float(k))
        for k, log_likelihood, stability in figures
    )


def test_equally_stable_numbers_in_full() -> None:
    found = candidates((5, -4.0, 0.999), (6, -4.05, 1.0), (7, -9.0, 1.0))
    assert choice.why(found, found[1]) == (
        "Marked (*): 6 components. Most stable, alike to two decimals, are 5, 6, 7; of these 6 is "
        "the largest number whose log-likelihood is within a standard error of the best."
    )
    found = candidates((2, -5.0, 0.7), (5, -4.0, 0.999))
    assert choice.why(found, found[1]) == "Marked (*): 5 components, the most stable."


@pytest.mark.parametrize(
    ("n_peaks", "splits", "line"),
    [
        ((4, 4), (5.0, 6.0), "The density of the images says so too: 4 peaks stand out of its"),
        (
            (3, 2),
            (1.0, 2.0),
            "The density of the images says otherwise: 2 peaks stand out of its noise by 4.4 "
            "standard deviations, and the split that makes 4 has 1.5. Of 4 components some may be "
            "cuts through one kind.",
        ),
        (
            (1, 1),
            (),
            "The density of the images says otherwise: 1 peak stands out of its noise by 4.4 "
            "standard deviations. Of 4 components some may be cuts through one kind. Compare 1 "
            "too.",
        ),
        (
            (5, 6),
            (9.0, 9.0),
            "The density of the images says otherwise: 5 peaks stand out of its noise by 4.4 "
            "standard deviations, and the split that makes 5 has 4.5. Of 4 components some may "
            "hold two kinds.",
        ),
        (
            (7,),
            (9.0,),
            "The density of the images says otherwise: 7 peaks stand out of its noise by 4.4 "
            "standard deviations, and the split that makes 5 has 4.5. Of 4 components some may "
            "hold two kinds. Compare 7 too.",
        ),
        ((), (), "Of so few images the density says nothing of their number."),
    ],
)
def test_what_the_density_says_of_the_marked_number(
    n_peaks: tuple[int, ...], splits: tuple[float, ...], line: str
) -> None:
    two, four, five = candidates((2, -5.0, 0.5), (4, -5.0, 0.9), (5, -5.0, 0.7))
    found = (two, replace(four, n_peaks=n_peaks, splits=splits), replace(five, splits=(4.0, 5.0)))
    (said,) = choice.evidence(found, found[1])
    assert said.startswith(line)
    assert said == line or n_peaks == (4, 4)


def test_where_no_two_runs_can_be_compared_none_is_marked(
    spies: Spies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two runs of each number diverged: there are figures all the same."""
    found = tuple(replace(c, stability=None) for c in candidates((2, -5.0, 0.0), (3, -4.0, 0.0)))
    monkeypatch.setattr(selection, "compare_components", lambda *_, **__: found)
    spies.run(["select", "data.npz", "--components", "2,3", "--json"])
    assert spies.at("command.code") == 0
    assert json.loads(spies.at("command.out"))["most_stable"] is None


def test_json_says_which_number_is_marked_and_how_many_peaks_there_are(
    spies: Spies, monkeypatch: pytest.MonkeyPatch
) -> None:
    two, three = candidates((2, -5.0, 0.5), (3, -4.0, 0.9))
    found = (replace(two, n_peaks=(3, 4)), replace(three, n_peaks=(3, 5)))
    monkeypatch.setattr(selection, "compare_components", lambda *_, **__: found)
    spies.run(["select", "data.npz", "--components", "2,3", "--json"])
    told = json.loads(spies.at("command.out"))
    assert (told["most_stable"], told["peaks"]) == (3, 3)
    assert [c["n_peaks"] for c in told["candidates"]] == [[3, 4], [3, 5]]


def test_a_stability_that_is_not_known() -> None:
    one = Candidate(1, (-5.0, -6.0), True, 0.1, None, 1.0)
    assert choice.row(one, False) == ("1", "", "-5.50", "0.10", "1.00", "0.0", "")
    three = Candidate(3, (-5.0, -6.0), True, 0.1, 0.5, 2.0, 0.5, (2, 2), (3.0, 1.0))
    row = ("3 *", "0.500", "-5.50", "0.10", "2.00", "0.5", "2.0")
    assert choice.row(three, True) == row
    assert select._runs((2, 5), 1) == "2 runs: 1 with 2, 2 with 5 components."


def test_a_number_that_is_to_be_doubted(spies: Spies, monkeypatch: pytest.MonkeyPatch) -> None:
    found = (
        Candidate(2, (-5.0,), True, 0.1, 0.5, 2.0),
        Candidate(4, (-5.0,), True, 0.1, 0.9, 2.5, 1.5),
    )
    monkeypatch.setattr(selection, "compare_components", lambda *_, **__: found)
    spies.run(["select", "data.npz", "--components", "2,4", "--effort", "quick"])
    lines = spies.at("command.out").splitlines()
    at = lines.index("Marked (*): 4 components, the most stable.")
    assert lines[at + 2 : at + 4] == [
        "Of its 4 components 1.5 are empty on average, the most probable one of no image: 2 may be "
        "the better number.",
        "Quick runs are short: compare again with the standard effort before you decide.",
    ]
