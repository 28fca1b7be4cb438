"""When each value of a slow series was published: a lag, a release time, or the file's own column.

``available_at`` is never before the value date. A release is a wall-clock time in its own timezone:
08:30 in New York is 13:30 UTC in winter and 12:30 in summer. A time that a clock change skips is
taken an hour later; one that happens twice is taken the second time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.sources import Release, SeriesFile
from truefill.data.defects import ROW, first_row, more, refuse

Ints = npt.NDArray[np.int64]
Rule = float | Release | None
"""Publication lag in seconds, a release, or null: a column of the file says it."""

AVAILABLE = "__available_at__"
"""Column of a series' table: the moments of ``available_at:``, UTC."""


def available_at(rule: Rule, dates: pl.Series, timezone: str) -> pl.Series:
    """datetime[us, UTC]: when the values of these value dates (UTC) are known.

    ``timezone``: of the file; it says which calendar day a value date is.
    """
    if not isinstance(rule, Release):
        return dates + timedelta(seconds=round(rule or 0.0))
    local = dates.dt.convert_time_zone(timezone).dt.date()
    day = _release_day(rule, local)
    clock = timedelta(hours=rule.time.hour, minutes=rule.time.minute)
    return _localized(day.cast(pl.Datetime("us")) + clock, rule.timezone)


def _release_day(rule: Release, local: pl.Series) -> pl.Series:
    if rule.days is not None:
        return local.dt.offset_by(f"{rule.days}d")
    if rule.business_days is not None:
        days = local.to_numpy().astype("datetime64[D]")
        return pl.Series(np.busday_offset(days, rule.business_days, roll="backward"))
    first = local.dt.month_start().dt.offset_by(f"{rule.months}mo")
    wanted = first.dt.offset_by(f"{(rule.day or 1) - 1}d")
    last = first.dt.month_end()
    return wanted.set(wanted > last, None).fill_null(last)


def _localized(wall: pl.Series, timezone: str) -> pl.Series:
    found = wall.dt.replace_time_zone(timezone, ambiguous="latest", non_existent="null")
    later = (wall + timedelta(hours=1)).dt.replace_time_zone(
        timezone, ambiguous="latest", non_existent="null"
    )
    return found.fill_null(later).dt.convert_time_zone("UTC")


def require_after_value_date(table: pl.DataFrame, source: SeriesFile, name: str, file: str) -> None:
    """Rule ``available_before_value_date`` for a table of ``timestamp`` and ``AVAILABLE``."""
    row, count = first_row(table, pl.col(AVAILABLE) < pl.col("timestamp"))
    if count:
        refuse(
            "available_before_value_date",
            f"{name} of {row['timestamp']} would be known at {row[AVAILABLE]}{more(count)}",
            file=file,
            row=int(str(row[ROW])),
            column=source.available_at or source.timestamp,
            do="correct the release of data.series: no value is known before its own date",
        )


def rule_facts(rule: Rule, column: str | None) -> dict[str, Any]:
    """JSON-able: part of the feature contract."""
    if isinstance(rule, Release):
        found = rule.model_dump(mode="json")
        return {"release": {key: value for key, value in found.items() if value is not None}}
    return {"available_at": column} if rule is None else {"publication_lag_s": rule}
