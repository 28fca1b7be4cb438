"""Whole runs far from the defaults, the real example, and a flipped byte in every artifact."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import truefill
from small_run import CACHE, REPOSITORY, TREE, hashes, run_folder
from truefill.config.load import load_config, parse_config
from truefill.config.schema import Config
from truefill.core.errors import ArtifactError
from truefill.pipeline.artifacts import Manifest
from truefill.pipeline.ledger import Ledger, TestRows
from truefill.pipeline.run import RunResult, run

pytestmark = pytest.mark.slow
STAGES = {"dataset", "train", "validate", "test", "verdict"}
NO_GATES = dict.fromkeys(
    ("min_return", "min_sharpe", "max_drawdown", "min_closed_trades", "min_win_rate",
     "max_action_imbalance")
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _shared_cache() -> Iterator[None]:
    """Workers compile into the tests' cache, not into the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRUEFILL_CACHE", str(CACHE))
        yield


def variant(**sections: dict[str, Any]) -> Config:
    """The small config without gates; each section is updated."""
    tree = deepcopy(TREE)
    tree["gates"] |= NO_GATES
    for name, changes in sections.items():
        tree[name] |= changes
    return parse_config(tree)


def whole(config: Config, runs: Path) -> RunResult:
    """Run to the end; what every finished run has."""
    result = run(config, runs=runs, workers=2, skip_checks=True)
    assert result.stages == dict.fromkeys(STAGES, "done")
    assert result.verdict in ("deploy", "do not deploy", "not enough evidence")
    assert result.report_path is not None
    assert result.headline is not None
    page = unescape(result.report_path.read_text()).replace("\u00a0", " ").lower()
    assert result.headline.split(": ", 1)[1].lower() in page
    assert len(hashes(result.folder)) > 25
    again = run(config, runs=runs, workers=2, skip_checks=True)
    assert again.stages == dict.fromkeys(STAGES, "skipped")
    return result


def curve_of(folder: Path, split: str = "validation") -> pl.DataFrame:
    chosen = json.loads((folder / "backtest/metrics.json").read_text())["chosen"]
    table = pl.read_parquet(folder / "backtest/equity.parquet")
    return table.filter((pl.col("split") == split) & (pl.col("strategy") == chosen))


# ---- (a) two symbols, late fills, weights

