"""Indicators of system 000 against published numbers and slow, obvious code."""

from __future__ import annotations

import numpy as np
import pytest

from data_cases import context, series_of, walk
from indicator_cases import bars_of, indicator
from truefill.features.macro import (
    MacroChangeParams,
    MacroZscoreParams,
    SpreadChangeParams,
    SpreadParams,
    macro_pct_change,
    macro_zscore,
    spread_change,
    spread_zscore,
)
from truefill.features.momentum import UnsettledRsi
from truefill.features.price import LogReturnParams, log_return
from truefill.features.rolling import rolling_deviation, rolling_zscore
from truefill.features.volatility import UnsettledAtr

# The classic example of 33 closes (StockCharts, "cs-rsi"): first RSI(14) 70.53.
CLOSES = np.array([
    44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826,
    45.8931, 46.0328, 45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439,
    46.2122, 46.2521, 45.7137, 46.4515, 45.7835, 45.3548, 44.0288, 44.1783, 44.2181, 44.5672,
    43.4205, 42.6628, 43.1314,
])  # fmt: skip
PUBLISHED = [
    70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93, 63.26, 56.06, 62.38, 54.71, 50.42, 39.99,
    41.46, 41.87, 45.46, 37.30, 33.08, 37.77,
]  # fmt: skip


def wilder_rsi(close: np.ndarray, period: int) -> np.ndarray:
    return UnsettledRsi(period).push(bars_of(close))


def test_rsi_matches_the_published_example() -> None:
    values = wilder_rsi(CLOSES, 14)
    assert np.isnan(values[:14]).all()
    np.testing.assert_allclose(values[14:], PUBLISHED, atol=0.02)
    assert round(values[14], 2) == 70.53


def test_rsi_at_its_limits() -> None:
    assert (wilder_rsi(np.full(20, 7.0), 5)[5:] == 50.0).all()
    assert (wilder_rsi(np.arange(1.0, 21.0), 5)[5:] == 100.0).all()
    assert (wilder_rsi(np.arange(20.0, 0.0, -1.0), 5)[5:] == 0.0).all()
    assert np.isnan(wilder_rsi(CLOSES[:14], 14)).all()


def test_rsi_calculator_waits_until_its_seed_is_forgotten() -> None:
    """Two histories that share only recent bars agree to 1e-4 of an index point from there on."""
    bars = walk(300)
    whole = indicator("rsi", context(bars), period=9)
    first = int(np.argmax(~np.isnan(whole)))
    assert first == 9 + 118  # (8/9)^118 < 1e-6
    late = wilder_rsi(bars["close"].to_numpy()[100:], 9)
    np.testing.assert_allclose(late[first:], whole[100 + first :], atol=1e-4)


def test_atr_by_hand() -> None:
    high, low = np.array([10.0, 12.0, 11.0, 15.0]), np.array([8.0, 9.0, 10.0, 14.0])
    close = np.array([9.0, 11.0, 10.5, 14.5])
    # true ranges: 10 - 8; 12 - 9; 11 - 10; 15 - 10.5
    expected = [np.nan, 2.5, (2.5 + 1.0) / 2, (1.75 + 4.5) / 2]
    bars = bars_of(close, high=high, low=low)
    np.testing.assert_allclose(UnsettledAtr(2).push(bars), expected)


@pytest.mark.parametrize("periods", [1, 7])
def test_log_return(periods: int) -> None:
    bars = walk(50)
    close = bars["close"].to_numpy()
    values = log_return(LogReturnParams(periods=periods), context(bars))
    assert np.isnan(values[:periods]).all()
    np.testing.assert_allclose(
        values[periods:], [np.log(close[t] / close[t - periods]) for t in range(periods, 50)]
    )


