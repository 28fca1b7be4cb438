"""Volatility from open, high, low and close: Parkinson, Garman-Klass, Rogers-Satchell, Yang-Zhang.

All are finite on close-only bars: the first three see no movement there and are 0, Yang-Zhang sees
the moves from close to close.
"""

from __future__ import annotations

from math import log

import numpy as np
from pydantic import Field

from truefill.features.base import Context, Floats, Running, calculator
from truefill.features.filters import Lag, Mean, Std
from truefill.features.volatility import Annualized

_UNIT = "standard deviation of log returns, a fraction per bar or year"


class ParkinsonParams(Annualized):
    """Volatility from the bars' ranges."""

    window: int = Field(48, ge=1, description="bars")


class GarmanKlassParams(Annualized):
    """Volatility from the bars' ranges and own moves."""

    window: int = Field(48, ge=1, description="bars")


class RogersSatchellParams(Annualized):
    """Volatility from the bars' prices, whatever the drift."""

    window: int = Field(48, ge=1, description="bars")


class YangZhangParams(Annualized):
    """Volatility from gaps, the bars' own moves and their ranges, whatever the drift."""

    window: int = Field(48, ge=2, description="bars")


class _RootMean(Running):
    """Root of the mean of per-bar variances, scaled."""

    def __init__(self, p: ParkinsonParams | GarmanKlassParams | RogersSatchellParams) -> None:
        self.scale = p.scale
        self.mean = Mean(p.window)

    def push(self, bars: Context) -> Floats:
        return self.scale * np.sqrt(np.maximum(self.mean.push(self.variance(bars)), 0.0))

    def variance(self, bars: Context) -> Floats:
        """f64[n], not negative."""
        raise NotImplementedError


@calculator(
    "parkinson", ParkinsonParams, unit=_UNIT, crosses_session=True,
    source="Parkinson (1980): sqrt(mean ln(high/low)^2 / (4 ln 2))",
    warmup=lambda p: p.window - 1,
)  # fmt: skip
class Parkinson(_RootMean):
    """sqrt(mean of ln(high / low)^2 / (4 ln 2))."""

    def variance(self, bars: Context) -> Floats:
        return np.log(bars.high / bars.low) ** 2 / (4.0 * log(2.0))


@calculator(
    "garman_klass", GarmanKlassParams, unit=_UNIT, crosses_session=True,
    source="Garman, Klass (1980): mean of ln(h/l)^2 / 2 - (2 ln 2 - 1) ln(c/o)^2",
    warmup=lambda p: p.window - 1,
)  # fmt: skip
class GarmanKlass(_RootMean):
    """sqrt(mean of ln(high/low)^2 / 2 - (2 ln 2 - 1) ln(close/open)^2)."""

    def variance(self, bars: Context) -> Floats:
        width = np.log(bars.high / bars.low)
        move = np.log(bars.close / bars.open)
        return 0.5 * width**2 - (2.0 * log(2.0) - 1.0) * move**2


def rogers_satchell_variance(bars: Context) -> Floats:
    """ln(h/o) ln(h/c) + ln(l/o) ln(l/c), f64[n], not negative."""
    above = np.log(bars.high / bars.open) * np.log(bars.high / bars.close)
    below = np.log(bars.low / bars.open) * np.log(bars.low / bars.close)
    return above + below


@calculator(
    "rogers_satchell", RogersSatchellParams, unit=_UNIT, crosses_session=True,
    source="Rogers, Satchell (1991): mean of ln(h/o) ln(h/c) + ln(l/o) ln(l/c)",
    warmup=lambda p: p.window - 1,
)  # fmt: skip
class RogersSatchell(_RootMean):
    """sqrt(mean of ln(h/o) ln(h/c) + ln(l/o) ln(l/c))."""

    def variance(self, bars: Context) -> Floats:
        return rogers_satchell_variance(bars)


@calculator(
    "yang_zhang", YangZhangParams, unit=_UNIT, crosses_session=True,
    source="Yang, Zhang (2000): gaps + k x open-to-close + (1 - k) x Rogers-Satchell",
    warmup=lambda p: p.window,
)  # fmt: skip
class YangZhang(Running):
    """sqrt(var of ln(o/c before) + k var of ln(c/o) + (1 - k) mean of Rogers-Satchell).

    Sample variances (ddof 1) over ``window`` bars, k = 0.34 / (1.34 + (n + 1) / (n - 1)).
    """

    def __init__(self, p: YangZhangParams) -> None:
        n = p.window
        self.scale = p.scale
        self.k = 0.34 / (1.34 + (n + 1.0) / (n - 1.0))
        self.before = Lag(1)
        self.gaps = Std(n, 1)
        self.moves = Std(n, 1)
        self.ranges = Mean(n)

    def push(self, bars: Context) -> Floats:
        gaps = self.gaps.push(np.log(bars.open / self.before.push(bars.close)))
        moves = self.moves.push(np.log(bars.close / bars.open))
        ranges = np.maximum(self.ranges.push(rogers_satchell_variance(bars)), 0.0)
        variance = gaps**2 + self.k * moves**2 + (1.0 - self.k) * ranges
        return self.scale * np.sqrt(variance)
