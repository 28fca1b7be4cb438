"""Economic calendars: scheduled events, known ahead, and their figures, known after them.

Of an event nothing is known earlier than ``known_ahead_s`` before it. From then on its time, name,
currency and expected impact are; actual, forecast and previous figures only ``actual_lag_s`` after
it: what a file holds as the forecast was collected with the figure. Several events at one moment,
and ids that repeat where an event was moved, are legal.

A figure is text with a unit: see :func:`to_number`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.sources import ReleasesFile
from truefill.data.defects import ROW, first_row, more, refuse
from truefill.data.read import InputFile, read_release_rows

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

IMPACTS = {"high": 3, "medium": 2, "low": 1, "none": 0}
"""Levels of impact by name; ``none`` stands for what is listed without one."""
_WORDS = {**IMPACTS, "non-economic": 0, "holiday": 0, "": 0}
FIGURES = ("actual", "forecast", "previous")
_UNITS = {"%": 0.01, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "": 1.0}
_NUMBER = r"^([+-]?\d+(?:\.\d+)?)([%KMBT]?)$"


@dataclass(frozen=True)
class Releases:
    """One calendar: N events by time (then row). ``time_s`` i64[N]; ``impact`` i64[N], 0 to 3;
    ``name``, ``currency`` str[N]; ``actual``, ``forecast``, ``previous`` f64[N], NaN where none is
    given. ``unread``: figures by column that are no number, by their row's ``time_s``."""

    file: str
    time_s: Ints
    impact: Ints
    name: npt.NDArray[np.str_]
    currency: npt.NDArray[np.str_]
    actual: Floats
    forecast: Floats
    previous: Floats
    known_ahead_s: float
    actual_lag_s: float
    max_gap_s: float
    unread: Mapping[str, Ints] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.time_s)

    @property
    def rule(self) -> dict[str, float]:
        """When what is known: part of the feature contract."""
        return {
            "known_ahead_s": self.known_ahead_s,
            "actual_lag_s": self.actual_lag_s,
            "max_gap_s": self.max_gap_s,
        }

    def covers(self, at_s: Ints) -> Bools:
        """bool[T]: an event is past, and between the last one and the next one known then lie
        ``max_gap_s`` at most. Elsewhere the calendar is silent because it has a hole, or ended."""
        if not len(self):
            return np.zeros(len(at_s), np.bool_)
        n = np.searchsorted(self.time_s, at_s, side="right")
        horizon = at_s + self.known_ahead_s
        following = self.time_s[np.minimum(n, len(self) - 1)]
        known = np.where((n < len(self)) & (following <= horizon), following, horizon)
        gap = known - self.time_s[np.maximum(n - 1, 0)]
        return (n > 0) & (gap <= self.max_gap_s)

    def holes(self, before_s: float) -> list[tuple[int, int]]:
        """Moments of the events around each hole longer than ``max_gap_s``, of those before
        ``before_s``."""
        known = self.time_s[self.time_s < before_s]
        at = np.flatnonzero(np.diff(known) > self.max_gap_s)
        return [(int(known[i]), int(known[i + 1])) for i in at]


def read_releases(
    sources: Iterable[ReleasesFile],
) -> tuple[tuple[Releases, ...], list[InputFile]]:
    """Every configured calendar, and the files they came from.

    Raises ``DataError``: ``unknown_impact`` for an impact whose first word is none of ours, and
    what other files raise for columns and stamps.
    """
    found = [_read(source) for source in sources]
    return tuple(calendar for calendar, _ in found), [file for _, file in found]


def _read(source: ReleasesFile) -> tuple[Releases, InputFile]:
    table, file = read_release_rows(source)
    table = table.sort("timestamp", ROW)
    table = table.with_columns(impact=_levels(table, source, file.name))
    figures = {name: to_number(table[name]) for name in FIGURES}
    moments = _whole_seconds(table["timestamp"])
    unread = {
        name: moments[((table[name].str.strip_chars() != "") & values.is_null()).to_numpy()]
        for name, values in figures.items()
    }
    calendar = Releases(
        file=file.name,
        time_s=moments,
        impact=table["impact"].to_numpy().astype(np.int64),
        name=np.array(table["name"].to_list(), np.str_),
        currency=np.array(table["currency"].to_list(), np.str_),
        **{k: v.fill_null(float("nan")).to_numpy() for k, v in figures.items()},
        known_ahead_s=source.known_ahead,
        actual_lag_s=source.actual_lag,
        max_gap_s=source.max_gap,
        unread=unread,
    )
    return calendar, file


def _levels(table: pl.DataFrame, source: ReleasesFile, file: str) -> pl.Series:
    """i64: the level of each event's impact, by its first word."""
    if source.impact is None:
        return pl.repeat(IMPACTS["high"], table.height, dtype=pl.Int64, eager=True)
    word = table["impact"].str.strip_chars().str.to_lowercase().str.split(" ").list.first()
    levels = word.fill_null("").replace_strict(_WORDS, default=None, return_dtype=pl.Int64)
    row, count = first_row(table, levels.is_null())
    if count:
        refuse(
            "unknown_impact",
            f"{row['impact']!r} does not begin with one of {', '.join(filter(None, _WORDS))}"
            f"{more(count)}",
            file=file,
            row=int(str(row[ROW])),
            column=source.impact,
            do="correct the column, or set impact: null",
        )
    return levels


def _whole_seconds(moments: pl.Series) -> Ints:
    """Unix seconds, a part of one counted as a whole: nothing is known earlier than it is."""
    return -(-moments.dt.epoch("us").to_numpy().astype(np.int64) // 1_000_000)


def to_number(text: pl.Series) -> pl.Series:
    """f64: ``-0.2%`` is -0.002, ``1.5K`` 1,500, ``12.3B`` 12.3e9 (also M, T); of ``0.14|1.2`` (an
    auction's yield and cover) the first. Null for all else, e.g. ``<0.10%`` or ``9-0-0``."""
    first = text.str.strip_chars().str.replace(r"\|.*$", "")
    parts = first.to_frame("t").select(
        number=pl.col("t").str.extract(_NUMBER, 1).cast(pl.Float64),
        unit=pl.col("t").str.extract(_NUMBER, 2).replace_strict(_UNITS, default=None),
    )
    return parts.select(pl.col("number") * pl.col("unit")).to_series()
