"""Which bars ``market.no_trade`` closes, and what is told of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from pydantic import TypeAdapter

from data_cases import HOUR, START_S, event_file, walk
from truefill.config.no_trade import NoTrade
from truefill.config.sources import EventsFile
from truefill.core.errors import ConfigError, DataError
from truefill.data.no_trade import ClosedTimes, closed_times, rules_id

RULES: TypeAdapter[tuple[NoTrade, ...]] = TypeAdapter(tuple[NoTrade, ...])


def two_symbols(T: int = 48, interval_s: int = HOUR) -> pl.DataFrame:
    parts = [walk(T, s, symbol=name, interval_s=interval_s) for s, name in enumerate("AB")]
    return pl.concat(parts)


def closed(
    *rules: dict[str, Any],
    bars: pl.DataFrame | None = None,
    events: tuple[dict[str, Any], ...] = (),
    train: int = 24,
) -> ClosedTimes:
    """The mask of these rules; the first ``train`` bars of each symbol are train, the next 12
    validation."""
    bars = walk(48) if bars is None else bars
    number = bars.select(pl.int_range(pl.len()).over("symbol")).to_series().to_numpy()
    splits = {"train": number < train, "validation": (number >= train) & (number < train + 12)}
    files = tuple(EventsFile(**entry) for entry in events)
    return closed_times(RULES.validate_python(rules), files, bars, splits)


def hours(found: ClosedTimes) -> list[int]:
    return np.flatnonzero(found.closed).tolist()


@pytest.mark.parametrize(
    ("window", "bars"),
    [
        ({"start": "02:00", "end": "04:00"}, [2, 3]),
        ({"start": "02:30", "end": "03:00"}, []),
        ({"start": "21:00", "end": "23:00", "timezone": "America/New_York"}, [2, 3]),
        ({"start": "21:00", "end": "23:00", "timezone": "America/New_York", "days": ["tue"]},
         [2, 3]),
        ({"start": "21:00", "end": "23:00", "timezone": "America/New_York", "days": ["wed"]}, []),
        ({"start": "23:00", "end": "02:00", "days": ["tue"]}, [0, 1]),
        ({"kind": "daily", "start": "00:00", "end": "00:00", "days": ["wed"]}, list(range(9))),
    ],
)  # fmt: skip
def test_daily_windows_are_days_and_times_in_their_timezone(
    window: dict[str, Any], bars: list[int]
) -> None:
    """2020-01-01 00:00 UTC, the first bar, is a Wednesday; Tuesday 19:00 in New York."""
    assert hours(closed(window, bars=walk(9))) == bars


def test_an_interval_holds_its_start_and_not_its_end() -> None:
    window = {"kind": "interval", "start": "2020-01-01T03:00:00+00:00",
              "end": "2020-01-01T05:00:00+00:00"}  # fmt: skip
    assert hours(closed(window)) == [3, 4]
    window["start"] = "2020-01-01T03:00:01+00:00"
    assert hours(closed(window)) == [4]


FILES = {
    "a.csv": "start,end,why\n2020-01-01T09:00:00Z,2020-01-01T11:00:00Z,x\n"
    "2020-01-01T03:00:00Z,2020-01-01T05:00:00Z,y\n2020-01-01T04:00:00Z,2020-01-01T04:30:00Z,z\n",
    "b.json": json.dumps([[(START_S + HOUR * a) * 1000, (START_S + HOUR * b) * 1000]
                          for a, b in ((9, 11), (3, 5))]),
    "c.json": json.dumps([{"start": "2020-01-01T09:00", "end": "2020-01-01T11:00"},
                          {"start": "2020-01-01T03:00", "end": "2020-01-01T05:00"}]),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_intervals_come_from_a_file_in_any_order(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(FILES[name])
    found = closed({"kind": "interval", "path": str(tmp_path / name)})
    assert hours(found) == [3, 4, 9, 10]
    [file] = found.inputs
    assert (file.name, file.rows) == (name, FILES[name].count("2020") // 2 or 2)


@pytest.mark.parametrize(
    ("name", "text", "rule", "where"),
    [
        ("a.csv", "start,stop\n2020-01-01,2020-01-02\n", "missing_columns", "a.csv"),
        ("a.csv", "start,end\n", "empty_file", "a.csv"),
        ("a.csv", "start,end\n2020-01-02,2020-01-03\n2020-01-02,2020-01-02\n", "empty_interval",
         "a.csv row 2 column end"),
        ("a.csv", "start,end\n2020-01-02,soon\n", "unreadable_timestamp", "a.csv row 1 column end"),
        ("a.json", "[1", "unreadable_file", "a.json"),
        ("a.json", "{}", "empty_file", "a.json"),
        ("a.json", '[{"start": "2020-01-01"}]', "not_an_interval", "a.json row 1"),
        ("a.json", "[[1577836800]]", "not_an_interval", "a.json row 1"),
    ],
)  # fmt: skip
def test_a_broken_file_of_intervals_is_refused_by_name(
    tmp_path: Path, name: str, text: str, rule: str, where: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as caught:
        closed({"kind": "interval", "path": str(tmp_path / name)})
    assert (caught.value.rule, caught.value.where) == (rule, where)


def test_a_missing_file_of_intervals_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="missing_file"):
        closed({"kind": "interval", "path": str(tmp_path / "no.csv")})


def test_a_funding_buffer_opens_before_and_ends_after_each_moment() -> None:
    bars = walk(288 * 2, interval_s=300)
    stamp = bars["timestamp"].dt.strftime("%H:%M")
    found = closed({"kind": "funding"}, bars=bars, train=300)
    assert set(stamp.filter(pl.Series(found.closed))) == {
        "23:55", "00:00", "07:55", "08:00", "15:55", "16:00",
    }  # fmt: skip
    assert found.closed.sum() == 2 * 6
    own = {"kind": "funding", "times": ["02:00"], "timezone": "America/New_York",
           "before": 0, "after": "10m"}  # fmt: skip
    found = closed(own, bars=bars, train=300)
    assert set(stamp.filter(pl.Series(found.closed))) == {"07:00", "07:05"}


def test_a_funding_buffer_of_files_is_each_symbols_own(tmp_path: Path) -> None:
    events = (
        event_file(tmp_path, "funding", {5.0: 1e-4, 20.5: 1e-4}, "a", symbol="A"),
        event_file(tmp_path, "funding", {7.0: 1e-4}, "b", symbol="B"),
        event_file(tmp_path, "dividend", {9.0: 1.0}, "d", symbol="B"),
    )
    rule = {"kind": "funding", "events": True, "before": "1h", "after": "30m"}
    found = closed(rule, bars=two_symbols(), events=events)
    assert hours(found) == [4, 5, 20, 48 + 6, 48 + 7]
    with pytest.raises(ConfigError, match="no file of kind funding") as caught:
        closed(rule, bars=two_symbols(), events=events[2:])
    assert caught.value.where == "market.no_trade.0"


def test_figures_tell_of_train_and_validation_alone() -> None:
    bars = two_symbols()
    rules = [{"start": "00:00", "end": "03:00"}, {"start": "02:00", "end": "04:00"}]
    found = closed(*rules, bars=bars)
    first, second = found.facts["windows"]
    assert first["kind"] == "daily"
    assert first["bars"] == {"train": 6, "validation": 6}
    assert first["share"] == {"train": 6 / 48, "validation": 6 / 24}
    assert second["bars"] == {"train": 4, "validation": 4}
    both = found.facts["together"]
    assert both["bars"] == {"train": 8, "validation": 8}
    assert both["first"] == "2020-01-01T00:00:00+00:00"
    assert both["last"] == "2020-01-02T03:00:00+00:00"
    late = {"kind": "interval", "start": datetime(2020, 1, 2, 14, tzinfo=UTC),
            "end": "2020-01-03"}  # fmt: skip
    told = closed(late, bars=bars).facts
    assert told["together"] == {"bars": {"train": 0, "validation": 0},
                                "share": {"train": 0.0, "validation": 0.0},
                                "first": None, "last": None}  # fmt: skip
    json.dumps(found.facts, allow_nan=False)


def test_rules_have_one_id_wherever_their_files_lie() -> None:
    def of(*rules: dict[str, Any]) -> str:
        return rules_id(RULES.validate_python(rules))

    a, b = {"start": "00:00", "end": "03:00"}, {"start": "00:00", "end": "04:00"}
    assert of() == ""
    assert of(a) == of({**a, "kind": "daily"}) != of(b)
    assert of(a, b) != of(b, a)
    assert of({"kind": "interval", "path": "/x/a.csv"}) == of(
        {"kind": "interval", "path": "y/a.csv"}
    )


def test_a_window_that_closes_no_bar_is_warned_of() -> None:
    """Bars of one hour start at the full hour: a window from 00:20 to 00:40 closes none."""
    found = closed({"start": "00:20", "end": "00:40"}, {"start": "00:00", "end": "01:00"})
    assert found.warnings == [
        "market.no_trade.0 (daily) closes no bar of train and validation: "
        "a bar is inside a window when it starts there"
    ]
