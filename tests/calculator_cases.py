"""A small world of bars, columns and slow series that every registered calculator can run in.

A new calculator needs an entry in ``PARAMS`` only if its parameters have no defaults.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from data_cases import HOUR, START_S, context, walk
from truefill.data.join import Series
from truefill.features.base import Context

T = 400
DAYS = 40

PARAMS: dict[str, dict[str, Any]] = {
    "column": {"column": "mine"},
    "log_return": {"periods": 5},
    "rsi": {"period": 5},
    "atr": {"period": 5},
    "trend_z": {"window": 12},
    "macro_zscore": {"series": "a", "window": 8},
    "macro_pct_change": {"series": "a", "periods": 2},
    "spread_zscore": {"a": "a", "b": "b", "window": 8},
}


def params_of(name: str) -> dict[str, Any]:
    """Parameters under which calculator ``name`` has values within :func:`world`."""
    return PARAMS.get(name, {})


def world(*, changed_after: int | None = None, seed: int = 7, bars: int = T) -> Context:
    """T hourly bars; after ``changed_after`` all prices, columns, unpublished values differ."""
    table = walk(T)
    mine = np.random.default_rng(3).standard_normal(T)
    series = {"a": _series("a", 10, 24 * HOUR), "b": _series("b", 11, 60 * HOUR)}
    if changed_after is not None:
        known_s = START_S + (changed_after + 1) * HOUR  # the close of that bar
        other = walk(T, seed=seed)
        late = np.arange(T) > changed_after
        for name in ("open", "high", "low", "close", "volume"):
            table = table.with_columns(
                table[name].set(pl.Series(late), None).fill_null(other[name]).alias(name)
            )
        mine = np.where(late, np.random.default_rng(seed).standard_normal(T), mine)
        series = {name: _changed(s, known_s, seed) for name, s in series.items()}
    table, mine = table.head(bars), mine[:bars]
    return context(table, series, mine=mine)


def _series(name: str, seed: int, lag_s: int) -> Series:
    dates = START_S + 24 * HOUR * (np.arange(DAYS) - 20)
    values = 50.0 + np.random.default_rng(seed).standard_normal(DAYS).cumsum()
    return Series(name, dates, dates + lag_s, values, 120.0 * HOUR, lag_s)


def _changed(series: Series, known_s: int, seed: int) -> Series:
    """The same series with every value that was not yet published replaced."""
    other = 80.0 + np.random.default_rng(seed + 1).standard_normal(len(series.values))
    values = np.where(series.available_at_s > known_s, other, series.values)
    return Series(
        series.name, series.value_date_s, series.available_at_s, values,
        series.max_staleness_s, series.publication_lag_s,
    )  # fmt: skip
