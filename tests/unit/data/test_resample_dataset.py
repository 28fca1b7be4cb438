"""Datasets of resampled bars: every stage behind the reading sees buckets, and only whole ones."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import RETURN, START_S, config_of, parquet_bars, walk
from truefill.core.errors import ConfigError
from truefill.data.resolve import resolve
from truefill.data.splits import period_of
from truefill.features.build import build_dataset
from truefill.pipeline.smoke import smoke_config


def build(folder: Path, table: pl.DataFrame, **data: Any) -> Any:
    """The dataset of these bars in buckets of four hours."""
    entry = parquet_bars(folder, table)
    return build_dataset(config_of({"bars": [entry], "resample": "4h", **data}, RETURN))


def test_everything_downstream_sees_the_buckets(tmp_path: Path) -> None:
    raw = walk(480)
    built = build(tmp_path, raw)
    lineage = built.lineage
    assert lineage["interval_s"] == 14_400
    assert [built.tables[n].height for n in ("train", "validation", "test")] == [59, 30, 30]
    rows = lineage["rows"]
    assert (rows["read"], rows["merged"], rows["unclosed"]) == (480, 360, 0)
    assert lineage["resample"] == {
        "from_interval_s": 3_600, "interval_s": 14_400, "bars": 90, "incomplete_bars": 0,
    }  # fmt: skip
    assert lineage["periods_per_year"]["train"] == pytest.approx(365.25 * 6, rel=0.01)
    closes = raw["close"].to_numpy()[3::4]
    expected = np.log(closes[1:60] / closes[:59])
    assert np.allclose(built.tables["train"]["raw_log_return"].to_numpy(), expected, rtol=1e-6)


def test_the_hash_of_test_is_that_of_the_bars_as_they_were_read(tmp_path: Path) -> None:
    raw = walk(480)
    config = config_of({"bars": [parquet_bars(tmp_path, raw)]}, RETURN)
    plain, resampled = build_dataset(config), build(tmp_path, raw)
    assert plain.lineage["test_sha256"] == resampled.lineage["test_sha256"]
    assert plain.lineage["resample"] is None and "merged" not in plain.lineage["rows"]


def test_a_split_that_cuts_a_bucket_is_refused(tmp_path: Path) -> None:
    splits = {
        "train": {"start": "2020-01-01", "end": "2020-01-11T02:00:00Z"},
        "validation": {"start": "2020-01-11T02:00:00Z", "end": "2020-01-16"},
        "test": {"start": "2020-01-16", "end": "2020-01-21"},
    }
    with pytest.raises(
        ConfigError, match=r"2020-01-11 02:00.* bucket of 2020-01-11 00:00"
    ) as error:
        build(tmp_path, walk(480), splits=splits)
    assert error.value.where == "data.splits.train"


def test_rates_and_finer_bars_meet_the_buckets(tmp_path: Path) -> None:
    raw = walk(480)
    pair = walk(480, seed=3).with_columns(symbol=pl.lit("EURUSD"))
    pair.write_parquet(tmp_path / "eurusd.parquet")
    raw.write_parquet(tmp_path / "finer.parquet")
    built = build(
        tmp_path, raw,
        exchange_rates=[{"path": str(tmp_path / "eurusd.parquet"), "symbols": ["X"]}],
        finer_bars=[{"path": str(tmp_path / "finer.parquet")}], finer_interval="1h",
    )  # fmt: skip
    table = built.tables["train"]
    n = 1  # the first bar warms the feature up
    assert table["rate_open"][0] == pair["open"][4 * n]
    assert table["rate_close"][0] == pair["close"][4 * n + 3]
    assert np.allclose(table["finer_high"][0], raw["high"][4 * n : 4 * n + 4])


def test_splits_given_as_fractions_fall_between_buckets(tmp_path: Path) -> None:
    entry = parquet_bars(tmp_path, walk(477))
    rule = {"kind": "fractions", "train": 0.6, "validation": 0.2, "test": 0.2}
    config = resolve(config_of({"bars": [entry], "resample": "4h", "splits": rule}, RETURN))
    splits = config.data.splits
    for name, first, last in (("train", 0, 71), ("validation", 71, 95), ("test", 95, 119)):
        period = period_of(splits, name)
        assert [(t.timestamp() - START_S) / 14_400 for t in (period.start, period.end)] == [
            first, last,
        ]  # fmt: skip
    assert build_dataset(config).tables["test"].height == 24


def test_a_smoke_run_cuts_between_buckets(tmp_path: Path) -> None:
    """Seven tenths of 220 hours are 154: the next bucket starts at 156."""
    splits = {
        "train": {"start": "2020-01-01", "end": "2020-01-10T04:00:00Z"},
        "validation": {"start": "2020-01-11", "end": "2020-01-16"},
        "test": {"start": "2020-01-16", "end": "2020-01-21"},
    }
    data = {"bars": [parquet_bars(tmp_path, walk(480))], "resample": "4h", "splits": splits}
    config = config_of(data, RETURN)
    small = smoke_config(config)
    start = period_of(small.data.splits, "validation").start
    assert (start - period_of(config.data.splits, "train").start) == timedelta(hours=156)
    assert sum(table.height for table in build_dataset(small).tables.values()) == 54
