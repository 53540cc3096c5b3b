"""How far a run has come, on standard error."""

import io

import pytest
from gmvae_cli import progress

from gmvae.training.loop import Progress

pytestmark = pytest.mark.usefixtures("elsewhere")


def epochs(phase: str, n: int) -> list[Progress]:
    return [Progress(phase, i + 1, n, {"elbo": -100.0 + i, "kl_z": 1.5}) for i in range(n)]


def test_lines_are_few_and_hold_the_last_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    show = progress.Lines()
    for now in (*epochs("warm-up", 100), Progress("start", 1, 1), *epochs("joint", 3)):
        show(now)
    lines = capsys.readouterr().err.splitlines()
    phases = [line.split()[0] for line in lines]
    assert 0 < phases.count("warm-up") <= progress.LINES_A_PHASE + 1
    assert lines[-1] == "joint 3/3: ELBO -98.0, KL of z 1.50"
    assert any("s left" in line for line in lines)


def test_bars_show_every_phase_and_the_newest_figures() -> None:
    from rich.console import Console

    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with progress._bars(console) as show:
        for now in (*epochs("warm-up", 3), *epochs("joint", 2)):
            show(now)
    last = screen.getvalue()
    assert "3/3" in last
    assert "joint" in last
    assert "ELBO -99.0, KL of z 1.50" in last


@pytest.mark.parametrize(
    ("n_epochs", "lines"),
    [
        (1, ["joint 1/1: ELBO -1.0"]),
        (3, ["joint 1/3: ELBO -1.0", "joint 2/3: ELBO -2.0, 1 s left", "joint 3/3: ELBO -3.0"]),
        (
            12,
            [
                "joint 2/12: ELBO -2.0, 10 s left",
                "joint 4/12: ELBO -4.0, 8 s left",
                "joint 6/12: ELBO -6.0, 6 s left",
                "joint 8/12: ELBO -8.0, 4 s left",
                "joint 10/12: ELBO -10.0, 2 s left",
                "joint 12/12: ELBO -12.0",
            ],
        ),
        (
            13,
            [
                "joint 2/13: ELBO -2.0, 11 s left",
                "joint 4/13: ELBO -4.0, 9 s left",
                "joint 6/13: ELBO -6.0, 7 s left",
                "joint 8/13: ELBO -8.0, 5 s left",
                "joint 10/13: ELBO -10.0, 3 s left",
                "joint 13/13: ELBO -13.0",
            ],
        ),
    ],
)
def test_what_lines_print_and_when(
    n_epochs: int,
    lines: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = [0.0]
    monkeypatch.setattr("gmvae_cli.progress.time.monotonic", lambda: clock[0])
    show = progress.Lines()
    for epoch in range(1, n_epochs + 1):
        clock[0] = 100.0 + epoch
        show(Progress("joint", epoch, n_epochs, {"elbo": -float(epoch)}))
    assert capsys.readouterr().err.splitlines() == lines


def test_each_phase_of_each_restart_has_its_own_clock(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 50.0, 52.0, 60.0, 100.0, 101.0, 107.0, 200.0])
    monkeypatch.setattr("gmvae_cli.progress.time.monotonic", lambda: next(clock))
    show = progress.Lines()
    show(Progress("warm-up", 1, 3, {}, 1))  # 0: the clock starts
    show(Progress("warm-up", 1, 3, {}, 2))  # 50: another restart
    show(Progress("warm-up", 2, 3, {}, 2))  # 52, 60: ten seconds an epoch
    show(Progress("joint", 1, 3, {}, 2))  # 100: another phase
    show(Progress("joint", 2, 3, {}, 2))  # 101, 107
    assert capsys.readouterr().err.splitlines() == [
        "1: warm-up 1/3",
        "2: warm-up 1/3",
        "2: warm-up 2/3: 10 s left",
        "2: joint 1/3",
        "2: joint 2/3: 7 s left",
    ]


def test_figures_of_an_epoch_in_words() -> None:
    metrics = {
        "effective_components": 2.345,
        "kl_y": 0.456,
        "kl_z": 1.234,
        "reconstruction": -90.04,
        "elbo": -100.06,
        "loss": 7.0,
    }
    assert progress.figures(metrics) == (
        "ELBO -100.1, reconstruction -90.0, KL of z 1.23, KL of y 0.46, 2.35 components in use"
    )
    assert progress.figures({"loss": 1.0}) == ""


def test_of_several_restarts_only_the_newest_phases_are_shown() -> None:
    from rich.console import Console

    for restart in (0, 2):
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=True, width=100)
        with progress._bars(console) as show:
            show(Progress("warm-up", 3, 3, {}, restart))
            show(Progress("joint", 1, 2, {"elbo": -7.0}, restart))
            show(Progress("joint", 2, 2, {}, restart))
            last = len(screen.getvalue())
        shown = screen.getvalue()[last:]
        name = "2: joint" if restart else "joint"
        assert name in shown
        assert "2/2" in shown
        assert ("warm-up" in shown) == (not restart)
        assert "ELBO -7.0" in shown  # the newest figures stay until there are newer ones


def test_a_bar_waits_for_the_first_epoch() -> None:
    from rich.console import Console

    screen = io.StringIO()
    with progress._bars(Console(file=screen, force_terminal=True, width=100)):
        pass
    assert "warm-up" in screen.getvalue()
    screen = io.StringIO()
    with progress._bars(Console(file=screen, force_terminal=True, width=100)) as show:
        show(Progress("start", 1, 1, {}))
        last = len(screen.getvalue())
    assert "warm-up" not in screen.getvalue()[last:]


def test_progress_is_shown_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress() as show:
        show(Progress("joint", 1, 1, {"elbo": -1.0}))
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "joint 1/1: ELBO -1.0\n")
