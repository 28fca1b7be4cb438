"""Small bars, files and configs for the tests of data and features."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from truefill.config.load import parse_config
from truefill.config.schema import BarsFile, Config
from truefill.data.dataset import load_split, write_dataset
from truefill.data.join import Series
from truefill.data.read import read_bars
from truefill.data.sessions import Session, session_time
from truefill.data.split import SplitArrays
from truefill.features.base import Context
from truefill.features.build import build_dataset

HOUR = 3_600
START_S = 1_577_836_800  # 2020-01-01
GOOD_ROWS = (
    "2020-01-01T00:00:00Z,100,102,99,101,5",
    "2020-01-01T01:00:00Z,101,103,100,102,6",
    "2020-01-01T02:00:00Z,102,102,98,99,7",
    "2020-01-01T03:00:00Z,99,99,99,99,0",
)
HEADER = "timestamp,open,high,low,close,volume"


def csv_file(folder: Path, rows: tuple[str, ...] | list[str], header: str = HEADER) -> Path:
    """A CSV file ``bars.csv`` of these lines."""
    path = folder / "bars.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def read(path: Path, interval_s: float = HOUR, **options: Any) -> pl.DataFrame:
    """The canonical table of one file, symbol X unless told otherwise."""
    options.setdefault("symbol", "X")
    return read_bars(BarsFile(path=path, **options), interval_s=interval_s)[0]


def walk(T: int, seed: int = 0, *, symbol: str = "X", interval_s: int = HOUR) -> pl.DataFrame:
    """T bars of a random walk in the canonical form."""
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(0.01 * rng.standard_normal(T)))
    opens = np.concatenate([[100.0], close[:-1]]) * np.exp(0.001 * rng.standard_normal(T))
    wick = np.abs(rng.standard_normal((2, T))) * 0.005
    return pl.DataFrame(
        {
            "timestamp": pl.Series((START_S + interval_s * np.arange(T)) * 1_000_000).cast(
                pl.Datetime("us", "UTC")
            ),
            "symbol": [symbol] * T,
            "open": opens,
            "high": np.maximum(opens, close) * (1.0 + wick[0]),
            "low": np.minimum(opens, close) * (1.0 - wick[1]),
            "close": close,
            "volume": 1.0 + rng.random(T),
        }
    )


def series_of(
    values: list[float] | np.ndarray, *, lag_days: float = 1.0, name: str = "m"
) -> Series:
    """A daily series from 2020-01-01 on."""
    values = np.asarray(values, np.float64)
    dates = START_S + 86_400 * np.arange(len(values))
    return Series(name, dates, dates + round(lag_days * 86_400), values, 5 * 86_400.0)


def context(table: pl.DataFrame, series: dict[str, Series] | None = None, **extra: Any) -> Context:
    """The context of one symbol's canonical bars, round the clock."""
    session = Session("UTC", tuple(range(7)), 0, 86_400)
    seconds = table["timestamp"].dt.epoch("s").to_numpy().astype(np.int64)
    when = session_time(session, seconds)
    prices = {k: table[k].to_numpy() for k in ("open", "high", "low", "close", "volume")}
    return Context(
        symbol="X",
        timestamps_s=seconds,
        interval_s=HOUR,
        **prices,
        session_fraction=when.fraction,
        weekday=when.weekday,
        days_per_week=7,
        series=series or {},
        extra=extra,
    )


FEATURES: list[dict[str, Any]] = [
    {"name": "ret", "calculator": "log_return", "params": {"periods": 1}, "clip": 5},
    {"name": "ret_6", "calculator": "log_return", "params": {"periods": 6}, "pre_clip": 0.1},
    {
        "name": "rsi",
        "calculator": "rsi",
        "params": {"period": 3},
        "normalizer": "minmax",
        "high": 100,
    },
    {"name": "hour", "calculator": "session_sin", "normalizer": "none"},
]


def config_of(
    data: dict[str, Any], features: list[dict[str, Any]] | None = None, **more: Any
) -> Config:
    """A config with these data; splits default to ten, five and five days of January 2020."""
    tree = {
        "name": "case",
        "data": {
            "interval": "1h",
            "splits": {
                "train": {"start": "2020-01-01", "end": "2020-01-11"},
                "validation": {"start": "2020-01-11", "end": "2020-01-16"},
                "test": {"start": "2020-01-16", "end": "2020-01-21"},
            },
            **data,
        },
        "features": FEATURES if features is None else features,
        **more,
    }
    return parse_config(tree)


def parquet_bars(folder: Path, table: pl.DataFrame, name: str = "bars.parquet") -> dict[str, Any]:
    """``table`` as a file, and the entry of ``data.bars`` that reads it."""
    table.write_parquet(folder / name)
    return {"path": str(folder / name)}


RETURN = FEATURES[:1]
"""One feature with a warm-up of one bar."""

JUMPS = {"scale_break": "warn", "unadjusted_split": "warn"}
"""``data.defects`` of bars whose prices jump on purpose."""

ROW_ENDS = ("outside_session", "outside_splits", "dropped_warmup", "train", "validation", "test")
"""Counts in lineage of what became of every row that was read."""


def moment(hour: float) -> datetime:
    """``hour`` hours after the first bar of :func:`walk`."""
    return datetime.fromtimestamp(START_S, UTC) + timedelta(hours=hour)


def event_file(
    folder: Path, kind: str, events: dict[float, float], name: str = "events", **options: Any
) -> dict[str, Any]:
    """Events (hour after the first bar -> value) as a file, and its entry of ``data.events``."""
    path = folder / f"{name}.parquet"
    stamps = pl.Series([moment(hour) for hour in events], dtype=pl.Datetime("us", "UTC"))
    pl.DataFrame({"timestamp": stamps, "amount": list(events.values())}).write_parquet(path)
    return {"path": str(path), "kind": kind, "column": "amount", **options}


def split_arrays(
    folder: Path,
    data: dict[str, Any],
    features: list[dict[str, Any]] | None = None,
    name: str = "train",
    **more: Any,
) -> SplitArrays:
    """A split of these data, through the dataset folder and back."""
    built = build_dataset(config_of(data, RETURN if features is None else features, **more))
    write_dataset(built, folder / "dataset")
    return load_split(folder / "dataset", name)


def extra_bars(folder: Path, **columns: Any) -> dict[str, Any]:
    """480 hours of bars with further columns, as ``data``."""
    return {"bars": [parquet_bars(folder, walk(480).with_columns(**columns))]}


def series_entry(folder: Path, days: list[int]) -> dict[str, Any]:
    """A slow series m with values on these days; day 10 is the first day of the bars."""
    start = walk(1)["timestamp"][0] - timedelta(days=10)
    values = np.random.default_rng(4).standard_normal(len(days)).cumsum() + 20.0
    pl.DataFrame(
        {"timestamp": [start + timedelta(days=d) for d in days], "v": values}
    ).write_parquet(folder / "s.parquet")
    return {
        "path": str(folder / "s.parquet"), "columns": {"v": "m"},
        "publication_lag": "1d", "max_staleness": "2d",
    }  # fmt: skip
