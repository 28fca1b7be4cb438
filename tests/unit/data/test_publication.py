"""When a value is published: a lag, a release on the wall clock of its place, or a column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import ValidationError

from truefill.config.schema import SeriesFile
from truefill.core.errors import ConfigError, DataError
from truefill.data.defects import Findings
from truefill.data.join import read_series

NEW_YORK = {"time": "08:30", "timezone": "America/New_York"}


def file_of(folder: Path, stamps: list[str], **options: Any) -> SeriesFile:
    """Values 1, 2, 3, ... on these stamps, as series x."""
    rows = [f"{stamp},{i + 1}" for i, stamp in enumerate(stamps)]
    (folder / "s.csv").write_text("\n".join(["day,v", *rows]) + "\n")
    return SeriesFile(path=folder / "s.csv", timestamp="day", columns={"v": "x"}, **options)


def published(folder: Path, stamps: list[str], **options: Any) -> list[str]:
    """The moments at which these values are known, UTC."""
    series = read_series([file_of(folder, stamps, **options)])[0]["x"]
    return [str(m) for m in series.available_at_s.astype("datetime64[s]").astype("datetime64[m]")]


@pytest.mark.parametrize(
    ("release", "stamp", "moment"),
    [
        # the reference month's figure, on the 13th of the next month at 08:30 in New York
        ({"months": 1, "day": 13, **NEW_YORK}, "2020-01-01", "2020-02-13T13:30"),  # winter time
        ({"months": 1, "day": 13, **NEW_YORK}, "2020-06-01", "2020-07-13T12:30"),  # summer time
        ({"months": 1, "day": 13, **NEW_YORK}, "2020-12-01", "2021-01-13T13:30"),
        ({"months": 1, "day": 31, **NEW_YORK}, "2020-01-01", "2020-02-29T13:30"),  # its last day
        ({"months": 0, "day": 31, **NEW_YORK}, "2020-03-31", "2020-03-31T12:30"),
        # days after the value date
        ({"days": 1, "time": "16:15", "timezone": "America/New_York"}, "2020-03-06",
         "2020-03-07T21:15"),
        ({"days": 1, "time": "16:15", "timezone": "America/New_York"}, "2020-03-07",
         "2020-03-08T20:15"),  # the clocks went forward that morning
        ({"days": 0, "time": "09:00", "timezone": "Asia/Tokyo"}, "2020-03-06", "2020-03-06T00:00"),
        # business days: Friday -> Tuesday; Saturday and Sunday count from Friday
        ({"business_days": 2, **NEW_YORK}, "2020-01-03", "2020-01-07T13:30"),
        ({"business_days": 1, **NEW_YORK}, "2020-01-04", "2020-01-06T13:30"),
        ({"business_days": 1, **NEW_YORK}, "2020-01-05", "2020-01-06T13:30"),
        # a time that the clocks skip: an hour later; one that they repeat: the second time
        ({"days": 0, "time": "02:30", "timezone": "America/New_York"}, "2020-03-08",
         "2020-03-08T07:30"),
        ({"days": 0, "time": "01:30", "timezone": "America/New_York"}, "2020-11-01",
         "2020-11-01T06:30"),
    ],
)  # fmt: skip
def test_a_release_is_a_time_on_the_clock_of_its_place(
    tmp_path: Path, release: dict[str, Any], stamp: str, moment: str
) -> None:
    assert published(tmp_path, [stamp], release=release) == [moment]


def test_the_day_of_a_value_is_that_of_the_files_timezone(tmp_path: Path) -> None:
    """18:00 of 5 March in New York is already the 5th's 23:00 UTC; 20:00 is the 6th in UTC."""
    release = {"days": 1, **NEW_YORK}
    stamps, at = ["2020-03-05T20:00"], "2020-03-06T13:30"
    assert published(tmp_path, stamps, release=release, timezone="America/New_York") == [at]
    assert published(tmp_path, ["2020-03-06T01:00"], release=release) == ["2020-03-07T13:30"]


def test_a_column_of_the_file_says_when(tmp_path: Path) -> None:
    rows = ["2020-01-01,1,2020-01-15T08:30", "2020-02-01,2,2020-02-14T08:30"]
    (tmp_path / "s.csv").write_text("\n".join(["day,v,out", *rows]) + "\n")
    source = SeriesFile(
        path=tmp_path / "s.csv", timestamp="day", columns={"v": "x"}, available_at="out",
        timezone="America/New_York",
    )  # fmt: skip
    series = read_series([source])[0]["x"]
    moments = (
        series.available_at_s.astype("datetime64[s]").astype("datetime64[m]").astype(str).tolist()
    )
    assert moments == ["2020-01-15T13:30", "2020-02-14T13:30"]
    assert series.rule == {"available_at": "out", "max_staleness_s": 5 * 86_400.0}


