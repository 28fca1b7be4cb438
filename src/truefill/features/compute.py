"""Calculators over whole histories, symbol by symbol: raw values, and which rows lack one.

Threads share the work by symbol and feature, and each works in portions; neither changes a bit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.core.errors import DataError
from truefill.data.join import Series
from truefill.data.releases import Releases
from truefill.data.sessions import Session, session_time
from truefill.features.base import Context, Floats
from truefill.features.contract import FeatureSpec
from truefill.features.portions import PORTION, fill, first_value
from truefill.features.registry import CALCULATORS

_BARS = ("timestamp", "symbol", "open", "high", "low", "close", "volume")
_MOST_THREADS = 8
_NO_SERIES: Mapping[str, Series] = {}


@dataclass(frozen=True)
class RawFeatures:
    """``table``: bars (sorted by symbol, time) with ``atr`` and ``raw_log_return`` (NaN in
    warm-up).

    ``values`` f64[n, F], column by column in memory: raw features of its rows, NaN where there is
    none.
    ``warming`` [n] bool: rows before every feature of the symbol has had its first value.
    """

    table: pl.DataFrame
    values: Floats
    warming: npt.NDArray[np.bool_]


def context_of(
    table: pl.DataFrame,
    session: Session,
    interval_s: float,
    series: Mapping[str, Series] = _NO_SERIES,
    **outside: Any,
) -> Context:
    """The context of one symbol's bars (sorted by time); ``outside``: further fields of it that do
    not come from these bars (``others``, ...)."""
    seconds = table["timestamp"].dt.epoch("s").to_numpy().astype(np.int64, copy=False)
    when = session_time(session, seconds)
    column = {
        name: table[name].to_numpy().astype(np.float64, copy=False) for name in table.columns[2:]
    }
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
        session=session,
        series=series,
        extra={name: values for name, values in column.items() if name not in _BARS},
        **outside,
    )


def calculate(spec: FeatureSpec, context: Context, out: Floats | None = None) -> Floats:
    """Raw f64[T] of one feature, written to ``out`` where that is given; its NaNs are exactly the
    declared warm-up, unless the calculator is irregular.

    Raises ``DataError`` (``null_feature``) for any other NaN, and for an infinity.
    """
    entry = CALCULATORS.get(spec.calculator)
    values = np.empty(len(context)) if out is None else out
    with np.errstate(all="ignore"):  # what is not finite is told below, with its place
        fill(entry, entry.params(**spec.params), context, values)
    for at in range(0, len(context), PORTION):
        require_values(spec, context, values[at : at + PORTION], at)
    return values


def require_values(
    spec: FeatureSpec, bars: Context, values: Floats, at: int = 0, *, seen: int = 0
) -> None:
    """Rule ``null_feature`` for ``values`` (of ``bars`` from ``at`` on) that no warm-up excuses;
    ``seen``: bars of the history before ``bars``."""
    wrong = ~np.isfinite(values)
    if CALCULATORS.get(spec.calculator).facts["irregular"]:
        wrong &= ~np.isnan(values)
    else:
        early = min(max(spec.warmup_bars - seen - at, 0), len(values))
        wrong[:early] = ~np.isnan(values[:early])
    if wrong.any():
        first = int(np.argmax(wrong))
        moment = np.datetime64(int(bars.timestamps_s[at + first]), "s")
        raise DataError(
            "null_feature",
            f"{spec.name} is {values[first]} at {bars.symbol} {moment}, "
            f"bar {seen + at + first + 1} of its history (warm-up {spec.warmup_bars} bars)",
            where=f"features.{spec.name}",
            do="repair the column it reads",
        )


def compute(
    bars: pl.DataFrame,
    specs: Sequence[FeatureSpec],
    *,
    session: Session,
    interval_s: float,
    series: Mapping[str, Series],
    atr_period: int | None,
    threads: int | None = None,
    releases: Sequence[Releases] = (),
) -> RawFeatures:
    """Every feature over each symbol's whole history; nothing is dropped, fitted or filled.

    ``bars``: sorted by symbol, time. ``threads``: one a core, eight at most, when absent.
    """
    bars = bars.rechunk()
    values = np.empty((bars.height, len(specs)), order="F")
    raw_return, ranges = np.empty(bars.height), np.zeros(bars.height)

    def work(job: tuple[Context, slice, int]) -> int:
        """One feature of one symbol; or (beyond the features) the return, or the ATR."""
        context, rows, i = job
        if i < len(specs):
            return first_value(calculate(specs[i], context, values[rows, i]))
        name, out = "log_return", raw_return[rows]
        params: dict[str, Any] = {"periods": 1}
        if i > len(specs):
            name, out = "atr", ranges[rows]
            params = {"period": atr_period, "relative": False}
        with np.errstate(all="ignore"):  # told above, as far as a feature reads the price
            fill(CALCULATORS.get(name), CALCULATORS.parse(name, params), context, out)
        return first_value(out)

    contexts = contexts_of(bars, session, interval_s, series, releases=releases)
    stops = np.cumsum([len(context) for context in contexts]).tolist()
    placed = [(c, slice(stop - len(c), stop)) for c, stop in zip(contexts, stops, strict=True)]
    columns = len(specs) + (1 if atr_period is None else 2)
    jobs = [(context, rows, i) for context, rows in placed for i in range(columns)]
    with ThreadPoolExecutor(threads or _threads()) as pool:
        starts = list(pool.map(work, jobs))
    warming = np.zeros(bars.height, np.bool_)
    for (_, rows, _), start in zip(jobs, starts, strict=True):
        warming[rows.start : min(rows.start + start, rows.stop)] = True
    table = bars.select(_BARS).with_columns(
        pl.Series("atr", ranges), pl.Series("raw_log_return", raw_return)
    )
    return RawFeatures(table, values, warming)


def _threads() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(cores or 1, _MOST_THREADS)


def contexts_of(
    bars: pl.DataFrame,
    session: Session,
    interval_s: float,
    series: Mapping[str, Series],
    **outside: Any,
) -> list[Context]:
    """What calculators are given of ``bars`` (sorted by symbol, time): a context a symbol, in their
    order, each of which knows all others."""
    counts = bars.group_by("symbol", maintain_order=True).len()["len"].to_list()
    alone = {}
    start = 0
    for count in counts:
        context = context_of(bars[start : start + count], session, interval_s, series, **outside)
        alone[context.symbol] = context
        start += count
    return [
        replace(context, others={name: c for name, c in alone.items() if name != context.symbol})
        for context in alone.values()
    ]
