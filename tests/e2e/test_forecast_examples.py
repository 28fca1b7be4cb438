"""crypto_forecast_ppo.yaml and equities_supervised.yaml in a short form, on the real files: shorter
periods, small networks, all stages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import truefill
from truefill.config.load import load_config, parse_config
from truefill.config.schema import Config

pytestmark = pytest.mark.slow
FILES = 6
"""Symbols at most."""
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def short(name: str, periods: dict[str, tuple[str, str]], small: dict[str, Any]) -> Config:
    """The example with these periods, small networks by registered name, and little training."""
    tree = load_config(EXAMPLES / name).model_dump(mode="json")
    tree["data"]["splits"] = {
        split: {"start": start, "end": end} for split, (start, end) in periods.items()
    }
    tree["data"]["bars"] = tree["data"]["bars"][:FILES]
    forecast = tree["forecast"]
    forecast["fit"]["epochs"] = 2
    forecast["out_of_fold"]["folds"] = 2
    forecast["window_bars"] = 12
    forecast["skill"]["draws"] = 200
    for member in forecast["members"]:
        member["params"] = small[member["network"]]
    tree["training"].update(
        seeds=tree["training"]["seeds"][:1], total_steps=65_536, eval_every_steps=32_768
    )
    tree["evaluation"].update(random_draws=20, bootstrap_draws=200, min_positive_seeds=1)
    off = {gate: None for gate in tree["gates"] if gate != "min_rows"}
    tree["gates"] = {**off, "min_rows": dict.fromkeys(("train", "validation", "test"), 1)}
    return parse_config(tree)


def skills(folder: Path) -> dict[str, Any]:
    """Heads by split, test among them."""
    found: dict[str, Any] = json.loads((folder / "forecast/skill.json").read_text())["splits"]
    return found | json.loads((folder / "forecast/test_skill.json").read_text())["splits"]


def test_crypto_forecasts_for_ppo(shared_data: Path, tmp_path: Path) -> None:
    small = {"layers": 1, "units": 8}
    config = short(
        "crypto_forecast_ppo.yaml",
        {
            "train": ("2020-01-01", "2020-08-01"),
            "validation": ("2020-08-01", "2020-11-01"),
            "test": ("2020-11-01", "2021-01-01"),
        },
        dict.fromkeys(("lstm", "gru", "bilstm", "dlstm"), small),
    )
    done = truefill.run(config, runs=tmp_path)
    assert done.verdict == "do not deploy"
    contract = json.loads((done.folder / "train/seed-42/bundle/contract.json").read_text())
    assert len(contract["features"]) + len(config.env.state_features) == 22
    for heads in skills(done.folder).values():
        assert set(heads) == {"h1", "h2", "h3"}
        for head in heads.values():
            assert set(head["forecasters"]) == {"lstm", "gru", "bilstm", "dlstm", "ensemble"}
            assert {"majority", "random_walk", "scaled_walk", "logistic"} <= set(head["baselines"])
    strategies = pl.read_parquet(done.folder / "backtest/equity.parquet")["strategy"].unique()
    assert "forecast_only" in strategies
    page = (done.folder / "report.html").read_text()
    assert all(words in page for words in ("Calibration", "Learning curves", "Skill by horizon"))
    again = truefill.run(config, runs=tmp_path)
    assert set(again.stages.values()) == {"skipped"}


def test_equities_without_an_agent(shared_data: Path, tmp_path: Path) -> None:
    cnn = {"channels": [8], "kernels": [3], "hidden": [8]}
    attention = {"layers": 1, "width": 8, "heads": 2}
    bilstm = {"layers": 1, "units": 4}
    config = short(
        "equities_supervised.yaml",
        {
            "train": ("2020-01-01", "2022-09-01"),
            "validation": ("2022-09-01", "2023-05-01"),
            "test": ("2023-05-01", "2024-01-01"),
        },
        {
            "cnn": cnn,
            "attention": attention,
            "bilstm": bilstm,
            "gated": {"bilstm": bilstm, "cnn": cnn, "attention": attention, "gate": 4},
        },
    )
    done = truefill.run(config, runs=tmp_path)
    assert done.verdict is not None
    found = skills(done.folder)
    losses = [name for name in (m.name for m in config.forecast.members) if name.startswith("cnn")]  # type: ignore[union-attr]
    assert len(losses) == 8
    told = {name for head in found["validation"].values() for name in head["forecasters"]}
    assert told == {*losses, "bilstm", "attention", "gated", "ensemble"}
    mine = found["test"]["h5"]["forecasters"]["ensemble"]["strategy"]
    assert {"net_return", "var_95", "cvar_95"} <= set(mine)
    summary = json.loads((done.folder / "train/summary.json").read_text())
    assert summary["chosen"] == "rule"