def test_no_value_is_known_before_its_date(tmp_path: Path) -> None:
    release = {"days": 0, "time": "00:00", "timezone": "Asia/Tokyo"}
    with pytest.raises(DataError) as caught:
        published(tmp_path, ["2020-01-01", "2020-01-02"], release=release)
    assert caught.value.rule == "available_before_value_date"
    assert caught.value.where == "s.csv row 1 column day"
    (tmp_path / "s.csv").write_text("day,v,out\n2020-01-01,1,2020-01-02\n2020-01-03,2,2020-01-02\n")
    source = SeriesFile(
        path=tmp_path / "s.csv", timestamp="day", columns={"v": "x"}, available_at="out"
    )
    with pytest.raises(DataError, match="row 2 column out"):
        read_series([source])


def test_each_series_of_a_file_has_its_own_rule(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("day,a,b,c\n2020-01-01,1,2,3\n")
    source = SeriesFile(
        path=tmp_path / "s.csv", timestamp="day", columns={"a": "a", "b": "b", "c": "c"},
        publication_lag="2d", publication_lag_by_column={"b": "36h"},
        release_by_column={"c": {"months": 1, "day": 7, **NEW_YORK}},
    )  # fmt: skip
    series = read_series([source])[0]
    at = {
        name: str(s.available_at_s.astype("datetime64[s]").astype("datetime64[m]")[0])
        for name, s in series.items()
    }
    assert at == {"a": "2020-01-03T00:00", "b": "2020-01-02T12:00", "c": "2020-02-07T13:30"}
    assert series["b"].rule == {"publication_lag_s": 129_600.0, "max_staleness_s": 432_000.0}
    assert series["c"].rule["release"] == {
        "months": 1, "day": 7, "time": "08:30", "timezone": "America/New_York",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "when is x known"),
        ({"publication_lag": "1d", "release": {"days": 1, **NEW_YORK}}, "give one of"),
        ({"publication_lag": "1d", "available_at": "out"}, "give one of"),
        (
            {
                "publication_lag_by_column": {"x": "1d"},
                "release_by_column": {"x": {"days": 1, **NEW_YORK}},
            },
            "x has a publication lag and a release",
        ),
        ({"release": {**NEW_YORK}}, "give one of days"),
        ({"release": {"days": 1, "months": 1, "day": 3, **NEW_YORK}}, "give one of days"),
        ({"release": {"months": 1, **NEW_YORK}}, "come together"),
        ({"release": {"days": 1, "time": "08:30"}}, "timezone"),
    ],
)
def test_a_series_has_exactly_one_rule(tmp_path: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        file_of(tmp_path, ["2020-01-01"], **options)


def test_a_release_of_a_series_that_is_not_there_is_refused(tmp_path: Path) -> None:
    source = file_of(
        tmp_path, ["2020-01-01"], publication_lag="1d",
        release_by_column={"y": {"days": 1, **NEW_YORK}},
    )  # fmt: skip
    with pytest.raises(ConfigError, match="release_by_column names 'y'"):
        read_series([source])


MONTHS = ["2020-01-01", "2020-02-01", "2020-03-01", "2020-04-01", "2020-05-01"]


@pytest.mark.parametrize(
    ("rule", "early"),
    [
        ({"publication_lag": "13d"}, True),
        ({"publication_lag": "31d"}, False),
        ({"release": {"months": 0, "day": 31, **NEW_YORK}}, True),
        ({"release": {"business_days": 5, **NEW_YORK}}, True),
        ({"release": {"months": 1, "day": 1, **NEW_YORK}}, False),
    ],
)
def test_a_month_that_is_known_before_it_is_over_is_refused(
    tmp_path: Path, rule: dict[str, Any], early: bool
) -> None:
    source = file_of(tmp_path, MONTHS, **rule)
    if not early:
        assert len(read_series([source])[0]["x"].values) == len(MONTHS)
        return
    with pytest.raises(DataError) as caught:
        read_series([source])
    assert caught.value.rule == "reference_stamps"
    found = Findings({"reference_stamps": "warn"})
    series, files = read_series([source], found)
    assert len(series["x"].values) == len(MONTHS) and not found.errors
    assert [f.rule for f in files[0].findings] == ["reference_stamps"]


@pytest.mark.parametrize(
    "stamps",
    [
        ["2020-01-31", "2020-02-29", "2020-03-31", "2020-04-30"],  # the months' last days
        ["2020-01-01", "2020-04-01", "2020-07-01", "2020-10-01"],  # quarters
        ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-06"],
        ["2020-01-01", "2020-02-01"],  # too few to tell
    ],
)
def test_other_stamps_are_no_reference_months(tmp_path: Path, stamps: list[str]) -> None:
    assert len(published(tmp_path, stamps, publication_lag="1d")) == len(stamps)


def test_parts_of_a_second_count_as_a_whole_one(tmp_path: Path) -> None:
    """Nothing is known earlier than it is, not by half a second either."""
    pl.DataFrame(
        {"day": np.array(["2020-01-01T00:00:00.5"], "datetime64[us]"), "v": [1.0]}
    ).write_parquet(tmp_path / "s.parquet")
    source = SeriesFile(
        path=tmp_path / "s.parquet", timestamp="day", columns={"v": "x"}, publication_lag="1h"
    )
    moment = read_series([source])[0]["x"].available_at_s[0]
    assert moment == np.datetime64("2020-01-01T01:00:01").astype(int)
