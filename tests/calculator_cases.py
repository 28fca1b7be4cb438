"""A small world of bars, columns and slow series that every registered calculator can run in.

A new calculator needs an entry in ``PARAMS`` only if its parameters have no defaults.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from data_cases import HOUR, START_S, context, walk
from release_cases import changed_releases, release_table
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
    "spread_change": {"a": "a", "b": "b", "periods": 2},
    "series_value": {"series": "a"},
    "series_change": {"series": "a", "periods": 2},
    "series_below": {"series": "a", "threshold": 52.0},
    "series_age_hours": {"series": "a"},
    "hours_since_event": {"impacts": ["high"], "cap": 60},
    "hours_to_event": {"currencies": ["USD"], "cap": 40},
    "event_surprise": {"contains": "cpi", "scale": 0.01},
    "recent_high_impact": {"hours": 6},
    "adx": {"period": 4},
    "bb_squeeze": {"window": 8, "atr_period": 5},
    "keltner_band": {"window": 8, "atr_period": 5},
    "keltner_position": {"window": 8, "atr_period": 5},
    "keltner_width": {"window": 8, "atr_period": 5},
    "garch": {"alpha": 0.1, "beta": 0.8, "window": 60},
    "cvd": {"column": "taker", "window": 24},
    "taker_buy_ratio": {"column": "taker", "window": 3},
    "taker_buy_momentum": {"column": "taker", "window": 2, "periods": 4},
    "higher": {"timeframe": "4h", "calculator": "rsi", "params": {"period": 3}},
    "cross_return": {"other": "Y", "periods": 2},
    "cross_log_spread": {"other": "Y"},
    "cross_zscore": {"other": "Y", "window": 8},
    "cross_beta": {"other": "Y", "window": 8},
    "cross_correlation": {"other": "Y", "window": 8},
    "session_vwap_distance": {"longest": 24},
    "is_symbol": {"symbol": "X"},
    "token": {"values": {"X": 2.0}},
}

CLOCK = {
    "session_sin", "session_cos", "dow_sin", "dow_cos", "hour_sin", "hour_cos", "month_sin",
    "month_cos", "day_of_month_sin", "day_of_month_cos", "minutes_to_close", "is_first_bar",
    "is_last_bar", "is_symbol", "token", "series_age_hours",
}  # fmt: skip
"""Calculators of the clock and the symbol alone: no price, column or value moves them."""


def params_of(name: str) -> dict[str, Any]:
    """Parameters under which calculator ``name`` has values within :func:`world`."""
    return PARAMS.get(name, {})


def world(*, changed_after: int | None = None, seed: int = 7, bars: int = T) -> Context:
    """T hourly bars; after ``changed_after`` all prices, columns, unpublished values differ."""
    table = walk(T)
    mine = np.random.default_rng(3).standard_normal(T)
    series = {"a": _series("a", 10, 24 * HOUR), "b": _series("b", 11, 60 * HOUR)}
    releases = release_table(400)
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
        releases = changed_releases(releases, known_s, seed)
    table, mine = table.head(bars), mine[:bars]
    taker = table["volume"].to_numpy() * (0.5 + 0.4 * np.tanh(mine))
    return replace(
        context(table, series, mine=mine, taker=taker),
        releases=(releases,),
        others={"Y": _other(T if changed_after is None else changed_after, seed)},
    )


def _other(changed_after: int, seed: int) -> Context:
    """All bars of another symbol, some missing, whose prices after ``changed_after`` differ."""
    rows = np.arange(T)
    late = pl.Series(rows > changed_after)
    one, two = walk(T, seed=41, symbol="Y"), walk(T, seed=seed + 2, symbol="Y")
    names = ("open", "high", "low", "close", "volume")
    table = one.with_columns(pl.when(late).then(two[k]).otherwise(one[k]).alias(k) for k in names)
    there = (rows % 17 != 3) & ~((rows >= 200) & (rows < 206))
    return replace(context(table.filter(pl.Series(there))), symbol="Y")


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
