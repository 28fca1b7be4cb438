"""Funding, dividends and splits booked on bars.

An event at a moment is paid by or to whoever held the symbol at the close before, at the open of
the symbol's first bar that starts at or after that moment: over a weekend or an outage it waits for
the next bar. Events of one kind on one bar add up; splits multiply.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.sources import EventsFile, Kind
from truefill.core.errors import ConfigError, did_you_mean
from truefill.data.defects import ROW, first_row, more, refuse
from truefill.data.event_checks import check_splits, partial_funding, seen_splits
from truefill.data.read import InputFile, read_event_rows

Floats = npt.NDArray[np.float64]

NOTHING: dict[Kind, float] = {"funding": 0.0, "dividend": 0.0, "split": 1.0}
"""The value of a bar without an event, by kind; also the order of the columns."""
LARGEST_FUNDING = 0.1
"""Of the notional, at one moment: more is a rate in percent or a rate a year."""
BEFORE, AFTER, OTHER = -1, -2, -3
"""In place of a bar: before the symbol's first bar, after its last, of a symbol without bars."""


@dataclass(frozen=True)
class BookedEvents:
    """``columns``: f64[n] by kind, only kinds that are given; ``facts`` and ``warnings`` tell of
    events and bars before the test split only."""

    columns: dict[str, Floats]
    inputs: list[InputFile]
    facts: list[dict[str, Any]]
    warnings: list[str]


def book_events(
    sources: Sequence[EventsFile], bars: pl.DataFrame, before_test: pl.Expr
) -> BookedEvents:
    """The events of every file, each on its bar.

    Args:
        bars: ``timestamp``, ``symbol``, ``open`` and ``close``, sorted by symbol and time, [n].
        before_test: bars and events that facts and warnings may tell of.

    Raises:
        DataError: a value that its kind cannot have, with file, row and column; a file of which
            nothing is booked; a split that the bars do not show, or that is given twice.
        ConfigError: ``symbol:`` names one that has no bars.
    """
    kinds = [kind for kind in NOTHING if any(source.kind == kind for source in sources)]
    columns: dict[str, Floats] = {kind: np.full(bars.height, NOTHING[kind]) for kind in kinds}
    spans = symbol_spans(bars)
    known = bars.filter(before_test)
    files, facts = [], []
    placed: dict[Kind, list[pl.DataFrame]] = {kind: [] for kind in kinds}
    for i, source in enumerate(sources):
        if source.symbol is not None and source.symbol not in spans:
            raise ConfigError(
                f"{source.symbol!r} has no bars",
                where=f"data.events.{i}.symbol",
                do=did_you_mean(source.symbol, spans),
            )
        table, file = read_event_rows(source)
        table = _checked(source, table, file.name).with_columns(file=pl.lit(file.name))
        table = table.with_columns(bar=_bars_of(table, bars))
        own = table.filter(pl.col("bar") >= 0)
        if own.is_empty():
            refuse("nothing_booked", f"none of its {file.rows:,} events falls on a bar",
                   file=file.name,
                   do=f"name symbols as the bars do ({', '.join(spans)}), or give events of the "
                   "bars' own time")  # fmt: skip
        combine = np.multiply if source.kind == "split" else np.add
        combine.at(columns[source.kind], own["bar"].to_numpy(), own["value"].to_numpy())
        placed[source.kind].append(table)
        files.append(file)
        counts = _counts(table.filter(before_test), known)
        facts.append({"file": file.name, "kind": source.kind, **counts})
    check_splits(placed.get("split", []), bars)
    warnings = partial_funding(placed.get("funding", []), known, before_test)
    warnings += seen_splits(placed.get("split", []), before_test)
    return BookedEvents(columns, files, facts, warnings)


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


def _bars_of(events: pl.DataFrame, bars: pl.DataFrame) -> pl.Series:
    """The row of the bar on which each event is booked, or ``BEFORE``, ``AFTER``, ``OTHER``."""
    starts = bars["timestamp"].dt.epoch("us").to_numpy()
    moments = events["timestamp"].dt.epoch("us").to_numpy()
    symbols = events["symbol"].to_numpy()
    bar = np.full(events.height, OTHER)
    for symbol, (first, end) in symbol_spans(bars).items():
        own = symbols == symbol
        at = first + np.searchsorted(starts[first:end], moments[own])
        at[moments[own] > starts[end - 1]] = AFTER
        at[moments[own] < starts[first]] = BEFORE
        bar[own] = at
    return pl.Series(bar, dtype=pl.Int64)


def _counts(events: pl.DataFrame, bars: pl.DataFrame) -> dict[str, int]:
    """What became of these events on these bars."""
    bar = _bars_of(events, bars).to_numpy()
    return {
        "rows": events.height,
        "booked": int((bar >= 0).sum()),
        "before_first_bar": int((bar == BEFORE).sum()),
        "after_last_bar": int((bar == AFTER).sum()),
        "other_symbols": int((bar == OTHER).sum()),
    }
