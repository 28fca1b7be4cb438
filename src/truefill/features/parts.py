"""Small parts that several indicators share: returns, ranges, settling times, safe quotients."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from truefill.features.base import SEED_WEIGHT, Context, Floats
from truefill.features.filters import Filter, Lag
from truefill.features.shared import shared
from truefill.features.state import Stateful

NARROW = 1e-9
"""A band or deviation below this share of the price is rounding, not movement."""
_TWO_DAYS_S = 2 * 86_400


def ema_alpha(period: int) -> float:
    """Weight of the newest value in an exponential average of this period: 2 / (period + 1)."""
    return 2.0 / (period + 1.0)


@lru_cache(maxsize=1_024)
def settling(*alphas: float) -> int:
    """Bars after the first until a chain of exponential averages has forgotten its seed.

    Each stage averages the one before and is seeded with its first value; the seed's weight in the
    last one then lies below :data:`SEED_WEIGHT`. 0 for no stages, or where every alpha is 1.
    """
    weights = [1.0] * len(alphas)
    bars = 0
    while weights and weights[-1] >= SEED_WEIGHT:
        bars += 1
        before = 0.0
        for stage, alpha in enumerate(alphas):
            weights[stage] += alpha * (before - weights[stage])
            before = weights[stage]
    return bars


def ema_settling(*periods: int) -> int:
    """:func:`settling` of a chain of exponential averages of these periods."""
    return settling(*(ema_alpha(period) for period in periods))


class Settled(Stateful):
    """Hides the first ``bars`` values of a history: a recursive filter's warm-up."""

    def __init__(self, bars: int) -> None:
        self.left = bars

    def push(self, values: Floats) -> Floats:
        """``values`` f64[n], NaN where they belong to the warm-up."""
        hidden = min(self.left, len(values))
        self.left -= hidden
        if not hidden:
            return values
        out = values.copy()
        out[:hidden] = np.nan
        return out


class LogReturns(Stateful):
    """One-bar log returns; NaN at the first bar."""

    def __init__(self) -> None:
        self.before = Lag(1)

    @shared
    def push(self, close: Floats) -> Floats:
        """ln(close[t] / close[t - 1]), exactly 0 on an unchanged price."""
        return np.log(close / self.before.push(close))


class TrueRange(Stateful):
    """max(high, previous close) - min(low, previous close); high - low at the first bar."""

    def __init__(self) -> None:
        self.before = Lag(1)

    @shared
    def push(self, bars: Context) -> Floats:
        """f64[n] in price units."""
        before = self.before.push(bars.close)
        return np.fmax(bars.high, before) - np.fmin(bars.low, before)


class SessionStarts(Stateful):
    """Bars with which a session begins, as far as is known: the history's first bar is one."""

    def __init__(self) -> None:
        self.last_s = 0
        self.weekday = -1

    def push(self, bars: Context) -> npt.NDArray[np.bool_]:
        """bool[n]. A session lasts a day at most, so the same weekday two days on is another."""
        if not len(bars):
            return np.zeros(0, np.bool_)
        before_s = np.concatenate([[self.last_s], bars.timestamps_s[:-1]])
        weekday = np.concatenate([[self.weekday], bars.weekday[:-1]])
        self.last_s, self.weekday = int(bars.timestamps_s[-1]), int(bars.weekday[-1])
        return (bars.weekday != weekday) | (bars.timestamps_s - before_s > _TWO_DAYS_S)


def typical_price(bars: Context) -> Floats:
    """(high + low + close) / 3."""
    return (bars.high + bars.low + bars.close) / 3.0


def quotient(above: Floats, below: Floats, otherwise: float) -> Floats:
    """above / below, ``otherwise`` where ``below`` is not positive; NaN where either is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        out = above / below
    unusable = below <= 0.0
    if unusable.any():
        out[unusable] = np.where(np.isnan(above[unusable]), np.nan, otherwise)
    return out


def masked(values: Floats, keep: npt.NDArray[np.bool_]) -> Floats:
    """Finite ``values`` where they are to be kept, 0 elsewhere. (``np.where`` guesses at each value
    which way it goes; on random masks that takes four times as long.)"""
    out = values * keep
    out += 0.0  # no negative zeros
    return out


def through(value: Floats, *chain: Filter) -> Floats:
    """``value`` pushed through one filter after another."""
    for stage in chain:
        value = stage.push(value)
    return value
