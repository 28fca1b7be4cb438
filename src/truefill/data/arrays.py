"""Columns of a split's long table on the time axis that all its symbols share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.data.market_columns import WHERE_MASKED

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def last_known(present: Bools) -> tuple[npt.NDArray[np.int64], Bools]:
    """For one symbol (``present`` [T]): the row, among its own bars, of the last one at or before
    each bar, and where there is none yet (row 0 then)."""
    newest = np.cumsum(present) - 1
    return np.maximum(newest, 0), newest < 0


def on_bars(
    column: pl.Series,
    table: pl.DataFrame,
    symbols: Sequence[str],
    present: Bools,
    masked: float,
) -> npt.NDArray[Any]:
    """A column of the long table, [T, S] (finer bars: [T, S, K]), ``masked`` where no bar is."""
    values = column.to_numpy()
    out = np.full((*present.shape, *values.shape[1:]), masked, values.dtype)
    names = table["symbol"]
    for s, symbol in enumerate(symbols):
        out[present[:, s], s] = values[(names == symbol).to_numpy()]
    return out


def market_arrays(
    table: pl.DataFrame, columns: Sequence[str], symbols: Sequence[str], present: Bools
) -> dict[str, Floats]:
    """The market's optional columns; rates are carried over masked bars."""
    out = {key: on_bars(table[key], table, symbols, present, WHERE_MASKED[key]) for key in columns}
    if "rate_close" not in out:
        return out
    opens, closes = out["rate_open"].copy(), out["rate_close"].copy()
    for s in np.flatnonzero(present.any(axis=0)):
        at, masked = np.flatnonzero(present[:, s]), ~present[:, s]
        known, before = last_known(present[:, s])
        carried = np.where(before, opens[at[0], s], closes[at[known], s])
        for key in ("rate_open", "rate_close"):
            out[key][masked, s] = carried[masked]
    return out
