"""Longer bars: only closed ones, by hand and on real gaps."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

from data_cases import HOUR, config_of, walk
from truefill.config.data import SessionConfig
from truefill.core.errors import ConfigError
from truefill.data.sessions import session_of
from truefill.features.build import specify_all
from truefill.features.compute import context_of
from truefill.features.registry import CALCULATORS

DAY = session_of(None)


def higher(bars: pl.DataFrame, session: Any = DAY, **params: Any) -> np.ndarray:
    entry = CALCULATORS.get("higher")
    given = {"timeframe": "4h", "calculator": "price", "params": {}, **params}
    return entry.make(CALCULATORS.parse("higher", given), context_of(bars, session, HOUR))


def test_the_close_of_the_newest_closed_bar() -> None:
    """Four-hour bars of hourly ones: 00:00 to 04:00 is known with the bar that starts at 03:00."""
    bars = walk(14)
    close = bars["close"].to_numpy()
    want = [np.nan] * 3 + [close[3]] * 4 + [close[7]] * 4 + [close[11]] * 3
    np.testing.assert_array_equal(higher(bars), want)


@pytest.mark.parametrize(
    ("price", "of"), [("open", lambda b: b["open"][0]), ("high", lambda b: b["high"].max()),
                      ("low", lambda b: b["low"].min())],
)  # fmt: skip
def test_it_is_made_of_all_its_bars(price: str, of: Any) -> None:
    bars = walk(9)
    found = higher(bars, params={"price": price})
    assert found[4] == of(bars[:4]) and found[8] == of(bars[4:8])


def test_volumes_add_up_and_other_columns_end() -> None:
    bars = walk(8).with_columns(
        taker_buy_volume=pl.int_range(8).cast(pl.Float64), mood=pl.int_range(8).cast(pl.Float64)
    )
    for name, want in (("taker_buy_volume", [6.0, 22.0]), ("mood", [3.0, 7.0])):
        found = higher(bars, calculator="column", params={"column": name})
        assert found[[3, 7]].tolist() == want
    assert higher(bars, calculator="volume")[3] == bars["volume"][:4].sum()


def test_a_history_that_begins_inside_a_bar_leaves_it_out() -> None:
    bars = walk(14)
    found = higher(bars[2:])
    assert np.isnan(found[:5]).all() and found[5] == bars["close"][7]


def test_without_its_last_bar_it_is_known_one_bar_later() -> None:
    """The bar of 03:00 is missing: whether it comes is known when the next one has closed."""
    bars = walk(14).filter(pl.int_range(14) != 3)
    found = higher(bars)
    assert np.isnan(found[:3]).all() and found[3] == bars["close"][2]
    whole_missing = walk(14).filter(~pl.int_range(14).is_between(4, 7))
    assert (higher(whole_missing)[3:7] == walk(14)["close"][3]).all()


def test_longer_bars_of_a_session_count_from_its_open() -> None:
    """09:00 to 16:00 in bars of three hours: 09, 12 and 15, the last cut by the close."""
    session = session_of(SessionConfig(timezone="UTC", start="09:00", end="16:00"))
    bars = walk(96).filter(pl.col("timestamp").dt.hour().is_between(9, 15))[:14]  # two days
    close = bars["close"].to_numpy()
    found = higher(bars, session, timeframe="3h", align="session")
    first = [np.nan] * 2 + [close[2]] * 3 + [close[5], close[6]]
    np.testing.assert_array_equal(found[:7], first)
    np.testing.assert_array_equal(
        found[7:], [close[6]] * 2 + [close[9]] * 3 + [close[12], close[13]]
    )


def test_a_recursive_calculator_counts_longer_bars() -> None:
    bars = walk(400)
    closes = bars["close"].to_numpy()[3::4]
    daily = walk(100).with_columns(close=pl.Series(closes))
    entry = CALCULATORS.get("rsi")
    want = entry.make(entry.params(period=3), context_of(daily, DAY, HOUR))
    found = higher(bars, calculator="rsi", params={"period": 3})
    np.testing.assert_array_equal(found[3::4], want)


def spec_of(**params: Any) -> Any:
    feature = {"name": "f", "calculator": "higher", "params": params}
    return specify_all(config_of({"bars": [{"path": "none.csv"}]}, [feature]))[0]


def test_its_facts_are_those_of_the_calculator_in_bars_of_the_dataset() -> None:
    spec = spec_of(timeframe="4h", calculator="sma", params={"window": 5})
    assert (spec.warmup_bars, spec.lookback_bars, spec.level) == (16, 24, True)
    assert spec.unit == "price; on bars of 14400 s"
    assert spec.params["params"] == {"window": 5} and spec.params["timeframe"] == 14_400.0


def test_what_cannot_be_had_is_refused() -> None:
    with pytest.raises(ConfigError, match="goes by clocks of its own"):
        spec_of(timeframe="4h", calculator="macro_zscore", params={"series": "a"})
    with pytest.raises(ConfigError, match="Did you mean 'sma'"):
        spec_of(timeframe="4h", calculator="smaa")
    with pytest.raises(ConfigError, match="Did you mean 'window'"):
        spec_of(timeframe="4h", calculator="sma", params={"windw": 5})
    for timeframe in ("90m", "1h", "30m"):
        with pytest.raises(ConfigError, match="not two or more whole bars of 3600 s"):
            higher(walk(9), timeframe=timeframe)
