"""When a Brownian motion leaves an interval, and by which end.

Source: Borodin & Salminen, Handbook of Brownian Motion (2002), part II, 3.0: the series of the
driftless motion on (0, a), weighted for the drift by Girsanov's theorem.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
TERMS = 200
"""Of the series; enough where the interval is less than about 60 standard deviations of the whole
time wide, beyond which no end is reached anyway."""


def first_exit(
    up: Floats, down: Floats, sigma: Floats, drift: float, time: float
) -> tuple[Floats, Floats]:
    """Probabilities that the lower, and that the upper end is left by first, within ``time``.

    Args:
        up, down: f64[n]: distances of the ends from the start; an infinite ``down`` is taken as so
            far that it is never reached.
        sigma: f64[n], standard deviation of a unit of time; with ``drift`` per unit of time.
    """
    down = np.where(np.isinf(down), 60.0 * sigma * np.sqrt(time) + up, down)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        rise = _upper(down, up + down, sigma, drift, time)
        fall = _upper(up, up + down, sigma, -drift, time)
    rise, fall = np.clip(rise, 0.0, 1.0), np.clip(fall, 0.0, 1.0)
    total = np.maximum(rise + fall, 1.0)
    return fall / total, rise / total


def _upper(x: Floats, a: Floats, sigma: Floats, drift: float, time: float) -> Floats:
    """P(the motion from x leaves (0, a) by a, within ``time``)."""
    variance = sigma**2
    lean = drift / variance
    ever = x / a if drift == 0.0 else np.expm1(-2.0 * lean * x) / np.expm1(-2.0 * lean * a)
    n = np.arange(1, TERMS + 1)
    rate = (n**2) * (np.pi**2 * variance / (2.0 * a**2))[:, None] + (drift * lean / 2.0)[:, None]
    sign = np.where(n % 2 == 1, 1.0, -1.0)
    height = sign * n * np.pi * (variance / a**2)[:, None] * np.sin(n * np.pi * (x / a)[:, None])
    late = (height / rate * np.exp(-rate * time)).sum(axis=1)
    return np.asarray(ever - np.exp(lean * (a - x)) * late, np.float64)
