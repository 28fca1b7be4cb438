"""Indicators on a handful of bars, worked out step by step beside the code's answer."""

from __future__ import annotations

from itertools import pairwise
from math import log, sqrt

import numpy as np

from indicator_cases import bars_of, indicator

NAN = np.nan


def check(values: np.ndarray, expected: list[float]) -> None:
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-12)


def test_one_bar_features() -> None:
    bars = bars_of([10.0, 12.0], open=[8.0, 11.0], high=[10.0, 13.0], low=[8.0, 10.0])
    check(indicator("bar_range", bars), [10 / 8 - 1, 13 / 10 - 1])
    check(indicator("close_open_ratio", bars), [10 / 8 - 1, 12 / 11 - 1])
    check(indicator("gap_return", bars), [NAN, log(11 / 10)])
    check(indicator("intraday_range", bars), [NAN, (13 - 10) / 10])
    check(indicator("simple_return", bars), [NAN, 12 / 10 - 1])
    check(indicator("price_change", bars), [NAN, 2.0])
    check(indicator("price", bars, price="typical", log=True), [log(28 / 3), log(35 / 3)])


def test_averages_distances_and_slopes() -> None:
    bars = bars_of([2.0, 4.0, 9.0, 5.0])
    check(indicator("sma", bars, window=2), [NAN, 3.0, 6.5, 7.0])
    check(indicator("sma_distance", bars, window=2), [NAN, 4 / 3 - 1, 9 / 6.5 - 1, 5 / 7 - 1])
    check(indicator("sma_slope", bars, window=2), [NAN, NAN, 6.5 / 3 - 1, 7 / 6.5 - 1])


def test_an_exponential_average_starts_with_the_first_close() -> None:
    """period 3: alpha 1/2. From 8: 8, (8 + 4)/2 = 6, (6 + 2)/2 = 4, ...; hidden for 20 bars, as
    2^-20 is the first power below 1e-6."""
    closes = [8.0, 4.0, 2.0, *[4.0 + k % 3 for k in range(30)]]
    average = [8.0]
    for close in closes[1:]:
        average.append((average[-1] + close) / 2.0)
    assert average[:3] == [8.0, 6.0, 4.0]
    bars = bars_of(closes)
    check(indicator("ema", bars, period=3), [NAN] * 20 + average[20:])
    distance = [c / a - 1.0 for c, a in zip(closes, average, strict=True)]
    check(indicator("ema_distance", bars, period=3), [NAN] * 20 + distance[20:])
    slope = [NAN] * 22 + [average[t] / average[t - 2] - 1.0 for t in range(22, 33)]
    check(indicator("ema_slope", bars, period=3, periods=2), slope)


def test_trend_strength_is_net_move_over_way() -> None:
    bars = bars_of([10.0, 13.0, 11.0, 8.0, 8.0, 8.0, 8.0])
    expected = [NAN, NAN, NAN, -2 / 8, -5 / 5, -3 / 3, 0.0]
    check(indicator("trend_strength", bars, window=3, signed=True), expected)
    check(indicator("trend_strength", bars, window=3), np.abs(expected).tolist())


def test_stochastic() -> None:
    high, low = [10.0, 12.0, 11.0, 13.0], [8.0, 9.0, 10.0, 9.0]
    bars = bars_of([9.0, 11.0, 10.0, 12.0], high=high, low=low)
    # lowest low and highest high of two bars: (8, 12), (9, 12), (9, 13)
    fast = [100 * 3 / 4, 100 * 1 / 3, 100 * 3 / 4]
    check(indicator("stochastic_k", bars, window=2, smooth=1), [NAN, *fast])
    slow = [(fast[0] + fast[1]) / 2, (fast[1] + fast[2]) / 2]
    check(indicator("stochastic_k", bars, window=2, smooth=2), [NAN, NAN, *slow])
    expected = [NAN, NAN, NAN, sum(slow) / 2]
    check(indicator("stochastic_d", bars, window=2, smooth=2, signal=2), expected)


def test_cci() -> None:
    """Typical prices 4, 6, 11: mean 7, mean deviation (3 + 1 + 4) / 3."""
    bars = bars_of([4.0, 6.0, 11.0])
    check(indicator("cci", bars, window=3), [NAN, NAN, 4.0 / (0.015 * 8.0 / 3.0)])


def test_momentum_is_scaled_by_volatility() -> None:
    closes = [100.0, 101.0, 99.0, 102.0]
    r = [log(b / a) for a, b in pairwise(closes)]
    mean = sum(r) / 3
    std = sqrt(sum((x - mean) ** 2 for x in r) / 2)
    expected = [NAN, NAN, NAN, log(102 / 101) / (std * sqrt(2.0))]
    check(indicator("momentum", bars_of(closes), periods=2, window=3), expected)


def test_drawdown_from_the_highest_close_of_the_window() -> None:
    bars = bars_of([8.0, 10.0, 9.0, 6.0, 7.0])
    check(indicator("drawdown", bars, window=3), [NAN, NAN, 9 / 10 - 1, 6 / 10 - 1, 7 / 9 - 1])


