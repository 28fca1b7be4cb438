"""Calculators over whole histories, symbol by symbol: raw values, and which rows lack one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.core.errors import DataError
from truefill.data.join import Series
from truefill.data.sessions import Session, session_time
from truefill.features.base import Context, Floats
from truefill.features.contract import FeatureSpec
from truefill.features.price import LogReturnParams, log_return
from truefill.features.registry import CALCULATORS
from truefill.features.volatility import AtrParams, atr

_BARS = ("timestamp", "symbol", "open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class RawFeatures:
    """``table``: bars (sorted by symbol, time) with ``atr`` and ``raw_log_return`` (NaN in
    warm-up).

    ``values`` f64[n, F]: raw features of its rows, NaN where there is none.
    ``warming`` [n] bool: rows before every feature of the symbol has had its first value.
    """

    table: pl.DataFrame
    values: Floats
    warming: npt.NDArray[np.bool_]


def context_of(
    table: pl.DataFrame, session: Session, interval_s: float, series: Mapping[str, Series]
) -> Context:
    """The context of one symbol's bars (sorted by time)."""
    seconds = table["timestamp"].dt.epoch("s").to_numpy().astype(np.int64)
    when = session_time(session, seconds)
    column = {name: table[name].to_numpy().astype(np.float64) for name in table.columns[2:]}
    return Context(
        symbol=str(table["symbol"][0]),
        timestamps_s=seconds,
        interval_s=interval_s,
        open=column["open"],
        high=column["high"],
        low=column["low"],
        close=column["close"],
        volume=column["volume"],
        session_fraction=when.fraction,
        weekday=when.weekday,
        days_per_week=session.days_per_week,
        series=series,
        extra={name: values for name, values in column.items() if name not in _BARS},
    )


def calculate(spec: FeatureSpec, context: Context) -> Floats:
    """Raw f64[T] of one feature; its NaNs are exactly the declared warm-up, or those of a slow
    series.

    Raises ``DataError`` (``null_feature``) for any other NaN, and for an infinity.
    """
    entry = CALCULATORS.get(spec.calculator)
    values = entry.make(entry.params(**spec.params), context)
    expected = np.arange(len(context)) < spec.warmup_bars
    empty = np.isnan(values)
    wrong = np.isinf(values)
    if spec.values_needed is None:
        wrong |= empty != expected
    if wrong.any():
        at = int(np.argmax(wrong))
        moment = np.datetime64(int(context.timestamps_s[at]), "s")
        raise DataError(
            "null_feature",
            f"{spec.name} is {values[at]} at {context.symbol} {moment}, "
            f"bar {at + 1} of its history (warm-up {spec.warmup_bars} bars)",
            where=f"features.{spec.name}",
            do="repair the column it reads",
        )
    return values


def compute(
    bars: pl.DataFrame,
    specs: Sequence[FeatureSpec],
    *,
    session: Session,
    interval_s: float,
    series: Mapping[str, Series],
    atr_period: int | None,
) -> RawFeatures:
    """Every feature over each symbol's whole history; nothing is dropped, fitted or filled."""
    tables, values, warming = [], [], []
    for part in bars.partition_by("symbol", maintain_order=True):
        context = context_of(part, session, interval_s, series)
        columns = [calculate(spec, context) for spec in specs]
        raw_return = log_return(LogReturnParams(periods=1), context)
        ranges = np.zeros(len(context))
        if atr_period is not None:
            ranges = atr(AtrParams(period=atr_period, relative=False), context)
        starts = [_first_value(column) for column in (*columns, raw_return, ranges)]
        warming.append(np.arange(len(context)) < max(starts))
        values.append(np.stack(columns, axis=1))
        tables.append(
            part.select(_BARS).with_columns(
                pl.Series("atr", ranges), pl.Series("raw_log_return", raw_return)
            )
        )
    return RawFeatures(pl.concat(tables), np.concatenate(values), np.concatenate(warming))


def _first_value(column: Floats) -> int:
    """Index of the first value; the length where there is none."""
    known = ~np.isnan(column)
    return int(np.argmax(known)) if known.any() else len(column)
