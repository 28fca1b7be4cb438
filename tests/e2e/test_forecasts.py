"""Forecasters in a run: every fit an artifact of its own, the same bytes whatever happens, test
forecast only once it is open."""

from __future__ import annotations

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from small_run import TREE, hashes, kill_after, run_folder, truefill, write_config

pytestmark = pytest.mark.slow

FORECAST: dict[str, Any] = {
    "label": {"label": "smoothed", "horizons": [1, 2]},
    "window_bars": 8,
    "fit": {"epochs": 3, "batch_size": 128},
    "out_of_fold": {"folds": 2, "least_train": 0.3},
    "members": [
        {"name": "lstm", "network": "lstm", "params": {"layers": 1, "units": 8}},
        {"name": "logistic", "forecaster": "logistic"},
    ],
    "skill": {"draws": 200},
}
OPEN = {
    **dict.fromkeys(
        ("min_return", "min_sharpe", "max_drawdown", "min_closed_trades", "min_win_rate",
         "max_action_imbalance")
    ),
    "min_rows": {"train": 1, "validation": 1, "test": 1},
}  # fmt: skip


def due(output: str) -> tuple[int, int]:
    """Fits that were due, of how many; (0, 0) where none was."""
    found = re.search(r"(\d+) of (\d+) fits are due", output)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def config(folder: Path, forecast: dict[str, Any] | None = None, **more: Any) -> Path:
    return write_config(folder, forecast=forecast or FORECAST, gates=OPEN, **more)


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, with one worker."""
    base = tmp_path_factory.mktemp("reference")
    done = truefill(config(base), base / "runs", "--workers", "1")
    assert done.returncode == 0, done.stderr
    # 3 folds x (one network of two heads, two logistic, two of baselines)
    assert due(done.stdout) == (15, 15)
    return run_folder(base / "runs")


def test_workers_and_kills_change_no_byte(reference: Path, tmp_path: Path) -> None:
    generator = random.Random(6)
    path = config(tmp_path)
    for _ in range(4):
        kill_after(path, tmp_path / "runs", generator.uniform(4.0, 15.0))
    done = truefill(path, tmp_path / "runs", "--workers", "2")
    assert done.returncode == 0, done.stderr
    assert hashes(run_folder(tmp_path / "runs")) == hashes(reference)


def test_forecasts_of_train_are_out_of_fold_and_dated(reference: Path) -> None:
    plan = json.loads((reference / "forecast/plan.json").read_text())
    assert plan["causal"]
    folds = {fold["fold"]: fold for fold in plan["folds"]}
    table = pl.read_parquet(reference / "forecast/train.parquet")
    assert set(table["fold"]) == {1, 2}
    for (number,), part in table.group_by("fold"):
        stamps = part["timestamp"].dt.epoch("s")
        assert stamps.min() == folds[number]["begin_s"] > folds[number]["known_s"]
        assert stamps.max() == folds[number]["end_s"]
    ahead = (table["as_of"] - table["timestamp"]).dt.total_seconds()
    assert set(ahead) == {3_600}
    later = pl.read_parquet(reference / "forecast/validation.parquet")
    assert set(later["fold"]) == {0}
    assert folds[0]["known_s"] < later["timestamp"].dt.epoch("s").min()


def test_the_agent_sees_the_forecasts(reference: Path) -> None:
    bundle = json.loads((reference / "train/seed-1/bundle/contract.json").read_text())
    names = [feature["name"] for feature in bundle["features"]]
    assert names[:2] == ["signal", "ret"] and len(names) == 2 + 12
    lineage = json.loads((reference / "dataset/lineage.json").read_text())
    assert bundle["contract_sha256"] != lineage["contract_sha256"]


def test_test_is_forecast_once_it_is_open(reference: Path, tmp_path: Path) -> None:
    assert (reference / "forecast/test.parquet").is_file()
    skill = json.loads((reference / "forecast/skill.json").read_text())
    assert set(skill["splits"]) == {"train", "validation"}
    shut = write_config(
        tmp_path, forecast=FORECAST, gates={**TREE["gates"], "min_return": 1e9},
        training={**TREE["training"], "total_steps": 8_192},
    )  # fmt: skip
    done = truefill(shut, tmp_path / "runs")
    assert done.returncode == 0, done.stderr
    assert not list(run_folder(tmp_path / "runs").glob("forecast/**/test*"))


def test_nothing_is_fitted_again_because_something_else_changed(tmp_path: Path) -> None:
    """Every config is a run of its own; what they share was fitted once, and is taken from there.
    Of 9 fits of members and 6 of baselines a change makes due what it concerns."""
    changes: list[tuple[dict[str, Any], int]] = [
        ({}, 15),
        ({"market": {**TREE["market"], "fee_bps": 3}}, 0),
        ({"forecast": {**FORECAST, "members": [*FORECAST["members"], GRU]}}, 3),
        ({"forecast": {**FORECAST, "fit": {**FORECAST["fit"], "epochs": 2}}}, 3),
    ]
    for change, fits in changes:
        done = truefill(config(tmp_path, **change), tmp_path / "runs", "--until", "forecast")
        assert done.returncode == 0, done.stderr
        assert due(done.stdout)[0] == fits
    kept = sorted((tmp_path / "runs/forecasts").glob("*/forecast.parquet"))
    assert len(kept) == 15 + 3 + 3
    for path in kept:
        path.write_bytes(b"another")
    for manifest in (tmp_path / "runs").glob("*/manifest.json"):
        shutil.rmtree(manifest.parent)
    again = truefill(config(tmp_path), tmp_path / "runs", "--until", "forecast")
    assert again.returncode == 1
    assert "a kept fit is not what it was" in again.stderr


GRU = {"name": "gru", "network": "gru", "params": {"layers": 1, "units": 4}}


def test_a_member_that_nobody_needs_is_not_fitted(tmp_path: Path) -> None:
    forecast = {**FORECAST, "members": [*FORECAST["members"], GRU]}
    forecast["ensemble"] = {"members": ["logistic"]}
    forecast["compare"] = ["lstm"]
    done = truefill(config(tmp_path, forecast), tmp_path / "runs", "--until", "forecast")
    assert done.returncode == 0, done.stderr
    # logistic in 3 folds x 2 heads, baselines as well, the compared network in fold 0 alone
    assert due(done.stdout) == (13, 13)
    assert not (run_folder(tmp_path / "runs") / "forecast/gru").exists()


def test_a_dead_forecast_stops_the_run(tmp_path: Path) -> None:
    dead = {**FORECAST, "members": [{"name": "always", "forecaster": "majority"}]}
    done = truefill(config(tmp_path, dead), tmp_path / "runs", "--until", "forecast")
    assert done.returncode == 1
    assert "dead_forecast" in done.stderr and "always/h1" in done.stderr


def test_a_forecaster_that_fits_nothing_is_a_member_like_any_other(tmp_path: Path) -> None:
    """Its distribution's facts are columns beside those of the classes."""
    member = {"name": "blocks", "forecaster": "block_bootstrap", "params": {"samples": 32}}
    forecast = {**FORECAST, "members": [member], "window_bars": 24}
    done = truefill(config(tmp_path, forecast), tmp_path / "runs", "--until", "forecast")
    assert done.returncode == 0, done.stderr
    table = pl.read_parquet(run_folder(tmp_path / "runs") / "forecast/validation.parquet")
    assert {"h1_p_rise", "h1_return_p_rise", "h2_tail_ratio"} <= set(table.columns)
    shares = table.select(pl.sum_horizontal("h1_p_fall", "h1_p_still", "h1_p_rise")).to_series()
    assert (shares - 1.0).abs().max() < 1e-12
