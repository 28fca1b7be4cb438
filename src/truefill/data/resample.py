"""Bars of a longer interval out of the bars that were read: ``data.resample``.

A bucket is stamped with its START. Round the clock buckets are counted from 1970-01-01 UTC; in a
session from its open, in elapsed time, and none crosses its end. A bucket exists once its end has
passed in the data: the last bar inside it has closed, or some symbol has a later bar. So what the
end of the data cuts is dropped, and a longer history never changes a bucket that was there before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import polars as pl

from truefill.config.data import DataConfig
from truefill.core.errors import ConfigError, DataError
from truefill.data.exchange import schedule
from truefill.data.sessions import Session, keep_session, session_of, session_time
from truefill.data.splits import SPLITS, before_test, inside, period_of

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
DAY_S = 86_400
CLOCK_CHANGE_S = 3_600
"""Daily buckets may start an hour closer: a day of 23 hours in a timezone with summer time."""


@dataclass(frozen=True)
class Resampled:
    """``bars``: the closed buckets, sorted by symbol and time; ``source_bars`` i64[n]: how many
    bars each holds; ``labels``: ``timestamp`` and ``label`` (start of its bucket) of every bar in
    one; ``unclosed``: bars of buckets whose end has not passed."""

    bars: pl.DataFrame
    source_bars: Ints
    labels: pl.DataFrame
    unclosed: int

    @property
    def merged(self) -> int:
        """Rows that are no longer rows of their own."""
        return self.labels.height - self.bars.height

    def facts(self, data: DataConfig) -> dict[str, Any]:
        """For lineage; of bars before the test split only. ``incomplete_bars``: with a gap inside,
        or cut by the end of the session."""
        known = self.bars.select(before_test(data.splits)).to_series().to_numpy()
        full = round(data.bar_interval / data.interval)
        return {
            "from_interval_s": data.interval,
            "interval_s": data.bar_interval,
            "bars": int(known.sum()),
            "incomplete_bars": int((known & (self.source_bars < full)).sum()),
        }


def additive(column: str) -> bool:
    """Whether a column of bars adds up over time: volumes, taker buys and counts of trades.

    >>> [additive(name) for name in ("taker_buy_volume", "quote_volume", "spread_multiplier")]
    [True, True, False]
    """
    return column == "trades" or column.endswith("volume") or column.startswith("taker_buy")


@dataclass(frozen=True)
class SessionBars:
    """``bars``: the dataset's, sorted by symbol and time; ``outside``: how many of the files' lie
    outside the session; ``resampled``: None where bars are used as they were read."""

    bars: pl.DataFrame
    outside: int
    resampled: Resampled | None


def session_bars(table: pl.DataFrame, data: DataConfig) -> SessionBars:
    """The bars of the dataset out of the canonical table: inside the session, and of
    ``data.bar_interval``. Raises what :func:`resample` raises."""
    session = session_of(data.session, data.interval)
    bars, outside = keep_session(table, session)
    if data.resample is None:
        return SessionBars(bars, outside, None)
    resampled = resample(bars, data)
    return SessionBars(resampled.bars, outside, resampled)


def resample(bars: pl.DataFrame, data: DataConfig) -> Resampled:
    """Bars of ``data.bar_interval`` from bars of ``data.interval`` inside the session.

    Open is the first, high the highest, low the lowest, close the last; volume and other additive
    columns are summed in order of time; of any other column the last value counts.

    Args:
        bars: canonical table, sorted by symbol and time.

    Raises:
        DataError: ``overlapping_bars`` where the session's end cuts a bucket so short that the next
            one starts before this one's interval is over.
    """
    seconds = bars["timestamp"].dt.epoch("s").to_numpy().astype(np.int64)
    if data.session is None:
        label = seconds - seconds % round(data.bar_interval)
        closed = label + data.bar_interval <= seconds.max(initial=0) + data.interval
    else:
        label, over = _in_session(session_of(data.session, data.interval), seconds, data)
        clock = seconds.max(initial=0) + data.interval
        closed = over | (label + data.bar_interval <= clock)
    kept = bars.filter(pl.Series(closed))
    labels = kept.select("timestamp", label=pl.Series(label[closed] * 1_000_000)).with_columns(
        pl.col("label").cast(pl.Datetime("us", "UTC"))
    )
    starts = _starts(kept, label[closed])
    table = _aggregated(kept, starts).with_columns(timestamp=labels["label"].gather(starts))
    _require_apart(table, data)
    counts = np.diff(np.append(starts, kept.height))
    return Resampled(table, counts, labels, bars.height - kept.height)


def require_borders(resampled: Resampled, data: DataConfig) -> None:
    """Refuse a split that begins or ends inside a bucket: the bucket would hold bars of both.

    Raises ``ConfigError`` that names the split, the bar and its bucket.
    """
    buckets = resampled.labels.select(timestamp="label")
    for name in SPLITS:
        own = inside(period_of(data.splits, name))
        torn = resampled.labels.select(own).to_series() != buckets.select(own).to_series()
        if torn.any():
            bar, label = resampled.labels.filter(torn).row(0)
            raise ConfigError(
                f"the bar at {bar} lies in the bucket of {label}, across a border of this split",
                where=f"data.splits.{name}",
                do="let the split start and end where buckets of data.resample start",
            )


def _in_session(session: Session, seconds: Ints, data: DataConfig) -> tuple[Ints, Bools]:
    """Start of each bar's bucket, and whether its session is over in the data."""
    opened, day, done = session_grid(session, seconds, data.interval)
    size = round(data.bar_interval)
    # A day of 25 hours is one daily bucket.
    label = opened if size >= DAY_S else opened + (seconds - opened) // size * size
    over = np.isin(day, day[done]) | (day < day.max(initial=np.iinfo(np.int64).min))
    return label, over


