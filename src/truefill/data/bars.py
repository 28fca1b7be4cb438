"""All bars of all symbols, and which symbols end for good."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.data import DataConfig
from truefill.core.fingerprint import fingerprint
from truefill.data import defects
from truefill.data.read import InputFile, read_bars
from truefill.data.sessions import Session, session_time
from truefill.data.synthetic import synthetic_bars

MAX_SILENT_SESSIONS = 30
"""Sessions by which a symbol may end before the others without a word: six weeks of a five-day
market, longer than exchanges have closed or trading in one symbol usually stays suspended, and
short beside any split."""


@dataclass(frozen=True)
class AllBars:
    """``table``: canonical, checked, sorted by symbol and time; ``delisted``: symbols whose last
    bar is declared their last ever."""

    table: pl.DataFrame
    inputs: list[InputFile]
    delisted: frozenset[str]


def read_all_bars(data: DataConfig, extra: Iterable[str]) -> AllBars:
    """The bars of every file, or the synthetic market; ``extra``: as in :func:`read_bars`.

    Raises ``DataError`` for the first defect.
    """
    if data.synthetic is not None:
        table = synthetic_bars(data.synthetic, data.interval)
        source = {**data.synthetic.model_dump(mode="json"), "interval_s": data.interval}
        name = f"synthetic:{data.synthetic.kind}"
        return AllBars(table, [InputFile(name, fingerprint(source), table.height)], frozenset())
    tables, symbols = [], {}
    inputs: list[InputFile] = []
    delisted: set[str] = set()
    for source_file in data.bars:
        table, file = read_bars(source_file, interval_s=data.interval, extra=extra)
        found = table["symbol"].unique().to_list()
        symbols[f"data.bars.{len(inputs)} ({file.name})"] = found
        delisted.update(found if source_file.delisted else ())
        tables.append(table)
        inputs.append(file)
    defects.check_overlap(symbols)
    table = pl.concat(tables, how="diagonal").sort("symbol", "timestamp")
    return AllBars(table, inputs, frozenset(delisted))


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
