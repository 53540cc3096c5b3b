"""A command line without training: the library's functions note what reaches them.

``Spies`` puts a note-taker before each function of the library that a command calls. Those that
take long answer with a tiny model that is not trained; the others do their work.
"""

import inspect
import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gmvae_cli import app, diagnose, run_folder, verdicts
from gmvae_cli.figures import FIGURES
from toys import SHAPE, tiny

import gmvae
from gmvae import GMVAE, Images
from gmvae.diagnostics.sentences import Answer
from gmvae.diagnostics.verdict import Check, Threshold
from gmvae.training.fitting import Fit
from gmvae.training.loop import Progress
from gmvae.training.outcome import training_record
from gmvae.training.restarts import Restart
from gmvae.training.selection import Candidate

CLASSES = (1, 4, 8)
LOSS = 5.0
SOURCES = ("data.npz", "bare.npz", "labelled.npz", "digits", "other", "mnist")


def images_called(name: str) -> Images:
    """24 noisy images of classes 1, 4 and 8, others for another name; ``bare`` has no labels."""
    pixels = np.random.default_rng(SOURCES.index(name)).random((24, *SHAPE), dtype=np.float32)
    labels = None if name.startswith("bare") else np.array(CLASSES)[np.arange(24) % 3]
    return Images(pixels, labels, name)


def untrained(seed: int = 0) -> GMVAE:
    """A model of such images, its components named."""
    torch.manual_seed(seed)
    model = tiny().eval()
    model.component_classes = CLASSES
    return model


def save_run(folder: Path, model: GMVAE, **training: Any) -> None:
    """A run folder as ``train`` writes it, but for its figures."""
    record = {"data": "data.npz", "classes": None, "labels_observed": 3, "settings": {"seed": 0}}
    model.save(folder, extra={"training": record | training})


def save_figures(folder: Path, **changes: Any) -> None:
    """The figures of a run, each of another value."""
    values: dict[str, Any] = {figure.key: i / 100 for i, figure in enumerate(FIGURES)}
    values |= {"likelihood_normalised": False, "scored_on": "these", "n_images": 24}
    (folder / run_folder.METRICS).write_text(json.dumps(values | changes))


def failing_diagnosis() -> SimpleNamespace:
    """One check, which fails."""
    check = Check("model", "ink", 0.0, Threshold(0.05, 0.001, "here"))
    return SimpleNamespace(checks=(check,), reference=None, failed=True, tree=None, nuts_tree=None)


@dataclass
class Spies:
    """What the library was asked, by the name of its function: the arguments of the last call.

    Attributes:
        arguments: by function, then by parameter.
        calls: the names of the functions, in order.
    """

    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]
    arguments: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)

    def watch(
        self,
        target: Any,
        name: str,
        answer: Callable[..., Any] | None = None,
        called: str | None = None,
    ) -> None:
        """Note the calls of ``target.name``; ``answer`` in its place, or let it work."""
        real = getattr(target, name)
        noted_as = called or name
        signature = inspect.signature(real)

        def noted(*args: Any, **kwargs: Any) -> Any:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            self.arguments[noted_as] = dict(bound.arguments)
            self.calls.append(noted_as)
            return real(*args, **kwargs) if answer is None else answer(bound.arguments)

        self.patch.setattr(target, name, noted)

    def run(self, arguments: Sequence[str]) -> "Spies":
        """Run the command line; what it printed, wrote and returned is noted under ``command``."""
        self.arguments.clear()
        self.calls.clear()
        self.capture.readouterr()
        before = set(Path().iterdir())
        code = app.run(list(arguments))
        shown = self.capture.readouterr()
        made = sorted(str(path) for path in set(Path().iterdir()) - before)
        self.arguments["command"] = {
            "code": code,
            "out": shown.out,
            "err": shown.err,
            "made": made,
            "first": shown.out.partition("\n")[0],
            "lines": len(shown.out.splitlines()),
        }
        return self

    def at(self, path: str) -> Any:
        """``fit_restarts.settings.lr`` is the attribute of that argument; methods are called."""
        value: Any = self.arguments
        for step in path.split("."):
            value = value[step] if isinstance(value, dict) else getattr(value, step)
            value = value() if inspect.ismethod(value) or inspect.isbuiltin(value) else value
        return value


