"""Multipliers by hour of the week, fitted on train bars.

An hour's multiplier is the average of its train bars over the average of all train bars: of the
volume for liquidity; for spread of (ask - close) / close where the bars have an ask, else of their
range (high - low) / close, which stands in for it. Nothing but train bars is looked at.
"""

from __future__ import annotations

from math import fsum

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.seasonality import SeasonalityConfig
from truefill.core.errors import DataError
from truefill.data.events import symbol_spans
from truefill.data.seasonality_file import HOURS, Lists, hour_name

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

WHERE = "data.seasonality"


def fit_lists(
    config: SeasonalityConfig, kind: str, bars: pl.DataFrame, hours: Ints, train: Bools
) -> tuple[Lists, int]:
    """The lists of one kind, not yet clamped, and the fewest train bars of any hour that has some.

    Args:
        hours: of the week, of each bar [n].
        train: [n] bool, the bars that may be looked at.

    Raises:
        DataError: ``few_samples``, ``nothing_to_fit``, ``missing_columns``, ``missing_values``.
    """
    values = _values(config, kind, bars)
    groups: dict[str | None, list[slice]] = {}
    for symbol, (first, end) in symbol_spans(bars).items():
        groups.setdefault(None if config.pooled else symbol, []).append(slice(first, end))
    lists: dict[str | None, Floats] = {}
    least = []
    for key, spans in groups.items():
        seen = [rows for rows in spans if train[rows].any()] or spans[:1]
        parts = [_relative(values[rows][train[rows]], kind, bars, rows) for rows in seen]
        when = np.concatenate([hours[rows][train[rows]] for rows in seen])
        counts = np.bincount(when, minlength=HOURS)
        _require_samples(counts, config.min_samples, key)
        least.append(int(counts[counts > 0].min()))
        lists[key] = _averages(np.concatenate(parts), when, counts)
    return lists, min(least)


def source_of(config: SeasonalityConfig, kind: str) -> str:
    if kind == "liquidity":
        return "volume"
    return f"{config.ask} - close" if config.ask else "range of the bars"


def _values(config: SeasonalityConfig, kind: str, bars: pl.DataFrame) -> Floats:
    """What is averaged, f64[n]."""
    column = {name: bars[name].to_numpy().astype(np.float64) for name in bars.columns
              if name in ("high", "low", "close", "volume", config.ask)}  # fmt: skip
    if kind == "liquidity":
        return column["volume"]
    if config.ask is None:
        return np.asarray((column["high"] - column["low"]) / column["close"])
    if config.ask not in column:
        raise DataError(
            "missing_columns",
            f"the bars have no column {config.ask!r}",
            where=f"{WHERE}.ask",
            do="map it under columns: of data.bars, or leave ask out",
        )
    spread = np.asarray((column[config.ask] - column["close"]) / column["close"])
    if np.isnan(spread).any():
        raise DataError("missing_values", f"{config.ask!r} is empty on some bars",
                        where=f"{WHERE}.ask", do="leave ask out, or fill the column")  # fmt: skip
    return spread


def _relative(values: Floats, kind: str, bars: pl.DataFrame, rows: slice) -> Floats:
    """One symbol's train values over their average."""
    average = fsum(values) / len(values) if len(values) else 0.0
    if not average > 0.0:
        symbol = bars["symbol"][rows.start]
        raise DataError(
            "nothing_to_fit",
            f"the {'volume' if kind == 'liquidity' else 'spread'} of {symbol} is "
            f"{average:g} on average over {len(values):,} train bars",
            where=f"{WHERE}.fit",
            do=f"leave {kind} out, or read it from a file (path, sha256)",
        )
    return values / average


def _averages(values: Floats, hours: Ints, counts: npt.NDArray[np.int64]) -> Floats:
    """f64[168]: average of each hour over the average of all; NaN where no bar is."""
    sums = np.bincount(hours, weights=values, minlength=HOURS)
    whole = fsum(sums) / len(values)
    seen = np.where(counts > 0, counts, 1)
    return np.where(counts > 0, sums / seen / whole, np.nan)


def _require_samples(counts: npt.NDArray[np.int64], least: int, symbol: str | None) -> None:
    few = np.flatnonzero((counts > 0) & (counts < least))
    if len(few):
        hour = int(few[0])
        whose = f" of {symbol}" if symbol else ""
        others = f" (and {len(few) - 1} more hours)" if len(few) > 1 else ""
        raise DataError(
            "few_samples",
            f"{counts[hour]} train bars{whose} on {hour_name(hour)}, fewer than {least}{others}",
            where=f"{WHERE}.min_samples",
            do="widen data.splits.train, lower min_samples, or pool the symbols",
        )
