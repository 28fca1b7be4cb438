"""Bars made to measure, and indicators by name, for the tests of indicators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from data_cases import HOUR, START_S, context
from truefill.features.base import Context, Floats
from truefill.features.registry import CALCULATORS

Prices = Sequence[float] | np.ndarray


def bars_of(
    close: Prices,
    *,
    high: Prices | None = None,
    low: Prices | None = None,
    open: Prices | None = None,
    volume: Prices | None = None,
    **extra: np.ndarray,
) -> Context:
    """Hourly bars of these prices from 2020-01-01 on; close-only, volume 1 unless given."""
    n = len(close)
    values = {"open": open, "high": high, "low": low, "close": close}
    stamps = pl.Series((START_S + HOUR * np.arange(n)) * 1_000_000)
    table = pl.DataFrame(
        {
            "timestamp": stamps.cast(pl.Datetime("us", "UTC")),
            "symbol": ["X"] * n,
            **{k: np.asarray(close if v is None else v, float) for k, v in values.items()},
            "volume": np.ones(n) if volume is None else np.asarray(volume, float),
        }
    )
    return context(table, **extra)


def indicator(name: str, bars: Context, **params: Any) -> Floats:
    """Calculator ``name`` over these bars."""
    entry = CALCULATORS.get(name)
    return entry.make(entry.params(**params), bars)
