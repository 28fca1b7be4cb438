"""Symbols with calendars of their own on one time axis: masks, session ends, late starts, ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import (
    FEATURES,
    HOUR,
    RETURN,
    START_S,
    config_of,
    parquet_bars,
    split_arrays,
    walk,
)  # fmt: skip
from truefill.core.errors import DataError, UsageError
from truefill.data.bars import MAX_SILENT_SESSIONS
from truefill.data.split import NEVER_TRADED, SplitArrays
from truefill.features.build import build_dataset

HOURS = (pl.col("timestamp").dt.epoch("s") - START_S) // HOUR
LATE = 4 * 24 + 7
"""First hour of the late symbol: in the middle of a day."""
OUTAGE = range(130, 150)
"""Hours in which the round-the-clock symbol has no bar: the evening of a day, and the next."""


def calendars() -> pl.DataFrame:
    """FIVE rests at weekends and has eight bars a day; LATE starts late; SEVEN has an outage."""
    five = walk(480, seed=1, symbol="FIVE").filter(
        (pl.col("timestamp").dt.weekday() <= 5) & pl.col("timestamp").dt.hour().is_between(13, 20)
    )
    seven = walk(480, seed=3, symbol="SEVEN").filter(~HOURS.is_in(list(OUTAGE)))
    late = walk(480, seed=2, symbol="LATE").filter(HOURS >= LATE)
    return pl.concat([five, seven, late])


def split_of(folder: Path, features: list[dict[str, Any]] | None = None) -> SplitArrays:
    return split_arrays(folder, {"bars": [parquet_bars(folder, calendars())]}, features)


def hours_of(split: SplitArrays) -> np.ndarray:
    return (split.timestamps_s - START_S) // HOUR


def test_each_symbol_has_its_own_bars_on_the_common_axis(tmp_path: Path) -> None:
    split, table = split_of(tmp_path), calendars()
    hours = hours_of(split)
    assert split.symbols == ("FIVE", "LATE", "SEVEN")
    for s, symbol in enumerate(split.symbols):
        own = table.filter(pl.col("symbol") == symbol)
        warm = own.filter(HOURS < 240)[1:]  # the first bar has no return
        np.testing.assert_array_equal(
            hours[split.present[:, s]], warm.select(HOURS).to_series().to_numpy()
        )
        np.testing.assert_array_equal(split.close[split.present[:, s], s], warm["close"].to_numpy())
    five, late, seven = split.present.T
    assert (hours[late] > LATE).all() and not set(hours[seven]) & set(OUTAGE)
    assert (five & seven & late).any()
    assert (five & ~seven).any() and (~five & ~late & seven).any() and (~five & late & ~seven).any()


def test_masked_bars_carry_the_past_only(tmp_path: Path) -> None:
    split = split_of(tmp_path)
    for s in range(3):
        last = -1
        for t in range(len(split)):
            if split.present[t, s]:
                last = t
            elif last >= 0:
                assert split.open[t, s] == split.high[t, s] == split.close[last, s]
                assert (split.features[t, s] == split.features[last, s]).all()
            else:
                assert not split.features[t, s].any()
            assert split.volume[t, s] > 0.0 or not split.present[t, s]


def test_no_feature_crosses_from_one_symbol_to_another(tmp_path: Path) -> None:
    """Prices, holes and starts of the others leave a symbol's unfitted features as they are."""
    raw = [{**f, "normalizer": "none"} for f in FEATURES if f["name"] != "rsi"]
    together = split_of(tmp_path, raw)
    for symbol in together.symbols:
        bars = parquet_bars(tmp_path, calendars().filter(pl.col("symbol") == symbol), "own.parquet")
        alone = split_arrays(tmp_path, {"bars": [bars]}, raw)
        own = together.only(symbol)
        np.testing.assert_array_equal(own.timestamps_s, alone.timestamps_s)
        np.testing.assert_array_equal(own.features, alone.features)
        np.testing.assert_array_equal(own.session_end, alone.session_end)


def test_session_ends_are_each_symbols_own(tmp_path: Path) -> None:
    split = split_of(tmp_path)
    hours = hours_of(split)
    ends = {symbol: hours[split.session_end[:, s]] for s, symbol in enumerate(split.symbols)}
    weekdays = [0, 1, 2, 5, 6, 7, 8, 9]  # 1 January 2020 was a Wednesday
    np.testing.assert_array_equal(ends["FIVE"], [24 * day + 20 for day in weekdays])
    np.testing.assert_array_equal(ends["LATE"], [24 * day + 23 for day in range(4, 10)])
    seven = [24 * day + 23 for day in range(10)]
    seven[5] = OUTAGE[0] - 1  # the outage took that day's last bars
    np.testing.assert_array_equal(ends["SEVEN"], seven)
    assert not (split.session_end & ~split.present).any()


