"""Pages as they come -> batches that may be stored: checked, closed, each row once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import polars as pl

from truefill.core.errors import DataError
from truefill.fetch.base import PRICES, UTC_US, About, Source

BATCH_ROWS = 100_000
"""Rows after which a batch is stored, so that an import that is cut off goes on from there."""


def batches(
    source: Source, start: datetime | None, until: datetime, rows: int = BATCH_ROWS
) -> Iterator[pl.DataFrame]:
    """Batches of at least ``rows`` rows (the last may hold fewer), in order of time.

    Raises:
        DataError: a page breaks a rule: ``wrong_columns``, ``not_a_number``, ``unsorted``,
            ``conflicting_rows`` (two rows of one moment differ), ``wrong_interval``.
    """
    about = source.about
    waiting: list[pl.DataFrame] = []
    last: datetime | None = None
    for page in source.pages(start, until):
        page = closed(_checked(page, about), about, start, until)
        if last is not None:
            _require_same(page, waiting, about)
            page = page.filter(pl.col("timestamp") > last)
        if page.is_empty():
            continue
        waiting.append(page)
        last = page["timestamp"][-1]
        # The newest page stays behind: the next one may repeat its end.
        if sum(part.height for part in waiting[:-1]) >= rows:
            yield _joined(waiting[:-1], about)
            waiting = waiting[-1:]
    if waiting:
        yield _joined(waiting, about)


def closed(
    page: pl.DataFrame, about: About, start: datetime | None, until: datetime
) -> pl.DataFrame:
    """Rows from ``start`` on that were final at ``until``: bars whose close has passed, other rows
    whose moment has."""
    length = timedelta(seconds=about.length_s)
    final = pl.col("timestamp") <= until - length
    return page.filter(final if start is None else final & (pl.col("timestamp") >= start))


def _checked(page: pl.DataFrame, about: About) -> pl.DataFrame:
    if set(page.columns) != {"timestamp", *about.columns}:
        found = ", ".join(page.columns)
        raise DataError("wrong_columns", f"the source sent {found}", where=about.symbol)
    page = page.select(pl.col("timestamp").cast(UTC_US), pl.col(*about.columns).cast(pl.Float64))
    needed = PRICES if about.kind == "bars" else about.columns
    for name in needed:
        broken = page.filter(~pl.col(name).is_finite().fill_null(False))
        if broken.height:
            raise DataError(
                "not_a_number",
                f"{name} is {broken[name][0]} at {broken['timestamp'][0]}",
                where=about.symbol,
                do="leave that period out with start and end, or ask another source",
            )
    return _each_once(page, about)


def _each_once(page: pl.DataFrame, about: About) -> pl.DataFrame:
    """The page without rows that it repeats; refuses disorder and two rows of one moment."""
    page = page.unique(maintain_order=True)
    step = page["timestamp"].diff().dt.total_microseconds()
    if (step < 0).any():
        at = page["timestamp"][int((step < 0).arg_max() or 0)]
        raise DataError("unsorted", f"the source sent {at} after a later row", where=about.symbol)
    if (step == 0).any():
        at = page["timestamp"][int((step == 0).arg_max() or 0)]
        raise DataError(
            "conflicting_rows", f"the source sent two rows of {at} that differ", where=about.symbol
        )
    return page


def _require_same(page: pl.DataFrame, earlier: list[pl.DataFrame], about: About) -> None:
    """Rule ``conflicting_rows`` where a page has rows of the time of those before it that are not
    the same there."""
    known = pl.concat(earlier)
    again = page.filter(
        pl.col("timestamp").is_between(known["timestamp"][0], known["timestamp"][-1])
    )
    odd = again.join(known, on=page.columns, how="anti", nulls_equal=True, maintain_order="left")
    if odd.height:
        raise DataError(
            "conflicting_rows",
            f"two pages of the source disagree about {odd['timestamp'][0]}",
            where=about.symbol,
            do="ask again later",
        )


def _joined(pages: list[pl.DataFrame], about: About) -> pl.DataFrame:
    table = pl.concat(pages)
    if about.interval_s is None or table.height < 2:
        return table
    steps = table["timestamp"].diff().dt.total_microseconds()
    closest_s = float(steps.min() or 0) / 1e6  # type: ignore[arg-type]
    if closest_s < about.interval_s:
        at = table["timestamp"][int(steps.arg_min() or 0)]
        raise DataError(
            "wrong_interval",
            f"bars of {about.interval_s:g} s were asked for, but at {at} two lie "
            f"{closest_s:g} s apart",
            where=about.symbol,
        )
    return table
