"""Indicators against TA-Lib where it computes the same thing.

Recursive ones are compared at the end of a history, when no seed weighs anything any more: TA-Lib
seeds an exponential average with the simple mean of its first values (truefill: with the first
value), leaves the first bar out of ATR (truefill: high - low), and starts MACD's fast average where
the slow one begins. Where a window has no range or no flow it gives 0: a stochastic of 0 is "at the
low", truefill's 50 is "in the middle" (as for RSI). It has no counterpart for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import talib

from data_cases import context, walk
from indicator_cases import bars_of, indicator
from truefill.features.base import Floats

BARS = context(walk(900, seed=5))


H, L, C, V = BARS.high, BARS.low, BARS.close, BARS.volume
EXACT: list[tuple[str, dict[str, Any], Callable[[], Floats]]] = [
    ("sma", {"window": 20}, lambda: talib.SMA(C, 20)),
    ("price_change", {"periods": 10}, lambda: talib.MOM(C, 10)),
    ("simple_return", {"periods": 3}, lambda: talib.ROCP(C, 3)),
    ("roc", {}, lambda: talib.ROC(C, 12)),
    ("price", {"price": "typical"}, lambda: talib.TYPPRICE(H, L, C)),
    ("bollinger_band", {"band": "lower"}, lambda: talib.BBANDS(C, 20, 2.0, 2.0)[2]),
    ("bollinger_band", {"band": "middle"}, lambda: talib.BBANDS(C, 20, 2.0, 2.0)[1]),
    ("bollinger_band", {"band": "upper"}, lambda: talib.BBANDS(C, 20, 2.0, 2.0)[0]),
    ("stochastic_k", {}, lambda: talib.STOCH(H, L, C, 14, 3, 0, 3, 0)[0]),
    ("stochastic_d", {}, lambda: talib.STOCH(H, L, C, 14, 3, 0, 3, 0)[1]),
    ("stochastic_k", {"smooth": 1}, lambda: talib.STOCHF(H, L, C, 14, 3, 0)[0]),
    ("cci", {}, lambda: talib.CCI(H, L, C, 20)),
    ("mfi", {}, lambda: talib.MFI(H, L, C, V, 14)),
    ("obv", {}, lambda: talib.OBV(C, V)),
    ("ad_line", {}, lambda: talib.AD(H, L, C, V)),
]  # fmt: skip
SETTLED: list[tuple[str, dict[str, Any], Callable[[], Floats]]] = [
    ("ema", {"period": 26}, lambda: talib.EMA(C, 26)),
    ("macd", {"relative": False}, lambda: talib.MACD(C, 12, 26, 9)[0]),
    ("macd_signal", {"relative": False}, lambda: talib.MACD(C, 12, 26, 9)[1]),
    ("macd_histogram", {"relative": False}, lambda: talib.MACD(C, 12, 26, 9)[2]),
    ("trix", {}, lambda: talib.TRIX(C, 15)),
    ("rsi", {}, lambda: talib.RSI(C, 14)),
    ("atr", {"relative": False}, lambda: talib.ATR(H, L, C, 14)),
    ("plus_di", {}, lambda: talib.PLUS_DI(H, L, C, 14)),
    ("minus_di", {}, lambda: talib.MINUS_DI(H, L, C, 14)),
    ("adx", {}, lambda: talib.ADX(H, L, C, 14)),
]


def _ids(cases: list[tuple[str, dict[str, Any], Callable[[], Floats]]]) -> list[str]:
    return [" ".join([name, *map(str, params.values())]) for name, params, _ in cases]


@pytest.mark.parametrize(("name", "params", "theirs"), EXACT, ids=_ids(EXACT))
def test_equal_on_every_bar(
    name: str, params: dict[str, Any], theirs: Callable[[], Floats]
) -> None:
    """First value on the same bar, or later in TA-Lib where it waits for its other outputs."""
    values, expected = indicator(name, BARS, **params), theirs()
    known = ~np.isnan(expected)
    assert known.sum() > 800 and not np.isnan(values[known]).any()
    np.testing.assert_allclose(values[known], expected[known], rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize(("name", "params", "theirs"), SETTLED, ids=_ids(SETTLED))
def test_equal_once_the_seeds_are_forgotten(
    name: str, params: dict[str, Any], theirs: Callable[[], Floats]
) -> None:
    values, expected = indicator(name, BARS, **params), theirs()
    np.testing.assert_allclose(values[-200:], expected[-200:], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("name", "params", "theirs"), SETTLED, ids=_ids(SETTLED))
def test_close_from_the_first_bar_after_the_declared_warmup(
    name: str, params: dict[str, Any], theirs: Callable[[], Floats]
) -> None:
    """Two different seeds, each weighing 1e-6: no further apart than 1e-5 of what it spans."""
    values, expected = indicator(name, BARS, **params), theirs()
    known = ~np.isnan(values)
    span = np.ptp(values[known])
    assert np.abs(values[known] - expected[known]).max() < 1e-5 * span


def test_where_nothing_moves_truefill_says_the_middle_and_talib_zero() -> None:
    flat = np.full(60, 7.0)
    bars = bars_of(flat)
    assert (indicator("stochastic_k", bars)[15:] == 50.0).all()
    assert (talib.STOCH(flat, flat, flat, 14, 3, 0, 3, 0)[0][20:] == 0.0).all()
    assert (indicator("mfi", bars)[14:] == 50.0).all()
    assert (talib.MFI(flat, flat, flat, np.ones(60), 14)[14:] == 0.0).all()
