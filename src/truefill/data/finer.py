"""Bars of a shorter interval inside the bars: they say which of stop and target came first.

They describe the same prices as the bars they lie in. Where one leaves its bar's range the two
sources disagree about what could be traded, and neither is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.data import DataConfig
from truefill.core.errors import DataError
from truefill.data.defects import check_overlap, refuse
from truefill.data.events import symbol_spans
from truefill.data.read import InputFile, read_bars
from truefill.data.splits import before_test

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

MISSING_HIGH, MISSING_LOW = -1e18, 1e18
"""High and low of a finer bar that is not there: prices that reach no stop and no target. They are
the market's ``NEVER``, repeated: data and market do not import each other; a test compares them."""
ROUNDING = 1e-9
"""Fraction of the price by which two sources may differ in the last digits."""


def finer_bars(
    data: DataConfig, bars: pl.DataFrame
) -> tuple[dict[str, Floats], list[InputFile], dict[str, Any]]:
    """``finer_high`` and ``finer_low`` f64[n, K], K finer bars a bar in order of time; nothing at
    all where none are configured. The facts tell of bars before the test split only.

    Args:
        bars: the canonical table, sorted by symbol and time, [n].

    Raises:
        DataError: a finer bar of an unknown symbol, off the grid of its bar, or outside its range.
    """
    if data.finer_interval is None:
        return {}, [], {}
    count = round(data.bar_interval / data.finer_interval)
    high = np.full((bars.height, count), MISSING_HIGH)
    low = np.full((bars.height, count), MISSING_LOW)
    spans = symbol_spans(bars)
    files: list[InputFile] = []
    open_bars = before_test(data.splits)
    symbols, outside = {}, 0
    for source in data.finer_bars:
        table, file = read_bars(source, interval_s=data.finer_interval, needs_volume=False)
        found = table["symbol"].unique(maintain_order=True).to_list()
        symbols[f"data.finer_bars.{len(files)} ({file.name})"] = found
        files.append(file)
        for part in table.partition_by("symbol", maintain_order=True):
            symbol = str(part["symbol"][0])
            if symbol not in spans:
                refuse(
                    "unknown_symbol", f"{symbol!r} has no bars in data.bars",
                    file=file.name, column="symbol",
                    do=f"give finer bars of {', '.join(spans)} only",
                )  # fmt: skip
            rows = slice(*spans[symbol])
            starts = bars["timestamp"][rows].dt.epoch("us").to_numpy()
            row, slot, kept = _slots(
                part, starts, data.bar_interval, data.finer_interval, file.name
            )
            outside += part.filter(open_bars).height - kept.filter(open_bars).height
            _require_inside(bars[rows], row, kept, data.finer_tolerance, file.name)
            high[rows][row, slot] = kept["high"].to_numpy()
            low[rows][row, slot] = kept["low"].to_numpy()
    check_overlap(symbols)
    covered = high.max(axis=1) > MISSING_HIGH
    covered &= bars.select(open_bars).to_series().to_numpy().astype(np.bool_)
    facts = {
        "interval_s": data.finer_interval,
        "outside_bars": outside,
        "bars_with_finer": {s: int(covered[slice(*span)].sum()) for s, span in spans.items()},
    }
    return {"finer_high": high, "finer_low": low}, files, facts


def _slots(
    part: pl.DataFrame, starts: Ints, interval_s: float, finer_s: float, file: str
) -> tuple[Ints, Ints, pl.DataFrame]:
    """For the finer bars of one symbol that lie in one of its bars (``starts``, microseconds): the
    bar's row, the place in it, and those finer bars."""
    finer = part["timestamp"].dt.epoch("us").to_numpy()
    row = np.searchsorted(starts, finer, side="right") - 1
    since = finer - starts[np.maximum(row, 0)]
    inside = (row >= 0) & (since < round(interval_s * 1e6))
    slot, rest = np.divmod(since[inside], round(finer_s * 1e6))
    if rest.any():
        at = str(part.filter(pl.Series(inside))["timestamp"][int(np.argmax(rest != 0))])
        refuse(
            "misaligned_finer_bars",
            f"{part['symbol'][0]} {at} starts between two places of its bar",
            file=file, column="timestamp",
            do="give finer bars that start whole finer intervals after their bar",
        )  # fmt: skip
    return row[inside], slot, part.filter(pl.Series(inside))


def _require_inside(
    bars: pl.DataFrame, row: Ints, finer: pl.DataFrame, tolerance: float, file: str
) -> None:
    """Rule ``finer_outside_range``, at the first bar that a finer bar leaves."""
    slack = ROUNDING + tolerance
    high, low = bars["high"].to_numpy()[row], bars["low"].to_numpy()[row]
    above = finer["high"].to_numpy() / high - 1.0
    below = 1.0 - finer["low"].to_numpy() / low
    excess = np.maximum(above, below)
    broken = excess > slack
    if not broken.any():
        return
    at = int(np.argmax(broken))
    raise DataError(
        "finer_outside_range",
        f"{bars['symbol'][0]} {bars['timestamp'][int(row[at])]} runs from {low[at]} to {high[at]}, "
        f"but its finer bar at {finer['timestamp'][at]} from {finer['low'][at]} to "
        f"{finer['high'][at]} (and {int(broken.sum()) - 1:,} more; the worst leaves by "
        f"{excess.max():.2g} of the price)",
        where=file,
        do="give finer bars of the same source, or allow data.finer_tolerance",
    )
