"""Means over the last bars, each summed on its own."""

from __future__ import annotations

import numpy as np

from truefill.forecast.labels.base import Floats, LabelBars


def trailing_mean(x: Floats, k: int) -> Floats:
    """f64[T]: mean of the last k values, NaN before there are k. Summed oldest first, so that a
    mean does not depend on what lies outside of it."""
    out = np.full(len(x), np.nan)
    n = len(x) - k + 1
    if n > 0:
        total = np.zeros(n)
        for j in range(k):
            total += x[j : j + n]
        out[k - 1 :] = total / k
    return out


def volatility(bars: LabelBars, window: int) -> Floats:
    """f64[T]: root mean square of the last ``window`` log returns, about 0; NaN before there are as
    many."""
    squared = bars.log_return**2
    out = np.full(len(bars), np.nan)
    out[1:] = np.sqrt(trailing_mean(squared[1:], window))
    return out
