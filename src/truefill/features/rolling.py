"""Rolling sums in a fixed order: oldest value first, one addition at a time.

No running totals (they drift) and no library sums (whose order may change with length or threads):
the value at t depends on the window's values alone, so batch and streaming give the same bits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def rolling_deviation(
    values: Floats, window: int, min_periods: int | None = None
) -> tuple[Floats, Floats]:
    """Distance of each value from its window's mean, and the window's standard deviation (ddof 1).

    The window holds the last ``window`` values, the current one included; NaN until ``min_periods``
    (default: ``window``) of them exist. Both are computed relative to the current value, so on
    constant values they are exactly 0.
    """
    T = len(values)
    needed = window if min_periods is None else min_periods
    if not 2 <= needed <= window:
        raise ValueError(f"min_periods {needed} must lie in 2..{window}")
    padded = np.concatenate([np.zeros(window - 1), values])
    real = np.concatenate([np.zeros(window - 1, bool), np.ones(T, bool)])
    count = np.minimum(np.arange(1, T + 1), window).astype(np.float64)
    total = np.zeros(T)
    for k in range(window):
        total += np.where(real[k : k + T], padded[k : k + T] - values, 0.0)
    mean = total / count
    squares = np.zeros(T)
    for k in range(window):
        squares += np.where(real[k : k + T], (padded[k : k + T] - values - mean) ** 2, 0.0)
    ready = count >= needed
    std = np.sqrt(squares / np.maximum(count - 1.0, 1.0))
    return np.where(ready, -mean, np.nan), np.where(ready, std, np.nan)


def rolling_zscore(values: Floats, window: int, min_periods: int | None = None) -> Floats:
    """(value - rolling mean) / rolling std, ddof 1; 0 where the window is constant."""
    distance, std = rolling_deviation(values, window, min_periods)
    flat = std == 0.0
    return np.where(flat, 0.0, distance / np.where(flat, 1.0, std))
