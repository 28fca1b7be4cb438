"""Oscillators: RSI, stochastic, CCI, rate of change, momentum in units of volatility."""

from __future__ import annotations

from math import sqrt
from typing import Self

import numpy as np
from pydantic import Field, model_validator

from truefill.core.registry import Params
from truefill.features.base import Context, Floats, Running, calculator, wilder_settling
from truefill.features.filters import Lag, Max, Mean, MeanDeviation, Min, Std, Wilder
from truefill.features.parts import (
    NARROW,
    LogReturns,
    Settled,
    quotient,
    through,
    typical_price,
)


class RsiParams(Params):
    """Wilder's relative strength index, 0..100."""

    period: int = Field(14, ge=2, description="smoothing period, bars")


class UnsettledRsi(Running):
    """RSI from bar ``period`` on (counted from 0); flat prices give 50.

    Average gain and loss are seeded with the simple mean of the first ``period`` changes, then
    x_t = (x_{t-1} (period - 1) + v_t) / period.
    Source: Wilder, New Concepts in Technical Trading Systems (1978).
    """

    def __init__(self, period: int) -> None:
        self.before = Lag(1)
        self.gain = Wilder(period)
        self.loss = Wilder(period)

    def push(self, bars: Context) -> Floats:
        change = bars.close - self.before.push(bars.close)
        gain = self.gain.push(np.maximum(change, 0.0))
        loss = self.loss.push(np.maximum(-change, 0.0))
        return 100.0 * quotient(gain, gain + loss, 0.5)


def _rsi_warmup(period: int) -> int:
    return period + wilder_settling(period)


@calculator(
    "rsi",
    RsiParams,
    unit="0..100",
    source="Wilder (1978), seeded with the simple mean; 50 on flat prices",
    crosses_session=True,
    warmup=lambda p: _rsi_warmup(p.period),
)
class Rsi(UnsettledRsi):
    """:class:`UnsettledRsi` once its seed weighs less than 1e-6."""

    def __init__(self, p: RsiParams) -> None:
        super().__init__(p.period)
        self.settled = Settled(_rsi_warmup(p.period))

    def push(self, bars: Context) -> Floats:
        return self.settled.push(super().push(bars))


class RsiChangeParams(Params):
    """Change of the relative strength index over some bars."""

    period: int = Field(14, ge=2, description="smoothing period, bars")
    periods: int = Field(1, ge=1, description="bars back")


@calculator(
    "rsi_change",
    RsiChangeParams,
    unit="RSI points, -100..100",
    source="RSI[t] - RSI[t - periods]",
    crosses_session=True,
    warmup=lambda p: _rsi_warmup(p.period) + p.periods,
)
class RsiChange(Running):
    """RSI now less RSI ``periods`` bars earlier."""

    def __init__(self, p: RsiChangeParams) -> None:
        self.rsi = Rsi(RsiParams(period=p.period))
        self.earlier = Lag(p.periods)

    def push(self, bars: Context) -> Floats:
        value = self.rsi.push(bars)
        return value - self.earlier.push(value)


class StochasticKParams(Params):
    """Where the close lies between the lowest low and the highest high, smoothed: %K, 0..100."""

    window: int = Field(14, ge=1, description="bars of the range")
    smooth: int = Field(3, ge=1, description="bars of the simple average over it; 1: fast %K")


class StochasticDParams(StochasticKParams):
    """Simple average of the stochastic %K: %D, 0..100."""

    signal: int = Field(3, ge=1, description="bars of the simple average over %K")


@calculator(
    "stochastic_k",
    StochasticKParams,
    unit="0..100",
    source="Lane: SMA of 100 (close - low_n) / (high_n - low_n); 50 without any range",
    crosses_session=True,
    warmup=lambda p: p.window + p.smooth - 2,
)
class StochasticK(Running):
    """%K; a window of one price counts as 50."""

    def __init__(self, p: StochasticKParams) -> None:
        self.high = Max(p.window)
        self.low = Min(p.window)
        self.mean = Mean(p.smooth)

    def push(self, bars: Context) -> Floats:
        low = self.low.push(bars.low)
        width = self.high.push(bars.high) - low
        return self.mean.push(100.0 * quotient(bars.close - low, width, 0.5))


@calculator(
    "stochastic_d",
    StochasticDParams,
    unit="0..100",
    source="Lane: SMA of %K",
    crosses_session=True,
    warmup=lambda p: p.window + p.smooth + p.signal - 3,
)
class StochasticD(StochasticK):
    """%D."""

    def __init__(self, p: StochasticDParams) -> None:
        super().__init__(p)
        self.signal = Mean(p.signal)

    def push(self, bars: Context) -> Floats:
        return through(super().push(bars), self.signal)


class CciParams(Params):
    """Commodity channel index: distance from the mean in mean deviations."""

    window: int = Field(20, ge=2, description="bars; costs time in proportion")


@calculator(
    "cci",
    CciParams,
    unit="1/0.015 mean deviations",
    source="Lambert (1980): (tp - SMA) / (0.015 mean |tp - SMA|), tp = (high + low + close) / 3",
    crosses_session=True,
    warmup=lambda p: p.window - 1,
)
class Cci(Running):
    """CCI of the typical price; 0 where it does not move."""

    def __init__(self, p: CciParams) -> None:
        self.mean = Mean(p.window)
        self.deviation = MeanDeviation(p.window)

    def push(self, bars: Context) -> Floats:
        price = typical_price(bars)
        mean, deviation = self.mean.push(price), self.deviation.push(price)
        moves = np.where(deviation > NARROW * mean, deviation, 0.0 * deviation)
        return quotient(price - mean, 0.015 * moves, 0.0)


class RocParams(Params):
    """Rate of change of the close, in percent."""

    periods: int = Field(12, ge=1, description="bars back")


@calculator(
    "roc",
    RocParams,
    unit="percent",
    source="100 (close[t] / close[t - periods] - 1)",
    crosses_session=True,
    warmup=lambda p: p.periods,
)
class Roc(Running):
    """100 (close[t] / close[t - periods] - 1)."""

    def __init__(self, p: RocParams) -> None:
        self.before = Lag(p.periods)

    def push(self, bars: Context) -> Floats:
        return 100.0 * (bars.close / self.before.push(bars.close) - 1.0)


class MomentumParams(Params):
    """Log return over some bars in units of what its volatility would make of them."""

    periods: int = Field(12, ge=1, description="bars back")
    window: int = Field(60, ge=2, description="one-bar returns in the standard deviation")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.periods > self.window:
            raise ValueError("periods exceeds window")
        return self


@calculator(
    "momentum",
    MomentumParams,
    unit="standard deviations of a return over the same bars",
    source="after Moskowitz, Ooi, Pedersen (2012): return / (std (ddof 1) x sqrt(periods))",
    crosses_session=True,
    warmup=lambda p: p.window,
)
class Momentum(Running):
    """ln(close[t] / close[t - periods]) / (std of one-bar returns x sqrt(periods)); 0 without
    volatility."""

    def __init__(self, p: MomentumParams) -> None:
        self.root = sqrt(p.periods)
        self.before = Lag(p.periods)
        self.returns = LogReturns()
        self.std = Std(p.window, 1)

    def push(self, bars: Context) -> Floats:
        move = np.log(bars.close / self.before.push(bars.close))
        return quotient(move, self.std.push(self.returns.push(bars.close)) * self.root, 0.0)
