"""The dataset folder: same bytes, sealed test; arrays: masks, carried prices, the clock."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from data_cases import ROW_ENDS, START_S, config_of, parquet_bars, walk
from truefill.core.errors import SealedTestError, UsageError
from truefill.core.fingerprint import sha256_file
from truefill.data.dataset import TestPermit, load_lineage, load_split, open_test, write_dataset
from truefill.data.split import NEVER_TRADED
from truefill.features.build import BuiltDataset, build_dataset

FILES = {
    "train.parquet", "validation.parquet", "test.parquet",
    "norm_stats.json", "lineage.json", "descriptive_stats.json",
}  # fmt: skip


def built(folder: Path, table: pl.DataFrame | None = None) -> BuiltDataset:
    bars = parquet_bars(folder, walk(480) if table is None else table)
    return build_dataset(config_of({"bars": [bars]}))


def test_the_same_dataset_gives_the_same_bytes(tmp_path: Path) -> None:
    dataset = built(tmp_path)
    assert set(write_dataset(dataset, tmp_path / "one")) == FILES
    write_dataset(built(tmp_path), tmp_path / "two")
    for name in FILES:
        assert sha256_file(tmp_path / "one" / name) == sha256_file(tmp_path / "two" / name), name
    assert {p.name for p in (tmp_path / "one").iterdir()} == FILES


def test_the_test_split_is_sealed(tmp_path: Path) -> None:
    dataset = built(tmp_path)
    folder = tmp_path / "dataset"
    write_dataset(dataset, folder)
    with pytest.raises(SealedTestError):
        load_split(folder, "test")
    with pytest.raises(UsageError):
        load_split(folder, "holdout")
    with pytest.raises(SealedTestError, match="other test data"):
        open_test(folder, TestPermit("0" * 64, 1))
    with pytest.raises(SealedTestError, match="TestPermit only"):
        open_test(folder, dataset.lineage["test_sha256"])
    opened = open_test(folder, TestPermit(dataset.lineage["test_sha256"], 1))
    assert len(opened) == dataset.tables["test"].height == 120


def test_no_open_file_tells_what_test_rows_hold(tmp_path: Path) -> None:
    """Other test prices change test.parquet and the test's hash, and no other byte."""
    table = walk(480)
    late = pl.col("timestamp").dt.epoch("s") >= START_S + 15 * 86_400
    prices = ("open", "high", "low", "close")
    other = table.with_columns(
        pl.when(late).then(pl.col(p) * 1.2).otherwise(p).alias(p) for p in prices
    )
    for name, bars in (("one", table), ("two", other)):
        (tmp_path / name).mkdir()
        write_dataset(built(tmp_path / name, bars), tmp_path / name / "d")
    one, two = tmp_path / "one" / "d", tmp_path / "two" / "d"
    same = {name for name in FILES if sha256_file(one / name) == sha256_file(two / name)}
    assert same == FILES - {"test.parquet", "lineage.json"}
    first, second = load_lineage(one), load_lineage(two)
    differ = {key for key in first if first[key] != second[key]}
    assert differ == {"test_sha256", "inputs"}


def test_the_test_hash_is_of_the_bars_not_of_what_is_made_of_them(tmp_path: Path) -> None:
    """Other features, sessions or file types do not turn the same test bars into fresh ones."""
    table = walk(480)
    plain = built(tmp_path, table).lineage["test_sha256"]
    table.drop("symbol").write_csv(tmp_path / "bars.csv")
    session = {"days": ["mon", "tue", "wed", "thu", "fri"], "start": "08:00", "end": "20:00"}
    feature = {"name": "ret_2", "calculator": "log_return", "params": {"periods": 2}}
    other = build_dataset(
        config_of(
            {"bars": [{"path": str(tmp_path / "bars.csv"), "symbol": "X"}], "session": session},
            [feature],
        )
    )
    assert other.lineage["test_sha256"] == plain


def test_arrays_hold_what_the_table_holds(tmp_path: Path) -> None:
    dataset = built(tmp_path)
    write_dataset(dataset, tmp_path / "d")
    split, table = load_split(tmp_path / "d", "train"), dataset.tables["train"]
    T = table.height
    assert split.close.shape == (T, 1) and split.features.shape == (T, 1, 4)
    assert split.features.dtype == np.float32 and split.clock.shape == (T, 4)
    for name in ("open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(getattr(split, name)[:, 0], table[name].to_numpy())
    for i, name in enumerate(split.feature_names):
        np.testing.assert_array_equal(split.features[:, 0, i], table[name].to_numpy())
    assert split.present.all() and not split.atr.any()
    assert split.periods_per_year == pytest.approx(365.25 * 24)
    assert (np.diff(split.timestamps_s) == 3_600).all()
    assert all(np.isfinite(v).all() for v in dataclasses.asdict(split).values()
               if isinstance(v, np.ndarray))  # fmt: skip


def test_missing_bars_of_a_symbol_are_masked_and_carry_the_last_close(tmp_path: Path) -> None:
    whole = walk(480, symbol="A")
    hours = (pl.col("timestamp").dt.epoch("s") - START_S) // 3_600
    holes = walk(480, seed=1, symbol="B").filter(~hours.is_between(100, 104) & (hours >= 60))
    late = walk(480, seed=2, symbol="C").filter(hours >= 15 * 24 - 100)
    dataset = built(tmp_path, pl.concat([whole, holes, late]))
    write_dataset(dataset, tmp_path / "d")
    split = load_split(tmp_path / "d", "train")
    b = split.symbols.index("B")
    hour = (split.timestamps_s - START_S) // 3_600
    gap = (hour >= 100) & (hour <= 104)
    assert not split.present[gap, b].any() and split.present[gap, 0].all()
    last = split.close[hour == 99, b]
    for name in ("open", "high", "low", "close"):
        assert (getattr(split, name)[gap, b] == last).all()
    assert not split.volume[gap, b].any()
    np.testing.assert_array_equal(
        split.features[gap, b], split.features[hour == 99, b].repeat(5, 0)
    )
    first = int(np.argmax(split.present[:, b]))
    assert first > 0 and (split.close[:first, b] == split.open[first, b]).all()
    assert not split.features[:first, b].any()
    c = split.symbols.index("C")
    assert not split.present[:, c].any() and (split.close[:, c] == NEVER_TRADED).all()


def test_rows_are_counted_to_the_last(tmp_path: Path) -> None:
    session = {"days": ["mon", "tue", "wed", "thu", "fri"], "start": "08:00", "end": "20:00"}
    bars = parquet_bars(tmp_path, walk(600))
    rows = build_dataset(config_of({"bars": [bars], "session": session})).lineage["rows"]
    assert rows["read"] == 600 == sum(rows[key] for key in ROW_ENDS)
    assert set(rows) == {"read", "no_trade_stale", *ROW_ENDS}
    assert rows["outside_session"] > 0 and rows["outside_splits"] > 0
    assert rows["dropped_warmup"] == 3 + 35  # Wilder's 3-bar seed is below 1e-6 after 35 more
