"""``data.resample``: closed buckets, their columns, sessions, clock changes and borders."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_cases import config_of, walk
from truefill.config.schema import DataConfig
from truefill.core.errors import ConfigError, DataError
from truefill.data.resample import session_bars

START = datetime(2024, 1, 1, tzinfo=UTC)
FX = {"timezone": "America/New_York", "days": ["mon", "tue", "wed", "thu", "sun"],
      "start": "17:00", "end": "16:00"}  # fmt: skip
STOCKS = {"timezone": "America/New_York", "start": "09:30", "end": "16:00"}


def data_of(interval: str, resample: str, session: dict[str, Any] | None = None) -> DataConfig:
    """The data section of a config that resamples."""
    ends = ["2024-01-01", "2025-01-01", "2026-01-01", "2027-01-01"]
    names = ("train", "validation", "test")
    splits = {
        name: {"start": a, "end": b} for name, a, b in zip(names, ends[:-1], ends[1:], strict=True)
    }
    data = {"splits": splits, "synthetic": {"kind": "random_walk"}, "interval": interval,
            "resample": resample, "session": session}  # fmt: skip
    return config_of(data).data


def bars_at(*starts: datetime, symbol: str = "X") -> pl.DataFrame:
    """A bar at each moment; its prices tell its number."""
    n = len(starts)
    stamps = pl.Series(list(starts)).cast(pl.Datetime("us", "UTC"))
    table = walk(n, symbol=symbol).with_columns(timestamp=stamps)
    return table.with_columns(pl.Series("volume", np.arange(1.0, n + 1.0)))


def every(minutes: int, first: datetime, count: int, symbol: str = "X") -> pl.DataFrame:
    """``count`` bars from ``first`` on without a gap."""
    return bars_at(*(first + timedelta(minutes=minutes * n) for n in range(count)), symbol=symbol)


def labels(table: pl.DataFrame, data: DataConfig, zone: str = "UTC") -> list[str]:
    """Starts of the buckets, by the clock of ``zone``."""
    found = session_bars(table, data).bars["timestamp"].dt.convert_time_zone(zone)
    return [f"{moment:%m-%d %H:%M}" for moment in found]


def test_a_bucket_has_the_first_open_the_last_close_and_the_whole_range() -> None:
    table = every(60, START, 40).with_columns(
        taker_buy_volume=pl.col("volume") / 2, trades=pl.lit(3.0), quote_volume=pl.lit(0.1),
        spread_multiplier=pl.col("volume"),
    )  # fmt: skip
    bars = session_bars(table, data_of("1h", "4h")).bars
    assert bars.columns == table.columns
    for n in range(10):
        part, bucket = table[4 * n : 4 * n + 4], bars.row(n, named=True)
        assert bucket["timestamp"] == START + timedelta(hours=4 * n)
        assert bucket["open"] == part["open"][0] and bucket["close"] == part["close"][-1]
        assert bucket["high"] == part["high"].max() and bucket["low"] == part["low"].min()
        assert bucket["volume"] == 16.0 * n + 10.0
        assert bucket["taker_buy_volume"] == bucket["volume"] / 2
        assert (bucket["trades"], bucket["spread_multiplier"]) == (12.0, 4.0 * n + 4.0)
        assert bucket["quote_volume"] == np.add.reduce(np.full(4, 0.1))


def test_the_trailing_bucket_waits_for_its_last_bar() -> None:
    data = data_of("1h", "4h")
    for count, buckets in ((3, 0), (4, 1), (7, 1), (8, 2)):
        kept = session_bars(every(60, START, count), data)
        assert kept.bars.height == buckets
        assert kept.resampled is not None
        assert (kept.resampled.unclosed, kept.resampled.merged) == (count % 4, 3 * buckets)


def test_a_bucket_with_a_gap_is_kept_once_a_later_bar_exists() -> None:
    data = data_of("1h", "4h")
    gap = every(60, START, 9).filter(~pl.col("timestamp").dt.hour().is_in([2, 3, 5]))
    kept = session_bars(gap, data)
    assert labels(gap, data) == ["01-01 00:00", "01-01 04:00"]
    assert kept.resampled is not None and kept.resampled.source_bars.tolist() == [2, 3]
    assert labels(gap[:2], data) == []
    assert labels(gap[:3], data) == ["01-01 00:00"]


def test_a_bucket_without_bars_does_not_exist() -> None:
    table = pl.concat([every(60, START, 4), every(60, START + timedelta(hours=12), 4)])
    assert labels(table, data_of("1h", "4h")) == ["01-01 00:00", "01-01 12:00"]


def test_another_symbols_later_bar_shows_that_a_bucket_is_over() -> None:
    """The last bars of a symbol that is delisted in the middle of a bucket are not lost."""
    table = pl.concat([every(60, START, 6, "A"), every(60, START, 8, "B")])
    bars = session_bars(table, data_of("1h", "4h")).bars
    assert bars["symbol"].to_list() == ["A", "A", "B", "B"]
    assert bars["close"][1] == table["close"][5]


def test_round_the_clock_buckets_are_counted_from_1970() -> None:
    first = datetime(2024, 1, 1, 3, tzinfo=UTC)
    assert labels(every(60, first, 20), data_of("1h", "6h")) == [
        "01-01 00:00", "01-01 06:00", "01-01 12:00",
    ]  # fmt: skip
    weeks = labels(every(1_440, datetime(2024, 1, 1, tzinfo=UTC), 30), data_of("1d", "1w"))
    assert weeks == ["12-28 00:00", "01-04 00:00", "01-11 00:00", "01-18 00:00"]


def test_buckets_start_with_the_session_and_end_with_it() -> None:
    """6.5 hours make a bucket of four hours and one of two and a half, in winter and summer."""
    days = [datetime(2024, 3, day, 9, 30, tzinfo=ZoneInfo("America/New_York")) for day in (8, 11)]
    table = pl.concat([every(30, day.astimezone(UTC), 13) for day in days])
    data = data_of("30m", "4h", STOCKS)
    zone = "America/New_York"
    assert labels(table, data, zone) == [
        "03-08 09:30", "03-08 13:30", "03-11 09:30", "03-11 13:30",
    ]  # fmt: skip
    bars = session_bars(table, data).bars
    assert bars["volume"].to_list() == [36.0, 55.0, 36.0, 55.0]
    assert [f"{t:%H:%M}" for t in bars["timestamp"]] == ["14:30", "18:30", "13:30", "17:30"]
    assert labels(table[:-1], data, zone) == ["03-08 09:30", "03-08 13:30", "03-11 09:30"]
    assert labels(table, data_of("30m", "1d", STOCKS), zone) == ["03-08 09:30", "03-11 09:30"]


def test_bars_outside_the_session_are_in_no_bucket() -> None:
    day = datetime(2024, 3, 8, 13, tzinfo=UTC)  # 08:00 in New York
    table = every(30, day, 20)
    kept = session_bars(table, data_of("30m", "4h", STOCKS))
    assert kept.outside == 7
    assert kept.bars["open"][0] == table["open"][3]


def test_a_session_over_midnight_keeps_its_hours_when_the_clocks_change() -> None:
    """The session of Sunday 17:00 belongs to Sunday; clocks change before it, at 02:00."""
    zone = ZoneInfo("America/New_York")
    data = data_of("1h", "4h", FX)
    for sunday in (datetime(2024, 3, 10, 17, tzinfo=zone), datetime(2024, 11, 3, 17, tzinfo=zone)):
        table = every(60, sunday.astimezone(UTC), 23)
        assert labels(table, data, "America/New_York") == [
            (sunday + timedelta(hours=4 * n)).strftime("%m-%d %H:%M") for n in range(6)
        ]
        assert session_bars(table, data).bars["volume"].to_list()[-1] == 21.0 + 22.0 + 23.0


@pytest.mark.parametrize(("month", "day", "hours"), [(3, 10, 23), (11, 3, 25)])
def test_a_day_of_23_or_25_hours_is_not_torn(month: int, day: int, hours: int) -> None:
    zone = ZoneInfo("America/New_York")
    always = {"timezone": "America/New_York", "days": ["sat", "sun", "mon"]}
    midnight = datetime(2024, month, day, tzinfo=zone).astimezone(UTC)
    table = every(30, midnight, hours * 2 + 48)
    hourly = session_bars(table, data_of("30m", "1h", always)).bars
    assert hourly.height == hours + 24
    assert (hourly["timestamp"].diff().drop_nulls() == timedelta(hours=1)).all()
    daily = session_bars(table, data_of("30m", "1d", always)).bars
    assert daily["timestamp"].to_list() == [midnight, midnight + timedelta(hours=hours)]
    with pytest.raises(DataError, match="overlapping_bars"):
        session_bars(table, data_of("30m", "8h" if hours == 23 else "4h", always))


def test_a_session_whose_open_the_clock_change_skips_is_refused() -> None:
    table = every(60, datetime(2018, 11, 3, 3, tzinfo=UTC), 48)
    brazil = {"timezone": "America/Sao_Paulo", "days": ["sat", "sun"]}
    with pytest.raises(DataError, match=r"nonexistent_time.*2018-11-04 00:00:00"):
        session_bars(table, data_of("1h", "4h", brazil))


def test_buckets_follow_bars_beside_the_open() -> None:
    """Hourly bars of 10:00 to 15:00 in a session from 09:30: buckets of 10:00, 12:00 and 14:00."""
    day = datetime(2024, 3, 8, 15, tzinfo=UTC)
    found = labels(every(60, day, 6), data_of("1h", "2h", STOCKS), "America/New_York")
    assert found == ["03-08 10:00", "03-08 12:00", "03-08 14:00"]


@pytest.mark.parametrize(
    ("interval", "resample", "session", "words"),
    [
        ("1h", "90m", None, "whole intervals"),
        ("1h", "1h", None, "whole intervals"),
        ("1h", "30m", None, "whole intervals"),
        ("1h", "2d", STOCKS, "longer than a day"),
    ],
)
def test_a_resample_that_cannot_be_is_refused(
    interval: str, resample: str, session: dict[str, Any] | None, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        data_of(interval, resample, session)


@settings(max_examples=30)
@given(
    gaps=st.sets(st.integers(0, 59), max_size=40),
    cut=st.integers(1, 60),
    session=st.sampled_from([None, FX, STOCKS]),
    resample=st.sampled_from(["1h", "90m", "4h"]),
    late=st.integers(0, 20),
)
def test_a_longer_history_never_changes_a_closed_bucket(
    gaps: set[int], cut: int, session: dict[str, Any] | None, resample: str, late: int
) -> None:
    first = datetime(2024, 3, 8, 14, 30, tzinfo=UTC)  # a Friday; clocks change on Sunday
    stamps = [first + timedelta(hours=n + (40 if n > 20 else 0)) for n in range(60)]
    stamps = [moment + timedelta(minutes=30 * (n % 2)) for n, moment in enumerate(stamps)]
    one = bars_at(*(s for n, s in enumerate(stamps) if n not in gaps), symbol="A")
    two = bars_at(*stamps[late:], symbol="B").with_columns(trades=pl.lit(0.1))
    table = pl.concat([one, two], how="diagonal")
    data = data_of("30m", resample, session)
    known = table.filter(pl.col("timestamp") <= stamps[cut - 1])
    whole, part = session_bars(table, data).bars, session_bars(known, data).bars
    for symbol in ("A", "B"):
        long, short = (b.filter(pl.col("symbol") == symbol) for b in (whole, part))
        assert long[: short.height].equals(short, null_equal=True)


def test_an_exchange_that_closes_early_closes_its_bucket() -> None:
    """3 July 2024: New York closes at 13:00; the 4th is a holiday."""
    opened = [datetime(2024, 7, day, 13, 30, tzinfo=UTC) for day in (2, 3)]
    table = pl.concat([every(30, opened[0], 13), every(30, opened[1], 7)])
    data = data_of("30m", "2h", {"calendar": "XNYS"})
    found = [f"07-02 {hour}:30" for hour in ("09", "11", "13", "15")]
    found += ["07-03 09:30", "07-03 11:30"]
    assert labels(table, data, "America/New_York") == found
    assert labels(table[:-1], data, "America/New_York") == found[:-1]


def test_hourly_bars_from_before_the_open_keep_their_grid() -> None:
    """Bars of 09:00 (which hold 09:30 to 10:00) to 15:00: buckets of 09:00, 11:00, 13:00, 15:00."""
    day = datetime(2024, 7, 2, 13, tzinfo=UTC)
    found = labels(every(60, day, 7), data_of("1h", "2h", {"calendar": "XNYS"}), "America/New_York")
    assert found == [f"07-02 {hour}:00" for hour in ("09", "11", "13", "15")]
