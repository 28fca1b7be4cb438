"""Every rule over whole symbols, in the order in which they are looked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from truefill.data.defects import clock, frozen, identity, jumps
from truefill.data.defects.finding import Findings
from truefill.data.defects.symbol import Check, Ints, SymbolBars, note, symbols_of
from truefill.data.sessions import Session

CHECKS: dict[str, Check] = {
    "two_clocks": clock.two_clocks,
    "gaps": clock.gaps,
    "outside_session": clock.outside_session,
    "dst_shift": clock.dst_shift,
    "frozen_price": frozen.frozen_price,
    "frozen_session": frozen.frozen_session,
    "copied_bar": frozen.copied_bar,
    "price_spike": jumps.price_spike,
    "outlier_tick": jumps.outlier_tick,
    "scale_break": jumps.scale_break,
    "unadjusted_split": jumps.unadjusted_split,
    "identity_change": identity.identity_change,
}


@dataclass(frozen=True)
class Market:
    """What whole symbols are judged by: the session (``declared``: by the config), and the moments
    of declared splits by symbol, unix seconds."""

    session: Session
    declared: bool = False
    splits_s: Mapping[str, Ints] = field(default_factory=dict)


def check_symbols(
    table: pl.DataFrame, interval_s: float, market: Market, found: Findings
) -> pl.DataFrame:
    """``table`` (with ``ROW``, sorted by symbol and time), without what a repair drops."""
    if table.is_empty():
        return table
    symbols = list(symbols_of(table, interval_s, market.session, market.declared, market.splits_s))
    known = _known(table, symbols, found)
    refused = any(f.row is not None and f.file == found.file for f in found.errors)
    for rule, check in CHECKS.items():
        if rule == "gaps" and refused:
            continue  # rows that another rule refuses are left out of the table
        note(found, rule, check, symbols, known)
    if found.severity("frozen_session") != "repair":
        return table
    keep = np.concatenate([frozen.moving(bars) for bars in symbols])
    return table.filter(pl.Series(keep))


def _known(table: pl.DataFrame, symbols: list[SymbolBars], found: Findings) -> list[SymbolBars]:
    """Of each symbol the bars that warnings may tell of: its first ones."""
    mask = table.with_columns(known=found.known)["known"].to_numpy()
    if mask.all():
        return symbols
    ends = np.cumsum([len(bars) for bars in symbols])
    counts = [int(part.sum()) for part in np.split(mask, ends[:-1])]
    return [bars.head(count) for bars, count in zip(symbols, counts, strict=True)]
