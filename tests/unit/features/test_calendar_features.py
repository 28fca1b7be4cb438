"""Time features on dates worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from math import cos, pi, sin

import numpy as np

from indicator_cases import bars_of, indicator
from truefill.data.sessions import Session, session_time
from truefill.features.base import Context

BOGOTA = Session("America/Bogota", (0, 1, 2, 3, 4), 8 * 3_600, 5 * 3_600)


def at(session: Session | None, interval_s: float, *moments: str) -> Context:
    """Bars that start at these moments (UTC)."""
    stamps = [datetime.fromisoformat(moment).replace(tzinfo=UTC).timestamp() for moment in moments]
    seconds = np.array(stamps, np.int64)
    bars = replace(bars_of(np.full(len(seconds), 9.0)), timestamps_s=seconds, interval_s=interval_s)
    if session is None:
        return bars
    when = session_time(session, seconds)
    return replace(
        bars, session=session, session_fraction=when.fraction, weekday=when.weekday,
        days_per_week=session.days_per_week,
    )  # fmt: skip


def test_hour_month_and_day_follow_utc() -> None:
    bars = at(None, 300, "2024-02-29 18:00", "2024-12-01 00:00", "2023-02-15 06:30")
    hour = [0.75, 0.0, 6.5 / 24]
    month = [1 / 12, 11 / 12, 1 / 12]
    day = [28 / 29, 0.0, 14 / 28]
    for name, shares in [("hour", hour), ("month", month), ("day_of_month", day)]:
        for function in (sin, cos):
            values = indicator(f"{name}_{function.__name__}", bars)
            expected = [function(2 * pi * share) for share in shares]
            np.testing.assert_allclose(values, expected, atol=1e-12)


def test_weekday_turns_once_in_a_working_week() -> None:
    bars = at(BOGOTA, 300, "2024-01-01 13:00", "2024-01-03 13:00")  # Monday, Wednesday
    np.testing.assert_allclose(indicator("dow_cos", bars), [1.0, cos(2 * pi * 2 / 5)])
    np.testing.assert_allclose(indicator("dow_sin", bars), [0.0, sin(2 * pi * 2 / 5)], atol=1e-12)


def test_minutes_to_the_scheduled_close_count_from_the_bars_own_close() -> None:
    """08:00 to 13:00 in Bogota is 13:00 to 18:00 UTC."""
    bars = at(BOGOTA, 300, "2024-01-02 13:00", "2024-01-02 17:50", "2024-01-02 17:55")
    assert indicator("minutes_to_close", bars).tolist() == [295.0, 5.0, 0.0]
    assert indicator("is_last_bar", bars).tolist() == [0.0, 0.0, 1.0]


def test_the_exchange_calendar_knows_the_early_close() -> None:
    """New York closed at 13:00 local (18:00 UTC) on 2024-11-29, the day after Thanksgiving."""
    new_york = Session("America/New_York", (0, 1, 2, 3, 4), 0, 23_400, "XNYS", 3_600.0)
    bars = at(new_york, 3_600, "2024-11-27 17:00", "2024-11-29 16:00", "2024-11-29 17:00")
    assert indicator("minutes_to_close", bars).tolist() == [180.0, 60.0, 0.0]
    assert indicator("is_last_bar", bars).tolist() == [0.0, 0.0, 1.0]


def test_the_first_bar_is_that_of_another_session() -> None:
    """Also where the same weekday follows after a week without bars, or the clock moves on only."""
    bars = at(
        BOGOTA, 300,
        "2024-01-02 13:00", "2024-01-02 13:05", "2024-01-03 14:00", "2024-01-10 14:05",
        "2024-01-10 14:10",
    )  # fmt: skip
    values = indicator("is_first_bar", bars)
    assert np.isnan(values[0])
    assert values[1:].tolist() == [0.0, 1.0, 1.0, 0.0]