def test_bollinger_uses_the_population_deviation() -> None:
    """Closes 1, 3: mean 2, deviation 1 (with ddof 1 it would be 1.41)."""
    bars = bars_of([1.0, 3.0])
    check(indicator("bollinger_position", bars, window=2), [NAN, (3 - 0) / (4 - 0)])
    check(indicator("bollinger_width", bars, window=2), [NAN, (4 - 0) / 2])
    check(indicator("bollinger_band", bars, window=2, band="lower"), [NAN, 0.0])


def test_volume_features() -> None:
    bars = bars_of([5.0] * 5, volume=[1.0, 3.0, 0.0, 0.0, 4.0])
    check(indicator("volume_ratio", bars, window=2), [NAN, 3 / 2, 0.0, 1.0, 2.0])
    check(indicator("volume_change", bars), [NAN, (3 - 1) / 4, -1.0, 0.0, 1.0])
    check(indicator("volume_sma", bars, window=2), [NAN, 2.0, 1.5, 0.0, 2.0])
    check(indicator("volume", bars, quote=True), [5.0, 15.0, 0.0, 0.0, 20.0])
    check(indicator("volume", bars, log_scale=2.0)[:2], [log(1.5), log(2.5)])


def test_on_balance_volume_and_its_change() -> None:
    bars = bars_of([5.0, 6.0, 6.0, 4.0], volume=[10.0, 20.0, 30.0, 40.0])
    check(indicator("obv", bars), [10.0, 30.0, 30.0, -10.0])
    change = indicator("obv_change", bars, window=2)
    check(change, [NAN, NAN, (30 - 10) / (20 + 30), (-10 - 30) / (30 + 40)])


def test_accumulation_and_its_change() -> None:
    """Closes a quarter up, at the high, without range: -1/2, +1 and 0 of the volume."""
    bars = bars_of([5.0, 8.0, 7.0], high=[8.0, 8.0, 7.0], low=[4.0, 6.0, 7.0], volume=[10, 20, 30])
    check(indicator("ad_line", bars), [-5.0, 15.0, 15.0])
    check(indicator("ad_change", bars, window=2), [NAN, 15 / 30, 20 / 50])


def test_money_flow_index() -> None:
    """Flows 2 x 12 up, 3 x 10 down, then unchanged."""
    bars = bars_of([11.0, 12.0, 10.0, 10.0], volume=[1.0, 2.0, 3.0, 4.0])
    check(indicator("mfi", bars, window=2), [NAN, NAN, 100 * 24 / (24 + 30), 0.0])


def test_vwap_over_a_window_and_since_the_first_bar() -> None:
    bars = bars_of([10.0, 13.0, 16.0, 20.0], volume=[2.0, 1.0, 0.0, 0.0])
    check(indicator("vwap", bars), [10.0, 33 / 3, 33 / 3, 33 / 3])
    check(indicator("vwap", bars, window=2), [NAN, 33 / 3, 13.0, 20.0])
    check(indicator("vwap_distance", bars, window=2), [NAN, 13 / 11 - 1, 16 / 13 - 1, 0.0])


def test_garch_targets_the_mean_square_of_its_window() -> None:
    """h = (1 - a - b) V + a r^2 + b h, from the first bar at which V is known."""
    rng = np.random.default_rng(8)
    closes = 50.0 * np.exp(np.cumsum(0.01 * rng.standard_normal(60)))
    r = np.diff(np.log(closes))
    a, b, window = 0.3, 0.2, 4
    h, expected = None, [NAN] * 60
    for t in range(window, 60):
        target = sum(r[t - window : t] ** 2) / window  # r[t - 1] is the return of bar t
        news = (1.0 - a - b) * target + a * r[t - 1] ** 2
        h = news / (1.0 - b) if h is None else news + b * h
        if t >= window + 9:  # 0.2^9 is the first power below 1e-6
            expected[t] = sqrt(h)
    check(indicator("garch", bars_of(closes), alpha=a, beta=b, window=window), expected)


def test_realized_moments() -> None:
    closes = [100.0, 102.0, 101.0, 105.0]
    r = np.diff(np.log(closes))
    two, three, four = ((r**k).sum() for k in (2, 3, 4))
    bars = bars_of(closes)
    check(indicator("realized_volatility", bars, window=3)[3:], [sqrt(two)])
    check(indicator("realized_skew", bars, window=3)[3:], [sqrt(3) * three / two**1.5])
    check(indicator("realized_kurtosis", bars, window=3)[3:], [3 * four / two**2])
    d = r - r.mean()
    check(indicator("skew", bars, window=3)[3:], [(d**3).mean() / (d**2).mean() ** 1.5])


def test_taker_flow() -> None:
    taker = np.array([3.0, 0.0, 0.0, 4.0])
    bars = bars_of([5.0] * 4, volume=[4.0, 6.0, 0.0, 4.0], taker=taker)
    check(indicator("cvd", bars, window=2, column="taker"), [NAN, -0.4, -1.0, 1.0])
    ratio = [3 / 4, 0.0, 0.5, 1.0]
    check(indicator("taker_buy_ratio", bars, column="taker"), ratio)
    smooth = [(3 / 4 + 0.0) / 2, 0.25, 0.75]
    check(indicator("taker_buy_ratio", bars, window=2, column="taker"), [NAN, *smooth])
    expected = [NAN, NAN, NAN, 0.75 - 3 / 8]
    check(indicator("taker_buy_momentum", bars, window=2, periods=2, column="taker"), expected)
