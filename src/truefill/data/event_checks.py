"""Events against the bars that they are booked on: splits that the prices do not show would create
money, and funding that covers part of the bars leaves the rest free of charge.

An event table has ``ROW``, ``timestamp``, ``symbol``, ``value``, ``file`` and ``bar`` (the row of
its bar in the table of bars; below 0 where it has none).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import polars as pl

from truefill.data.defects import ROW, refuse

FUNDING_GAP = timedelta(days=3)
"""By which funding may begin after a symbol's first bar or end before its last: payments
usually lie hours apart."""


def check_splits(tables: Sequence[pl.DataFrame], bars: pl.DataFrame) -> None:
    """Rules ``duplicate_split``, and ``split_not_in_prices``: from the close before it to the open
    of its bar the price must move by nearer to 1 / ratio than to 1, in logarithms.

    Bars already adjusted for splits do not move; units would change all the same. Splits of
    several moments on one bar count together. On a symbol's first bar nobody holds it yet.
    """
    if not tables:
        return
    splits = pl.concat(tables).filter((pl.col("bar") >= 0) & (pl.col("value") != 1.0))
    twice = splits.filter(pl.struct("bar", "timestamp").is_duplicated())
    if twice.height:
        first, second = twice.sort("bar", "timestamp", maintain_order=True).head(2).to_dicts()
        refuse("duplicate_split", f"the split of {second['symbol']} at {second['timestamp']} "
               f"stands already in {first['file']} row {first[ROW]}", file=second["file"],
               row=second[ROW], do="keep one of the two rows")  # fmt: skip
    symbols = bars["symbol"].to_numpy()
    opens, closes = bars["open"].to_numpy(), bars["close"].to_numpy()
    of_bar = splits.group_by("bar", maintain_order=True)
    for split in of_bar.agg(pl.all().exclude("value").first(), pl.col("value").product()).rows(
        named=True
    ):
        at, ratio = split["bar"], split["value"]
        if at == 0 or symbols[at - 1] != symbols[at]:
            continue
        moved = opens[at] / closes[at - 1]
        if abs(np.log(moved)) < abs(np.log(moved) + np.log(ratio)):
            refuse("split_not_in_prices",
                   f"{split['symbol']} {bars['timestamp'][at]}: a split of {ratio:g} divides the "
                   f"price by {ratio:g}, but it opens at {moved:.4g} times the close before, as "
                   "bars do that are adjusted already", file=split["file"], row=split[ROW],
                   do="give bars as they traded, or drop the splits that the bars already hold; "
                   "the ratio is new units for an old one")  # fmt: skip


def partial_funding(
    tables: Sequence[pl.DataFrame], bars: pl.DataFrame, before_test: pl.Expr
) -> list[str]:
    """A warning for each symbol whose funding, of all files together, begins later or ends earlier
    than its ``bars`` by more than ``FUNDING_GAP``; tells of what is ``before_test`` only."""
    if not tables:
        return []
    events = pl.concat(tables)
    spans = bars.group_by("symbol").agg(
        first=pl.col("timestamp").first(), last=pl.col("timestamp").last()
    )
    found = []
    for symbol, first, last in spans.sort("symbol").iter_rows():
        own = events.filter(pl.col("symbol") == symbol)
        if own.is_empty():
            continue
        files = ", ".join(own["file"].unique(maintain_order=True))
        paid = own.filter(before_test)["timestamp"].sort()
        if paid.is_empty():
            found.append(f"{files}: {symbol} pays no funding before the test split")
        elif paid[0] - first > FUNDING_GAP or last - paid[-1] > FUNDING_GAP:
            found.append(
                f"{files}: funding of {symbol} runs from {paid[0].date()} to {paid[-1].date()}, "
                f"its bars from {first.date()} to {last.date()} (before the test split); the rest "
                "pays none"
            )
    return found


def seen_splits(tables: Sequence[pl.DataFrame], before_test: pl.Expr) -> list[str]:
    """A warning where splits are booked: features are made of prices as they traded."""
    if not tables:
        return []
    splits = pl.concat(tables).filter((pl.col("bar") >= 0) & (pl.col("value") != 1.0) & before_test)
    if splits.is_empty():
        return []
    symbols = ", ".join(sorted(splits["symbol"].unique()))
    return [
        f"splits before the test split: {splits.height:,} ({symbols}); features are made of prices "
        "as they traded and see each as a jump of the price"
    ]
