"""Bars for tests of labels, baselines and skill."""

from __future__ import annotations

import numpy as np

from truefill.forecast.labels import LabelBars

HOUR = 3_600
BARS = ("open", "high", "low", "close")


def bars_from(close: np.ndarray, *, spread: float = 0.0, session_bars: int = 10**9) -> LabelBars:
    """Hourly bars that open at the close before; highs and lows lie ``spread`` (a fraction) beyond
    open and close."""
    close = np.asarray(close, np.float64)
    opened = np.concatenate([close[:1], close[:-1]])
    at = np.arange(len(close))
    return LabelBars(
        timestamps_s=at * HOUR,
        open=opened,
        high=np.maximum(opened, close) * (1.0 + spread),
        low=np.minimum(opened, close) * (1.0 - spread),
        close=close,
        session=at // session_bars,
    )


def random_walk(n: int, seed: int, sigma: float = 0.01) -> LabelBars:
    """Bars of a random walk without drift."""
    noise = np.random.default_rng(seed).standard_normal(n)
    return bars_from(100.0 * np.exp(np.cumsum(sigma * noise)), spread=sigma / 4)
