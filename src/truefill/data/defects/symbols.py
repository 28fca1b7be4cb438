"""What only several symbols together can show: overlap, late starts, calendars of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.data.defects.finding import Findings, refuse
from truefill.data.sessions import Session, session_time

Bools = npt.NDArray[np.bool_]

LATE_SESSIONS = 5
"""Sessions by which a symbol may begin after the first one without a word: a week of trading."""
MISSING_SESSIONS = 3
"""Sessions that a symbol may miss without a word: the odd suspension or holiday."""


def check_overlap(symbols_by_file: Mapping[str, Iterable[str]]) -> None:
    """Rule ``symbol_overlap``: one symbol's bars stand in one file."""
    home: dict[str, str] = {}
    for file, symbols in symbols_by_file.items():
        for symbol in symbols:
            if symbol in home:
                refuse("symbol_overlap", f"symbol {symbol!r} stands in {home[symbol]} too",
                       file=file, column="symbol")  # fmt: skip
            home[symbol] = file


def check_calendars(bars: pl.DataFrame, session: Session, found: Findings) -> None:
    """Rules ``ragged_start`` and ``misaligned_calendar``, of all symbols together.

    A session counts where at least half of the symbols have begun and not ended trade. Findings
    name the symbol: its file is that of ``data.bars`` which holds it.
    """
    for rule in ("ragged_start", "misaligned_calendar"):
        seen = found.rows(rule, bars)
        if seen.select(pl.col("symbol").n_unique()).item() < 2:
            continue
        names, trades = _trading_days(seen, session)
        if rule == "ragged_start":
            _late(names, trades, found)
        else:
            _absent(names, trades, found)


def _trading_days(bars: pl.DataFrame, session: Session) -> tuple[list[str], dict[str, Bools]]:
    """Symbols, and by symbol on which of all session days each has a bar, bool[D]."""
    seconds = bars["timestamp"].dt.epoch("s").to_numpy().astype(np.int64)
    dated = bars.select("symbol", day=pl.Series(session_time(session, seconds).day)).unique()
    days = np.unique(dated["day"].to_numpy())
    trades = {}
    for (symbol,), own in dated.group_by("symbol"):
        mask = np.zeros(len(days), np.bool_)
        mask[np.searchsorted(days, own["day"].to_numpy())] = True
        trades[str(symbol)] = mask
    return sorted(trades), trades


def _late(names: list[str], trades: Mapping[str, Bools], found: Findings) -> None:
    late = {name: int(np.argmax(trades[name])) for name in names}
    late = {name: days for name, days in late.items() if days > LATE_SESSIONS}
    if late:
        worst = max(late, key=lambda name: (late[name], name))
        others = f"; {len(late) - 1} more begin late" if len(late) > 1 else ""
        found.add("ragged_start", f"{worst} begins {late[worst]:,} sessions after the first of the "
                  f"{len(names)} symbols{others}", column="symbol")  # fmt: skip


def _absent(names: list[str], trades: Mapping[str, Bools], found: Findings) -> None:
    table = np.stack([trades[name] for name in names])
    begun = np.maximum.accumulate(table, axis=1)
    alive = begun & np.maximum.accumulate(table[:, ::-1], axis=1)[:, ::-1]
    open_days = 2 * table.sum(axis=0) >= np.maximum(alive.sum(axis=0), 1)
    missing = (alive & ~table & open_days).sum(axis=1)
    broken = [i for i in range(len(names)) if missing[i] > MISSING_SESSIONS]
    if broken:
        worst = max(broken, key=lambda i: (int(missing[i]), names[i]))
        others = f"; {len(broken) - 1} more symbols miss some" if len(broken) > 1 else ""
        what = (
            f"{names[worst]} has no bar in {missing[worst]:,} sessions in which at least half of "
        )
        found.add("misaligned_calendar", f"{what}the symbols trade{others}", column="symbol")
