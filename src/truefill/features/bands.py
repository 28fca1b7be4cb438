"""Bollinger bands and Keltner channels: where the close lies in them, and how wide they are."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from truefill.core.registry import Params
from truefill.features.base import Context, Floats, Running, calculator
from truefill.features.filters import Ema, Mean, Std
from truefill.features.parts import NARROW, Settled, ema_alpha, ema_settling, quotient
from truefill.features.volatility import UnsettledAtr, atr_warmup

_SIGN = {"lower": -1.0, "middle": 0.0, "upper": 1.0}
Band = Literal["lower", "middle", "upper"]


class _Bollinger(Params):
    window: int = Field(20, ge=2, description="bars")
    deviations: float = Field(2.0, gt=0.0, description="half width in standard deviations")


class BollingerPositionParams(_Bollinger):
    """Bollinger's %B: 0 at the lower band, 1 at the upper."""


class BollingerWidthParams(_Bollinger):
    """Width of the Bollinger bands as a fraction of their middle."""


class BollingerBandParams(_Bollinger):
    """A Bollinger band: a level."""

    band: Band = Field("upper", description="which band")


class _Keltner(Params):
    window: int = Field(20, ge=2, description="period of the exponential average, the middle")
    atr_period: int = Field(20, ge=1, description="period of Wilder's average true range")
    multiplier: float = Field(2.0, gt=0.0, description="half width in average true ranges")


class KeltnerPositionParams(_Keltner):
    """Where the close lies in the Keltner channel: 0 at the lower line, 1 at the upper."""


class KeltnerWidthParams(_Keltner):
    """Width of the Keltner channel as a fraction of its middle."""


class KeltnerBandParams(_Keltner):
    """A line of the Keltner channel: a level."""

    band: Band = Field("upper", description="which line")


class SqueezeParams(Params):
    """Width of the Bollinger bands over that of the Keltner channel; below 1: a squeeze."""

    window: int = Field(20, ge=2, description="bars of the Bollinger bands")
    deviations: float = Field(2.0, gt=0.0, description="their half width, standard deviations")
    atr_period: int = Field(20, ge=1, description="period of Wilder's average true range")
    multiplier: float = Field(1.5, gt=0.0, description="half width of the channel, true ranges")


def _position(close: Floats, middle: Floats, half: Floats) -> Floats:
    """0 at the lower band, 1 at the upper; 0.5 where the band is narrower than rounding."""
    wide = np.where(half > NARROW * middle, half, 0.0 * half)
    return 0.5 + 0.5 * quotient(close - middle, wide, 0.0)


class BollingerLines(Running):
    """Mean of the closes and half the width of the bands, in price units."""

    def __init__(self, window: int, deviations: float) -> None:
        self.deviations = deviations
        self.mean = Mean(window)
        self.std = Std(window, 0)

    def lines(self, close: Floats) -> tuple[Floats, Floats]:
        """Middle and half width, f64[n] each."""
        return self.mean.push(close), self.deviations * self.std.push(close)


class KeltnerLines(Running):
    """EMA of the closes and half the width of the channel, in price units, unsettled."""

    def __init__(self, p: _Keltner) -> None:
        self.multiplier = p.multiplier
        self.mean = Ema(ema_alpha(p.window))
        self.range = UnsettledAtr(p.atr_period)
        self.settled = Settled(keltner_warmup(p))

    def lines(self, bars: Context) -> tuple[Floats, Floats]:
        """Middle and half width, f64[n] each, before the warm-up is hidden."""
        return self.mean.push(bars.close), self.multiplier * self.range.push(bars)


def keltner_warmup(p: _Keltner) -> int:
    """Bars before both the average and the range have forgotten their seeds."""
    return max(ema_settling(p.window), atr_warmup(p.atr_period))


