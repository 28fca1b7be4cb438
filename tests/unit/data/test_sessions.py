"""Which bars count, and where in its session a bar lies."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from datetime import time as clock

import numpy as np
import polars as pl
import pytest

from truefill.config.schema import SessionConfig
from truefill.data.sessions import Session, clock_columns, keep_session, session_of, session_time

BOGOTA = session_of(
    SessionConfig(timezone="America/Bogota", start=clock(8), end=clock(13), days=("mon", "tue"))
)
NEW_YORK = session_of(SessionConfig(timezone="America/New_York", start=clock(9, 30), end=clock(16)))
FUTURES = session_of(
    SessionConfig(
        timezone="America/Chicago", start=clock(17), end=clock(16),
        days=("sun", "mon", "tue", "wed", "thu"),
    )
)  # fmt: skip


def seconds(*moments: str) -> np.ndarray:
    return np.array([int(datetime.fromisoformat(m).timestamp()) for m in moments], np.int64)


def test_days_and_hours_are_those_of_the_timezone() -> None:
    monday = "2020-01-06T"
    at = seconds(f"{monday}12:55Z", f"{monday}13:00Z", f"{monday}17:55Z", f"{monday}18:00Z",
                 "2020-01-08T13:00Z")  # fmt: skip
    when = session_time(BOGOTA, at)
    assert when.inside.tolist() == [False, True, True, False, False]
    assert when.fraction[1:3].tolist() == [0.0, (5 * 3600 - 300) / (5 * 3600)]
    assert when.weekday.tolist() == [6, 0, 0, 0, 2]  # before 08:00 belongs to Sunday's session


@pytest.mark.parametrize(("day", "opens"), [("2021-03-12", 14), ("2021-03-15", 13)])
def test_the_wall_clock_rules_when_summer_time_begins(day: str, opens: int) -> None:
    when = session_time(NEW_YORK, seconds(f"{day}T{opens}:25Z", f"{day}T{opens}:30Z"))
    assert when.inside.tolist() == [False, True]
    assert when.fraction[1] == 0.0


def test_a_session_past_midnight_belongs_to_the_day_it_starts() -> None:
    at = seconds("2020-01-05T23:00Z", "2020-01-06T21:59Z", "2020-01-06T22:00Z", "2020-01-10T23:00Z")
    when = session_time(FUTURES, at)  # Sunday 17:00, Monday 15:59, 16:00, Friday 17:00 in Chicago
    assert when.inside.tolist() == [True, True, False, False]
    assert when.weekday[:2].tolist() == [6, 6]


def test_round_the_clock_without_a_session() -> None:
    always = session_of(None)
    when = session_time(always, seconds("2020-01-04T00:00Z", "2020-01-05T12:00Z"))
    assert when.inside.all() and when.fraction.tolist() == [0.0, 0.5]
    assert always.days_per_week == 7 and BOGOTA.days_per_week == 5


def test_outside_bars_are_dropped_and_counted() -> None:
    start = datetime(2020, 1, 6, tzinfo=UTC)
    table = pl.DataFrame({"timestamp": [start + timedelta(hours=h) for h in range(48)]})
    kept, outside = keep_session(table, BOGOTA)
    assert kept.height == 10 and outside == 38
    assert kept["timestamp"].dt.hour().unique().sort().to_list() == [13, 14, 15, 16, 17]


def test_clock_columns_turn_once_a_session_and_once_a_week() -> None:
    columns = clock_columns(BOGOTA, seconds("2020-01-06T13:00Z", "2020-01-07T14:15Z"))
    assert columns.dtype == np.float32 and columns.shape == (2, 4)
    np.testing.assert_allclose(columns[0], [0.0, 1.0, 0.0, 1.0], atol=1e-7)
    np.testing.assert_allclose(
        columns[1], [1.0, 0.0, np.sin(2 * np.pi / 5), np.cos(2 * np.pi / 5)], atol=1e-7
    )


def test_sessions_survive_json() -> None:
    assert Session.from_dict(FUTURES.as_dict()) == FUTURES
