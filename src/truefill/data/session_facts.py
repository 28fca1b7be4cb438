"""What the bars before the test split say about an exchange's calendar, and it about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.data.exchange import exchange, holidays_of, schedule
from truefill.data.sessions import Session, session_ends, session_time

NAMED = 5
"""Days that a warning names."""


def calendar_facts(
    session: Session, read: pl.DataFrame, bars: pl.DataFrame
) -> tuple[dict[str, Any] | None, list[str]]:
    """For lineage: facts and warnings; none where no exchange's calendar is set.

    Args:
        session: of the dataset's bars.
        read: all bars of the files, before the test split.
        bars: the dataset's bars (in the session), before the test split.
    """
    name = session.calendar
    if name is None or bars.is_empty():
        return None, []
    seconds = _seconds(bars)
    when = session_time(session, seconds)
    ended = session_ends(session, seconds, np.ones((len(seconds), 1), np.bool_))[:, 0]
    open_ended = _without_end(bars, when.day, ended)
    absent = _absent(name, bars, when.day)
    facts = {
        "name": name,
        "exchange_calendars": exchange(name).version,
        "sessions": len(np.unique(when.day)),
        "sessions_without_last_bar": len(open_ended),
        "sessions_without_bars": len(absent),
    }
    warnings = _on_holidays(session, name, read)
    if absent:
        warnings.append(
            f"no_bars: {len(absent)} sessions of {name} have no bar at all ({_some(absent)})"
        )
    if open_ended:
        warnings.append(
            f"no_last_bar: {len(open_ended)} sessions of {name} have no bar at their close "
            f"({_some(open_ended)}); nothing is closed at the end of these"
        )
    return facts, warnings


def _without_end(bars: pl.DataFrame, day: npt.NDArray[np.int64], ended: Any) -> list[str]:
    """Sessions of a symbol, the last one aside, without a bar in which the exchange closes."""
    table = bars.select("symbol").with_columns(day=pl.Series(day), ended=pl.Series(ended))
    found = table.group_by("symbol", "day").agg(pl.col("ended").any()).sort("symbol", "day")
    inner = found.filter(pl.col("day") < pl.col("day").max().over("symbol"), ~pl.col("ended"))
    return [f"{symbol} {_date(int(d))}" for symbol, d, _ in inner.iter_rows()]


def _absent(name: str, bars: pl.DataFrame, day: npt.NDArray[np.int64]) -> list[str]:
    """Sessions between a symbol's first and last bar on which it has none."""
    listed = schedule(name, _seconds(bars)).day
    found = []
    for (symbol,), own in (
        bars.select("symbol")
        .with_columns(day=pl.Series(day))
        .group_by("symbol", maintain_order=True)
    ):
        there = own["day"].unique().sort().to_numpy()
        due = listed[(listed >= there[0]) & (listed <= there[-1])]
        found += [f"{symbol} {_date(int(d))}" for d in np.setdiff1d(due, there)]
    return found


def _on_holidays(session: Session, name: str, read: pl.DataFrame) -> list[str]:
    """Bars on weekdays on which the exchange rests, by date and holiday."""
    local = read["timestamp"].dt.convert_time_zone(session.timezone).dt.date()
    days = local.cast(pl.Int32).to_numpy().astype(np.int64)
    outside = ~session_time(session, _seconds(read)).inside
    found = holidays_of(name, days[outside])
    bars = int((outside & np.isin(days, list(found))).sum())
    if not bars:
        return []
    dates = [f"{_date(day)} {holiday}".strip() for day, holiday in found.items()]
    return [
        f"bars_on_holidays: {bars:,} bars on {len(dates)} weekdays on which {name} rests were "
        f"dropped ({_some(dates)})"
    ]


def _seconds(table: pl.DataFrame) -> npt.NDArray[np.int64]:
    return table["timestamp"].dt.epoch("s").to_numpy().astype(np.int64)


def _date(day: int) -> str:
    return str(np.datetime64(day, "D"))


def _some(listed: list[str]) -> str:
    more = f", and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more
