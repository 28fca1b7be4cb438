"""docs/features.md tells what the registry holds, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from truefill.features.document import MARKS, calculator_tables, write_tables
from truefill.features.registry import CALCULATORS

PAGE = Path(__file__).parents[3] / "docs/features.md"


def test_the_page_has_the_tables_of_the_registry() -> None:
    page = PAGE.read_text()
    begin, end = MARKS
    assert page.count(begin) == page.count(end) == 1
    written = page.split(begin)[1].split(end)[0]
    assert written == calculator_tables(), "make docs writes them"


def test_the_tables_are_written_in_place(tmp_path: Path) -> None:
    page = tmp_path / "features.md"
    page.write_text(f"before\n{MARKS[0]}old{MARKS[1]}\nafter\n")
    write_tables(page)
    assert page.read_text() == f"before\n{MARKS[0]}{calculator_tables()}{MARKS[1]}\nafter\n"


def test_every_calculator_of_the_package_has_its_row() -> None:
    tables = calculator_tables()
    mine = [e for e in CALCULATORS if e.params.__module__.startswith("truefill.")]
    missing = [entry.name for entry in mine if f"\n| `{entry.name}`" not in tables]
    assert len(mine) > 80 and missing == []


def test_every_indicator_of_the_four_systems_names_a_calculator() -> None:
    section = PAGE.read_text().split("## Where the four systems' indicators are")[1].split("## ")[0]
    rows = [line for line in section.split("\n") if line.startswith("| 00")]
    pattern = r"`(\w+)(?: (\{[^`]*\}))?`"
    written = [found for row in rows for found in re.findall(pattern, row.split("|")[3])]
    for name, params in written:
        CALCULATORS.parse(name, yaml.safe_load(params or "{}"), where=name)
    named = {name for name, _ in written}
    assert len(rows) > 30 and {row[2:5] for row in rows} == {"000", "001", "002", "003"}
    assert len(named) > 40 and named <= {entry.name for entry in CALCULATORS}
