"""Thirty indicators as one writes them in pandas (ewm, rolling), and their calculators' names.

Vectorized throughout; what several indicators need (returns, the MACD line, %K, the moments of the
Bollinger bands, the true range, gains and losses) is computed once, as in any careful notebook.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

Frame = Any

FEATURES: list[tuple[str, dict[str, Any]]] = [
    *(("log_return", {"periods": n}) for n in (1, 5, 20, 60)),
    *(("sma_distance", {"window": n}) for n in (10, 50, 200)),
    *(("ema_distance", {"period": n}) for n in (12, 26, 100)),
    ("macd", {}),
    ("macd_signal", {}),
    *(("rsi", {"period": n}) for n in (14, 50)),
    ("stochastic_k", {}),
    ("stochastic_d", {}),
    ("roc", {"periods": 12}),
    ("trix", {"period": 15}),
    ("atr", {"period": 14, "relative": True}),
    ("bollinger_position", {"window": 20}),
    ("bollinger_width", {"window": 20}),
    ("adx", {"period": 14}),
    ("volatility_pct", {"window": 30}),
    ("realized_volatility", {"window": 48}),
    ("trend_z", {"window": 50}),
    ("volume_ratio", {"window": 20}),
    ("mfi", {"window": 14}),
    ("skew", {"window": 100}),
    ("parkinson", {"window": 20}),
    ("drawdown", {"window": 100}),
]
"""Calculator and parameters, in the order of the columns of :func:`indicators`."""


def frame(columns: dict[str, Any]) -> Frame:
    """Bars: open, high, low, close, volume."""
    return pd.DataFrame(columns)


def ema(values: Any, period: int) -> Any:
    return values.ewm(span=period, adjust=False).mean()


def wilder(values: Any, period: int) -> Any:
    return values.ewm(alpha=1.0 / period, adjust=False).mean()


def indicators(f: Frame) -> list[Any]:
    """All thirty, a series each."""
    return [*_averages(f), *_oscillators(f), *_ranges(f), *_returns(f)]


def _averages(f: Frame) -> list[Any]:
    close = f.close
    fast, slow = ema(close, 12), ema(close, 26)
    line = fast - slow
    return [
        *(np.log(close / close.shift(n)) for n in (1, 5, 20, 60)),
        *(close / close.rolling(n).mean() - 1 for n in (10, 50, 200)),
        close / fast - 1,
        close / slow - 1,
        close / ema(close, 100) - 1,
        line / close,
        ema(line, 9) / close,
    ]


def _oscillators(f: Frame) -> list[Any]:
    change = f.close.diff()
    gain, loss = change.clip(lower=0.0), (-change).clip(lower=0.0)
    strength = []
    for period in (14, 50):
        up = wilder(gain, period)
        strength.append(100.0 * up / (up + wilder(loss, period)))
    low = f.low.rolling(14).min()
    k = (100.0 * (f.close - low) / (f.high.rolling(14).max() - low)).rolling(3).mean()
    smooth = ema(ema(ema(f.close, 15), 15), 15)
    return [
        *strength,
        k,
        k.rolling(3).mean(),
        100.0 * (f.close / f.close.shift(12) - 1),
        100.0 * (smooth / smooth.shift(1) - 1),
    ]


def _ranges(f: Frame) -> list[Any]:
    before = f.close.shift(1)
    true_range = np.maximum(f.high, before) - np.minimum(f.low, before)
    reach = wilder(true_range, 14)
    window = f.close.rolling(20)
    middle, deviation = window.mean(), window.std(ddof=0)
    up, down = f.high.diff(), -f.low.diff()
    plus = 100.0 * wilder(up.where((up > down) & (up > 0.0), 0.0), 14) / reach
    minus = 100.0 * wilder(down.where((down > up) & (down > 0.0), 0.0), 14) / reach
    return [
        reach / f.close,
        0.5 + 0.5 * (f.close - middle) / (2.0 * deviation),
        4.0 * deviation / middle,
        wilder(100.0 * (plus - minus).abs() / (plus + minus), 14),
    ]


UNBIASED = 100.0 * 99.0


def _returns(f: Frame) -> list[Any]:
    returns = np.log(f.close / f.close.shift(1))
    window = f.close.rolling(50)
    typical = (f.high + f.low + f.close) / 3.0
    flow, change = typical * f.volume, typical.diff()
    bought = flow.where(change > 0.0, 0.0).rolling(14).sum()
    sold = flow.where(change < 0.0, 0.0).rolling(14).sum()
    squares = (np.log(f.high / f.low) ** 2).rolling(20).mean()
    return [
        returns.rolling(30).std(),
        np.sqrt((returns**2).rolling(48).sum()),
        ((f.close - window.mean()) / window.std()).clip(-3.0, 3.0),
        f.volume / f.volume.rolling(20).mean(),
        100.0 * bought / (bought + sold),
        returns.rolling(100).skew() * 98.0 / UNBIASED**0.5,
        np.sqrt(squares / (4.0 * np.log(2.0))),
        f.close / f.close.rolling(100).max() - 1,
    ]
