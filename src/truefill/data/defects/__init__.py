"""Defects of input files: found by name, with file, row and column, and a suggested mend.

``config/defects.py`` names every rule; the modules here find them, each a scope: ``columns``,
``order`` and ``prices`` row by row, ``clock``, ``frozen``, ``jumps`` and ``identity`` over a whole
symbol, ``symbols`` across files, ``series`` and ``side_table`` for what is not bars.

Rows count from 1 and leave the header out: row 1 is the first row of data in the file.
A bar with open = high = low = close is legal (close-only data) and only counted.
"""

from truefill.data.defects.columns import (
    BAR_COLUMNS,
    NUMBERS,
    PRICES,
    require_columns,
    require_sources,
    to_numbers,
)
from truefill.data.defects.finding import (
    ROW,
    DefectError,
    Finding,
    Findings,
    first_row,
    more,
    refuse,
)
from truefill.data.defects.prices import close_only
from truefill.data.defects.symbols import check_overlap

__all__ = [
    "BAR_COLUMNS",
    "NUMBERS",
    "PRICES",
    "ROW",
    "Finding",
    "Findings",
    "DefectError",
    "check_overlap",
    "close_only",
    "first_row",
    "more",
    "refuse",
    "require_columns",
    "require_sources",
    "to_numbers",
]
