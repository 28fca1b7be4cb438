"""Calculators over whole histories, symbol by symbol: raw values, and which rows lack one.

Each history is worked through in portions, the features of a portion by all threads, and what
several of them need is computed once; nothing of that changes a bit.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.core.errors import DataError
from truefill.data.join import Series
from truefill.data.releases import Releases
from truefill.data.sessions import Session, session_time
from truefill.features.base import PER_BAR, Context, Floats
from truefill.features.blame import blamed, repair
from truefill.features.contract import FeatureSpec
from truefill.features.portions import Column, portions
from truefill.features.registry import CALCULATORS
from truefill.features.shared import Steps, sharing

_BARS = ("timestamp", "symbol", "open", "high", "low", "close", "volume")
_MOST_THREADS = 8
_BLOCK = 1 << 16
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
    fraction, weekday = np.empty(len(seconds)), np.empty(len(seconds), np.int64)
    for at in range(0, len(seconds), _BLOCK):  # temporaries stay small
        when = session_time(session, seconds[at : at + _BLOCK])
        fraction[at : at + _BLOCK], weekday[at : at + _BLOCK] = when.fraction, when.weekday
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
        session_fraction=fraction,
        weekday=weekday,
        days_per_week=session.days_per_week,
        session=session,
        series=series,
        extra={name: values for name, values in column.items() if name not in _BARS},
        **outside,
    )


def calculate(spec: FeatureSpec, context: Context) -> Floats:
    """Raw f64[T] of one feature; its NaNs are exactly the declared warm-up, unless the calculator
    is irregular.

    Raises ``DataError`` (``null_feature``) for any other NaN, and for an infinity.
    """
    values = np.empty(len(context))
    column = _column(spec, context, values)
    for at, bars in portions(context):
        _write(spec, column, at, bars)
    return values


def _column(spec: FeatureSpec, context: Context, out: Floats) -> Column:
    entry = CALCULATORS.get(spec.calculator)
    with blamed(entry, spec.name):
        return Column(entry, entry.params(**spec.params), context, out, spec.name)


def _write(spec: FeatureSpec | None, column: Column, at: int, bars: Context) -> None:
    """One portion of a column; without a ``spec`` its values are not looked at."""
    with np.errstate(all="ignore"), blamed(column.entry, column.feature):
        values = column.write(at, bars)  # what is not finite is told below, with its place
    if spec is not None:
        require_values(spec, bars, values, seen=at)


def require_values(spec: FeatureSpec, bars: Context, values: Floats, *, seen: int = 0) -> None:
    """Rule ``null_feature`` for ``values`` of ``bars`` that no warm-up excuses; ``seen``: bars of
    the history before them."""
    fine = np.isfinite(values)
    entry = CALCULATORS.get(spec.calculator)
    if entry.facts["irregular"]:
        if not fine.all():
            fine |= np.isnan(values)
    else:
        early = min(max(spec.warmup_bars - seen, 0), len(values))
        fine[:early] = np.isnan(values[:early])
    if not fine.all():
        first = int(np.argmin(fine))
        moment = np.datetime64(int(bars.timestamps_s[first]), "s")
        raise DataError(
            "null_feature",
            f"{spec.name} is {values[first]} at {bars.symbol} {moment}, "
            f"bar {seen + first + 1} of its history (warm-up {spec.warmup_bars} bars)",
            where=f"features.{spec.name}",
            do=repair(entry),
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
    warming = np.zeros(bars.height, np.bool_)
    beside: list[tuple[str, dict[str, Any], Floats]] = [("log_return", {"periods": 1}, raw_return)]
    if atr_period is not None:
        beside.append(("atr", {"period": atr_period, "relative": False}, ranges))
    contexts = contexts_of(bars, session, interval_s, series, releases=releases)
    histories: list[list[_Job]] = []
    start = 0
    for context in contexts:
        rows = slice(start, start + len(context))
        jobs: list[_Job] = [
            (spec, _column(spec, context, values[rows, i])) for i, spec in enumerate(specs)
        ]
        for name, params, out in beside:  # told above, as far as a feature reads the price
            entry, parsed = CALCULATORS.get(name), CALCULATORS.parse(name, params)
            jobs.append((None, Column(entry, parsed, context, out[rows])))
        histories.append(jobs)
        start = rows.stop
    _write_all(histories, threads or _threads())
    start = 0
    for jobs, context in zip(histories, contexts, strict=True):
        warm = min(max(column.first for _, column in jobs), len(context))
        warming[start : start + warm] = True
        start += len(context)
    table = bars.select(_BARS).with_columns(
        pl.Series("atr", ranges), pl.Series("raw_log_return", raw_return)
    )
    return RawFeatures(table, values, warming)


_Job = tuple[FeatureSpec | None, Column]
"""A column of one symbol's history; without a spec its values are not looked at."""


def _write_all(histories: Sequence[Sequence[_Job]], threads: int) -> None:
    """Every column of every history, portion after portion, by all threads; raises the error of the
    first portion that has one."""
    waiting: list[Future[None]] = []
    with ThreadPoolExecutor(threads) as pool:
        for jobs in histories:
            before: list[Future[None] | None] = [None] * len(jobs)
            for at, part in portions(jobs[0][1].bars):
                columns = [getattr(part, name) for name in PER_BAR]
                steps = Steps([part, *columns, *part.extra.values()])
                before = [
                    pool.submit(_write_sharing, earlier, steps, at, part, *job)
                    for earlier, job in zip(before, jobs, strict=True)
                ]
                waiting += [future for future in before if future]
        try:
            for future in waiting:
                future.result()
        except BaseException:  # Ctrl-C too: start nothing more, then let it pass
            pool.shutdown(cancel_futures=True)
            raise


def _write_sharing(
    earlier: Future[None] | None, steps: Steps, at: int, bars: Context, *job: Any
) -> None:
    """One portion of one column, once the portion before it is written."""
    if earlier is not None:
        earlier.result()
    spec, column = job
    with sharing(steps):
        _write(spec, column, at, bars)


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
