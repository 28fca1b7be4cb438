"""Indicators of many bars against slow, obvious code over each window."""

from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest

from data_cases import context, walk
from indicator_cases import bars_of, indicator
from truefill.core.errors import ConfigError

TABLE = walk(240, seed=3)
BARS = context(TABLE)
OPEN, H, L, C, V = BARS.open, BARS.high, BARS.low, BARS.close, BARS.volume
N = 12


def over(t: int, values: np.ndarray) -> np.ndarray:
    """The window that ends with bar t."""
    return values[t - N + 1 : t + 1]


def test_parkinson() -> None:
    values = indicator("parkinson", BARS, window=N)
    for t in range(N - 1, len(C)):
        squares = [log(h / low) ** 2 for h, low in zip(over(t, H), over(t, L), strict=True)]
        assert values[t] == pytest.approx(sqrt(sum(squares) / N / (4 * log(2))), rel=1e-10)


def test_garman_klass() -> None:
    values = indicator("garman_klass", BARS, window=N, bars_per_year=400.0)
    for t in range(N - 1, len(C)):
        width, move = np.log(over(t, H / L)), np.log(over(t, C / OPEN))
        variance = np.mean(width**2 / 2 - (2 * log(2) - 1) * move**2)
        assert values[t] == pytest.approx(20.0 * sqrt(variance), rel=1e-10)


def satchell(t: int) -> float:
    """Rogers and Satchell's variance in the authors' form: u (u - c) + d (d - c)."""
    u, d, c = (np.log(over(t, x / OPEN)) for x in (H, L, C))
    return float(np.mean(u * (u - c) + d * (d - c)))


def test_rogers_satchell() -> None:
    values = indicator("rogers_satchell", BARS, window=N)
    for t in range(N - 1, len(C)):
        assert values[t] == pytest.approx(sqrt(satchell(t)), rel=1e-9)


def test_yang_zhang() -> None:
    values = indicator("yang_zhang", BARS, window=N)
    assert np.isnan(values[:N]).all()
    k = 0.34 / (1.34 + (N + 1) / (N - 1))
    gaps = np.concatenate([[np.nan], np.log(OPEN[1:] / C[:-1])])
    for t in range(N, len(C)):
        gap, move = over(t, gaps).var(ddof=1), np.log(over(t, C / OPEN)).var(ddof=1)
        expected = sqrt(gap + k * move + (1 - k) * satchell(t))
        assert values[t] == pytest.approx(expected, rel=1e-9)


def ema(values: np.ndarray, period: int) -> np.ndarray:
    out = [values[0]]
    for value in values[1:]:
        out.append(out[-1] + 2.0 / (period + 1) * (value - out[-1]))
    return np.array(out)


def atr(period: int) -> np.ndarray:
    ranges = [H[0] - L[0]]
    for t in range(1, len(C)):
        ranges.append(max(H[t] - L[t], abs(H[t] - C[t - 1]), abs(L[t] - C[t - 1])))
    out = [np.nan] * (period - 1) + [sum(ranges[:period]) / period]
    for value in ranges[period:]:
        out.append((out[-1] * (period - 1) + value) / period)
    return np.array(out)


def test_keltner_channel_and_squeeze() -> None:
    p = {"window": 8, "atr_period": 6}
    middle, half = ema(C, 8), 2.0 * atr(6)
    first = 5 + 76  # (5/6)^76 < 1e-6
    expected = {
        "keltner_position": (C - (middle - half)) / (2 * half),
        "keltner_width": 2 * half / middle,
        "keltner_band": middle + half,
    }
    for name, theirs in expected.items():
        values = indicator(name, BARS, **p)
        assert np.isnan(values[:first]).all()
        np.testing.assert_allclose(values[first:], theirs[first:], rtol=1e-10)
    values = indicator("bb_squeeze", BARS, **p)
    for t in range(first, len(C)):
        wide = 2.0 * C[t - 7 : t + 1].std(ddof=0)
        assert values[t] == pytest.approx(wide / (0.75 * half[t]), rel=1e-9)


def test_relative_macd_is_the_level_over_the_close() -> None:
    line = ema(C, 12) - ema(C, 26)
    signal = ema(line, 9)
    for name, theirs in [
        ("macd", line),
        ("macd_signal", signal),
        ("macd_histogram", line - signal),
    ]:
        values = indicator(name, BARS)
        known = ~np.isnan(values)
        np.testing.assert_allclose(values[known], (theirs / C)[known], atol=1e-13)


def test_log_volume_score() -> None:
    values = indicator("volume_z", BARS, window=N)
    logs = np.log1p(V)
    for t in range(N - 1, len(C)):
        seen = over(t, logs)
        expected = (seen[-1] - seen.mean()) / seen.std(ddof=1)
        assert values[t] == pytest.approx(expected, rel=1e-9)


def test_rsi_change_is_a_difference_of_the_index() -> None:
    index = indicator("rsi", BARS, period=5)
    change = indicator("rsi_change", BARS, period=5, periods=3)
    np.testing.assert_array_equal(change[3:], index[3:] - index[:-3])


def test_session_vwap_begins_anew_with_each_day() -> None:
    values = indicator("session_vwap_distance", BARS, longest=24)
    price = (H + L + C) / 3.0
    for t in range(len(C)):
        day = slice(t - t % 24, t + 1)
        average = (price[day] * V[day]).sum() / V[day].sum()
        assert values[t] == pytest.approx(C[t] / average - 1.0, abs=1e-12)


def test_session_vwap_refuses_a_session_longer_than_it_was_told() -> None:
    with pytest.raises(ConfigError, match="session of more than 23 bars"):
        indicator("session_vwap_distance", BARS, longest=23)


def test_window_sums_do_not_remember_a_huge_bar() -> None:
    """Once a bar of 1e12 has left the window, every bit is as if it had never been."""
    volume = V.copy()
    volume[60] = 1e12
    spiked = bars_of(C, high=H, low=L, open=OPEN, volume=volume)
    for name in ("volume_ratio", "obv_change", "ad_change", "mfi", "vwap_distance"):
        mine, theirs = indicator(name, BARS, window=N), indicator(name, spiked, window=N)
        assert mine[60 + N + 1 :].tobytes() == theirs[60 + N + 1 :].tobytes(), name