@calculator(
    "bollinger_position", BollingerPositionParams, unit="0..1 inside the bands",
    source="Bollinger's %B, population standard deviation (ddof 0); 0.5 on constant prices",
    crosses_session=True, warmup=lambda p: p.window - 1,
)  # fmt: skip
class BollingerPosition(BollingerLines):
    """(close - lower) / (upper - lower)."""

    def __init__(self, p: BollingerPositionParams) -> None:
        super().__init__(p.window, p.deviations)

    def push(self, bars: Context) -> Floats:
        return _position(bars.close, *self.lines(bars.close))


@calculator(
    "bollinger_width", BollingerWidthParams, unit="fraction of the middle band",
    source="(upper - lower) / middle, population standard deviation (ddof 0)",
    crosses_session=True, warmup=lambda p: p.window - 1,
)  # fmt: skip
class BollingerWidth(BollingerLines):
    """(upper - lower) / middle; 0 on constant prices."""

    def __init__(self, p: BollingerWidthParams) -> None:
        super().__init__(p.window, p.deviations)

    def push(self, bars: Context) -> Floats:
        middle, half = self.lines(bars.close)
        return 2.0 * half / middle


@calculator(
    "bollinger_band", BollingerBandParams, unit="price",
    source="SMA +- deviations x population standard deviation (ddof 0)",
    crosses_session=True, level=True, warmup=lambda p: p.window - 1,
)  # fmt: skip
class BollingerBand(BollingerLines):
    """The lower, middle or upper band."""

    def __init__(self, p: BollingerBandParams) -> None:
        super().__init__(p.window, p.deviations)
        self.sign = _SIGN[p.band]

    def push(self, bars: Context) -> Floats:
        middle, half = self.lines(bars.close)
        return middle + self.sign * half


_KELTNER = "EMA +- multiplier x Wilder's ATR (Raschke's form of Keltner's channel)"


@calculator(
    "keltner_position", KeltnerPositionParams, unit="0..1 inside the channel",
    source=_KELTNER + "; 0.5 where it has no width", crosses_session=True, warmup=keltner_warmup,
)  # fmt: skip
class KeltnerPosition(KeltnerLines):
    """(close - lower) / (upper - lower)."""

    def push(self, bars: Context) -> Floats:
        return self.settled.push(_position(bars.close, *self.lines(bars)))


@calculator(
    "keltner_width", KeltnerWidthParams, unit="fraction of the middle line",
    source=_KELTNER, crosses_session=True, warmup=keltner_warmup,
)  # fmt: skip
class KeltnerWidth(KeltnerLines):
    """(upper - lower) / middle."""

    def push(self, bars: Context) -> Floats:
        middle, half = self.lines(bars)
        return self.settled.push(2.0 * half / middle)


@calculator(
    "keltner_band", KeltnerBandParams, unit="price",
    source=_KELTNER, crosses_session=True, level=True, warmup=keltner_warmup,
)  # fmt: skip
class KeltnerBand(KeltnerLines):
    """The lower, middle or upper line."""

    def __init__(self, p: KeltnerBandParams) -> None:
        super().__init__(p)
        self.sign = _SIGN[p.band]

    def push(self, bars: Context) -> Floats:
        middle, half = self.lines(bars)
        return self.settled.push(middle + self.sign * half)


@calculator(
    "bb_squeeze", SqueezeParams, unit="ratio of widths",
    source="Carter's squeeze: Bollinger half width / Keltner half width; 0 without deviation",
    crosses_session=True,
    warmup=lambda p: max(p.window - 1, atr_warmup(p.atr_period)),
)  # fmt: skip
class Squeeze(BollingerLines):
    """deviations x std (ddof 0) / (multiplier x ATR)."""

    def __init__(self, p: SqueezeParams) -> None:
        super().__init__(p.window, p.deviations)
        self.multiplier = p.multiplier
        self.range = UnsettledAtr(p.atr_period)
        self.settled = Settled(max(p.window - 1, atr_warmup(p.atr_period)))

    def push(self, bars: Context) -> Floats:
        _, half = self.lines(bars.close)
        channel = self.multiplier * self.range.push(bars)
        return self.settled.push(quotient(half, channel, 0.0))
