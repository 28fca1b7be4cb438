"""Write ``fills_table.json`` again, with the independent ledger (never with the engine):
``python tests/golden/make_fills_table.py``. Review the diff."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from market_compare import ledger_case
from market_fills_cases import CELLS, cell, key


def main() -> None:
    """One line a cell: bar of the fill, price, fee, equity at the last bar."""
    lines = []
    for name in CELLS:
        record, _, _ = ledger_case(cell(*name))
        (at,) = np.flatnonzero(record["order.units"][:, 0, 0])
        numbers = [
            int(at) + 1,
            *(round(float(record[f"order.{part}"][at, 0, 0]), 10) for part in ("price", "fee")),
            round(float(record["equity"][5, 0]), 10),
        ]
        lines.append(f"  {json.dumps(key(*name))}: {json.dumps(numbers)}")
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    Path(__file__).with_name("fills_table.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
