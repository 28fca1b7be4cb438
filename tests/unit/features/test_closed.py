"""Times without trading in the dataset: a column of their own, warm from the first row on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import FEATURES, RETURN, config_of, parquet_bars, walk
from env_cases import play
from truefill.core.errors import ConfigError, DataError
from truefill.data.dataset import load_split, write_dataset
from truefill.data.no_trade import rules_id
from truefill.env.setup import make_environment
from truefill.features.build import BuiltDataset, build_dataset
from truefill.market.types import BarState

NIGHT = {"start": "22:00", "end": "02:00"}
GUARD = {"kind": "volatility", "window_bars": 24, "percentile": 0.9, "cooldown_bars": 3}


def data_of(folder: Path) -> dict[str, Any]:
    bars = pl.concat([walk(480, s, symbol=name) for s, name in enumerate("AB")])
    return {"bars": [parquet_bars(folder, bars)]}


def built(folder: Path, *rules: dict[str, Any], **more: Any) -> BuiltDataset:
    return build_dataset(config_of(data_of(folder), market={"no_trade": list(rules)}, **more))


def test_closed_bars_change_no_feature_and_no_statistic(tmp_path: Path) -> None:
    without, found = built(tmp_path), built(tmp_path, NIGHT, GUARD)
    assert found.norm_stats == without.norm_stats
    assert found.descriptive == without.descriptive
    assert found.contract.sha256 == without.contract.sha256
    for name, table in found.tables.items():
        assert table.drop("closed").equals(without.tables[name].drop("closed"))
        assert not without.tables[name]["closed"].any() and not table["no_trade"].any()
        hour = table["timestamp"].dt.hour()
        assert table.filter((hour >= 22) | (hour < 2))["closed"].all()
        assert 0.0 < table.filter((hour < 22) & (hour >= 2))["closed"].mean() < 0.6  # type: ignore[operator]


def test_a_guard_is_warm_when_a_split_begins(tmp_path: Path) -> None:
    """Its window runs over the split's border: the mask is that of the whole history."""
    bars = walk(480).with_columns(close=pl.col("close"))
    wild = pl.int_range(pl.len()).is_between(236, 239)
    bars = bars.with_columns(close=pl.when(wild).then(pl.col("close") * 1.1).otherwise("close"))
    bars = bars.with_columns(high=pl.max_horizontal("high", "close"))
    rule = {"kind": "volatility", "window_bars": 24, "absolute": 0.018, "cooldown_bars": 0}
    data = {"bars": [parquet_bars(tmp_path, bars)]}
    found = build_dataset(config_of(data, market={"no_trade": [rule]}))
    assert found.tables["validation"]["closed"].head(20).all()
    assert not found.tables["validation"]["closed"].tail(60).any()


def test_lineage_tells_of_every_window_before_test_alone(tmp_path: Path) -> None:
    found = built(tmp_path, NIGHT, GUARD)
    facts = found.lineage["no_trade"]
    config = config_of(data_of(tmp_path), market={"no_trade": [NIGHT, GUARD]})
    assert facts["rules_sha256"] == rules_id(config.market.no_trade)
    night, guard = facts["windows"]
    assert night["bars"] == {"train": 80, "validation": 40}
    assert set(guard["thresholds"]) == {"A", "B"}
    assert facts["together"]["last"] < "2020-01-16"
    assert facts["together"]["bars"]["validation"] == found.tables["validation"]["closed"].sum()


