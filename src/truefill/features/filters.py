"""Filters that carry their state: what running calculators are made of.

``push(x: f64[n]) -> f64[n]`` takes the next n values and gives one result each, NaN until the
filter is warm. Leading NaNs of the input mean "not started yet" and give NaN. Pushed at once, in
any portions, or from a restored state: the same bits.

A window filter's result depends on the values of its window alone, wherever that lies: nothing
drifts, and a NaN or infinity leaves with the window (in recursive filters it stays). How windows
are summed: :mod:`truefill.features.windows`. Against exact arithmetic: a relative error below 1e-12
for windows up to 5,000 values (tests).
"""

from __future__ import annotations

from math import fsum

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from truefill.features import windows
from truefill.features.shared import shared
from truefill.features.state import Stateful

Floats = npt.NDArray[np.float64]

_PORTION = 1 << 17
"""Values worked on at a time: long enough for threads not to wait for each other's turns."""


class Filter(Stateful):
    """Counts from the first value that is not NaN, and works in portions."""

    portion = _PORTION

    def __init__(self) -> None:
        self.started = False

    @shared
    def push(self, x: Floats) -> Floats:
        """f64[n] of the next n values, NaN until warm; not to be written to."""
        if self.started and 0 < len(x) <= self.portion:
            return self._next(x)
        out = np.full(len(x), np.nan)
        first = 0 if self.started else _first_number(x)
        self.started = first < len(x)
        for at in range(first, len(x), self.portion):
            out[at : at + self.portion] = self._next(x[at : at + self.portion])
        return out

    def _next(self, x: Floats) -> Floats:
        raise NotImplementedError


def _first_number(x: Floats) -> int:
    """Leading NaNs."""
    numbers = ~np.isnan(x)
    return int(np.argmax(numbers)) if numbers.any() else len(x)


class Lag(Filter):
    """The value ``periods`` values earlier."""

    def __init__(self, periods: int) -> None:
        super().__init__()
        self.last = np.full(_at_least(periods, 0, "periods"), np.nan)

    def _next(self, x: Floats) -> Floats:
        joined = np.concatenate([self.last, x])
        self.last = joined[len(x) :].copy()
        return joined[: len(x)]


class _Window(Filter):
    """Keeps the last ``window`` - 1 values."""

    def __init__(self, window: int) -> None:
        super().__init__()
        self.window = _at_least(window, 1, "window")
        self.last = np.full(window - 1, np.nan)
        self.portion = max(_PORTION, 4 * window)

    def _next(self, x: Floats) -> Floats:
        joined = np.concatenate([self.last, x])
        self.last = joined[len(x) :].copy()
        return self._of_windows(joined)

    def _of_windows(self, joined: Floats) -> Floats:
        """Results f64[n] of all windows of ``joined`` f64[window - 1 + n]."""
        raise NotImplementedError


class Sum(_Window):
    """Sum of the last ``window`` values."""

    def _of_windows(self, joined: Floats) -> Floats:
        return windows.sums(joined, self.window)


class Mean(_Window):
    """Mean of the last ``window`` values."""

    def _of_windows(self, joined: Floats) -> Floats:
        return windows.means(joined, self.window)


class Std(_Window):
    """Standard deviation of the last ``window`` values, with ``ddof`` taken from their number."""

    def __init__(self, window: int, ddof: int = 1) -> None:
        super().__init__(_at_least(window, ddof + 1, "window"))
        self.ddof = ddof

    def _of_windows(self, joined: Floats) -> Floats:
        squares = windows.squares(joined, self.window)
        squares /= self.window - self.ddof
        return np.sqrt(squares, out=squares)


class Skew(_Window):
    """Skewness m3 / m2^1.5 of the last ``window`` values (moments about their mean, ddof 0); 0
    where they are constant."""

    def _of_windows(self, joined: Floats) -> Floats:
        if self.window == 1:
            return 0.0 * joined
        squares, cubes = windows.squares_and_cubes(joined, self.window)
        flat = squares == 0.0
        squares = np.where(flat, 1.0, squares / self.window)
        return np.where(flat, 0.0, cubes / self.window / (squares * np.sqrt(squares)))


class Max(_Window):
    """Largest of the last ``window`` values."""

    def _of_windows(self, joined: Floats) -> Floats:
        return windows.extremes(joined, self.window, np.maximum)


class Min(_Window):
    """Smallest of the last ``window`` values."""

    def _of_windows(self, joined: Floats) -> Floats:
        return windows.extremes(joined, self.window, np.minimum)


class MeanDeviation(_Window):
    """Mean absolute distance of the last ``window`` values from their mean: ``window`` steps a
    value."""

    def _of_windows(self, joined: Floats) -> Floats:
        mean = windows.means(joined, self.window)
        total, step = np.zeros(len(mean)), np.empty(len(mean))
        for k in range(self.window):
            np.subtract(joined[k : k + len(mean)], mean, out=step)
            total += np.abs(step, out=step)
        return total / self.window


class Ema(Filter):
    """y = alpha x + (1 - alpha) y before; the first value is its own average."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        if not 0.0 < alpha <= 1.0:
            raise ValueError(f"alpha {alpha} must lie in (0, 1]")
        self.alpha = alpha
        self.carry: float | None = None

    def _next(self, x: Floats) -> Floats:
        if self.carry is None:
            self.carry = float((1.0 - self.alpha) * x[0])
            return np.concatenate([x[:1], self._next(x[1:])])
        out, self.carry = _recursion(x, self.alpha, 1.0 - self.alpha, self.carry)
        return out


class Wilder(Filter):
    """y = (y before x (period - 1) + x) / period, from the simple mean of the first ``period``
    values on."""

    def __init__(self, period: int) -> None:
        super().__init__()
        self.period = _at_least(period, 1, "period")
        self.seed = np.zeros(0)
        self.carry: float | None = None

    def _next(self, x: Floats) -> Floats:
        keep = (self.period - 1.0) / self.period
        if self.carry is not None:
            out, self.carry = _recursion(x, 1.0 / self.period, keep, self.carry)
            return out
        used = min(self.period - len(self.seed), len(x))
        self.seed = np.concatenate([self.seed, x[:used]])
        out = np.full(len(x), np.nan)
        if len(self.seed) == self.period:
            out[used - 1] = _exact_sum(self.seed) / self.period
            self.carry = float(keep * out[used - 1])
            self.seed = np.zeros(0)
            out[used:] = self._next(x[used:])
        return out


def _recursion(x: Floats, weight: float, keep: float, carry: float) -> tuple[Floats, float]:
    """y = weight x + keep y before, one value after the other; ``carry`` is keep y."""
    if not len(x):
        return x, carry
    out, state = lfilter([weight], [1.0, -keep], x, zi=np.array([carry]))
    return out, float(state[0])


def _exact_sum(values: Floats) -> float:
    """fsum, or NaN where a value is not finite (fsum would raise)."""
    return fsum(values) if np.isfinite(values).all() else float("nan")


class Total(Filter):
    """Sum of all values so far, one addition at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0.0

    def _next(self, x: Floats) -> Floats:
        out = np.add.accumulate(np.concatenate([[self.total], x]))[1:]
        self.total = float(out[-1])
        return out


def _at_least(value: int, least: int, name: str) -> int:
    if value < least:
        raise ValueError(f"{name} {value} must be at least {least}")
    return value
