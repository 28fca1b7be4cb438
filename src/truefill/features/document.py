"""The tables of all calculators in ``docs/features.md``, written from the registry:

python -m truefill.features.document docs/features.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from truefill.core.registry import Entry
from truefill.features.base import WHOLE_HISTORY, Calculator, fact
from truefill.features.registry import CALCULATORS, FAMILIES

MARKS = ("<!-- calculators -->\n", "\n<!-- /calculators -->")
"""The page's tables stand between these."""
_HEAD = (
    "| calculator | what it is | parameters | unit | warm-up | source |\n|---|---|---|---|---|---|"
)


def calculator_tables() -> str:
    """Markdown: for each family a heading and a table, a row per calculator.

    Warm-up is that of the default parameters, in bars.
    """
    return "\n\n".join(_family(module) for module in FAMILIES)


def _family(module: ModuleType) -> str:
    title = (module.__doc__ or "").split("\n\n")[0].replace("\n", " ").rstrip(".")
    entries = [entry for entry in CALCULATORS if entry.params.__module__ == module.__name__]
    return "\n".join([f"### {title}", "", _HEAD, *map(_row, entries)])


def _row(entry: Entry[Calculator]) -> str:
    inner = entry.facts["timeframe"] is not None
    cells = [
        f"`{entry.name}`{'' if inner else _marks(entry)}",
        entry.summary,
        ", ".join(_parameters(entry)) or "none",
        *facts_of(entry).values(),
    ]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def facts_of(entry: Entry[Calculator]) -> dict[str, str]:
    """Unit, warm-up of the default parameters, and source, in words."""
    inner = entry.facts["timeframe"] is not None
    return {
        "unit": "its calculator's" if inner else fact(entry, "unit", _defaults(entry)),
        "warmup": "its calculator's, in longer bars" if inner else _warmup(entry),
        "source": entry.facts["source"],
    }


def _defaults(entry: Entry[Calculator]) -> Any:
    """Parameters without those that have no default: none of the facts shown depends on them."""
    return entry.params.model_construct()


def _marks(entry: Entry[Calculator]) -> str:
    """L: a level; S: does not look across the start of a session; N: of order one already."""
    marks = {
        "L": fact(entry, "level", _defaults(entry)),
        "S": not entry.facts["crosses_session"],
        "N": fact(entry, "normalized", _defaults(entry)),
    }
    kept = "".join(mark for mark, holds in marks.items() if holds)
    return f" {kept}" if kept else ""


def _parameters(entry: Entry[Calculator]) -> Iterator[str]:
    for name, field in entry.params.model_fields.items():
        default = field.get_default(call_default_factory=True)
        yield f"{name}: {'required' if field.is_required() else json.dumps(default)}"


def _warmup(entry: Entry[Calculator]) -> str:
    """Of the default parameters, in bars or in published values."""
    defaults = _defaults(entry)
    if entry.facts["values_needed"] is not None:
        return f"{entry.facts['values_needed'](defaults):,} published values"
    bars = f"{entry.facts['warmup'](defaults):,}"
    if entry.facts["lookback"](defaults) == WHOLE_HISTORY:
        return f"{bars}, counts from the first bar"
    return f"{bars} at least" if entry.facts["irregular"] else bars


def write_tables(page: Path) -> None:
    """Put the tables of today's registry between the marks of ``page``."""
    begin, end = MARKS
    before, rest = page.read_text().split(begin)
    page.write_text(before + begin + calculator_tables() + end + rest.split(end)[1])


if __name__ == "__main__":
    write_tables(Path(sys.argv[1]))
