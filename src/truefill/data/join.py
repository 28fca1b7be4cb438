"""Slow series joined as of the moment each value became available.

``available_at`` = value date + publication lag, or its release (:mod:`truefill.data.publication`).
A bar may use a value only when ``available_at`` is not after the bar's CLOSE, since decisions are
made at the close. A backward join on the value date alone would show a day's close to that day's
own bars: a leak.

Values need not come out in the order of their dates. What counts is the newest value DATE among
those published; a figure made of several values is made of those published by then.

Empty values of the source are skipped, not carried as empty. Rolling statistics run over a series'
own values, before the join: a window of 252 is 252 published values, whatever the bars' interval,
and a value is not counted again on days without one.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.schema import SeriesFile
from truefill.core.errors import ConfigError, did_you_mean
from truefill.data.defects import Findings
from truefill.data.publication import (
    AVAILABLE,
    available_at,
    require_after_value_date,
    rule_facts,
)
from truefill.data.read import InputFile, read_series_columns

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Series:
    """``value_date_s`` i64[N], ascending; ``available_at_s`` i64[N], in any order; ``values``
    f64[N], finite. ``published``: the rule behind ``available_at_s``, as lineage keeps it; without
    one it is the lag. ``file``: where the values come from."""

    name: str
    value_date_s: Ints
    available_at_s: Ints
    values: Floats
    max_staleness_s: float
    publication_lag_s: float = 0.0
    published: Mapping[str, Any] = field(default_factory=dict)
    file: str = ""

    @property
    def rule(self) -> dict[str, Any]:
        """When a value is known, and for how long it counts: part of the feature contract."""
        known = dict(self.published) or {"publication_lag_s": self.publication_lag_s}
        return {**known, "max_staleness_s": self.max_staleness_s}

    @property
    def in_order(self) -> bool:
        """Whether values come out in the order of their dates, as they nearly always do."""
        return bool((self.available_at_s[1:] >= self.available_at_s[:-1]).all())

    def newest(self, at_s: Ints) -> Ints:
        """i64[T]: index of the newest value date published at ``at_s``; -1 before the first one."""
        order = np.argsort(self.available_at_s, kind="stable")
        best = np.maximum.accumulate(np.append(-1, order))
        return best[np.searchsorted(self.available_at_s[order], at_s, side="right")]

    def as_of(self, derived: Floats, at_s: Ints) -> Floats:
        """f64[T]: the ``derived`` value (f64[N], each made of the value of its date alone) of the
        newest date known at ``at_s``.

        NaN before the first one, and where it is older than ``max_staleness_s``.
        """
        if not len(derived):
            return np.full(len(at_s), np.nan)
        index = self.newest(at_s)
        return np.where(self._fresh(index, at_s), derived[np.maximum(index, 0)], np.nan)

    def rolled(self, roll: Callable[[Floats], Floats], span: int, at_s: Ints) -> Floats:
        """f64[T]: the last of ``roll`` (f64[n] -> f64[n], each made of the last ``span`` values) of
        the values known at ``at_s``, in the order of their dates; NaN as in :meth:`as_of`."""
        if self.in_order:
            return self.as_of(roll(self.values), at_s)
        order = np.argsort(self.available_at_s, kind="stable")
        after = np.append(np.nan, self._after_each(roll, span, order))
        published = np.searchsorted(self.available_at_s[order], at_s, side="right")
        return np.where(self._fresh(self.newest(at_s), at_s), after[published], np.nan)

    def _after_each(self, roll: Callable[[Floats], Floats], span: int, order: Ints) -> Floats:
        """f64[N]: the last of ``roll`` after each publication, in ``order``."""
        whole = roll(self.values)
        known: list[int] = []
        out = np.empty(len(order))
        for k, new in enumerate(order.tolist()):
            insort(known, new)
            tail = known[-span:]
            reaches = len(tail) == span or tail[0] == 0
            unbroken = reaches and tail[-1] - tail[0] == len(tail) - 1
            out[k] = whole[tail[-1]] if unbroken else roll(self.values[tail])[-1]
        return out

    def _fresh(self, index: Ints, at_s: Ints) -> npt.NDArray[np.bool_]:
        age = at_s - self.available_at_s[np.maximum(index, 0)]
        return (index >= 0) & (age <= self.max_staleness_s)


def pair(a: Series, b: Series) -> tuple[Series, Floats, Floats]:
    """Both series on the value dates they share, available once both are.

    Returns a series that carries the dates (its values are a - b), and the two values f64[M].
    """
    dates, at_a, at_b = np.intersect1d(a.value_date_s, b.value_date_s, return_indices=True)
    first, second = a.values[at_a], b.values[at_b]
    available = np.maximum(a.available_at_s[at_a], b.available_at_s[at_b])
    staleness = min(a.max_staleness_s, b.max_staleness_s)
    joint = Series(f"{a.name} - {b.name}", dates, available, first - second, staleness)
    return joint, first, second


def read_series(
    sources: Iterable[SeriesFile], found: Findings | None = None
) -> tuple[dict[str, Series], list[InputFile]]:
    """Every configured slow series by name, and the files they came from; defects are noted in
    ``found``, or raised where it is not given."""
    series: dict[str, Series] = {}
    files: list[InputFile] = []
    for source in sources:
        _require_own_names(source)
        table, file = read_series_columns(source, found)
        files.append(file)
        for name in source.columns.values():
            series[name] = _series_of(source, table, name, file.name)
    return series, files


def _require_own_names(source: SeriesFile) -> None:
    names = list(source.columns.values())
    for key in ("publication_lag_by_column", "release_by_column"):
        for name in getattr(source, key):
            if name not in names:
                raise ConfigError(
                    f"{key} names {name!r}, which is no series of this file",
                    where=source.path.name,
                    do=did_you_mean(name, names),
                )


def _series_of(source: SeriesFile, table: pl.DataFrame, name: str, file: str) -> Series:
    kept = table.drop_nulls(name)
    rule = source.rule_of(name)
    if rule is not None:
        known = available_at(rule, kept["timestamp"], source.timezone)
        kept = kept.with_columns(known.alias(AVAILABLE))
    require_after_value_date(kept, source, name, file)
    return Series(
        name,
        _seconds(kept["timestamp"]),
        _seconds(kept[AVAILABLE]),
        kept[name].to_numpy().astype(np.float64),
        source.max_staleness,
        rule if isinstance(rule, float) else 0.0,
        rule_facts(rule, source.available_at),
        file,
    )


def _seconds(moments: pl.Series) -> Ints:
    """Unix seconds, a part of one counted as a whole: nothing is known earlier than it is."""
    return -(-moments.dt.epoch("us").to_numpy().astype(np.int64) // 1_000_000)


def find_series(series: Mapping[str, Series], name: str, *, where: str) -> Series:
    """The series called ``name``; ``ConfigError`` with the nearest name when there is none."""
    if name not in series:
        raise ConfigError(
            f"no series is called {name!r} (data.series)",
            where=where,
            do=did_you_mean(name, series),
        )
    return series[name]
