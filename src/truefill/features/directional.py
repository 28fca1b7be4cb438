"""Wilder's directional movement: +DI, -DI and ADX."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from truefill.core.registry import Params
from truefill.features.base import Context, Floats, Running, calculator, wilder_settling
from truefill.features.filters import Lag, Wilder
from truefill.features.parts import Settled, masked, quotient, settling

_SOURCE = "Wilder (1978), seeded with the simple mean"


class PlusDiParams(Params):
    """Wilder's positive directional indicator, 0..100."""

    period: int = Field(14, ge=2, description="smoothing period, bars")


class MinusDiParams(Params):
    """Wilder's negative directional indicator, 0..100."""

    period: int = Field(14, ge=2, description="smoothing period, bars")


class AdxParams(Params):
    """Wilder's average directional index, 0..100: strength of a trend, not its direction."""

    period: int = Field(14, ge=2, description="smoothing period of movement, range and index, bars")


class _Directional(Running):
    """+DI and -DI from bar ``period`` on (counted from 0); 0 where there was no range."""

    def __init__(self, period: int) -> None:
        self.bar = [Lag(1), Lag(1), Lag(1)]
        self.up = Wilder(period)
        self.down = Wilder(period)
        self.range = Wilder(period)

    def indicators(self, bars: Context) -> tuple[Floats, Floats]:
        """The bar's own movement counts when it is the larger one and positive."""
        inputs = (bars.high, bars.low, bars.close)
        high, low, close = (lag.push(x) for lag, x in zip(self.bar, inputs, strict=True))
        up, down = bars.high - high, low - bars.low
        plus = masked(up, (up > down) & (up > 0.0))
        minus = masked(down, (down > up) & (down > 0.0))
        true_range = np.maximum(bars.high, close) - np.minimum(bars.low, close)
        smooth = self.range.push(true_range)
        return (
            100.0 * quotient(self.up.push(plus), smooth, 0.0),
            100.0 * quotient(self.down.push(minus), smooth, 0.0),
        )


def _di_warmup(period: int) -> int:
    return period + wilder_settling(period)


@calculator(
    "plus_di", PlusDiParams, unit="0..100", source=_SOURCE, crosses_session=True,
    warmup=lambda p: _di_warmup(p.period),
)  # fmt: skip
class PlusDi(_Directional):
    """Smoothed upward movement over smoothed true range, in percent; 0 without any range."""

    def __init__(self, p: PlusDiParams) -> None:
        super().__init__(p.period)
        self.settled = Settled(_di_warmup(p.period))

    def push(self, bars: Context) -> Floats:
        return self.settled.push(self.indicators(bars)[0])


@calculator(
    "minus_di", MinusDiParams, unit="0..100", source=_SOURCE, crosses_session=True,
    warmup=lambda p: _di_warmup(p.period),
)  # fmt: skip
class MinusDi(_Directional):
    """Smoothed downward movement over smoothed true range, in percent; 0 without any range."""

    def __init__(self, p: MinusDiParams) -> None:
        super().__init__(p.period)
        self.settled = Settled(_di_warmup(p.period))

    def push(self, bars: Context) -> Floats:
        return self.settled.push(self.indicators(bars)[1])


def _adx_warmup(period: int) -> int:
    """The first ADX is a mean of ``period`` indices; then two smoothings forget their seeds."""
    return 2 * period - 1 + settling(1.0 / period, 1.0 / period)


@calculator(
    "adx", AdxParams, unit="0..100", source=_SOURCE, crosses_session=True,
    warmup=lambda p: _adx_warmup(p.period),
)  # fmt: skip
class Adx(_Directional):
    """Wilder's smoothing of 100 |+DI - -DI| / (+DI + -DI), which is 0 without movement."""

    def __init__(self, p: AdxParams) -> None:
        super().__init__(p.period)
        self.average = Wilder(p.period)
        self.settled = Settled(_adx_warmup(p.period))

    def push(self, bars: Context) -> Floats:
        plus, minus = self.indicators(bars)
        index = 100.0 * quotient(np.abs(plus - minus), plus + minus, 0.0)
        return self.settled.push(self.average.push(index))
