"""All bars of all symbols, and which symbols end for good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.data import DataConfig
from truefill.config.splits import Splits, SplitsConfig
from truefill.data import defects
from truefill.data.defects import NUMBERS, Finding, Findings
from truefill.data.defects.prices import check_tradable
from truefill.data.defects.symbols import check_calendars
from truefill.data.defects.whole import Market
from truefill.data.read import InputFile, examine_bars, read_event_rows
from truefill.data.sessions import Session, session_of, session_time
from truefill.data.splits import SPLITS, before_test, inside, period_of
from truefill.data.synthetic import synthetic_bars, synthetic_input

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "timestamp": pl.Datetime("us", "UTC"), "symbol": pl.String, **dict.fromkeys(NUMBERS, pl.Float64)
}  # fmt: skip
MAX_SILENT_SESSIONS = 30
"""Sessions by which a symbol may end before the others without a word: six weeks of a five-day
market, longer than exchanges have closed or trading in one symbol usually stays suspended, and
short beside any split."""


@dataclass(frozen=True)
class AllBars:
    """``table``: canonical, checked, sorted by symbol and time; ``delisted``: symbols whose last
    bar is declared their last ever; ``findings``: warnings of all files together."""

    table: pl.DataFrame
    inputs: list[InputFile]
    delisted: frozenset[str]
    findings: tuple[Finding, ...] = ()


def read_all_bars(data: DataConfig, extra: Iterable[str], found: Findings | None = None) -> AllBars:
    """The bars of every file, or the synthetic market; ``extra``: as in :func:`read_bars`.

    Raises ``DataError`` for the first defect that ``data.defects`` does not let pass, and says how
    many more there are; with ``found`` notes them all instead, and returns what could be read.
    """
    if data.synthetic is not None:
        table = synthetic_bars(data.synthetic, data.interval)
        source = synthetic_input(data.synthetic, data.interval, table.height)
        return AllBars(table, [source], frozenset())
    if found is None:
        found = Findings(data.defects, known_rows(data.splits))
        bars = read_all_bars(data, extra, found)
        found.require()
        return bars
    market = Market(
        session_of(data.session, data.interval), data.session is not None, _declared_splits(data)
    )
    used = [data.splits.column] if data.splits.kind == "column" else []
    tables, symbols = [pl.DataFrame(schema=SCHEMA)], {}
    inputs: list[InputFile] = []
    delisted: set[str] = set()
    for i, source_file in enumerate(data.bars):
        with found.noting():
            table, file = examine_bars(
                source_file, found, interval_s=data.interval, extra=extra, market=market, used=used
            )
            of_file = table["symbol"].unique().to_list()
            symbols[f"data.bars.{i} ({file.name})"] = of_file
            delisted.update(of_file if source_file.delisted else ())
            tables.append(table)
            inputs.append(file)
    with found.noting():
        defects.check_overlap(symbols)
    table = pl.concat(tables, how="diagonal").sort("symbol", "timestamp")
    found.file, noted = "data.bars", len(found.found)
    check_calendars(table, market.session, found)
    if any(file.non_positive_prices for file in data.bars):
        with found.noting():
            check_tradable(table, in_splits(data.splits))
    among = tuple(f for f in found.found[noted:] if f.severity != "error")
    return AllBars(table, inputs, frozenset(delisted), among)


def known_rows(splits: Splits) -> pl.Expr:
    """Rows that warnings may tell of: before the test split; none while its dates are not known."""
    return before_test(splits) if isinstance(splits, SplitsConfig) else pl.lit(value=False)


def in_splits(splits: Splits) -> pl.Expr:
    """Rows in any split; all while the dates are not known."""
    if not isinstance(splits, SplitsConfig):
        return pl.lit(value=True)
    return pl.any_horizontal(inside(period_of(splits, name)) for name in SPLITS)


def _declared_splits(data: DataConfig) -> dict[str, npt.NDArray[np.int64]]:
    """Moments of the splits in ``data.events`` by symbol, unix seconds."""
    tables = [read_event_rows(source)[0] for source in data.events if source.kind == "split"]
    if not tables:
        return {}
    rows = pl.concat(tables, how="diagonal").with_columns(s=pl.col("timestamp").dt.epoch("s"))
    return {
        str(symbol): own["s"].to_numpy().astype(np.int64)
        for (symbol,), own in rows.group_by("symbol")
    }


def last_ever(bars: pl.DataFrame, delisted: Iterable[str]) -> npt.NDArray[np.bool_]:
    """[n] bool: the last of the bars (sorted by symbol, time) of each ``delisted`` symbol."""
    last = pl.col("symbol").is_last_distinct() & pl.col("symbol").is_in(sorted(delisted))
    return bars.select(last).to_series().to_numpy().astype(np.bool_)


def silent_ends(bars: pl.DataFrame, delisted: Iterable[str], session: Session) -> list[str]:
    """A warning for each symbol that ends more than ``MAX_SILENT_SESSIONS`` sessions before the
    last of ``bars`` (those before the test split), although nothing declares it delisted."""
    seconds = bars["timestamp"].dt.epoch("s").to_numpy().astype(np.int64)
    dated = bars.select("symbol", "timestamp", day=pl.Series(session_time(session, seconds).day))
    days = np.unique(dated["day"].to_numpy())
    ends = dated.group_by("symbol").agg(pl.col("timestamp", "day").last()).sort("symbol")
    found = []
    for symbol, moment, day in ends.iter_rows():
        later = len(days) - int(np.searchsorted(days, day, side="right"))
        if later > MAX_SILENT_SESSIONS and symbol not in set(delisted):
            found.append(
                f"{symbol} has no bar from {moment.date()} to the test split, {later:,} sessions; "
                "positions stay marked at its last close. If it was delisted, set delisted: true "
                "on its file in data.bars"
            )
    return found
