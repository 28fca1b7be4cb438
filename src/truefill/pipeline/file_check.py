"""``truefill check FILE``: the defects of one data file, without a config."""

from __future__ import annotations

from pathlib import Path

from truefill.config.sources import BarsFile
from truefill.core.errors import UsageError
from truefill.data.defects import Finding, Findings
from truefill.data.defects.side_table import check_side_table, is_side_table
from truefill.data.defects.whole import Market
from truefill.data.read import columns_of, examine_bars, read_rows
from truefill.data.sessions import session_of

SUFFIXES = (".csv", ".parquet", ".feather", ".arrow", ".ipc")


def check_file(path: Path, interval_s: float | None) -> tuple[Finding, ...]:
    """Every finding in a file of bars, or of trades, quotes or book levels (two clocks, bid, ask).

    Bars are taken round the clock, and all of them count: nothing is sealed without a config.
    Raises ``UsageError`` for bars without ``interval_s``, ``DataError`` for what cannot be read.
    """
    names = columns_of(path)
    if is_side_table(names):
        return tuple(check_side_table(read_rows(path), path.name))
    if interval_s is None:
        raise UsageError("bars need their interval", where=path.name, do="e.g. --interval 1h")
    found = Findings()
    symbol = None if "symbol" in names else path.stem
    with found.noting():
        examine_bars(
            BarsFile(path=path, symbol=symbol),
            found,
            interval_s=interval_s,
            market=Market(session_of(None)),
        )
    return tuple(found.found)