def write_diagnosis(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / diagnose.VERDICT).touch()


def trained(arguments: dict[str, Any]) -> tuple[Fit, tuple[Restart, ...]]:
    """What ``fit_restarts`` answers: the last of the runs is the best, and stopped early."""
    n = arguments["n_restarts"]
    patience = arguments["settings"].patience
    for number in range(1, n + 1) if n > 1 else [0]:
        model = None if number else untrained()
        now = Progress("joint", patience + 3, patience + 4, {"elbo": -6.0}, number, model)
        arguments["callback"](now)
    runs = tuple(Restart(i, -LOSS - n + i, -6.0 - i) for i in range(1, n + 1))
    history: list[dict[str, float | str]] = [{"phase": "joint", "epoch": 1, "loss": LOSS}]
    figures = {"loss": LOSS, "elbo": -6.0}
    model = untrained()
    model.training_record = training_record(
        arguments["images"], arguments["settings"], arguments["observed"]
    )
    return Fit(model, history, ("a warning",), figures), runs


def compared(arguments: dict[str, Any]) -> tuple[Candidate, ...]:
    """What ``compare_components`` answers: the more components, the more stable."""
    arguments["callback"](Progress("joint", 1, 1, {"elbo": -6.0}, 1))
    return tuple(
        Candidate(k, (-5.0, -6.0), True, 0.1, 1 - 1 / k, float(k)) for k in arguments["numbers"]
    )


@pytest.fixture
def spies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Spies:
    """Two runs of untrained models in the current folder, and a spy on all that takes long."""
    from gmvae import answers, diagnostics, explore, plots, portable
    from gmvae.diagnostics import evaluation
    from gmvae.support import checks
    from gmvae.training import restarts, selection

    monkeypatch.chdir(tmp_path)
    for folder in (Path("gmvae-run"), Path("other-run")):
        save_run(folder, untrained())
        save_figures(folder)
    for name in SOURCES:
        Path(name).touch()
    found = Spies(monkeypatch, capsys)
    found.watch(gmvae, "load", lambda a: images_called(Path(a["source"]).name))
    # Any word is a device here, and all of them the CPU.
    found.watch(checks, "device", lambda a: a["value"])
    load_run = GMVAE.load
    found.watch(GMVAE, "load", lambda a: load_run(a["folder"], device="cpu"), called="load_run")
    found.watch(restarts, "fit_restarts", trained)
    found.watch(selection, "compare_components", compared)
    found.watch(evaluation, "evaluate", None)
    found.watch(diagnostics, "diagnose", lambda _: failing_diagnosis())
    found.watch(answers, "answer_blocks", called="answers")
    for query in ("classify", "batches", "sample", "log_prob", "posterior_blocks"):
        found.watch(GMVAE, query)
    found.watch(explore, "page")
    serving = SimpleNamespace(address="http://127.0.0.1:1", serve_forever=lambda: None)
    found.watch(explore, "server", lambda _: nullcontext(serving))
    found.watch(verdicts, "read", lambda _: None)
    found.watch(portable, "check_onnx", lambda _: None)
    found.watch(portable, "onnx_difference", lambda _: 0.0)
    for write in ("export_onnx", "export_torch"):
        found.watch(portable, write, lambda a: a["path"].touch())
    answers_of = (Answer("model", "fail", "no: the ink is not the images'"),)
    monkeypatch.setattr("gmvae.diagnostics.sentences.summary", lambda _: answers_of)
    found.watch(diagnose, "_write", lambda a: write_diagnosis(a["output"]))
    for picture in ("candidates", "samples", "interpolation"):
        found.watch(plots, picture, lambda _: SimpleNamespace(savefig=Path.touch))
    monkeypatch.setattr("gmvae_cli.run_folder.draw", lambda *_, **__: {})
    return found


def printed_json(spies: Spies) -> Any:
    """What the command printed, which is to be JSON."""
    return json.loads(spies.at("command.out"))
