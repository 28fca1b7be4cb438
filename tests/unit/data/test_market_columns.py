"""Optional columns: only those the config gives, to the dataset folder and back, same bytes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import (
    HOUR,
    RETURN,
    START_S,
    config_of,
    event_file,
    parquet_bars,
    split_arrays,
    walk,
)  # fmt: skip
from truefill.core.errors import DataError
from truefill.core.fingerprint import sha256_file
from truefill.data.dataset import load_split, write_dataset
from truefill.data.read import MULTIPLIERS
from truefill.data.split import SplitArrays
from truefill.features.build import build_dataset
from truefill.market.bars import FINER, OPTIONAL, make_bars

COLUMNS = (
    "funding", "dividend", "split", "rate_open", "rate_close",
    "spread_multiplier", "liquidity_multiplier", "finer_high", "finer_low",
)  # fmt: skip
MAPPED = {"wide": "spread_multiplier", "deep": "liquidity_multiplier"}
HOLE = range(60, 70)
HOURS = (pl.col("timestamp").dt.epoch("s") - START_S) // HOUR


def everything(folder: Path) -> dict[str, Any]:
    """Two symbols, A with a hole, and every kind of column; events of A fall into its hole."""
    finer = walk(2 * 480, symbol="A", interval_s=HOUR // 2)
    pairs = finer.with_columns(pl.col("timestamp").dt.truncate("1h"))
    a = (
        pairs.group_by("symbol", "timestamp", maintain_order=True)
        .agg(pl.col("open").first(), pl.col("high").max(), pl.col("low").min(),
             pl.col("close").last(), pl.col("volume").sum())
        .with_columns(wide=1.0 + HOURS / 100, deep=2.0 + HOURS)
        .filter(~HOURS.is_in(list(HOLE)))
    )  # fmt: skip
    # Prices as they traded: the hole ends with splits of 2 and 3.
    finer, a = (
        t.with_columns(
            pl.col("open", "high", "low", "close") / pl.when(HOURS > 65).then(6.0).otherwise(1.0)
        )
        for t in (finer, a)
    )
    b = walk(480, seed=2, symbol="B").with_columns(spread_multiplier=7.0)  # not mapped
    rate = parquet_bars(folder, walk(480, seed=5).drop("symbol"), "rate.parquet")
    return {
        "bars": [
            {**parquet_bars(folder, a, "a.parquet"), "columns": MAPPED, "delisted": True},
            parquet_bars(folder, b, "b.parquet"),
        ],
        "events": [
            event_file(folder, "funding", {65: 0.01, 66: 0.02}, "funding", symbol="A"),
            event_file(folder, "dividend", {65: 1.5}, "dividend", symbol="A"),
            event_file(folder, "split", {65: 2.0, 66: 3.0}, "split", symbol="A"),
        ],
        "exchange_rates": [{**rate, "symbols": ["A"]}],
        "finer_bars": [parquet_bars(folder, finer, "finer.parquet")],
        "finer_interval": "30m",
    }


def test_without_options_there_are_no_columns(tmp_path: Path) -> None:
    split = split_arrays(tmp_path, {"bars": [parquet_bars(tmp_path, walk(480))]})
    assert split.extra == {} and not split.no_trade.any() and not split.last.any()
    assert split.session_end.any()


def test_every_column_comes_back_as_it_was_built(tmp_path: Path) -> None:
    data = everything(tmp_path)
    split = split_arrays(tmp_path, data)
    table = build_dataset(config_of(data, RETURN)).tables["train"]
    assert tuple(split.extra) == COLUMNS
    a = table.filter(pl.col("symbol") == "A")
    for name in COLUMNS:
        np.testing.assert_array_equal(split.extra[name][split.present[:, 0], 0], a[name].to_numpy())
        assert np.isfinite(split.extra[name]).all()
    own = split.only("A")
    assert tuple(own.extra) == COLUMNS and own.extra["finer_low"].shape == (len(own), 1, 2)
    for name in COLUMNS:
        np.testing.assert_array_equal(own.extra[name][:, 0], a[name].to_numpy())


def test_on_masked_bars_nothing_happens(tmp_path: Path) -> None:
    split = split_arrays(tmp_path, everything(tmp_path))
    hours = (split.timestamps_s - START_S) // HOUR
    hole = (hours >= HOLE[0]) & (hours <= HOLE[-1])
    after = int(np.argmax(hours == HOLE[-1] + 1))
    at = {name: values[:, 0] for name, values in split.extra.items()}
    assert hole.sum() == len(HOLE) and not split.present[hole, 0].any()
    assert not at["funding"][hole].any() and not at["dividend"][hole].any()
    for name in ("split", *MULTIPLIERS):
        assert (at[name][hole] == 1.0).all()
    known = at["rate_close"][hours == HOLE[0] - 1]
    assert (at["rate_open"][hole] == known).all() and (at["rate_close"][hole] == known).all()
    assert (at["finer_high"][hole] == -1e18).all() and (at["finer_low"][hole] == 1e18).all()
    # What happened in the hole is booked on the bar that ends it.
    assert (at["funding"][after], at["dividend"][after], at["split"][after]) == (0.03, 1.5, 6.0)


def test_a_symbol_whose_file_maps_no_multiplier_has_1(tmp_path: Path) -> None:
    split = split_arrays(tmp_path, everything(tmp_path))
    hours, own = (split.timestamps_s - START_S) // HOUR, split.present[:, 0]
    np.testing.assert_allclose(split.extra["spread_multiplier"][own, 0], 1.0 + hours[own] / 100)
    np.testing.assert_array_equal(split.extra["liquidity_multiplier"][own, 0], 2.0 + hours[own])
    for name in MULTIPLIERS:
        assert (split.extra[name][:, 1] == 1.0).all()


def test_multipliers_are_read_only_where_the_config_maps_them(tmp_path: Path) -> None:
    table = walk(480).with_columns(spread_multiplier=2.0, liquidity_multiplier=3.0)
    bars = parquet_bars(tmp_path, table)
    assert split_arrays(tmp_path, {"bars": [bars]}).extra == {}
    mapped = {**bars, "columns": {"spread_multiplier": "spread_multiplier"}}
    split = split_arrays(tmp_path, {"bars": [mapped]})
    assert list(split.extra) == ["spread_multiplier"]
    assert (split.extra["spread_multiplier"] == 2.0).all()


@pytest.mark.parametrize(
    ("value", "rule"),
    [(0.0, "non_positive_multiplier"), (-1.0, "non_positive_multiplier"),
     (float("nan"), "not_a_number"), (float("inf"), "not_a_number")],
)  # fmt: skip
@pytest.mark.parametrize("name", MULTIPLIERS)
def test_impossible_multipliers_are_refused_by_row(
    tmp_path: Path, name: str, value: float, rule: str
) -> None:
    table = walk(480).with_columns(
        wide=pl.when(pl.int_range(pl.len()) == 40).then(value).otherwise(1.5)
    )
    bars = {**parquet_bars(tmp_path, table), "columns": {"wide": name}}
    with pytest.raises(DataError) as caught:
        build_dataset(config_of({"bars": [bars]}, RETURN))
    assert (caught.value.rule, caught.value.where) == (rule, f"bars.parquet row 41 column {name}")


def test_the_same_inputs_give_the_same_bytes_and_stand_in_the_lineage(tmp_path: Path) -> None:
    config = config_of(everything(tmp_path), RETURN)
    names = write_dataset(build_dataset(config), tmp_path / "one")
    assert names == write_dataset(build_dataset(config), tmp_path / "two")
    for name in names:
        assert sha256_file(tmp_path / "one" / name) == sha256_file(tmp_path / "two" / name), name
    lineage = build_dataset(config).lineage
    assert tuple(lineage["market_columns"]) == COLUMNS
    assert lineage["market_data"]["delisted"] == {}  # A goes in the test split: sealed
    files = {entry["file"]: entry["sha256"] for entry in lineage["inputs"]}
    given = [source.path for key in ("bars", "events", "exchange_rates", "finer_bars")
             for source in getattr(config.data, key)]  # fmt: skip
    assert files == {path.name: sha256_file(path) for path in given}
    assert sorted(config.data.files().values()) == sorted(given)


def test_other_test_events_change_no_open_file_but_the_lineage(tmp_path: Path) -> None:
    data = everything(tmp_path)
    one = write_dataset(build_dataset(config_of(data, RETURN)), tmp_path / "one")
    late = event_file(tmp_path, "funding", {65: 0.01, 66: 0.02, 400: 0.09}, "funding", symbol="A")
    data["events"] = [late, *data["events"][1:]]
    write_dataset(build_dataset(config_of(data, RETURN)), tmp_path / "two")
    changed = {n for n in one if sha256_file(tmp_path / "one" / n)
               != sha256_file(tmp_path / "two" / n)}  # fmt: skip
    assert changed == {"test.parquet", "lineage.json"}


def test_the_market_takes_the_columns(tmp_path: Path) -> None:
    """By name and shape: multipliers are folded into costs, the rest goes in as it is."""
    split = split_arrays(tmp_path, everything(tmp_path))
    extra = {k: v for k, v in split.extra.items() if k not in MULTIPLIERS}
    assert set(extra) <= {*OPTIONAL, *FINER}
    bars = make_bars(
        timestamps_s=split.timestamps_s,
        prices={n: getattr(split, n) for n in ("open", "high", "low", "close")},
        costs=dict.fromkeys(("fee", "half_spread", "slippage", "borrow"), np.float64(0.0)),
        interest=0.0,
        extra={**extra, "session_end": split.session_end},
    )
    assert np.asarray(bars.column("funding")).sum() == pytest.approx(0.03)
    assert bars.finer is not None and bars.finer.shape == (len(split), 2, 2, 2)


def test_arrays_made_without_options_have_none() -> None:
    """For arrays that come from no dataset: nothing closed, nobody gone, UTC days."""
    T = 30
    ones = np.ones((T, 1))
    split = SplitArrays(
        name="train", symbols=("X",), timestamps_s=START_S + HOUR * np.arange(T),
        open=ones, high=ones, low=ones, close=ones, volume=ones, present=ones.astype(bool),
        atr=ones, features=np.zeros((T, 1, 1), np.float32), feature_names=("f",),
        clock=np.zeros((T, 4), np.float32), interval_s=float(HOUR), periods_per_year=8_766.0,
    )  # fmt: skip
    assert np.flatnonzero(split.session_end[:, 0]).tolist() == [23, 29]
    assert not split.no_trade.any() and not split.last.any() and dict(split.extra) == {}
    assert dataclasses.replace(split, name="again").session_end is split.session_end


def test_no_trade_bars_come_back(tmp_path: Path) -> None:
    """Flags of the table, on the symbol's own bars only."""
    built = build_dataset(config_of(everything(tmp_path), RETURN))
    table = built.tables["train"].with_columns(
        no_trade=(pl.col("symbol") == "B") & HOURS.is_in([61, 80])
    )
    write_dataset(dataclasses.replace(built, tables={**built.tables, "train": table}),
                  tmp_path / "d")  # fmt: skip
    split = load_split(tmp_path / "d", "train")
    hours = (split.timestamps_s - START_S) // HOUR
    assert [(int(hours[t]), int(s)) for t, s in np.argwhere(split.no_trade)] == [(61, 1), (80, 1)]
