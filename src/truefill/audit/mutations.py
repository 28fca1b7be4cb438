"""Ways to replace everything that becomes known after a cut: bars, slow series, whatever is read.

What is known at the cut keeps its bytes; the rest is replaced, removed, or joined by more. Every
mutation is a function of its name and the cut, so that an audit says the same twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.data.bars import AllBars
from truefill.data.inputs import Inputs
from truefill.data.read import InputFile
from truefill.data.releases import Releases

FINITE = ("random", "reversed", "frozen", "dropped", "ended", "extra")
"""random: other prices; reversed: the later values in reverse order; frozen: the last known values
over and over; dropped: half of the later rows gone; ended: all of them; extra: further rows."""
GOING = ("dropped", "ended")
NOT_FINITE = ("nan", "inf")
MUTATIONS = (*FINITE, *NOT_FINITE)
AVAILABLE = "available_at_s"
MAX_EXTRA = 40
_PRICES = ("open", "high", "low", "close")
_KEPT = (str, int, float, bool, frozenset, list, type(None))

Bools = npt.NDArray[np.bool_]
Rng = np.random.Generator


def mutate(inputs: Inputs, cut_s: int, how: str, interval_s: float) -> Inputs:
    """``inputs`` with everything that becomes known after ``cut_s`` (unix seconds) replaced.

    A bar is known at its close, a value of a slow series from its ``available_at_s`` on. Every
    field of ``inputs`` is gone through; ``TypeError`` for one whose moments cannot be told.
    """
    changed = {}
    for number, field in enumerate(fields(inputs)):
        rng = np.random.default_rng([MUTATIONS.index(how), abs(cut_s), number])
        changed[field.name] = _any(getattr(inputs, field.name), cut_s, how, interval_s, rng)
    return replace(inputs, **changed)


def _any(value: Any, cut_s: int, how: str, interval_s: float, rng: Rng) -> Any:
    if isinstance(value, AllBars):
        return replace(value, table=mutate_bars(value.table, cut_s, how, interval_s, rng))
    if isinstance(value, Mapping):
        return {k: _any(v, cut_s, how, interval_s, rng) for k, v in value.items()}
    if isinstance(value, Releases):
        return mutate_releases(value, cut_s, how, rng)
    if is_dataclass(value) and hasattr(value, AVAILABLE):
        return mutate_published(value, cut_s, how, rng)
    if isinstance(value, InputFile):
        return value
    if isinstance(value, tuple):
        return tuple(_any(v, cut_s, how, interval_s, rng) for v in value)
    if isinstance(value, _KEPT):
        return value
    raise TypeError(f"the auditor knows no moments of a {type(value).__name__} among the inputs")


def differs(one: Any, other: Any) -> bool:
    """Whether a change of inputs (or of a part of them) changed anything: where nothing follows a
    cut, or one row is reversed, it did not, and then proves nothing."""
    if isinstance(one, pl.DataFrame):
        return not bool(one.equals(other, null_equal=True))
    if isinstance(one, np.ndarray):
        return bool(one.dtype != other.dtype or one.tobytes() != other.tobytes())
    if isinstance(one, Mapping):
        return one.keys() != other.keys() or any(differs(one[k], other[k]) for k in one)
    if isinstance(one, tuple):
        return len(one) != len(other) or any(map(differs, one, other))
    if is_dataclass(one):
        return any(differs(getattr(one, f.name), getattr(other, f.name)) for f in fields(one))
    return bool(one != other)


def closes_s(table: pl.DataFrame, interval_s: float) -> npt.NDArray[np.int64]:
    """i64[n]: the moment at which each bar of a table is known whole."""
    starts = table["timestamp"].dt.epoch("s").to_numpy().astype(np.int64)
    return starts + round(interval_s)


# --------------------------------------------------------------------------- bars


def mutate_bars(
    table: pl.DataFrame, cut_s: int, how: str, interval_s: float, rng: Rng
) -> pl.DataFrame:
    """``table`` (sorted by symbol, time) with the bars that close after ``cut_s`` replaced."""
    late = closes_s(table, interval_s) > cut_s
    if how == "extra":
        return _with_more_bars(table, late, cut_s, interval_s, rng)
    if not late.any():
        return table
    if how in GOING:
        return table.filter(pl.Series(~_gone(late, how, rng)))
    names = [name for name, kind in table.schema.items() if kind.is_numeric()]
    parts = []
    for part, own in _by_symbol(table, late):
        values = {name: part[name].to_numpy().astype(np.float64) for name in names}
        parts.append(part.with_columns(_replaced(values, own, how, rng)) if own.any() else part)
    return pl.concat(parts)


def _by_symbol(table: pl.DataFrame, late: Bools) -> list[tuple[pl.DataFrame, Bools]]:
    tagged = table.with_columns(pl.Series("_late", late))
    parts = tagged.partition_by("symbol", maintain_order=True)
    return [(part.drop("_late"), part["_late"].to_numpy()) for part in parts]


def _gone(late: Bools, how: str, rng: Rng) -> Bools:
    """Rows that are removed: all late ones, or half of them (the first in any case)."""
    if how == "ended":
        return late
    gone: Bools = late & (rng.random(len(late)) < 0.5)
    gone[int(np.argmax(late))] = True
    return gone


def _replaced(
    values: Mapping[str, npt.NDArray[np.float64]], late: Bools, how: str, rng: Rng
) -> list[pl.Series]:
    """New columns of one symbol: the late values replaced, prices still in the order of a bar."""
    new = {name: _values(column, late, how, rng) for name, column in values.items()}
    if how == "random" and set(_PRICES) <= set(new):
        opens, close = new["open"], new["close"]
        wick = 1.0 + 0.01 * rng.random((2, len(close)))
        new["high"] = np.where(late, np.fmax(opens, close) * wick[0], values["high"])
        new["low"] = np.where(late, np.fmin(opens, close) / wick[1], values["low"])
    return [pl.Series(name, column) for name, column in new.items()]


def _values(
    column: npt.NDArray[np.float64], late: Bools, how: str, rng: Rng
) -> npt.NDArray[np.float64]:
    """f64[n] with the late values replaced."""
    out = column.copy()
    count = int(late.sum())
    if how == "nan":
        out[late] = np.nan
    elif how == "inf":
        out[late] = np.where(rng.random(count) < 0.5, np.inf, -np.inf)
    elif how == "reversed":
        out[late] = column[late][::-1]
    elif how == "frozen":
        known = column[~late]
        out[late] = known[-1] if len(known) else column[late][0]
    else:
        scale = np.exp(rng.normal(0.0, 0.5) + 0.2 * rng.standard_normal(count))
        size = float(np.nanmean(np.abs(column))) if np.isfinite(column).any() else 1.0
        shift = 0.1 * size * rng.standard_normal(count) * bool((column < 0.0).any())
        out[late] = rng.permutation(column[late]) * scale + shift
    return out


def _with_more_bars(
    table: pl.DataFrame, late: Bools, cut_s: int, interval_s: float, rng: Rng
) -> pl.DataFrame:
    """Up to ``MAX_EXTRA`` further bars a symbol: in the gaps after the cut, then after the end."""
    step = round(interval_s)
    parts = []
    for part, _ in _by_symbol(table, late):
        starts = part["timestamp"].dt.epoch("s").to_numpy().astype(np.int64)
        first = starts[0] + -(-(cut_s - starts[0]) // step) * step  # the first not known at the cut
        grid = np.arange(max(first, starts[0]), max(starts[-1], first) + MAX_EXTRA * step, step)
        new = np.setdiff1d(grid, starts)[:MAX_EXTRA]
        after = np.minimum(np.searchsorted(starts, new), len(starts) - 1)
        rows = part[after.tolist()]
        noise = np.exp(0.05 * rng.standard_normal(len(new)))
        columns = [
            pl.Series(name, rows[name].to_numpy() * noise)
            for name, kind in part.schema.items()
            if kind.is_float()
        ]
        stamps = pl.Series("timestamp", new * 1_000_000).cast(part.schema["timestamp"])
        parts.append(pl.concat([part, rows.with_columns(stamps, *columns)]).sort("timestamp"))
    out: pl.DataFrame = pl.concat(parts, how="vertical")
    return out


# --------------------------------------------------------------------------- published values


def mutate_published(value: Any, cut_s: int, how: str, rng: Rng) -> Any:
    """A record of arrays [N] (a slow series) whose ``available_at_s`` says when each row is known:
    rows after the cut replaced. Moments keep their order; only values move."""
    late = np.asarray(getattr(value, AVAILABLE) > cut_s)
    arrays = _arrays(value, len(late))
    return replace(value, **_rows(arrays, late, late, how, rng))


def mutate_releases(value: Releases, cut_s: int, how: str, rng: Rng) -> Releases:
    """An economic calendar: the figures of events that are out after the cut, and all of the events
    that nobody knew of at it."""
    figures = np.asarray(value.time_s + value.actual_lag_s > cut_s)
    unknown = np.asarray(value.time_s - value.known_ahead_s > cut_s)
    arrays = _arrays(value, len(value))
    new: dict[str, Any] = _rows(arrays, figures, unknown, how, rng)
    if how in ("random", "reversed") and "impact" not in new:
        new["impact"] = np.where(unknown, 3 - value.impact, value.impact)
    return replace(value, **new)


def _arrays(value: Any, count: int) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a record that have a row for each of its ``count`` moments."""
    named = {f.name: getattr(value, f.name) for f in fields(value)}
    return {k: a for k, a in named.items() if isinstance(a, np.ndarray) and len(a) == count}


