"""Thirty indicators as one writes them in pandas (ewm, rolling), and their calculators' names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

Frame = Any
FEATURES: list[tuple[str, dict[str, Any], Callable[[Frame], Any]]] = []
"""Calculator, parameters, the same in pandas on a frame with open, high, low, close, volume."""


def add(name: str, **params: Any) -> Callable[[Callable[[Frame], Any]], Callable[[Frame], Any]]:
    def keep(same: Callable[[Frame], Any]) -> Callable[[Frame], Any]:
        FEATURES.append((name, params, same))
        return same

    return keep


def ema(values: Any, period: int) -> Any:
    return values.ewm(span=period, adjust=False).mean()


def wilder(values: Any, period: int) -> Any:
    return values.ewm(alpha=1.0 / period, adjust=False).mean()


def true_range(f: Frame) -> Any:
    before = f.close.shift(1)
    return np.maximum(f.high, before) - np.minimum(f.low, before)


def log_returns(f: Frame) -> Any:
    return np.log(f.close / f.close.shift(1))


for periods in (1, 5, 20, 60):
    add("log_return", periods=periods)(lambda f, n=periods: np.log(f.close / f.close.shift(n)))
for window in (10, 50, 200):
    add("sma_distance", window=window)(lambda f, n=window: f.close / f.close.rolling(n).mean() - 1)
for period in (12, 26, 100):
    add("ema_distance", period=period)(lambda f, n=period: f.close / ema(f.close, n) - 1)


def macd_line(f: Frame) -> Any:
    return ema(f.close, 12) - ema(f.close, 26)


add("macd")(lambda f: macd_line(f) / f.close)
add("macd_signal")(lambda f: ema(macd_line(f), 9) / f.close)


def rsi(f: Frame, period: int) -> Any:
    change = f.close.diff()
    up, down = wilder(change.clip(lower=0.0), period), wilder((-change).clip(lower=0.0), period)
    return 100.0 * up / (up + down)


add("rsi", period=14)(lambda f: rsi(f, 14))
add("rsi", period=50)(lambda f: rsi(f, 50))


def percent_k(f: Frame) -> Any:
    low = f.low.rolling(14).min()
    return (100.0 * (f.close - low) / (f.high.rolling(14).max() - low)).rolling(3).mean()


add("stochastic_k")(percent_k)
add("stochastic_d")(lambda f: percent_k(f).rolling(3).mean())
add("roc", periods=12)(lambda f: 100.0 * (f.close / f.close.shift(12) - 1))


@add("trix", period=15)
def trix(f: Frame) -> Any:
    smooth = ema(ema(ema(f.close, 15), 15), 15)
    return 100.0 * (smooth / smooth.shift(1) - 1)


add("atr", period=14, relative=True)(lambda f: wilder(true_range(f), 14) / f.close)


@add("bollinger_position", window=20)
def percent_b(f: Frame) -> Any:
    window = f.close.rolling(20)
    return 0.5 + 0.5 * (f.close - window.mean()) / (2.0 * window.std(ddof=0))


@add("bollinger_width", window=20)
def width(f: Frame) -> Any:
    window = f.close.rolling(20)
    return 4.0 * window.std(ddof=0) / window.mean()


@add("adx", period=14)
def adx(f: Frame) -> Any:
    up, down = f.high.diff(), -f.low.diff()
    plus = up.where((up > down) & (up > 0.0), 0.0)
    minus = down.where((down > up) & (down > 0.0), 0.0)
    plus, minus, reach = wilder(plus, 14), wilder(minus, 14), wilder(true_range(f), 14)
    plus, minus = 100.0 * plus / reach, 100.0 * minus / reach
    return wilder(100.0 * (plus - minus).abs() / (plus + minus), 14)


add("volatility_pct", window=30)(lambda f: log_returns(f).rolling(30).std())
add("realized_volatility", window=48)(lambda f: np.sqrt((log_returns(f) ** 2).rolling(48).sum()))


@add("trend_z", window=50)
def trend_z(f: Frame) -> Any:
    window = f.close.rolling(50)
    return ((f.close - window.mean()) / window.std()).clip(-3.0, 3.0)


add("volume_ratio", window=20)(lambda f: f.volume / f.volume.rolling(20).mean())


@add("mfi", window=14)
def mfi(f: Frame) -> Any:
    typical = (f.high + f.low + f.close) / 3.0
    flow, change = typical * f.volume, typical.diff()
    up = flow.where(change > 0.0, 0.0).rolling(14).sum()
    return 100.0 * up / (up + flow.where(change < 0.0, 0.0).rolling(14).sum())


UNBIASED = 100.0 * 99.0
add("skew", window=100)(lambda f: log_returns(f).rolling(100).skew() * 98.0 / UNBIASED**0.5)
add("parkinson", window=20)(
    lambda f: np.sqrt((np.log(f.high / f.low) ** 2).rolling(20).mean() / (4.0 * np.log(2.0)))
)
add("drawdown", window=100)(lambda f: f.close / f.close.rolling(100).max() - 1)


def frame(columns: dict[str, Any]) -> Frame:
    return pd.DataFrame(columns)
