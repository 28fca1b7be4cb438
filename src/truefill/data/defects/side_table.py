"""Tables that are not bars: trades, quotes and book updates with two clocks."""

from __future__ import annotations

import numpy as np
import polars as pl

from truefill.config.defects import Policy
from truefill.data.defects.finding import ROW, Finding, Findings, first_row

SENT = ("exch_ns", "exch_us", "exch_ms", "exchange_time", "event_time", "timestamp")
RECEIVED = ("local_ns", "local_us", "local_ms", "received_ns", "received_at", "local_time")
"""Names under which time of sending and of receiving are looked for, in this order."""
_NANOS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}


def check_side_table(
    table: pl.DataFrame,
    file: str,
    *,
    sent: str | None = None,
    received: str | None = None,
    policy: Policy | None = None,
) -> list[Finding]:
    """Rules ``received_before_sent`` and ``bid_above_ask`` of a table of trades, quotes or levels.

    Args:
        table: one row an event; times are datetimes, or whole numbers in columns whose names end
            in their unit (``local_ns``, ``exch_ms``).
        sent: column of the exchange's time; by default the first of ``SENT`` that is there.
        received: column of the local time; by default the first of ``RECEIVED``.

    >>> trades = pl.DataFrame({"exch_ms": [1_000, 1_002], "local_ns": [990_000_000, 996_000_000]})
    >>> check_side_table(trades, "trades.parquet")[0].rule
    'received_before_sent'
    """
    found = Findings(policy or {}, file=file)
    if ROW not in table.columns:
        table = table.with_row_index(ROW, offset=1)
    sent = sent or next((name for name in SENT if name in table.columns), None)
    received = received or next((name for name in RECEIVED if name in table.columns), None)
    if sent is not None and received is not None:
        _check_clock(table, sent, received, found)
    if {"bid", "ask"} <= set(table.columns):
        table = table.with_columns(pl.col("bid", "ask").cast(pl.Float64, strict=False))
        row, count = first_row(table, pl.col("bid") > pl.col("ask"))
        if count:
            found.add("bid_above_ask", f"bid {row['bid']} is above ask {row['ask']}",
                      row=int(str(row[ROW])), column="ask", others=count - 1)  # fmt: skip
    return found.found


def _check_clock(table: pl.DataFrame, sent: str, received: str, found: Findings) -> None:
    delay = _nanos(table[received]) - _nanos(table[sent])
    early = delay < 0
    count = int(early.sum())
    if count:
        median_ms = float(np.median(delay.to_numpy())) / 1e6
        what = (
            f"{count / table.height:.1%} of the rows have {received} before {sent}; the median row "
            f"by {-median_ms:.0f} ms; the local clock is behind by that and by the message's way"
        )
        found.add("received_before_sent", what, row=int(table[ROW][int(early.arg_max() or 0)]),
                  column=received, others=count - 1)  # fmt: skip


def _nanos(times: pl.Series) -> pl.Series:
    """Nanoseconds since 1970."""
    if isinstance(times.dtype, pl.Datetime):
        return times.dt.epoch("ns")
    unit = times.name.rsplit("_", 1)[-1]
    return times.cast(pl.Int64) * _NANOS.get(unit, 1)


def is_side_table(columns: list[str]) -> bool:
    """A table with two clocks, or with bid and ask, and without bars."""
    have = set(columns)
    clocks = bool(have & set(RECEIVED)) and bool(have & set(SENT))
    return "open" not in have and (clocks or {"bid", "ask"} <= have)
