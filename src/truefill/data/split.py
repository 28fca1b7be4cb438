"""One split as arrays: the form in which market, environment and agents take it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.data.describe import periods_per_year
from truefill.data.sessions import Session, clock_columns

Floats = npt.NDArray[np.float64]
NEVER_TRADED = 1.0
"""Price of a symbol that has no bar in the whole split; it is masked throughout."""


@dataclass(frozen=True)
class SplitArrays:
    """T bars on the union time axis, S symbols, F features.

    timestamps_s i64[T]: bar starts, unix seconds. open, high, low, close, volume, atr f64[T, S].
    present bool[T, S]: False = masked, the symbol has no bar; its prices there are the last known
    close (before its first bar: its first open), its volume 0, its features and ATR the last known
    (before: 0). atr: Wilder's, as of the bar's close; zeros where ``market.atr_stops`` is off.
    features f32[T, S, F]: normalized. clock f32[T, 4]: hour_sin, hour_cos, dow_sin, dow_cos.
    periods_per_year: bars / elapsed years, from the timestamps.
    """

    name: str
    symbols: tuple[str, ...]
    timestamps_s: npt.NDArray[np.int64]
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    present: npt.NDArray[np.bool_]
    atr: Floats
    features: npt.NDArray[np.float32]
    feature_names: tuple[str, ...]
    clock: npt.NDArray[np.float32]
    interval_s: float
    periods_per_year: float

    def __len__(self) -> int:
        return len(self.timestamps_s)


def to_arrays(
    name: str,
    table: pl.DataFrame,
    *,
    symbols: Sequence[str],
    feature_names: Sequence[str],
    session: Session,
    interval_s: float,
) -> SplitArrays:
    """A long table (a split of ``BuiltDataset.tables``) -> arrays. Same table, same bits."""
    axis = table["timestamp"].unique().sort()
    seconds = axis.dt.epoch("s").to_numpy().astype(np.int64)
    T, S, F = len(axis), len(symbols), len(feature_names)
    present = np.zeros((T, S), bool)
    prices = {key: np.full((T, S), NEVER_TRADED) for key in ("open", "high", "low", "close")}
    others = {key: np.zeros((T, S)) for key in ("volume", "atr")}
    features = np.zeros((T, S, F), np.float32)
    for s, symbol in enumerate(symbols):
        part = table.filter(pl.col("symbol") == symbol)
        if not part.height:
            continue
        at = np.searchsorted(seconds, part["timestamp"].dt.epoch("s").to_numpy())
        present[at, s] = True
        last = np.cumsum(present[:, s]) - 1  # row of the last bar so far, -1 before the first
        known = np.maximum(last, 0)
        before, masked = last < 0, ~present[:, s]
        close = part["close"].to_numpy()[known]
        for key, values in prices.items():
            own = part[key].to_numpy()[known]
            values[:, s] = np.where(masked, np.where(before, part["open"][0], close), own)
        others["volume"][:, s] = np.where(masked, 0.0, part["volume"].to_numpy()[known])
        others["atr"][:, s] = np.where(before, 0.0, part["atr"].to_numpy()[known])
        own_features = part.select(feature_names).to_numpy().astype(np.float32)
        features[:, s] = np.where(before[:, None], np.float32(0.0), own_features[known])
    return SplitArrays(
        name=name,
        symbols=tuple(symbols),
        timestamps_s=seconds,
        **prices,
        **others,
        present=present,
        features=features,
        feature_names=tuple(feature_names),
        clock=clock_columns(session, seconds),
        interval_s=interval_s,
        periods_per_year=periods_per_year(axis, interval_s),
    )
