"""How old what is joined was, at the bars before the test split: for lineage, check and report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from truefill.data.join import Series
from truefill.data.releases import FIGURES, IMPACTS, Releases

Ints = npt.NDArray[np.int64]
HOUR_S = 3_600.0


def joined_facts(
    series: Mapping[str, Series], releases: Sequence[Releases], closes_s: Ints
) -> dict[str, list[dict[str, Any]]]:
    """JSON-able: of every slow series and economic calendar, what the bars with these closes used
    (i64[T] ascending, before the test split), and how old that was."""
    return {
        "series": [_series(series[name], closes_s) for name in sorted(series)],
        "releases": [_releases(calendar, closes_s) for calendar in releases],
    }


def _series(series: Series, closes_s: Ints) -> dict[str, Any]:
    """``age_hours``: since publication, of the values used; ``value_age_hours``: since their value
    dates; ``unjoined`` and ``stale``: share of bars before the first value, and with too old a
    one."""
    index = series.newest(closes_s)
    known = index >= 0
    safe = np.maximum(index, 0)
    fresh = known & np.isfinite(series.as_of(series.values, closes_s))
    used = safe[fresh]
    dates = series.value_date_s[np.unique(used)]
    bars = max(len(closes_s), 1)
    return {
        "series": series.name,
        "file": series.file,
        "rule": series.rule,
        "values_used": len(dates),
        "first_used": _moment(dates[0]) if len(dates) else None,
        "last_used": _moment(dates[-1]) if len(dates) else None,
        "bars": len(closes_s),
        "unjoined": float((~known).sum()) / bars,
        "stale": float((known & ~fresh).sum()) / bars,
        "age_hours": _spread(closes_s[fresh] - series.available_at_s[used]),
        "value_age_hours": _spread(closes_s[fresh] - series.value_date_s[used]),
    }


def _releases(calendar: Releases, closes_s: Ints) -> dict[str, Any]:
    """Events up to the last close; ``age_hours``: since the last one; ``uncovered``: share of bars
    where the calendar has a hole, has not begun or has ended."""
    end = int(closes_s[-1]) if len(closes_s) else 0
    past = calendar.time_s <= end
    covered = calendar.covers(closes_s)
    last = np.searchsorted(calendar.time_s, closes_s[covered], side="right") - 1
    return {
        "file": calendar.file,
        "rule": calendar.rule,
        "events": int(past.sum()),
        "impacts": {k: int((past & (calendar.impact == v)).sum()) for k, v in IMPACTS.items()},
        "without_number": {
            name: int((calendar.unread[name] <= end).sum())
            for name in FIGURES
            if name in calendar.unread
        },
        "bars": len(closes_s),
        "uncovered": float((~covered).sum()) / max(len(closes_s), 1),
        "age_hours": _spread(closes_s[covered] - calendar.time_s[last]),
    }


def hole_warnings(releases: Sequence[Releases], closes_s: Ints) -> list[str]:
    """Where a calendar lists nothing for longer than ``max_gap``, between these bars."""
    if not len(closes_s):
        return []
    found = []
    for calendar in releases:
        for before, after in calendar.holes(float(closes_s[-1])):
            inside = (closes_s >= before) & (closes_s < after)
            bare = int((inside & ~calendar.covers(closes_s)).sum())
            if inside.any():
                found.append(
                    f"calendar_hole: {calendar.file} lists nothing from {_moment(before)} to "
                    f"{_moment(after)}; {bare:,} bars there have no features of events, and are "
                    "closed to trading"
                )
    return found


def _spread(ages_s: Ints) -> dict[str, float] | None:
    """Minimum, median, 95 % and maximum, in hours; null of no ages."""
    if not len(ages_s):
        return None
    ages = np.sort(ages_s)
    at = {"min": 0.0, "median": 0.5, "p95": 0.95, "max": 1.0}
    return {name: float(ages[round(q * (len(ages) - 1))]) / HOUR_S for name, q in at.items()}


def _moment(seconds: int) -> str:
    return f"{np.datetime64(int(seconds), 's')}Z"
