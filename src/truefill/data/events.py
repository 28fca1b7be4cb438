"""Funding, dividends and splits booked on bars.

An event at a moment is paid by or to whoever held the symbol at the close before, at the open of
the symbol's first bar that starts at or after that moment: over a weekend or an outage it waits for
the next bar. Events of one kind on one bar add up; splits multiply.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.sources import EventsFile, Kind
from truefill.core.errors import ConfigError, did_you_mean
from truefill.data.defects import ROW, first_row, more, refuse
from truefill.data.read import InputFile, read_event_rows

Floats = npt.NDArray[np.float64]

NOTHING: dict[Kind, float] = {"funding": 0.0, "dividend": 0.0, "split": 1.0}
"""The value of a bar without an event, by kind; also the order of the columns."""
LARGEST_FUNDING = 0.1
"""Of the notional, at one moment: more is a rate in percent or a rate a year."""


def book_events(
    sources: Sequence[EventsFile], bars: pl.DataFrame
) -> tuple[dict[str, Floats], list[InputFile], list[dict[str, Any]]]:
    """Columns f64[n] by kind (only kinds that are given), the files, and what became of each file's
    events.

    Args:
        bars: ``timestamp`` and ``symbol``, sorted by symbol and time, [n].

    Raises:
        DataError: a value that its kind cannot have, with file, row and column.
        ConfigError: ``symbol:`` names one that has no bars.
    """
    kinds = [kind for kind in NOTHING if any(source.kind == kind for source in sources)]
    columns: dict[str, Floats] = {kind: np.full(bars.height, NOTHING[kind]) for kind in kinds}
    starts = bars["timestamp"].dt.epoch("us").to_numpy()
    files, facts = [], []
    spans = symbol_spans(bars)
    for i, source in enumerate(sources):
        if source.symbol is not None and source.symbol not in spans:
            raise ConfigError(
                f"{source.symbol!r} has no bars",
                where=f"data.events.{i}.symbol",
                do=did_you_mean(source.symbol, spans),
            )
        table, file = read_event_rows(source)
        table = _checked(source, table, file.name)
        files.append(file)
        facts.append(
            {
                "file": file.name,
                "kind": source.kind,
                **_book(columns[source.kind], source.kind, table, starts, spans),
            }
        )
    return columns, files, facts


def symbol_spans(bars: pl.DataFrame) -> dict[str, tuple[int, int]]:
    """First row and end (exclusive) of each symbol in a table sorted by symbol."""
    found = bars.with_row_index(ROW).group_by("symbol", maintain_order=True)
    rows = found.agg(first=pl.col(ROW).first(), last=pl.col(ROW).last()).iter_rows()
    return {symbol: (int(first), int(last) + 1) for symbol, first, last in rows}


def _checked(source: EventsFile, table: pl.DataFrame, file: str) -> pl.DataFrame:
    """The table with its values scaled; refuses what the kind cannot have."""
    value = pl.col("value")
    table = table.with_columns(value * source.scale)
    rule, broken, limit, do = {
        "funding": (
            "suspicious_funding",
            value.abs() > LARGEST_FUNDING,
            f"at one moment is more than {LARGEST_FUNDING:g}",
            "give fractions of the notional for each moment, not percent; see scale",
        ),
        "dividend": ("negative_dividend", value < 0.0, "is below 0", "repair the row"),
        "split": (
            "impossible_split",
            value <= 0.0,
            "is not above 0",
            "give new units for an old one (1 = none), or drop the rows without a split",
        ),
    }[source.kind]
    row, count = first_row(table, broken | ~value.is_finite())
    if count:
        what = f"a {source.kind} of {row['value']} {limit}{more(count)}"
        refuse(rule, what, file=file, row=int(str(row[ROW])), column=source.column, do=do)
    return table


def _book(
    column: Floats,
    kind: Kind,
    events: pl.DataFrame,
    starts: npt.NDArray[np.int64],
    spans: dict[str, tuple[int, int]],
) -> dict[str, int]:
    """Add ``events`` to ``column`` in place, in the order of the file; returns the counts."""
    counts = {"rows": events.height, "booked": 0, "before_first_bar": 0, "after_last_bar": 0}
    combine = np.multiply if kind == "split" else np.add
    for symbol, (first, end) in spans.items():
        own = events.filter(pl.col("symbol") == symbol)
        moments = own["timestamp"].dt.epoch("us").to_numpy()
        bars = starts[first:end]
        before, after = moments < bars[0], moments > bars[-1]
        inside = ~before & ~after
        at = first + np.searchsorted(bars, moments[inside])
        combine.at(column, at, own["value"].to_numpy()[inside])
        counts["before_first_bar"] += int(before.sum())
        counts["after_last_bar"] += int(after.sum())
        counts["booked"] += int(inside.sum())
    kept = counts["booked"] + counts["before_first_bar"] + counts["after_last_bar"]
    return {**counts, "other_symbols": events.height - kept}
