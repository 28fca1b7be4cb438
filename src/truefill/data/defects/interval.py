"""Spacing of bars: the interval declared, others mixed in, and the grid they stand on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.data.defects.finding import ROW, Findings

DAY_S = 86_400.0
ENOUGH = 20
"""Steps in a row without one of the interval that are no chance holes but bars of another interval,
where ``ALIKE`` of them are equal (the others lead over nights, weekends and holidays)."""
ALIKE = 0.5
SHIFTED_ROWS, HALF_HOUR_US = 10, 1_800_000_000
SHIFT = "__shift__"


def check_interval(table: pl.DataFrame, interval_s: float, found: Findings) -> None:
    """Rules ``wrong_time_unit``, ``mixed_frequency``, ``interval_mismatch`` and ``off_grid``.

    The closest two bars of a symbol lie one interval apart: a wrong interval would date every close
    wrongly, and with it what was known when. Daily and longer bars may come an hour closer (a day
    of 23 hours in a timezone with summer time). ``table`` is sorted by symbol and time.
    """
    steps = _steps(table)
    closest = steps["s"].min()
    if closest is None:
        return
    closest_s = float(closest)  # type: ignore[arg-type]
    slack = 3_600.0 if interval_s >= DAY_S else 0.0
    if abs(closest_s - interval_s) <= slack:
        _note_coarser(table, interval_s, found)
        _note_off_grid(table, interval_s, found)
        return
    factor = interval_s / closest_s
    if any(abs(factor / unit - 1.0) < 1e-9 for unit in (1e3, 1e6, 1e9, 1e-3, 1e-6, 1e-9)):
        found.add("wrong_time_unit", f"the closest two bars lie {closest_s:g} s apart, "
                  f"data.interval is {interval_s:g} s", row=_row(steps, closest_s),
                  column="timestamp")  # fmt: skip
        return
    finer = steps.filter(pl.col("s") == closest_s).height
    usual = steps.filter((pl.col("s") - interval_s).abs() <= slack).height
    if closest_s < interval_s and min(finer, usual) >= ENOUGH:
        found.add("mixed_frequency", f"{finer + 1:,} bars lie {closest_s:g} s apart, {usual:,} "
                  f"{interval_s:g} s as data.interval says", row=_row(steps, closest_s),
                  column="timestamp", others=finer - 1)  # fmt: skip
        return
    found.add("interval_mismatch", f"the closest two bars lie {closest_s:g} s apart, data.interval "
              f"is {interval_s:g} s", column="timestamp")  # fmt: skip


def _row(steps: pl.DataFrame, step_s: float) -> int:
    return int(steps.filter(pl.col("s") == step_s)[ROW][0])


def _steps(table: pl.DataFrame) -> pl.DataFrame:
    """``ROW`` and ``s``, the seconds since the bar before it of the same symbol."""
    step = pl.col("timestamp").diff().over("symbol").dt.total_microseconds() / 1e6
    return table.select(ROW, s=step)


def _note_coarser(table: pl.DataFrame, interval_s: float, found: Findings) -> None:
    """Rule ``mixed_frequency``: many steps in a row of several intervals, most of them equal."""
    steps = _steps(found.rows("mixed_frequency", table))
    if steps.is_empty():
        return
    step = steps["s"].fill_null(0.0).to_numpy()
    edge = np.flatnonzero(np.diff(np.concatenate([[0], step > 1.5 * interval_s, [0]])))
    parts = []
    long = edge[1::2] - edge[::2] >= ENOUGH
    for first, end in zip(edge[::2][long].tolist(), edge[1::2][long].tolist(), strict=True):
        usual, share = _usual(step[first:end])
        if share >= ALIKE:
            parts.append((first, end - first, usual))
    if parts:
        first, _, usual = parts[0]
        count = sum(length for _, length, _ in parts)
        found.add("mixed_frequency", f"{count:,} bars lie {usual:g} s apart or more, data.interval "
                  f"is {interval_s:g} s", row=int(steps[ROW][first]), column="timestamp",
                  others=count - 1)  # fmt: skip


def _usual(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The most usual value and its share."""
    found, counts = np.unique(values, return_counts=True)
    most = int(np.argmax(counts))
    return float(found[most]), float(counts[most] / len(values))


def _note_off_grid(table: pl.DataFrame, interval_s: float, found: Findings) -> None:
    """Rule ``off_grid``, for bars shorter than a day; ``two_clocks`` where they are one part of a
    symbol, half an hour off or a multiple of it."""
    if interval_s >= DAY_S or DAY_S % interval_s:
        return
    if _note_shifted_part(_with_shift(found.rows("two_clocks", table), interval_s), found):
        return
    odd = _with_shift(found.rows("off_grid", table), interval_s).filter(pl.col(SHIFT) != 0)
    if odd.height:
        what = f"{odd['symbol'][0]} {odd['timestamp'][0]} starts between the starts of other bars"
        found.add("off_grid", what, row=odd[ROW][0], column="timestamp", others=odd.height - 1)


def _with_shift(table: pl.DataFrame, interval_s: float) -> pl.DataFrame:
    """``table`` with ``SHIFT``, microseconds off the grid that most of its bars stand on."""
    offset = table["timestamp"].dt.epoch("us") % round(interval_s * 1e6)
    if offset.n_unique() < 2:
        return table.with_columns(pl.lit(0).alias(SHIFT))
    usual = offset.value_counts(sort=True, name="n")["timestamp"][0]
    return table.with_columns((offset - usual).alias(SHIFT))


def _note_shifted_part(table: pl.DataFrame, found: Findings) -> bool:
    """Rule ``two_clocks``: all bars off the grid are one part of one symbol, whole half hours off,
    as a timezone half an hour away leaves them."""
    odd = np.flatnonzero(table[SHIFT].to_numpy())
    if len(odd) < SHIFTED_ROWS or odd[-1] - odd[0] + 1 != len(odd):
        return False
    part = table[int(odd[0]) : int(odd[-1]) + 1]
    shift, symbol = part[SHIFT].unique(), part["symbol"].unique()
    whole = table.filter(pl.col("symbol") == symbol[0]).height
    if len(symbol) > 1 or len(shift) > 1 or shift[0] % HALF_HOUR_US or whole == part.height:
        return False
    what = f"{part.height:,} rows in a row start {shift[0] / 6e7:+g} min off the others"
    found.add("two_clocks", what, row=int(part[ROW][0]), column="timestamp",
              others=part.height - 1)  # fmt: skip
    return True
