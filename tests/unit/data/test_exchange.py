"""Sessions of exchanges: holidays, early closes, lunch breaks, bars that begin before the open."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from data_cases import RETURN, config_of, parquet_bars, split_arrays, walk
from truefill.config.schema import SessionConfig
from truefill.core.errors import ConfigError, DataError
from truefill.data.exchange import exchange, holidays_of, schedule
from truefill.data.session_facts import calendar_facts
from truefill.data.sessions import Session, keep_session, session_ends, session_of, session_time
from truefill.features.build import build_dataset

HOUR = 3_600


def of(calendar: str, bar_s: float = HOUR) -> Session:
    return session_of(SessionConfig(calendar=calendar), bar_s)


def seconds(*moments: str) -> np.ndarray:
    return np.array([int(datetime.fromisoformat(m).timestamp()) for m in moments], np.int64)


def test_a_bar_counts_when_some_of_its_time_lies_in_a_session() -> None:
    """New York, winter: 14:30 to 21:00 UTC. The hour from 14:00 holds the first half hour."""
    at = seconds("2020-01-06T13:00Z", "2020-01-06T14:00Z", "2020-01-06T15:00Z",
                 "2020-01-06T20:00Z", "2020-01-06T21:00Z")  # fmt: skip
    when = session_time(of("XNYS"), at)
    assert when.inside.tolist() == [False, True, True, True, False]
    np.testing.assert_allclose(when.fraction[1:4], [0.0, 0.5 / 6.5, 5.5 / 6.5])
    assert when.weekday[1:4].tolist() == [0, 0, 0]
    exact = session_time(of("XNYS", 300.0), seconds("2020-01-06T14:25Z", "2020-01-06T14:30Z"))
    assert exact.inside.tolist() == [False, True]


def test_holidays_and_special_closures_have_no_session() -> None:
    """Thanksgiving; the days after 11 September 2001; the funeral of 5 December 2018."""
    noon = [f"{day}T17:00Z" for day in ("2020-11-26", "2001-09-11", "2001-09-14", "2018-12-05")]
    assert not session_time(of("XNYS"), seconds(*noon)).inside.any()
    assert session_time(of("XNYS"), seconds("2001-09-10T17:00Z", "2001-09-17T17:00Z")).inside.all()


def test_an_early_close_shortens_the_session_and_moves_its_end() -> None:
    """The day after Thanksgiving closes at 13:00, 18:00 UTC: half the session is at 16:15."""
    at = seconds("2020-11-27T16:00Z", "2020-11-27T17:00Z", "2020-11-27T18:00Z",
                 "2020-11-30T17:00Z", "2020-11-30T20:00Z")  # fmt: skip
    when = session_time(of("XNYS"), at)
    assert when.inside.tolist() == [True, True, False, True, True]
    np.testing.assert_allclose(when.fraction[:2], [1.5 / 3.5, 2.5 / 3.5])
    ends = session_ends(of("XNYS"), at, np.ones((5, 1), np.bool_))[:, 0]
    assert ends.tolist() == [False, True, False, False, True]


def test_the_end_is_the_calendars_not_the_last_bar_there_is() -> None:
    """Without its last bar a session has no end: which bar is the last is not known at that bar."""
    at = seconds("2020-01-06T19:00Z", "2020-01-07T19:00Z", "2020-01-07T20:00Z")
    present = np.array([[True, True], [True, True], [True, False]])
    ends = session_ends(of("XNYS"), at, present)
    assert ends.tolist() == [[False, False], [False, False], [True, False]]


def test_lunch_breaks_are_outside() -> None:
    """Hong Kong: 09:30 to 12:00 and 13:00 to 16:00, eight hours ahead of UTC."""
    at = seconds("2020-01-06T03:30Z", "2020-01-06T04:00Z", "2020-01-06T04:30Z", "2020-01-06T05:00Z")
    assert session_time(of("XHKG", 1_800.0), at).inside.tolist() == [True, False, False, True]


def test_summer_time_moves_the_session_in_utc() -> None:
    at = seconds("2021-03-12T14:25Z", "2021-03-12T14:30Z", "2021-03-15T13:25Z", "2021-03-15T13:30Z")
    assert session_time(of("XNYS", 300.0), at).inside.tolist() == [False, True, False, True]


def test_a_session_past_midnight_has_the_date_of_its_calendar() -> None:
    """The futures of Chicago open on Sunday evening for Monday."""
    when = session_time(of("CMES"), seconds("2020-01-05T23:00Z", "2020-01-06T12:00Z"))
    assert when.inside.all() and when.weekday.tolist() == [0, 0]
    assert when.day[0] == when.day[1]


def test_facts_of_an_exchange() -> None:
    found = exchange("XNYS")
    assert (found.timezone, found.days, found.length_s) == (
        "America/New_York", (0, 1, 2, 3, 4), 23_400,
    )  # fmt: skip
    assert of("XNYS").days_per_week == 5 and of("24/7").days_per_week == 7
    assert session_time(of("24/7"), seconds("2020-01-04T00:00Z", "2020-12-25T12:00Z")).inside.all()


def test_a_session_of_an_exchange_survives_json() -> None:
    session = of("XNYS", 300.0)
    assert Session.from_dict(session.as_dict()) == session
    plain = session_of(SessionConfig())
    assert "calendar" not in plain.as_dict() and Session.from_dict(plain.as_dict()) == plain


def test_wrong_calendars_are_named() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'XNYS'"):
        of("XNYC")
    with pytest.raises(ValidationError, match="the calendar says days already"):
        SessionConfig(calendar="XNYS", days=("mon",))
    with pytest.raises(DataError, match="calendar_range") as caught:
        schedule("XSAU", seconds("2015-01-01T00:00Z"))
    assert caught.value.where == "data.session.calendar"
    assert SessionConfig.model_validate(SessionConfig(calendar="XNYS").model_dump())


def test_holidays_have_their_names() -> None:
    days = np.array(["2020-12-24", "2020-12-25", "2020-12-26", "2018-12-05"], "datetime64[D]")
    found = holidays_of("XNYS", days.astype(np.int64))
    named = {str(np.datetime64(day, "D")): name for day, name in found.items()}
    assert named == {"2018-12-05": "", "2020-12-25": "Christmas"}


def hourly(first: str, hours: int) -> pl.DataFrame:
    """Bars of every hour from ``first`` on."""
    micros = (seconds(first)[0] + HOUR * np.arange(hours)) * 1_000_000
    return walk(hours).with_columns(timestamp=pl.Series(micros).cast(pl.Datetime("us", "UTC")))


def test_bars_on_holidays_are_dropped_and_named() -> None:
    table = hourly("2020-12-24T00:00+00:00", 120)  # to Monday 28 December
    session = of("XNYS")
    kept, outside = keep_session(table, session)
    assert (kept.height, outside) == (4 + 7, 120 - 11)  # Christmas Eve closes at 13:00
    facts, warnings = calendar_facts(session, table, kept)
    assert facts is not None
    assert (facts["sessions"], facts["sessions_without_last_bar"]) == (2, 0)
    assert warnings == [
        "bars_on_holidays: 24 bars on 1 weekdays on which XNYS rests were dropped "
        "(2020-12-25 Christmas)"
    ]
    short = kept.filter(pl.col("timestamp") != pl.datetime(2020, 12, 24, 17, time_zone="UTC"))
    facts, warnings = calendar_facts(session, short, short)
    assert facts is not None and facts["sessions_without_last_bar"] == 1
    assert warnings[0].startswith("no_last_bar: 1 sessions of XNYS have no bar at their close (X 2")


def test_a_session_without_any_bar_is_named() -> None:
    table = hourly("2020-12-21T00:00+00:00", 24 * 5)
    session = of("XNYS")
    day = pl.col("timestamp").dt.date() == pl.date(2020, 12, 23)
    kept, _ = keep_session(table.filter(~day), session)
    facts, warnings = calendar_facts(session, table, kept)
    assert facts is not None and facts["sessions_without_bars"] == 1
    assert warnings[-1] == "no_bars: 1 sessions of XNYS have no bar at all (X 2020-12-23)"


def test_a_dataset_on_an_exchanges_calendar(tmp_path: Path) -> None:
    """Round-the-clock bars of January 2020: 13 sessions, without New Year and Martin Luther King's
    day; the contract keeps the calendar and the arrays end their sessions at 21:00 UTC."""
    data: dict[str, Any] = {
        "bars": [parquet_bars(tmp_path, walk(24 * 21))], "session": {"calendar": "XNYS"},
    }  # fmt: skip
    built = build_dataset(config_of(data, RETURN))
    assert built.lineage["session"]["calendar"] == "XNYS"
    assert built.lineage["session_calendar"]["sessions"] == 10  # of train and validation
    assert any("2020-01-01 New Year's Day" in text for text in built.lineage["warnings"])
    split = split_arrays(tmp_path, data)
    assert set((split.timestamps_s[split.session_end[:, 0]] % 86_400).tolist()) == {20 * HOUR}


def test_every_session_of_spy_in_23_years_is_the_calendars(shared_data: Path) -> None:
    """1998 to 2021, from a source that knows no calendar: each session is there, none else, and
    each has the bar in which the exchange closes, on half days too. Outside lie 47 hours of late
    trades after early closes."""
    table = pl.read_parquet(shared_data / "spy_1h_1998_2021.parquet")
    session = of("XNYS")
    at = table["timestamp"].dt.epoch("s").to_numpy().astype(np.int64)
    when = session_time(session, at)
    listed = schedule("XNYS", at)
    within = (listed.day >= when.day[0]) & (listed.day <= when.day[-1])
    found = np.unique(when.day[when.inside])
    np.testing.assert_array_equal(found, listed.day[within])
    assert len(found) == 5_849
    ends = session_ends(session, at, np.ones((len(at), 1), np.bool_))[:, 0]
    np.testing.assert_array_equal(when.day[ends], found)
    half = (listed.close_s - listed.open_s)[within] < exchange("XNYS").length_s
    assert half.sum() == 52
    late = at[~when.inside]
    n = listed.session_of(late, HOUR)
    assert len(late) == 47 and (listed.close_s[n] - listed.open_s[n] < 23_400).all()
    assert (late >= listed.close_s[n]).all() and (late < listed.close_s[n] + 3 * HOUR).all()