def _rows(
    arrays: Mapping[str, npt.NDArray[Any]], values: Bools, rows: Bools, how: str, rng: Rng
) -> dict[str, npt.NDArray[Any]]:
    """New arrays: ``values`` says whose numbers may change, ``rows`` which may go or be joined."""
    if how == "extra":
        return _with_more_values(arrays, rows, rng)
    if how in GOING:
        if not rows.any():
            return {}
        kept = ~_gone(rows, how, rng)
        return {name: array[kept] for name, array in arrays.items()}
    if not values.any():
        return {}
    numbers = {k: a for k, a in arrays.items() if np.issubdtype(a.dtype, np.floating)}
    return {k: _values(a, values, how, rng) for k, a in numbers.items()}


def _with_more_values(
    arrays: Mapping[str, npt.NDArray[Any]], late: Bools, rng: Rng
) -> dict[str, npt.NDArray[Any]]:
    """The first late rows twice, the second a second later and with other numbers."""
    at = np.flatnonzero(late)[:MAX_EXTRA]
    out = {}
    for name, array in arrays.items():
        extra = array[at]
        if np.issubdtype(array.dtype, np.floating):
            extra = extra * np.exp(0.1 * rng.standard_normal(len(at)))
        elif name.endswith("_s"):
            extra = extra + 1
        out[name] = np.insert(array, at + 1, extra)
    return out
