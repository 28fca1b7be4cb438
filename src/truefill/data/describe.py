"""Figures about tables of bars: descriptive statistics, periods per year, the content's SHA-256."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import polars as pl

from truefill.data.defects import NUMBERS, close_only
from truefill.data.sums import mean_and_std

SECONDS_PER_YEAR = 365.25 * 86_400.0
_THREADS = 2
"""Each has a sorted copy of a column in memory."""
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def periods_per_year(timestamps: pl.Series, interval_s: float) -> float:
    """Bars a year, from the timestamps: distinct bar starts / elapsed years."""
    unique = timestamps.unique().sort().dt.epoch("s")
    elapsed_s = float(unique[-1] - unique[0]) + interval_s
    return len(unique) * SECONDS_PER_YEAR / elapsed_s


def bars_sha256(bars: pl.DataFrame) -> str:
    """SHA-256 of the content of bars (timestamp, symbol, prices, volume), whatever their file.

    The key of a test opening: taken before sessions and features, so that no other choice of these
    turns the same test data into fresh ones.
    """
    bars = bars.sort("symbol", "timestamp")
    digest = hashlib.sha256()
    digest.update("\n".join(bars["symbol"].to_list()).encode())
    digest.update(bars["timestamp"].dt.epoch("us").to_numpy().astype("<i8").tobytes())
    for name in NUMBERS:
        digest.update(bars[name].to_numpy().astype("<f8").tobytes())
    return digest.hexdigest()


def describe(table: pl.DataFrame, features: Sequence[str]) -> dict[str, Any]:
    """Bars by symbol, and the distributions of the raw log return and of each normalized feature
    (without ``no_trade`` bars, which repeat the features of another)."""
    fresh = table.filter(~pl.col("no_trade"))
    symbols = {}
    for symbol in sorted(table["symbol"].unique().to_list()):
        part = table.filter(pl.col("symbol") == symbol)
        symbols[symbol] = {
            "bars": part.height,
            "first": part["timestamp"][0].isoformat(),
            "last": part["timestamp"][-1].isoformat(),
            "first_close": part["close"][0],
            "last_close": part["close"][-1],
            "close_only_bars": int(part.select(close_only().sum()).item()),
            "zero_volume_bars": int((part["volume"] == 0.0).sum()),
            "no_trade_bars": int(part["no_trade"].sum()),
        }
    names = ("raw_log_return", *features)
    with ThreadPoolExecutor(_THREADS) as pool:  # sorting lets others work
        found = list(pool.map(_distribution, [fresh[name] for name in names]))
    return {"symbols": symbols, "columns": dict(zip(names, found, strict=True))}


def _distribution(column: pl.Series) -> dict[str, float]:
    values = np.sort(column.to_numpy())
    mean, std = mean_and_std(values)
    out = {
        "count": float(len(values)),
        "mean": mean,
        "std": std,
        "min": float(values[0]),
        "max": float(values[-1]),
    }
    for q in QUANTILES:
        out[f"q{round(q * 100):02d}"] = float(values[round(q * (len(values) - 1))])
    return out