def session_grid(session: Session, seconds: Ints, interval_s: float) -> tuple[Ints, Ints, Bools]:
    """For bars of ``interval_s`` that start at ``seconds``: the moment from which the buckets of
    their session are counted, the session's day, and whether the session ends with the bar."""
    length = round(interval_s)
    if session.calendar is not None:
        listed = schedule(session.calendar, seconds)
        n = listed.session_of(seconds, interval_s)
        day = listed.day[n]
        # Hourly bars may start half an hour before the open: buckets follow the bars' own grid.
        opened = listed.open_s[n] - (listed.open_s[n] - seconds) % length
        return opened, day, seconds + length >= listed.close_s[n]
    when = session_time(session, seconds)
    opened = _opens(session, when.day)
    opened += (seconds - opened) % length
    second = np.rint(when.fraction * session.length_s).astype(np.int64)
    return opened, when.day, second + length >= session.length_s


def _opens(session: Session, day: Ints) -> Ints:
    """The moment (unix seconds) at which the session of each bar opens.

    Rule ``nonexistent_time`` where a clock change leaves a session without its open.
    """
    days, number = np.unique(day, return_inverse=True)
    zone = ZoneInfo(session.timezone)
    opens = []
    for each in days.tolist():
        wall = datetime(1970, 1, 1) + timedelta(days=each, seconds=session.start_s)
        moment = wall.replace(tzinfo=zone).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None) != wall:
            raise DataError(
                "nonexistent_time",
                f"the session opens at {wall}, which does not exist in {session.timezone}",
                where="data.session.start",
                do="let the session start at another hour, or give it timezone: UTC",
            )
        opens.append(round(moment.timestamp()))
    return np.array(opens, np.int64)[number]


def _starts(bars: pl.DataFrame, label: Ints) -> Ints:
    """The first row of each bucket of each symbol."""
    symbol = bars["symbol"].rle_id().to_numpy()
    new = (np.diff(label) != 0) | (np.diff(symbol) != 0)
    return np.flatnonzero(np.concatenate([[True] * bool(len(label)), new])).astype(np.int64)


def _aggregated(bars: pl.DataFrame, starts: Ints) -> pl.DataFrame:
    """One row a bucket. Sums are numpy's over each bucket alone: the same bars, the same bits."""
    ends = np.append(starts, bars.height)[1:] - 1
    columns: dict[str, pl.Series] = {}
    for name in bars.columns:
        if name in ("open", "high", "low") or additive(name):
            values = bars[name].to_numpy().astype(np.float64)
            reduced = {
                "open": lambda v: v[starts],
                "high": lambda v: np.maximum.reduceat(v, starts),
                "low": lambda v: np.minimum.reduceat(v, starts),
            }.get(name, lambda v: np.add.reduceat(v, starts))
            columns[name] = pl.Series(reduced(values) if len(starts) else values)
            if bars[name].null_count():
                columns[name] = columns[name].fill_nan(None)
        else:
            columns[name] = bars[name].gather(ends)
    return pl.DataFrame(columns)


def _require_apart(table: pl.DataFrame, data: DataConfig) -> None:
    """Rule ``overlapping_bars``: a bar has closed before the next one of its symbol starts."""
    slack = CLOCK_CHANGE_S if data.bar_interval >= DAY_S else 0
    step = table.select(pl.col("timestamp").diff().over("symbol").dt.total_seconds()).to_series()
    close = (step < data.bar_interval - slack).fill_null(False)
    if close.any():
        at = table["timestamp"][int(close.arg_max() or 0)]
        raise DataError(
            "overlapping_bars",
            f"the bucket before {at} is cut by the session's end, and bars of "
            f"{data.bar_interval:g} s would overlap",
            where="data.resample",
            do="take an interval that divides the session, or a session with a pause",
        )