def test_session_ends_follow_the_session_not_the_utc_day(tmp_path: Path) -> None:
    """A session from 17:00 to 16:00 in New York ends at 16:00 there, on the next UTC day."""
    session = {"timezone": "America/New_York", "start": "17:00", "end": "16:00",
               "days": ["sun", "mon", "tue", "wed", "thu"]}  # fmt: skip
    bars = parquet_bars(tmp_path, walk(480))
    splits = {
        "train": {"start": "2020-01-01", "end": "2020-01-10"},  # 19:00 on Thursday there
        "validation": {"start": "2020-01-10", "end": "2020-01-16"},
        "test": {"start": "2020-01-16", "end": "2020-01-21"},
    }
    split = split_arrays(tmp_path, {"bars": [bars], "session": session, "splits": splits})
    local = pl.Series(split.timestamps_s[split.session_end[:, 0]] * 1_000_000)
    clock = local.cast(pl.Datetime("us", "UTC")).dt.convert_time_zone("America/New_York")
    *days, last = clock.dt.hour().to_list()
    assert days == [15] * 7  # of the sessions that began on 31 December to 8 January
    assert last == 18  # the split's last bar: what comes after it is not looked at
    five = split_arrays(tmp_path, {"bars": [bars]})
    np.testing.assert_array_equal(hours_of(five)[five.session_end[:, 0]] % 24, [23] * 10)


def test_one_symbol_alone_has_its_own_calendar(tmp_path: Path) -> None:
    split = split_of(tmp_path)
    for s, symbol in enumerate(split.symbols):
        own, at = split.only(symbol), split.present[:, s]
        assert own.symbols == (symbol,) and own.present.all() and len(own) == at.sum()
        np.testing.assert_array_equal(own.timestamps_s, split.timestamps_s[at])
        np.testing.assert_array_equal(own.clock, split.clock[at])
        for name in ("open", "high", "low", "close", "volume", "atr", "features", "no_trade",
                     "session_end", "last"):  # fmt: skip
            np.testing.assert_array_equal(getattr(own, name), getattr(split, name)[at][:, [s]])
    five = split.only("FIVE")
    years = (five.timestamps_s[-1] + HOUR - five.timestamps_s[0]) / (365.25 * 86_400)
    assert five.periods_per_year == pytest.approx(len(five) / years)
    assert five.periods_per_year < split.periods_per_year / 2
    assert len(five.only("FIVE")) == len(five)


def test_only_refuses_strangers_and_empty_symbols(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean 'FIVE'"):
        split_of(tmp_path).only("FIFE")
    table = pl.concat([walk(480, symbol="A"), walk(480, seed=1, symbol="B").filter(HOURS >= 250)])
    split = split_arrays(tmp_path, {"bars": [parquet_bars(tmp_path, table)]})
    assert (split.close[:, 1] == NEVER_TRADED).all()
    with pytest.raises(DataError, match="B has no bars in train"):
        split.only("B")


def two_files(folder: Path, last_hour: int, **options: Any) -> dict[str, Any]:
    gone = walk(2_400, seed=1, symbol="GONE").filter(HOURS.is_between(0, last_hour))
    return {
        "bars": [
            parquet_bars(folder, walk(2_400, symbol="STAYS"), "a.parquet"),
            {**parquet_bars(folder, gone, "b.parquet"), **options},
        ]
    }


def test_the_last_bar_of_a_delisted_symbol_is_marked(tmp_path: Path) -> None:
    data = two_files(tmp_path, 300, delisted=True)
    built = build_dataset(config_of(data, RETURN))
    assert built.lineage["market_data"]["delisted"] == {"GONE": "2020-01-13T12:00:00+00:00"}
    assert built.lineage["warnings"] == []
    train, validation = (split_arrays(tmp_path, data, name=n) for n in ("train", "validation"))
    assert not train.last.any()  # it is still there at the end of train
    assert np.argwhere(validation.last).tolist() == [[300 - 240, 0]]
    assert validation.present[:61, 0].all() and not validation.present[61:, 0].any()
    assert validation.session_end[60, 0]
    assert validation.only("GONE").last[-1, 0]
    undeclared = split_arrays(tmp_path, two_files(tmp_path, 300), name="validation")
    assert not undeclared.last.any()


@pytest.mark.parametrize(("sessions", "warned"), [(30, False), (31, True)])
def test_a_symbol_that_ends_early_without_a_word_is_warned_of(
    tmp_path: Path, sessions: int, warned: bool
) -> None:
    assert MAX_SILENT_SESSIONS == 30
    # The test split begins on day 75; nothing later is told.
    splits = {
        "train": {"start": "2020-01-01", "end": "2020-01-11"},
        "validation": {"start": "2020-01-11", "end": "2020-01-16"},
        "test": {"start": "2020-03-16", "end": "2020-04-09"},
    }
    data = two_files(tmp_path, 24 * (75 - sessions) - 1) | {"splits": splits}
    warnings = build_dataset(config_of(data, RETURN)).lineage["warnings"]
    assert len(warnings) == warned
    assert all(
        w.startswith("GONE has no bar from 2020-02-13 to the test split, 31 sessions")
        for w in warnings
    )