@pytest.mark.parametrize(("window", "needed"), [(5, 5), (8, 4), (60, 2)])
def test_rolling_statistics_equal_the_obvious_loop(window: int, needed: int) -> None:
    values = 4_000.0 + np.random.default_rng(0).standard_normal(50)
    distance, std = rolling_deviation(values, window, needed)
    for t in range(50):
        seen = values[max(0, t - window + 1) : t + 1]
        if len(seen) < needed:
            assert np.isnan(distance[t]) and np.isnan(std[t])
        else:
            assert distance[t] == pytest.approx(values[t] - seen.mean(), abs=1e-10)
            assert std[t] == pytest.approx(seen.std(ddof=1), rel=1e-9)


def test_rolling_zscore_of_frozen_prices_is_exactly_zero() -> None:
    """A mean that rounds would make (x - mean) / std = +-1 out of nothing, on every holiday."""
    values = np.concatenate([3_271.76 + np.arange(5.0), np.full(30, 3_271.7699)])
    assert (rolling_zscore(values, 10)[15:] == 0.0).all()


def test_rolling_does_not_drift_after_a_huge_value() -> None:
    values = np.random.default_rng(1).standard_normal(200)
    spiked = values.copy()
    spiked[50] = 1e12
    np.testing.assert_array_equal(rolling_zscore(values, 20)[70:], rolling_zscore(spiked, 20)[70:])


def test_volatility_is_the_sample_deviation_annualized_on_request() -> None:
    bars = walk(60)
    returns = np.diff(np.log(bars["close"].to_numpy()))
    plain = indicator("volatility_pct", context(bars), window=14)
    yearly = indicator("volatility_pct", context(bars), window=14, bars_per_year=100.0)
    assert np.isnan(plain[:14]).all() and plain[14] == pytest.approx(returns[:14].std(ddof=1))
    np.testing.assert_allclose(yearly[14:], plain[14:] * 10.0)


def test_trend_z_is_clipped() -> None:
    bars = walk(60).with_columns(close=np.r_[np.full(59, 100.0), 200.0])
    assert indicator("trend_z", context(bars), window=50, clip=3.0)[-1] == 3.0
    assert indicator("trend_z", context(bars), window=50, clip=9.0)[-1] == pytest.approx(
        49 / 50**0.5
    )


def test_macro_windows_count_published_values() -> None:
    values = np.random.default_rng(2).standard_normal(40).cumsum() + 50.0
    bars = context(walk(24 * 45), {"m": series_of(values)})
    scores = macro_zscore(MacroZscoreParams(series="m", window=20, min_periods=10), bars)
    day = (
        bars.closes_s - bars.timestamps_s[0]
    ) // 86_400 - 1  # newest value date visible, lag 1 day
    assert np.isnan(scores[day < 9]).all()
    for t in (int(np.argmax(day == 9)), int(np.argmax(day == 30))):
        seen = values[max(0, day[t] - 19) : day[t] + 1]
        assert scores[t] == pytest.approx((seen[-1] - seen.mean()) / seen.std(ddof=1))
    change = macro_pct_change(MacroChangeParams(series="m", periods=3), bars)
    t = int(np.argmax(day == 12))
    assert change[t] == pytest.approx(values[12] / values[9] - 1.0)


def test_spread_waits_for_the_later_of_two_series() -> None:
    a = series_of(np.arange(30.0) ** 1.5, name="a")
    b = series_of(np.arange(30.0), name="b", lag_days=3)
    bars = context(walk(24 * 30), {"a": a, "b": b})
    scores = spread_zscore(SpreadParams(a="a", b="b", window=10, min_periods=2), bars)
    first = int(np.argmax(~np.isnan(scores)))
    assert bars.closes_s[first] == b.available_at_s[1]
    change = spread_change(SpreadChangeParams(a="a", b="b", periods=2), bars)
    first = int(np.argmax(~np.isnan(change)))
    assert bars.closes_s[first] == b.available_at_s[2]
    later = int(np.argmax(bars.closes_s == b.available_at_s[4]))
    assert change[later] == pytest.approx((4.0**1.5 - 4.0) - (2.0**1.5 - 2.0))
