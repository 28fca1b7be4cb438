"""What the report says of joined series and calendars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from truefill.core.files import read_json, write_json
from truefill.report.html import render_report
from truefill.report.joined import joined_rows
from unit.report.fabricate import fabricate

AGES = {"min": 0.0, "median": 12.0, "p95": 60.0, "max": 96.0}
CALENDAR: dict[str, Any] = {
    "file": "calendar.csv", "events": 3264, "age_hours": AGES, "uncovered": 0.0125,
    "rule": {"known_ahead_s": 604_800.0, "actual_lag_s": 60.0, "max_gap_s": 345_600.0},
}  # fmt: skip


def series(rule: dict[str, Any], **more: Any) -> dict[str, Any]:
    told = {"values_used": 1255, "unjoined": 0.01, "stale": 0.002, "age_hours": AGES}
    return {"series": "cpi", "file": "macro.csv", "rule": rule, **told, **more}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"publication_lag_s": 86_400.0}, "24 h after the value date"),
        ({"publication_lag_s": 7 * 86_400.0}, "7 d after the value date"),
        ({"available_at": "out"}, "column out"),
        ({"release": {"months": 1, "day": 13, "time": "08:30", "timezone": "UTC"}},
         "day 13 of month +1, 08:30 UTC"),
        ({"release": {"days": 1, "time": "16:15", "timezone": "UTC"}}, "1 days later, 16:15 UTC"),
        ({"release": {"business_days": 2, "time": "09:00", "timezone": "UTC"}},
         "2 business days later, 09:00 UTC"),
    ],
)  # fmt: skip
def test_each_rule_has_its_words(rule: dict[str, Any], words: str) -> None:
    row = joined_rows({"series": [series(rule)], "releases": []})[0]
    assert row["rule"] == words
    assert (row["used"], row["missing"]) == ("1,255 values", "1.20 %")
    assert row["age"] == "median 12 h, 95 % 2.5 d, most 4 d"


def test_a_calendar_and_a_series_that_was_never_used() -> None:
    unused = series({"publication_lag_s": 0.0}, age_hours=None)
    rows = joined_rows({"series": [unused], "releases": [CALENDAR]})
    assert rows[0]["age"] == "never"
    assert rows[1]["rule"] == "7 d ahead, figures 1 min after" and rows[1]["missing"] == "1.25 %"


def test_the_page_has_the_table(tmp_path: Path) -> None:
    folder = fabricate(tmp_path / "sample-3f9a1c")
    assert "Joined series" not in render_report(folder)
    path = folder / "dataset" / "lineage.json"
    joined = {"series": [series({"publication_lag_s": 86_400.0})], "releases": [CALENDAR]}
    write_json(path, {**read_json(path), "joined": joined})
    page = render_report(folder)
    assert "<h3>Joined series</h3>" in page and "<td>macro.csv</td>" in page
    assert "median 12 h, 95 % 2.5 d, most 4 d" in page and "3,264 events" in page
