"""Spacing of bars: the interval declared, others mixed in, and the grid they stand on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.data.defects.finding import ROW, Findings

DAY_S = 86_400.0
ENOUGH = 20
"""Steps in a row of one other length that are no chance holes but bars of another interval."""


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
    """Rule ``mixed_frequency``: many steps in a row of the same several intervals."""
    steps = _steps(found.rows("mixed_frequency", table))
    if steps.is_empty():
        return
    step = steps["s"].fill_null(0.0).to_numpy()
    first, length = _runs(step)
    long = (length >= ENOUGH) & (step[first] > 1.5 * interval_s)
    if long.any():
        at, count = int(first[long][0]), int(length[long].sum())
        found.add("mixed_frequency", f"{count:,} bars lie {step[at]:g} s apart, data.interval is "
                  f"{interval_s:g} s", row=int(steps[ROW][at]), column="timestamp",
                  others=count - 1)  # fmt: skip


def _runs(
    values: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """First index and length of each run of equal values."""
    first = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    return first, np.diff(np.append(first, len(values)))


def _note_off_grid(table: pl.DataFrame, interval_s: float, found: Findings) -> None:
    """Rule ``off_grid``, for bars shorter than a day."""
    if interval_s >= DAY_S or DAY_S % interval_s:
        return
    seen = found.rows("off_grid", table)
    offset = seen["timestamp"].dt.epoch("us") % round(interval_s * 1e6)
    if seen.is_empty() or offset.n_unique() == 1:
        return
    usual = offset.value_counts(sort=True, name="n")["timestamp"][0]
    odd = seen.filter(offset != usual)
    what = f"{odd['symbol'][0]} {odd['timestamp'][0]} starts between the starts of other bars"
    found.add("off_grid", what, row=odd[ROW][0], column="timestamp", others=odd.height - 1)
