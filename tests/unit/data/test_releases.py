"""Economic calendars: what a file's text says, and where a calendar covers a bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import HOUR, START_S
from release_cases import release_table
from truefill.config.schema import SeriesFile
from truefill.config.sources import ReleasesFile
from truefill.core.errors import DataError
from truefill.data.join import read_series
from truefill.data.joined import hole_warnings, joined_facts
from truefill.data.releases import Releases, read_releases, to_number

HEADER = "timestamp,event,currency,impact,actual,forecast,previous"
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("-0.2%", -0.002), ("1.5K", 1_500.0), ("12.3B", 12.3e9), ("0.31M", 310_000.0),
        ("2T", 2e12), ("52.7", 52.7), ("+3", 3.0), (" 0.0% ", 0.0), ("0.14|1.2", 0.14),
        ("-0.54|2.1", -0.54), ("", None), ("<0.10%", None), ("9-0-0", None), ("Pass", None),
        ("1,234", None), ("1.5k", None),
    ],
)  # fmt: skip
def test_figures_are_numbers_with_units(text: str, number: float | None) -> None:
    found = to_number(pl.Series([text]))[0]
    assert found == (None if number is None else pytest.approx(number))


def calendar_of(folder: Path, rows: list[str], **options: Any) -> Releases:
    (folder / "c.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    options = {"known_ahead": "7d", **options}
    return read_releases([ReleasesFile(path=folder / "c.csv", **options)])[0][0]


ROWS = [
    "2020-01-03T13:30:00Z,CPI m/m,USD,High Impact Expected,0.3%,0.2%,0.1%",
    "2020-01-03T10:00:00Z,Vote,GBP,Medium Impact Expected,9-0-0,,8-1-0",
    "2020-01-03T13:30:00Z,Core CPI m/m,USD,low,,0.2%,",
    "2020-01-06T00:00:00Z,Bank Holiday,JPY,Non-Economic,,,",
]


def test_a_calendar_is_read_by_time_with_events_at_one_moment(tmp_path: Path) -> None:
    calendar = calendar_of(tmp_path, ROWS)
    assert calendar.name.tolist() == ["Vote", "CPI m/m", "Core CPI m/m", "Bank Holiday"]
    assert calendar.impact.tolist() == [2, 3, 1, 0]
    assert (np.diff(calendar.time_s) / 60).tolist() == [210.0, 0.0, 3510.0]
    np.testing.assert_array_equal(calendar.actual, [np.nan, 0.003, np.nan, np.nan])
    np.testing.assert_array_equal(calendar.forecast, [np.nan, 0.002, 0.002, np.nan])
    assert {name: len(at) for name, at in calendar.unread.items()} == {
        "actual": 1, "forecast": 0, "previous": 1,
    }  # fmt: skip
    assert calendar.rule == {
        "known_ahead_s": 7.0 * DAY, "actual_lag_s": 60.0, "max_gap_s": 4.0 * DAY,
    }  # fmt: skip


def test_columns_may_be_called_otherwise_or_be_absent(tmp_path: Path) -> None:
    rows = ["day,title", "2020-01-03T08:30,CPI"]
    (tmp_path / "c.csv").write_text("\n".join(rows) + "\n")
    source = ReleasesFile(
        path=tmp_path / "c.csv", timestamp="day", timezone="America/New_York", name="title",
        currency=None, impact=None, actual=None, forecast=None, previous=None, known_ahead="1d",
    )  # fmt: skip
    calendar = read_releases([source])[0][0]
    assert str(calendar.time_s.astype("datetime64[s]")[0]) == "2020-01-03T13:30:00"
    assert calendar.impact.tolist() == [3] and np.isnan(calendar.actual).all()


def test_unknown_impacts_and_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        calendar_of(tmp_path, [ROWS[0], ROWS[1].replace("Medium", "Middling")])
    assert caught.value.rule == "unknown_impact" and "'Middling Impact" in caught.value.what
    assert caught.value.where == "c.csv row 2 column impact"
    with pytest.raises(DataError, match="no 'surprise'"):
        calendar_of(tmp_path, ROWS, actual="surprise")
    with pytest.raises(DataError, match="unreadable_timestamp"):
        calendar_of(tmp_path, ["soon,CPI,USD,High,1,2,3"])


def test_a_hole_is_seen_from_both_sides_as_soon_as_it_is_known(tmp_path: Path) -> None:
    """Events on days 2 and 10; known a week ahead; a gap of more than four days is a hole. On day
    2.5 nothing is listed up to day 9.5: the hole is known. Before the first event and after the
    last nothing is covered."""
    rows = [f"2020-01-{day:02d}T00:00:00Z,CPI,USD,High,,," for day in (1, 2, 10, 11)]
    calendar = calendar_of(tmp_path, rows)
    days = np.array([-0.5, 0.0, 0.5, 1.0, 1.5, 6.0, 8.9, 9.0, 9.9, 10.0, 11.0])
    covered = calendar.covers((START_S + DAY * days).astype(np.int64))
    assert covered.tolist() == [
        False, True, True, False, False, False, False, True, True, False, False,
    ]  # fmt: skip
    shy = calendar_of(tmp_path, rows, known_ahead=0)  # without foresight: once the gap is that long
    days = np.array([1.0, 4.9, 5.0, 5.1, 8.9, 9.0])
    covered = shy.covers((START_S + DAY * days).astype(np.int64))
    assert covered.tolist() == [True, True, True, False, False, True]


def test_what_was_joined_is_told_with_its_age() -> None:
    closes = START_S + HOUR * np.arange(1, 73)
    calendar = release_table(400)
    told = joined_facts({}, [calendar], closes)["releases"][0]
    at = np.searchsorted(calendar.time_s, closes, side="right") - 1
    ages = np.sort((closes - calendar.time_s[at]) / HOUR)
    assert told["events"] == (calendar.time_s <= closes[-1]).sum()
    assert sum(told["impacts"].values()) == told["events"]
    assert (told["age_hours"]["min"], told["age_hours"]["max"]) == (ages[0], ages[-1])
    assert told["uncovered"] == 0.0 and told["bars"] == 72


def test_series_are_told_with_first_and_last_value_and_stale_shares(tmp_path: Path) -> None:
    """Values of days 1, 2 and 6, known a day later, good for two days; bars of ten days."""
    rows = [f"2020-01-{day:02d},{day}" for day in (1, 2, 6, 30)]
    (tmp_path / "s.csv").write_text("\n".join(["day,v", *rows]) + "\n")
    source = SeriesFile(
        path=tmp_path / "s.csv", timestamp="day", columns={"v": "x"}, publication_lag="1d",
        max_staleness="2d",
    )  # fmt: skip
    closes = START_S + HOUR * np.arange(1, 241)
    told = joined_facts(read_series([source])[0], [], closes)["series"][0]
    assert (told["first_used"], told["last_used"]) == (
        "2020-01-01T00:00:00Z", "2020-01-06T00:00:00Z",
    )  # fmt: skip
    assert told["values_used"] == 3 and told["file"] == "s.csv"
    assert told["unjoined"] == 23 / 240  # known from the bar that closes with day 1
    fresh = 24 + 49 + 49  # value 1 for a day, 2 for two days and their end, 6 likewise
    assert told["stale"] == (240 - 23 - fresh) / 240
    assert told["age_hours"] == {"min": 0.0, "median": 20.0, "p95": 45.0, "max": 48.0}
    assert told["value_age_hours"]["min"] == 24.0


def test_facts_and_warnings_tell_nothing_of_later_events() -> None:
    closes = START_S + HOUR * np.arange(1, 73)
    calendar = release_table(400)
    later = release_table(400, seed=9)
    at = calendar.time_s > closes[-1]
    changed = {
        name: np.where(at, getattr(later, name), getattr(calendar, name))
        for name in ("impact", "actual", "forecast")
    }
    other = Releases(**{**vars(calendar), **changed})
    assert joined_facts({}, [other], closes) == joined_facts({}, [calendar], closes)


def test_the_hole_of_the_real_calendar_is_reported(shared_data: Path) -> None:
    """2020-08-21 to 09-02 is missing. Bars there are without features of events; nothing is said
    where it lies behind the last bar."""
    path = shared_data / "econ_calendar_2019_2020.parquet"
    releases, files = read_releases([ReleasesFile(path=path, known_ahead="7d")])
    calendar = releases[0]
    assert files[0].rows == len(calendar) == 4_215
    assert {name: len(at) for name, at in calendar.unread.items()} == {
        "actual": 27, "forecast": 20, "previous": 26,
    }  # fmt: skip
    assert np.bincount(calendar.impact).tolist() == [117, 2_772, 610, 716]
    first, last = (np.datetime64(day, "s").astype(int) for day in ("2019-11-21", "2020-10-01"))
    closes = np.arange(first, last + 1, HOUR)
    bare = closes[~calendar.covers(closes)]
    assert str(bare[0].astype("datetime64[s]")) == "2020-08-21T14:00:00"
    assert str(bare[-1].astype("datetime64[s]")) == "2020-09-02T00:00:00"
    assert len(bare) == (bare[-1] - bare[0]) / HOUR + 1
    text = hole_warnings(releases, closes)
    assert len(text) == 1 and text[0].startswith(
        "calendar_hole: econ_calendar_2019_2020.parquet lists nothing from 2020-08-21T"
    )
    assert hole_warnings(releases, closes[closes < bare[0]]) == []
