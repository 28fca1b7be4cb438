"""Trend features: MACD, TRIX, z-score of the close in its window, Kaufman's efficiency ratio."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from truefill.core.registry import Params
from truefill.features.base import Context, Floats, Running, calculator
from truefill.features.filters import Ema, Lag, Mean, Std, Sum
from truefill.features.parts import Settled, ema_alpha, ema_settling, quotient, through


class _Macd(Params):
    fast: int = Field(12, ge=1, description="period of the fast average")
    slow: int = Field(26, ge=2, description="period of the slow average")
    relative: bool = Field(True, description="divide by the close; false: price units, a level")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast >= self.slow:
            raise ValueError("fast must be below slow")
        return self


class MacdParams(_Macd):
    """Fast minus slow exponential average of the close."""


class MacdSignalParams(_Macd):
    """Exponential average of the MACD line."""

    signal: int = Field(9, ge=1, description="period of the signal line")


class MacdHistogramParams(MacdSignalParams):
    """MACD line minus its signal line."""


class _Line(Running):
    """EMA(fast) - EMA(slow), from the first bar on, in price units."""

    def __init__(self, p: _Macd) -> None:
        self.p = p
        self.fast = Ema(ema_alpha(p.fast))
        self.slow = Ema(ema_alpha(p.slow))

    def push(self, bars: Context) -> Floats:
        return self.fast.push(bars.close) - self.slow.push(bars.close)

    def in_units(self, line: Floats, bars: Context) -> Floats:
        """A line in price units, in those of the parameters."""
        return line / bars.close if self.p.relative else line


@calculator(
    "macd",
    MacdParams,
    unit="fraction of the close, or price",
    source="Appel: EMA(fast) - EMA(slow), each seeded with the first close",
    crosses_session=True,
    level=lambda p: not p.relative,
    warmup=lambda p: ema_settling(p.slow),
)
class Macd(_Line):
    """EMA(fast) - EMA(slow), by default over the close."""

    def __init__(self, p: MacdParams) -> None:
        super().__init__(p)
        self.settled = Settled(ema_settling(p.slow))

    def push(self, bars: Context) -> Floats:
        return self.settled.push(self.in_units(super().push(bars), bars))


@calculator(
    "macd_signal",
    MacdSignalParams,
    unit="fraction of the close, or price",
    source="Appel: EMA(signal) of the MACD line, seeded with its first value",
    crosses_session=True,
    level=lambda p: not p.relative,
    warmup=lambda p: ema_settling(p.slow, p.signal),
)
class MacdSignal(_Line):
    """EMA of the MACD line (in price units), by default over the close."""

    def __init__(self, p: MacdSignalParams) -> None:
        super().__init__(p)
        self.signal = Ema(ema_alpha(p.signal))
        self.settled = Settled(ema_settling(p.slow, p.signal))

    def push(self, bars: Context) -> Floats:
        signal = self.signal.push(super().push(bars))
        return self.settled.push(self.in_units(signal, bars))


@calculator(
    "macd_histogram",
    MacdHistogramParams,
    unit="fraction of the close, or price",
    source="Appel: MACD line - signal line",
    crosses_session=True,
    level=lambda p: not p.relative,
    warmup=lambda p: ema_settling(p.slow, p.signal),
)
class MacdHistogram(_Line):
    """MACD line minus signal line, by default over the close."""

    def __init__(self, p: MacdHistogramParams) -> None:
        super().__init__(p)
        self.signal = Ema(ema_alpha(p.signal))
        self.settled = Settled(ema_settling(p.slow, p.signal))

    def push(self, bars: Context) -> Floats:
        line = super().push(bars)
        return self.settled.push(self.in_units(line - self.signal.push(line), bars))


class TrixParams(Params):
    """Rate of change of a triple exponential average."""

    period: int = Field(15, ge=1, description="period of each of the three averages")


@calculator(
    "trix",
    TrixParams,
    unit="percent a bar",
    source="Hutson: 100 (E[t] / E[t - 1] - 1), E = EMA of EMA of EMA, each seeded with its first",
    crosses_session=True,
    warmup=lambda p: ema_settling(p.period, p.period, p.period) + 1,
)
class Trix(Running):
    """One-bar change, in percent, of the thrice smoothed close."""

    def __init__(self, p: TrixParams) -> None:
        alpha = ema_alpha(p.period)
        self.chain = [Ema(alpha), Ema(alpha), Ema(alpha)]
        self.before = Lag(1)
        self.settled = Settled(ema_settling(p.period, p.period, p.period) + 1)

    def push(self, bars: Context) -> Floats:
        smooth = through(bars.close, *self.chain)
        return self.settled.push(100.0 * (smooth / self.before.push(smooth) - 1.0))


class TrendZParams(Params):
    """Distance of the close from its moving average, in rolling standard deviations."""

    window: int = Field(50, ge=2, description="bars")
    clip: float = Field(3.0, gt=0.0, description="clip to +- this")


@calculator(
    "trend_z",
    TrendZParams,
    unit="rolling standard deviations",
    source="(close - SMA) / rolling std (ddof 1); 0 on constant prices",
    crosses_session=True,
    normalized=True,
    warmup=lambda p: p.window - 1,
)
class TrendZ(Running):
    """(close - mean of the last ``window`` closes) / their standard deviation."""

    def __init__(self, p: TrendZParams) -> None:
        self.clip = p.clip
        self.mean = Mean(p.window)
        self.std = Std(p.window, 1)

    def push(self, bars: Context) -> Floats:
        distance = bars.close - self.mean.push(bars.close)
        return np.clip(quotient(distance, self.std.push(bars.close), 0.0), -self.clip, self.clip)


class TrendStrengthParams(Params):
    """Net move over the way travelled: 1 on a straight line, near 0 without direction."""

    window: int = Field(20, ge=2, description="changes of the close")
    signed: bool = Field(False, description="keep the direction: -1..1 instead of 0..1")


@calculator(
    "trend_strength",
    TrendStrengthParams,
    unit="0..1, or -1..1 signed",
    source="Kaufman's efficiency ratio: |close change| / sum of |one-bar changes|",
    crosses_session=True,
    warmup=lambda p: p.window,
)
class TrendStrength(Running):
    """Kaufman's efficiency ratio over ``window`` changes; 0 on constant prices."""

    def __init__(self, p: TrendStrengthParams) -> None:
        self.signed = p.signed
        self.before = Lag(1)
        self.start = Lag(p.window)
        self.way = Sum(p.window)

    def push(self, bars: Context) -> Floats:
        way = self.way.push(np.abs(bars.close - self.before.push(bars.close)))
        net = bars.close - self.start.push(bars.close)
        ratio = np.clip(quotient(net, way, 0.0), -1.0, 1.0)  # a straight line may round beyond 1
        return ratio if self.signed else np.abs(ratio)
