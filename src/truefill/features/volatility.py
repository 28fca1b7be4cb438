"""Volatility of closes: standard deviation, realised volatility, GARCH(1,1), ATR, drawdown."""

from __future__ import annotations

from math import sqrt
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from truefill.core.registry import Params
from truefill.features.base import Context, Floats, Running, calculator, wilder_settling
from truefill.features.filters import Ema, Max, Mean, Std, Sum, Wilder
from truefill.features.parts import LogReturns, Settled, TrueRange, settling


class Annualized(Params):
    """A volatility per bar, or scaled to a year."""

    bars_per_year: float | None = Field(
        None, gt=0.0, description="annualize by sqrt(this); null = per bar. A z-score is the same"
    )

    @property
    def scale(self) -> float:
        """Factor from per-bar to the unit asked for."""
        return sqrt(self.bars_per_year) if self.bars_per_year else 1.0


class VolatilityParams(Annualized):
    """Rolling standard deviation of one-bar log returns."""

    window: int = Field(14, ge=2, description="returns in the window")


@calculator(
    "volatility_pct",
    VolatilityParams,
    unit="standard deviation of log returns, a fraction per bar or year",
    source="sample standard deviation (ddof 1)",
    crosses_session=True,
    warmup=lambda p: p.window,
)
class Volatility(Running):
    """Standard deviation (ddof 1) of the last ``window`` one-bar log returns.

    The name is system 000's; the value is a fraction, not percent.
    """

    def __init__(self, p: VolatilityParams) -> None:
        self.scale = p.scale
        self.returns = LogReturns()
        self.std = Std(p.window, 1)

    def push(self, bars: Context) -> Floats:
        return self.scale * self.std.push(self.returns.push(bars.close))


class RealizedVolatilityParams(Params):
    """Realised volatility: root of the sum of squared one-bar log returns."""

    window: int = Field(48, ge=1, description="returns in the window")


@calculator(
    "realized_volatility",
    RealizedVolatilityParams,
    unit="log return over the window",
    source="Andersen, Bollerslev (1998): sqrt(sum of squared returns), mean taken as 0",
    crosses_session=True,
    warmup=lambda p: p.window,
)
class RealizedVolatility(Running):
    """sqrt(sum of the last ``window`` squared log returns); 0 on constant prices."""

    def __init__(self, p: RealizedVolatilityParams) -> None:
        self.returns = LogReturns()
        self.squares = Sum(p.window)

    def push(self, bars: Context) -> Floats:
        return np.sqrt(self.squares.push(self.returns.push(bars.close) ** 2))


class GarchParams(Annualized):
    """GARCH(1,1) volatility expected for the next bar, with given weights."""

    alpha: float = Field(0.05, gt=0.0, lt=1.0, description="weight of the newest squared return")
    beta: float = Field(0.94, gt=0.0, lt=1.0, description="weight of the variance before")
    window: int = Field(500, ge=2, description="returns whose variance is the long-run target")

    @model_validator(mode="after")
    def _stationary(self) -> Self:
        if self.alpha + self.beta >= 1.0:
            raise ValueError("alpha + beta must be below 1")
        return self


@calculator(
    "garch",
    GarchParams,
    unit="standard deviation of log returns, a fraction per bar or year",
    source="Bollerslev (1986), variance targeting (Engle, Mezrich 1996) on a rolling window",
    crosses_session=True,
    warmup=lambda p: p.window + settling(1.0 - p.beta),
)
class Garch(Running):
    """sqrt(h[t+1]), h[t+1] = (1 - alpha - beta) V[t] + alpha r[t]^2 + beta h[t].

    V is the mean squared return of the last ``window`` bars. Nothing is fitted, so it has a value
    on every bar after the warm-up; 0 on constant prices.
    """

    def __init__(self, p: GarchParams) -> None:
        self.scale, self.alpha, self.beta = p.scale, p.alpha, p.beta
        self.returns = LogReturns()
        self.target = Mean(p.window)
        self.variance = Ema(1.0 - p.beta)
        self.settled = Settled(p.window + settling(1.0 - p.beta))

    def push(self, bars: Context) -> Floats:
        squares = self.returns.push(bars.close) ** 2
        target = np.maximum(self.target.push(squares), 0.0)
        news = (1.0 - self.alpha - self.beta) * target + self.alpha * squares
        variance = self.variance.push(news / (1.0 - self.beta))
        return self.settled.push(self.scale * np.sqrt(variance))


class AtrParams(Params):
    """Wilder's average true range, as a fraction of the close or in price units."""

    period: int = Field(14, ge=1, description="smoothing period, bars")
    relative: bool = Field(True, description="divide by the close; false: price units, a level")


class UnsettledAtr(Running):
    """Average true range in price units, from bar ``period - 1`` on (counted from 0).

    The first bar's true range is high - low; then max(high, previous close) - min(low, previous
    close). Seeded with the simple mean of the first ``period`` true ranges, smoothed as in Wilder
    (1978).
    """

    def __init__(self, period: int) -> None:
        self.range = TrueRange()
        self.average = Wilder(period)

    def push(self, bars: Context) -> Floats:
        return self.average.push(self.range.push(bars))


def atr_warmup(period: int) -> int:
    """Bars before :class:`UnsettledAtr` has forgotten its seed."""
    return period - 1 + wilder_settling(period)


@calculator(
    "atr",
    AtrParams,
    unit="fraction of the close, or price",
    source="Wilder (1978), seeded with the simple mean",
    crosses_session=True,
    level=lambda p: not p.relative,
    warmup=lambda p: atr_warmup(p.period),
)
class Atr(UnsettledAtr):
    """:class:`UnsettledAtr` once its seed weighs less than 1e-6."""

    def __init__(self, p: AtrParams) -> None:
        super().__init__(p.period)
        self.relative = p.relative
        self.settled = Settled(atr_warmup(p.period))

    def push(self, bars: Context) -> Floats:
        value = self.settled.push(super().push(bars))
        return value / bars.close if self.relative else value


class DrawdownParams(Params):
    """Distance of the close from the highest close of a window."""

    window: int = Field(100, ge=2, description="bars")


@calculator(
    "drawdown",
    DrawdownParams,
    unit="fraction, -1..0",
    source="close / highest close of the window - 1",
    crosses_session=True,
    warmup=lambda p: p.window - 1,
)
class Drawdown(Running):
    """close / highest of the last ``window`` closes - 1; 0 at a new high."""

    def __init__(self, p: DrawdownParams) -> None:
        self.peak = Max(p.window)

    def push(self, bars: Context) -> Floats:
        return bars.close / self.peak.push(bars.close) - 1.0
