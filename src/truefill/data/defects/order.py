"""Order of a file's rows, within each symbol: turned round, twice, out of order, two clocks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.data.defects.finding import ROW, Findings

Ints = npt.NDArray[np.int64]

KEY = ("symbol", "timestamp")
LARGEST_SHIFT_S = 26 * 3_600
"""Timezones lie at most 26 hours apart; rows further back are merely out of order."""
SHIFTED_ROWS, SHIFTED_TWINS = 10, 2
"""Fewest rows before and after one step back that make it a change of clocks."""


def check_order(table: pl.DataFrame, interval_s: float, found: Findings) -> pl.DataFrame:
    """``table`` sorted by symbol and time, one row a moment; what was not so is noted.

    Rules ``newest_first``, ``two_clocks``, ``duplicate_row``, ``duplicate_timestamp``,
    ``unsorted``. Of two rows of one moment the first is kept.
    """
    back = _steps(table) <= 0
    if not back.any():
        return table.sort(*KEY, maintain_order=True)
    if table.height > 2 and bool((_steps(table).drop_nulls() < 0).all()):
        _note_back(table, back, "newest_first", "is earlier than the row before it", found)
        return table.sort(*KEY, maintain_order=True)
    if _two_clocks(table, interval_s, found):
        return table.sort(*KEY, maintain_order=True).unique(KEY, keep="first", maintain_order=True)
    table = _without_twins(table, interval_s, found)
    back = _steps(table) <= 0
    if back.any():
        _note_back(table, back, "unsorted", "is earlier than the row before it", found)
    return table.sort(*KEY, maintain_order=True)


def _steps(table: pl.DataFrame) -> pl.Series:
    """Microseconds since the row before it of the same symbol; null in its first row."""
    step = pl.col("timestamp").diff().over("symbol").dt.total_microseconds()
    return table.select(step).to_series()


def _note_back(
    table: pl.DataFrame, back: pl.Series, rule: str, words: str, found: Findings
) -> None:
    rows = found.rows(rule, table.filter(back.fill_null(value=False)))
    if rows.height:
        row = rows.row(0, named=True)
        found.add(rule, f"{row['symbol']} {row['timestamp']} {words}", row=row[ROW],
                  column="timestamp", others=rows.height - 1)  # fmt: skip


def _without_twins(table: pl.DataFrame, interval_s: float, found: Findings) -> pl.DataFrame:
    """``table`` without the second of two rows of one moment."""
    first = table.unique(KEY, keep="first", maintain_order=True)
    twins = table.join(first.select(ROW), on=ROW, how="anti")
    if twins.is_empty():
        return table
    values = [name for name in table.columns if name not in (ROW, *KEY)]
    pairs = twins.join(first, on=KEY, how="left", suffix="_first", maintain_order="left")
    same = pl.all_horizontal(
        [pl.col(name).eq_missing(pl.col(f"{name}_first")) for name in values] or [pl.lit(True)]
    )
    for rule, which in (("duplicate_timestamp", ~same), ("duplicate_row", same)):
        rows = found.rows(rule, pairs.filter(which))
        if rule == "duplicate_timestamp" and _second_clock(first, rows, interval_s, found):
            continue
        if rows.height:
            row = rows.row(0, named=True)
            what = f"{row['symbol']} {row['timestamp']} stands already in row {row[f'{ROW}_first']}"
            what += "" if rule == "duplicate_row" else ", with other values"
            found.add(rule, what, row=row[ROW], column="timestamp", others=rows.height - 1)
    return first


def _second_clock(
    first: pl.DataFrame, twins: pl.DataFrame, interval_s: float, found: Findings
) -> bool:
    """Rule ``two_clocks``: as many bars in a row stand twice with other values as are missing not
    far from them, as where a shifted part was sorted in among the others."""
    if twins.height < SHIFTED_TWINS or twins["symbol"].n_unique() > 1 or interval_s == 0.0:
        return False
    own = first.filter(pl.col("symbol") == twins["symbol"][0])["timestamp"]
    stamps, interval = own.sort().dt.epoch("us").to_numpy(), round(interval_s * 1e6)
    twice = np.sort(twins["timestamp"].dt.epoch("us").to_numpy())
    if not bool((np.diff(twice) == interval).all()):
        return False
    before = np.flatnonzero(np.diff(stamps) == (len(twice) + 1) * interval)
    hole = np.stack([stamps[before], stamps[before + 1]])
    away = np.maximum(hole[0] - twice[-1], twice[0] - hole[1])
    if not bool((away <= LARGEST_SHIFT_S * 1e6).any()):
        return False
    what = f"{len(twice):,} bars in a row stand twice, and as many are missing beside them"
    found.add("two_clocks", what, row=int(twins[ROW].min()), column="timestamp",  # type: ignore[arg-type]
              others=len(twice) - 1)  # fmt: skip
    return True


def _two_clocks(table: pl.DataFrame, interval_s: float, found: Findings) -> bool:
    """Rule ``two_clocks``: time goes back by whole hours, as where a part on another clock ends."""
    interval = round(interval_s * 1e6)
    for (symbol,), own in table.group_by("symbol", maintain_order=True):
        steps = np.diff(own["timestamp"].dt.epoch("us").to_numpy())
        back = np.flatnonzero(steps < 0)
        if not 0 < len(back) <= SHIFTED_ROWS:
            continue
        for at in back:
            shift = interval - int(steps[at])
            if shift % 1_800_000_000 or not 3_600e6 <= shift <= LARGEST_SHIFT_S * 1e6:
                continue
            beside = [int(step) for step in (*steps[at - 1 : at], *steps[at + 1 : at + 2])]
            if any(step != interval for step in beside):
                continue  # rows in each other's place, not the end of a part
            part = _part(steps, int(at), interval + shift)
            if part is None:
                continue
            first, end = part
            found.add(
                "two_clocks",
                f"{end - first:,} rows of {symbol} lie {shift / 3_600e6:g} h off the others",
                row=int(own[ROW][first]), column="timestamp", others=end - first - 1,
            )  # fmt: skip
            return True
    return False


def _part(steps: Ints, back: int, forward: int) -> tuple[int, int] | None:
    """Rows [first, end) between a step back and the step forward by as much; or the shorter side
    of a single step back."""
    jumps = np.flatnonzero(steps == forward)
    if len(jumps):
        nearest = int(jumps[np.argmin(np.abs(jumps - back))])
        first, end = sorted((nearest + 1, back + 1))
        return (first, end) if end - first > 1 else None
    before, after = back + 1, len(steps) - back
    if min(before, after) < SHIFTED_ROWS or int((steps < 0).sum()) > 1:
        return None
    return (0, before) if before <= after else (before, before + after)
