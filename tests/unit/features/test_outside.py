"""A dataset with slow series and an economic calendar: what lineage keeps of them, and what not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_cases import RETURN, config_of, parquet_bars, series_entry, walk
from truefill.features.build import BuiltDataset, build_dataset

FEATURES = [
    *RETURN,
    {"name": "m", "calculator": "series_value", "params": {"series": "m"}},
    {"name": "since", "calculator": "hours_since_event", "params": {"cap": 30}},
]


def events(days: list[float]) -> list[str]:
    """A row of a calendar on each of these days of January 2020, at noon."""
    return [f"2020-01-{day:02.0f}T12:00:00Z,CPI,USD,High,1.0%,0.9%,{day}%" for day in days]


def built(folder: Path, days: list[float], **rule: Any) -> BuiltDataset:
    header = "timestamp,event,currency,impact,actual,forecast,previous"
    (folder / "c.csv").write_text("\n".join([header, *events(days)]) + "\n")
    calendar = {"path": str(folder / "c.csv"), "known_ahead": "1d", **rule}
    data = {
        "bars": [parquet_bars(folder, walk(480))],
        "series": [series_entry(folder, list(range(40)))],
        "releases": [calendar],
    }
    return build_dataset(config_of(data, FEATURES))


def test_lineage_names_every_input_with_its_ages(tmp_path: Path) -> None:
    lineage = built(tmp_path, list(range(1, 22))).lineage
    assert [f["file"] for f in lineage["inputs"]] == ["bars.parquet", "s.parquet", "c.csv"]
    series, calendar = lineage["joined"]["series"][0], lineage["joined"]["releases"][0]
    assert series["bars"] == calendar["bars"] == 15 * 24  # of train and validation
    assert (series["file"], series["unjoined"], series["stale"]) == ("s.parquet", 0.0, 0.0)
    assert series["age_hours"] == {"min": 0.0, "median": 12.0, "p95": 22.0, "max": 23.0}
    assert series["last_used"] == "2020-01-15T00:00:00Z"  # known when validation's last bar closes
    assert calendar["events"] == 15 and calendar["age_hours"]["max"] == 23.0
    assert lineage["session_calendar"] is None
    assert lineage["releases"] == [
        {"known_ahead_s": 86_400.0, "actual_lag_s": 60.0, "max_gap_s": 345_600.0}
    ]


def test_rules_are_part_of_the_contract(tmp_path: Path) -> None:
    days: list[float] = list(range(1, 22))
    hashes = {
        built(tmp_path, days, **rule).contract.sha256
        for rule in ({}, {"known_ahead": "2d"}, {"actual_lag": "5m"}, {"max_gap": "9d"}, {})
    }
    assert len(hashes) == 4


def test_bars_in_a_hole_are_closed_to_trading_and_the_hole_is_told(tmp_path: Path) -> None:
    """Nothing is listed from noon of the 12th to that of the 14th, and a gap of a day is a hole."""
    days: list[float] = [d for d in range(1, 22) if d != 13]
    dataset = built(tmp_path, days, max_gap="1d")
    table = dataset.tables["validation"]
    quiet = table.filter(table["no_trade"])["timestamp"]
    assert (str(quiet[0]), str(quiet[-1])) == (
        "2020-01-12 12:00:00+00:00", "2020-01-14 10:00:00+00:00",
    )  # fmt: skip
    assert dataset.lineage["joined"]["releases"][0]["uncovered"] == (len(quiet) + 11) / 360
    told = [text for text in dataset.lineage["warnings"] if text.startswith("calendar_hole")]
    assert told == [
        "calendar_hole: c.csv lists nothing from 2020-01-12T12:00:00Z to 2020-01-14T12:00:00Z; "
        "47 bars there have no features of events, and are closed to trading"
    ]


def test_nothing_is_told_of_what_lies_in_test(tmp_path: Path) -> None:
    """A hole, figures and events of the test split move no fact before it is opened."""
    whole = built(tmp_path, list(range(1, 22)), max_gap="25h").lineage
    holed = built(tmp_path, [d for d in range(1, 22) if d != 18], max_gap="25h").lineage
    assert holed["warnings"] == whole["warnings"]
    assert holed["joined"] == whole["joined"]
    assert holed["session_calendar"] == whole["session_calendar"]
