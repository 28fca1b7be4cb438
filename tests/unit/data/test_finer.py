"""Finer bars: each in its place of its bar, inside its range, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import HOUR, RETURN, START_S, config_of, parquet_bars, split_arrays, walk
from truefill.core.errors import ConfigError, DataError
from truefill.data.finer import MISSING_HIGH, MISSING_LOW
from truefill.features.build import build_dataset
from truefill.market.types import NEVER

QUARTER = HOUR // 4


def coarse_of(finer: pl.DataFrame, every: str = "1h") -> pl.DataFrame:
    """Bars of ``every`` that these finer bars make."""
    return (
        finer.with_columns(pl.col("timestamp").dt.truncate(every))
        .group_by("symbol", "timestamp", maintain_order=True)
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col("volume").sum(),
        )
        .sort("symbol", "timestamp")
    )


def quarters(symbol: str = "X", seed: int = 0) -> pl.DataFrame:
    return walk(4 * 480, seed, symbol=symbol, interval_s=QUARTER)


def data_of(folder: Path, finer: pl.DataFrame, coarse: pl.DataFrame, **more: Any) -> dict[str, Any]:
    return {
        "bars": [parquet_bars(folder, coarse, "coarse.parquet")],
        "finer_bars": [parquet_bars(folder, finer.drop("volume"), "finer.parquet")],
        "finer_interval": "15m",
        **more,
    }


def test_a_missing_finer_bar_is_what_the_market_takes_for_one() -> None:
    assert (MISSING_HIGH, MISSING_LOW) == (-NEVER, NEVER)


def test_every_finer_bar_is_in_its_place(tmp_path: Path) -> None:
    finer = quarters()
    split = split_arrays(tmp_path, data_of(tmp_path, finer, coarse_of(finer)))
    first = int((split.timestamps_s[0] - START_S) // QUARTER)
    for name, key in (("finer_high", "high"), ("finer_low", "low")):
        values = split.extra[name]
        assert values.shape == (len(split), 1, 4) and values.dtype == np.float64
        own = finer[key].to_numpy()[first : first + 4 * len(split)].reshape(-1, 4)
        np.testing.assert_array_equal(values[:, 0], own)
    np.testing.assert_array_equal(split.extra["finer_high"].max(axis=2), split.high)


def test_missing_finer_bars_reach_nothing(tmp_path: Path) -> None:
    """A finer bar that is not there leaves its place empty: the others keep theirs."""
    finer, second = quarters(), quarters("Y", seed=1)
    quarter = (pl.col("timestamp").dt.epoch("s") - START_S) // QUARTER
    some = finer.filter(~quarter.is_in([40, 42, *range(80, 84)]))
    hour = (pl.col("timestamp").dt.epoch("s") - START_S) // HOUR
    coarse = pl.concat([coarse_of(finer), coarse_of(second).filter(hour != 30)])
    data = data_of(tmp_path, some, coarse)
    split = split_arrays(tmp_path, data)
    at = (split.timestamps_s - START_S) // HOUR
    high, low = (split.extra[k][:, 0] for k in ("finer_high", "finer_low"))
    ten, twenty = high[at == 10][0], high[at == 20][0]
    assert (ten == MISSING_HIGH).tolist() == [True, False, True, False]
    assert (low[at == 10][0] == MISSING_LOW).tolist() == [True, False, True, False]
    assert (twenty == MISSING_HIGH).all() and (low[at == 20][0] == MISSING_LOW).all()
    assert (split.extra["finer_high"][:, 1] == MISSING_HIGH).all()  # Y has none at all
    assert (split.extra["finer_low"][:, 1] == MISSING_LOW).all()
    facts = build_dataset(config_of(data, RETURN)).lineage["market_data"]["finer_bars"]
    assert facts == {"interval_s": 900.0, "outside_bars": 0, "bars_with_finer": {"X": 359, "Y": 0}}


def test_finer_bars_between_bars_are_left_out_and_counted(tmp_path: Path) -> None:
    finer = quarters()
    hour = (pl.col("timestamp").dt.epoch("s") - START_S) // HOUR
    coarse = coarse_of(finer).filter(hour != 30)
    data = data_of(tmp_path, finer, coarse)
    facts = build_dataset(config_of(data, RETURN)).lineage["market_data"]["finer_bars"]
    assert facts["outside_bars"] == 4 and facts["bars_with_finer"] == {"X": 359}


@pytest.mark.parametrize(
    ("key", "factor", "tolerance", "refused"),
    [
        ("high", 1.0 + 1e-6, 0.0, True),
        ("low", 1.0 - 1e-6, 0.0, True),
        ("high", 1.0 + 5e-10, 0.0, False),
        ("low", 1.0 - 5e-10, 0.0, False),
        ("high", 1.0 + 1e-3, 1e-2, False),
        ("low", 1.0 - 1e-1, 1e-2, True),
    ],
)
def test_finer_bars_lie_inside_their_bar(
    tmp_path: Path, key: str, factor: float, tolerance: float, refused: bool
) -> None:
    finer = quarters()
    coarse = coarse_of(finer)
    at = pl.int_range(pl.len()) // 4 == 77
    extreme = coarse[key][77] * factor
    changed = finer.with_columns(pl.when(at).then(extreme).otherwise(key).alias(key))
    data = data_of(tmp_path, changed, coarse, finer_tolerance=tolerance)
    if not refused:
        split_arrays(tmp_path, data)
        return
    with pytest.raises(DataError, match=r"X 2020-01-04 05:00.*05:00.*and 3 more") as caught:
        build_dataset(config_of(data, RETURN))
    assert (caught.value.rule, caught.value.where) == ("finer_outside_range", "finer.parquet")


def test_finer_bars_off_the_grid_or_of_strangers_are_refused(tmp_path: Path) -> None:
    finer = quarters()
    coarse = coarse_of(finer)
    shifted = finer.with_columns(pl.col("timestamp") + pl.duration(minutes=7))
    with pytest.raises(DataError, match="between two places") as caught:
        build_dataset(config_of(data_of(tmp_path, shifted, coarse), RETURN))
    assert caught.value.rule == "misaligned_finer_bars"
    with pytest.raises(DataError, match="'Z' has no bars"):
        build_dataset(config_of(data_of(tmp_path, quarters("Z"), coarse), RETURN))
    with pytest.raises(DataError, match=r"data\.interval is 900 s"):
        half_hours = coarse_of(finer, "30m")
        build_dataset(config_of(data_of(tmp_path, half_hours, coarse), RETURN))


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"finer_interval": "25m"}, "whole number"),
        ({"finer_interval": "1h"}, "shorter than a bar"),
        ({"finer_interval": "2h"}, "whole number"),
        ({"finer_interval": None}, "come together"),
        ({"finer_bars": []}, "come together"),
        ({"finer_bars": [{"path": "f.csv", "delisted": True}]}, "delisted belongs"),
    ],
)
def test_wrong_configs_are_refused(keys: dict[str, Any], words: str) -> None:
    data = {"bars": [{"path": "b.csv"}], "finer_bars": [{"path": "f.csv"}], "finer_interval": "15m"}
    with pytest.raises(ConfigError, match=words):
        config_of({**data, **keys})


SPLITS = {
    "train": {"start": "2024-01-01", "end": "2024-06-01"},
    "validation": {"start": "2024-06-01", "end": "2024-08-01"},
    "test": {"start": "2024-08-01", "end": "2024-09-06"},
}


def test_real_five_minute_bars_inside_their_hours(shared_data: Path, tmp_path: Path) -> None:
    path = shared_data / "ethusdt_5m_2024.parquet"
    coarse = coarse_of(pl.read_parquet(path))
    data = {
        "bars": [parquet_bars(tmp_path, coarse, "coarse.parquet")],
        "finer_bars": [{"path": str(path)}],
        "finer_interval": "5m",
        "splits": SPLITS,
    }
    split = split_arrays(tmp_path, data)
    assert split.extra["finer_high"].shape == (len(split), 1, 12)
    np.testing.assert_array_equal(split.extra["finer_high"].max(axis=2), split.high)
    np.testing.assert_array_equal(split.extra["finer_low"].min(axis=2), split.low)


def test_real_minutes_that_disagree_with_their_hours_are_refused(
    shared_data: Path, tmp_path: Path
) -> None:
    """SPY's minutes leave their hours by a cent here and there, by far before the session opens
    (the hours are clipped to it), and by a few bad ticks."""
    hours = pl.read_parquet(shared_data / "spy_1h_1998_2021.parquet")
    some = hours.filter(pl.col("timestamp").dt.year() == 2013)
    data = {
        "bars": [parquet_bars(tmp_path, some, "hours.parquet")],
        "finer_bars": [{"path": str(shared_data / "spy_1m_2013_10.parquet")}],
        "finer_interval": "1m",
        "splits": {
            "train": {"start": "2013-01-01", "end": "2013-10-01"},
            "validation": {"start": "2013-10-01", "end": "2013-11-01"},
            "test": {"start": "2013-11-01", "end": "2014-01-01"},
        },
    }
    with pytest.raises(DataError, match="SPY 2013-10-04 15:00") as caught:
        build_dataset(config_of(data, RETURN))
    assert caught.value.rule == "finer_outside_range"
    split = split_arrays(tmp_path, {**data, "finer_tolerance": 0.01}, name="validation")
    covered = (split.extra["finer_high"][:, 0] > MISSING_HIGH).any(axis=1)
    assert covered.sum() == 42 and split.extra["finer_high"].shape[2] == 60
