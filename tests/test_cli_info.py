"""``gmvae info``: what a model is and what it was trained on."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_spies import Spies, printed_json, save_run, spies, untrained
from toys import tiny

__all__ = ["spies"]


def lines_of(spies: Spies, *arguments: str) -> list[str]:
    return spies.run(arguments).at("command.out").splitlines()


def test_info_in_rows(spies: Spies, monkeypatch: pytest.MonkeyPatch) -> None:
    tables: dict[str, Any] = {}
    monkeypatch.setattr(
        "gmvae_cli.info.table", lambda title, rows: tables.update({title: list(rows)})
    )
    save_run(Path("mine"), untrained(), classes=[1, 4], class_names={"1": "one", "4": "four"})
    assert lines_of(spies, "info", "--model", "mine") == []
    model = untrained()
    count = sum(p.numel() for p in model.parameters())
    assert tables["Model in mine"] == [
        ("image (C, H, W)", "1 x 3 x 4"),
        ("latent dimensions", "2"),
        ("components", "3, full covariance"),
        ("network", "mlp"),
        ("likelihood", "bernoulli"),
        ("guide", "diagonal"),
        ("assignment", "amortised"),
        ("parameters", f"{count:,}"),
        ("trained on", "data.npz, classes 1, 4"),
        ("classes", "1 (one), 4 (four)"),
        ("labels observed", "3"),
    ]
    weights = model.model.prior.weights.tolist()
    assert tables["Components"] == [
        (f"{k}: class {name}", f"weight {weight:.3f}")
        for k, name, weight in zip(range(3), (1, 4, 8), weights, strict=True)
    ]


def test_info_shows_the_settings_by_group(spies: Spies, monkeypatch: pytest.MonkeyPatch) -> None:
    tables: dict[str, Any] = {}
    monkeypatch.setattr(
        "gmvae_cli.info.table", lambda title, rows: tables.update({title: list(rows)})
    )
    settings = {"lr": 0.5, "seed": 3, "epochs": None, "n_components": 4, "of another version": 1}
    save_run(Path("mine"), untrained(), settings=settings)
    spies.run(["info", "--model", "mine"])
    assert tables["Settings of the training"] == [
        ("data", ""),
        ("model", ""),
        ("   --components", "4"),
        ("training", ""),
        ("   --epochs", "left out"),
        ("   --lr", "0.5"),
        ("   --seed", "3"),
        ("weights", ""),
    ]


def test_info_of_a_model_of_python(spies: Spies) -> None:
    tiny().save("bare")
    shown = spies.run(["info", "--model", "bare"]).at("command.out")
    assert spies.at("command.code") == 0
    assert "0: unnamed" in shown
    assert "trained on" not in shown


def test_info_prints_the_configuration(spies: Spies) -> None:
    spies.run(["info", "--json"])
    assert printed_json(spies) == json.loads(Path("gmvae-run/config.json").read_text())
    assert spies.at("load_run.device") == "cpu"


def test_where_the_data_lay_is_not_shown(
    spies: Spies, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A path below this folder is shown from here, another one by its last part."""
    shown: list[str] = []

    def table(title: str, rows: Any) -> None:
        shown.extend(value for name, value in rows if name == "trained on")

    monkeypatch.setattr("gmvae_cli.info.table", table)
    for data in (tmp_path / "sub" / "data.npz", Path("/elsewhere/data.npz"), Path("digits")):
        save_run(Path("mine"), untrained(), data=str(data))
        spies.run(["info", "--model", "mine"])
    assert shown == ["sub/data.npz", "data.npz", "digits"]
    save_run(Path("mine"), untrained(), data=str(tmp_path / "data.npz"))
    spies.run(["evaluate", "--model", "mine"])
    assert str(tmp_path) not in Path("mine-report.html").read_text()
    spies.run(["explore", "--model", "mine"])
    assert spies.at("page.title") == "Latent space of data.npz"