WEIGHTS = variant(
    data={"synthetic": {**TREE["data"]["synthetic"], "symbols": 2}},
    market={
        "stop_loss": None, "min_hold_bars": 0, "decision_lag": 2, "no_trade_band": 0.1,
        "max_leverage": 2.0,
        "atr_stops": {"period": 5, "stop_multiple": 1.5, "target_multiple": 2.0, "stop_min": 0.001,
                      "target_min": 0.001},
    },
    env={"window_bars": 3, "action": {"kind": "target_weight"}},
)  # fmt: skip


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two symbols; read it, do not change it."""
    return whole(WEIGHTS, tmp_path_factory.mktemp("weights") / "runs").folder


def test_two_symbols_with_weights_late_fills_and_atr_stops(weights: Path) -> None:
    trades = pl.read_parquet(weights / "backtest/trades.parquet")
    mine = trades.filter(pl.col("strategy").str.starts_with("seed-"))
    assert set(mine["symbol"]) == {"SYN1", "SYN2"}
    assert set(mine["split"]) == {"validation", "test"}
    assert {"stop_loss", "take_profit"} <= set(mine["reason"])
    metrics = json.loads((weights / "backtest/metrics.json").read_text())
    bars = json.loads((weights / "dataset/lineage.json").read_text())["rows"]["validation"] // 2
    curve = curve_of(weights)
    assert curve.height == bars - 2  # the first window
    assert curve["weight"][:2].to_list() == [0.0, 0.0]  # a decision lag of two bars
    assert curve["weight"].abs().max() > 0.1
    assert curve["gross"].max() < 2.1
    assert metrics["validation"]["flat"]["net_return"] == 0.0
    train = pl.read_parquet(weights / "dataset/train.parquet")
    assert (train["atr"] > 0.0).all()


def test_the_bundle_of_two_symbols_trades_as_in_the_run(weights: Path) -> None:
    chosen = json.loads((weights / "train/summary.json").read_text())["chosen_seed"]
    bundle = truefill.load_bundle(weights / f"train/seed-{chosen}/bundle")
    assert {"pending", "pending_kind"} <= set(bundle.spec.state_features)
    assert (bundle.spec.num_symbols, bundle.spec.window, bundle.spec.lag) == (2, 3, 2)
    trace = truefill.backtest(bundle, weights / "dataset")
    assert trace.equity.tobytes() == curve_of(weights)["equity"].to_numpy().tobytes()
    action = bundle.act(
        np.zeros(bundle.spec.observation_size), contract_sha256=bundle.contract_sha256
    )
    assert action.shape == (2,)


def test_a_flipped_byte_in_any_artifact_stops_the_run(weights: Path, tmp_path: Path) -> None:
    shutil.copytree(weights.parent, tmp_path / "runs")
    folder = run_folder(tmp_path / "runs")
    manifest = Manifest.open(folder)
    names = {name: stage for stage in manifest.stages for name in manifest.outputs(stage)}
    on_disk = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    unhashed = {"manifest.json", "timing.json", "log.txt", ".lock"}
    unhashed |= {name for name in on_disk if name.endswith("key.txt")}
    assert on_disk - unhashed == set(names)
    for name, stage in names.items():
        path = folder / name
        whole_file = path.read_bytes()
        data = bytearray(whole_file)
        data[len(data) * 2 // 3] ^= 1
        path.write_bytes(data)
        with pytest.raises(ArtifactError, match="does not match its hash") as caught:
            manifest.done(stage, manifest.stages[stage]["key"])
        assert caught.value.where == str(path)
        with pytest.raises(ArtifactError, match="does not match its hash") as caught:
            run(WEIGHTS, runs=folder.parent, workers=1, skip_checks=True)
        assert caught.value.where == str(path)
        path.write_bytes(whole_file)
    assert run(WEIGHTS, runs=folder.parent, skip_checks=True).stages.keys() == STAGES
    assert hashes(folder) == hashes(weights)


# ---- (b) four actions, separate trunks, schedules

FOUR = variant(
    market={"decision_interval_bars": 3},
    env={"action": {"kind": "hold_buy_sell_close"}},
    agent={
        "network": {"hidden": [16, 16], "activation": "tanh", "shared_trunk": False},
        "ppo": {**TREE["agent"]["ppo"], "target_kl": 0.002,
                "learning_rate": {"start": 0.003, "end": 0.0003, "kind": "cosine"},
                "entropy": {"start": 0.02, "end": 0.0}, "clip": {"start": 0.3, "end": 0.1}},
    },
)  # fmt: skip


def test_four_actions_with_separate_trunks_and_schedules(tmp_path: Path) -> None:
    folder = whole(FOUR, tmp_path / "runs").folder
    for seed in (1, 2):
        updates = pl.read_parquet(folder / f"train/seed-{seed}/updates.parquet")
        for column, start, end in (("learning_rate", 0.003, 0.0003), ("entropy_coef", 0.02, 0.0),
                                   ("clip_range", 0.3, 0.1)):  # fmt: skip
            values = updates[column].to_numpy()
            assert (np.diff(values) < 0.0).all(), column
            assert values[0] == pytest.approx(start, rel=0.1)
            assert end <= values[-1] <= end + 0.15 * (start - end)
        assert 1 <= updates["epochs"].min() < 4  # the KL limit stopped an update early
        assert updates["epochs"].max() <= 4
    bundle = truefill.load_bundle(folder / "train/seed-1/bundle")
    assert "decision_phase" in bundle.spec.state_features
    assert bundle.spec.mask_illegal
    _decides_every_third_bar(folder)


def _decides_every_third_bar(folder: Path) -> None:
    """Every entry fills one bar after a decision, and decisions are three bars apart."""
    trades = pl.read_parquet(folder / "backtest/trades.parquet")
    found = 0
    for split in ("validation", "test"):
        bars = curve_of(folder, split)["timestamp"].to_list()
        mine = trades.filter(
            (pl.col("split") == split) & pl.col("strategy").str.starts_with("seed-")
        )
        rows = [bars.index(entry) for entry in mine["entry_time"]]
        assert {(row - 1) % 3 for row in rows} <= {0}
        found += len(rows)
    assert found > 10


# ---- (c) the real example, small


def test_the_usdcop_example_in_smoke_touches_train_alone(shared_data: Path, tmp_path: Path) -> None:
    config = load_config(REPOSITORY / "examples/usdcop_ppo.yaml")
    folder = shared_data.resolve()
    assert all(source.path.resolve().is_relative_to(folder) for source in config.data.bars)
    result = run(config, runs=tmp_path / "runs", smoke=True, workers=2)
    assert result.stages == dict.fromkeys(STAGES, "done")
    assert result.report_path is not None and result.report_path.stat().st_size > 100_000
    train = config.data.splits.train
    ledger = Ledger(tmp_path / "runs/ledger.sqlite")
    [opening] = ledger.openings()
    assert train.start <= datetime.fromisoformat(opening["first_bar"])
    assert datetime.fromisoformat(opening["end"]) <= train.end
    real = config.data.splits.test
    later = TestRows("real", real.start.isoformat(), real.end.isoformat(), ("USDCOP",))
    symbols = tuple(json.loads(opening["symbols"]))
    smoke = TestRows(opening["test_sha256"], opening["first_bar"], opening["end"], symbols)
    assert symbols == ("USDCOP",)
    assert not smoke.touches(later)
    for name in ("train", "validation", "test"):
        stamps = pl.read_parquet(result.folder / f"dataset/{name}.parquet")["timestamp"]
        assert train.start <= stamps.min() < stamps.max() < train.end
    curves = pl.read_parquet(result.folder / "backtest/equity.parquet")
    assert curves["timestamp"].max() < train.end
    lineage = json.loads((result.folder / "dataset/lineage.json").read_text())
    whole_run = truefill.build_dataset(config).lineage["split_sha256"]
    assert not set(lineage["split_sha256"].values()) & set(whole_run.values())
    assert not {look["split_sha256"] for look in ledger.looks()} & set(whole_run.values())
