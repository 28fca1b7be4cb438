"""The page of the market's rules names tests that exist, and every test of the rules is named."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[2]
PAGE = TESTS.parent / "docs" / "market-rules.md"
DEFINED = re.compile(r"^def (test_\w+)", re.MULTILINE)
FILES = (
    "test_bars.py", "test_bits.py", "test_carry.py", "test_closing.py", "test_fills.py",
    "test_kinds.py", "test_late.py", "test_limits.py", "test_money.py", "test_replay.py",
    "test_stops.py", "test_stream.py", "test_volume.py", "test_working.py",
)  # fmt: skip


def test_every_row_names_tests_of_its_file() -> None:
    rows = [line.split("|") for line in PAGE.read_text().splitlines() if "test_" in line]
    rows = [row for row in rows if len(row) == 5]
    assert len(rows) > 25
    for _, rule, file, tests, _ in rows:
        defined = set(DEFINED.findall((TESTS / file.strip(" `")).read_text()))
        missing = set(re.findall(r"`(test_\w+)`", tests)) - defined
        assert not missing, (rule, missing)


def test_every_unit_test_of_the_rules_is_named() -> None:
    page = PAGE.read_text()
    for file in FILES:
        for name in DEFINED.findall((Path(__file__).parent / file).read_text()):
            assert f"`{name}`" in page, name