def test_test_rows_move_nothing_that_is_told(tmp_path: Path) -> None:
    one = built(tmp_path, NIGHT, GUARD).lineage
    bars = pl.concat([walk(480, s, symbol=name) for s, name in enumerate("AB")])
    late = pl.col("timestamp") >= pl.datetime(2020, 1, 16, time_zone="UTC")
    others = [pl.when(late).then(1.3 * pl.col(n)).otherwise(n).alias(n)
              for n in ("open", "high", "low", "close", "volume")]  # fmt: skip
    data = {"bars": [parquet_bars(tmp_path, bars.with_columns(others))],
            "seasonality": {"fit": ["spread"], "min_samples": 1}}  # fmt: skip
    market = {"no_trade": [NIGHT, GUARD]}
    other = build_dataset(config_of(data, market=market)).lineage
    assert other["no_trade"] == one["no_trade"]
    data["bars"] = data_of(tmp_path)["bars"]
    again = build_dataset(config_of(data, market=market)).lineage
    assert again["seasonality"] == other["seasonality"] is not None


def test_files_of_intervals_are_inputs(tmp_path: Path) -> None:
    (tmp_path / "halts.csv").write_text("start,end\n2020-01-02,2020-01-03\n")
    found = built(tmp_path, {"kind": "interval", "path": str(tmp_path / "halts.csv")})
    assert found.lineage["inputs"][-1]["file"] == "halts.csv"
    assert found.lineage["no_trade"]["windows"][0]["bars"]["train"] == 48


def test_the_ask_of_a_guard_is_read_from_the_bars(tmp_path: Path) -> None:
    bars = walk(480)
    wide = pl.when(pl.col("timestamp").dt.hour() == 5).then(1.002).otherwise(1.0001)
    data = {"bars": [parquet_bars(tmp_path, bars.with_columns(ask=pl.col("close") * wide))]}
    rule = {"kind": "volatility", "spread_bps": 15, "ask": "ask", "cooldown_bars": 0}
    found = build_dataset(config_of(data, RETURN, market={"no_trade": [rule]}))
    train = found.tables["train"]
    assert set(train.filter("closed")["timestamp"].dt.hour()) == {6}
    with pytest.raises(DataError, match="no column 'ask_close'"):
        build_dataset(config_of(data, RETURN, market={"no_trade": [{**rule, "ask": "ask_close"}]}))


def test_the_market_obeys_the_mask_of_the_folder(tmp_path: Path) -> None:
    """Who wants to be long all the time has bought at 02:00 and not before."""
    market = {"no_trade": [NIGHT], "fee_bps": 0, "half_spread_bps": 0, "slippage_bps": 0}
    config = config_of(data_of(tmp_path), RETURN, market=market, env={"action": {
        "kind": "flat_long", "params": {"size": 0.4}}})  # fmt: skip
    write_dataset(build_dataset(config), tmp_path / "d")
    split = load_split(tmp_path / "d", "train")
    alone = split.only("B")
    assert alone.closed.sum() == 39 and alone.closed_by == split.closed_by != ""
    env = make_environment(config, split, "train")
    state = np.asarray(env.arrays.bars.column("state"))
    hours = (split.timestamps_s // 3600) % 24
    expected = np.where((hours >= 22) | (hours < 2), BarState.NO_TRADE, BarState.TRADABLE)
    np.testing.assert_array_equal(state, expected[:, None] * np.ones((1, 2)))
    start = int(np.flatnonzero(hours == 21)[0])
    states, _, _ = play(env, np.ones((8, 1, 2), np.int32), start=start)
    units = np.asarray(states.account.units)[:, 0, 0]
    assert (units[:5] == 0.0).all() and units[-1] > 0.0
    with pytest.raises(ConfigError, match="no_trade differs"):
        make_environment(config_of(data_of(tmp_path), RETURN), split, "train")


def test_a_split_that_is_closed_throughout_is_refused_by_the_market(tmp_path: Path) -> None:
    late = {"kind": "interval", "start": "2020-01-11", "end": "2020-01-16"}
    config = config_of(data_of(tmp_path), FEATURES, market={"no_trade": [late]})
    write_dataset(build_dataset(config), tmp_path / "d")
    split = load_split(tmp_path / "d", "validation")
    with pytest.raises(ConfigError, match="every bar of validation starts inside"):
        make_environment(config, split, "backtest")
