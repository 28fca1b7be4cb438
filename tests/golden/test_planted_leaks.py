"""Every planted leak is found, nothing honest is, and the table says by what."""

from __future__ import annotations

import pytest

from golden.make_planted_leaks import TABLE, table

MOST = 19


def written() -> list[list[str]]:
    rows = [line.strip("| ").split(" | ") for line in TABLE.read_text().splitlines()]
    return [row for row in rows if len(row) == 4 and row[0] not in ("planted", "---")]


def test_the_table_has_enough_leaks_all_found_and_no_false_alarm() -> None:
    rows = written()
    leaks = [row for row in rows if not row[1].startswith("honest")]
    honest = [row for row in rows if row[1].startswith("honest")]
    assert sum(row[2] == "feature" for row in leaks) >= MOST
    assert sum(row[2] != "feature" for row in leaks) >= MOST
    assert sum(row[2] == "feature" for row in honest) >= 12
    assert [row for row in leaks if row[3] == "nothing"] == []
    assert [row for row in honest if row[3] != "nothing"] == []


@pytest.mark.slow
def test_the_table_is_what_the_auditor_finds() -> None:
    assert table() == TABLE.read_text()
