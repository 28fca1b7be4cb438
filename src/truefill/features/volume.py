"""Volume features: levels, change, ratio to the average, z-score.

A market without volume (spot FX writes 0) gives constants here: 0, or 1 for the ratio. The dataset
refuses such a feature by name (rule ``dead_feature``).
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from truefill.core.registry import Params
from truefill.features.base import Context, Floats, Running, calculator
from truefill.features.filters import Lag, Mean, Std, Sum
from truefill.features.parts import quotient, typical_price


class VolumeParams(Params):
    """Volume of the bar, or a squashed form of it: a level."""

    quote: bool = Field(False, description="times the typical price: value instead of units")
    log_scale: float | None = Field(
        None, gt=0.0, description="ln(1 + volume / this) instead of the volume itself"
    )


@calculator(
    "volume",
    VolumeParams,
    unit="units traded, their value, or ln(1 + it / scale)",
    source="the bar itself",
    crosses_session=False,
    level=True,
)
def volume(p: VolumeParams, bars: Context) -> Floats:
    """The bar's volume: it grows with the market, see ``volume_ratio`` and ``volume_z``."""
    value = bars.volume * typical_price(bars) if p.quote else bars.volume.copy()
    return value if p.log_scale is None else np.log1p(value / p.log_scale)


class VolumeSmaParams(Params):
    """Simple moving average of the volume: a level."""

    window: int = Field(20, ge=1, description="bars")


@calculator(
    "volume_sma",
    VolumeSmaParams,
    unit="units traded a bar",
    source="mean of the last volumes",
    crosses_session=True,
    level=True,
    warmup=lambda p: p.window - 1,
)
class VolumeSma(Running):
    """Mean of the last ``window`` volumes."""

    def __init__(self, p: VolumeSmaParams) -> None:
        self.mean = Mean(p.window)

    def push(self, bars: Context) -> Floats:
        return self.mean.push(bars.volume)


class VolumeRatioParams(Params):
    """Volume over its simple moving average."""

    window: int = Field(20, ge=2, description="bars")


@calculator(
    "volume_ratio",
    VolumeRatioParams,
    unit="ratio, 0..window",
    source="volume / SMA of volume; 1 in a window without volume",
    crosses_session=True,
    warmup=lambda p: p.window - 1,
)
class VolumeRatio(Running):
    """volume x window / sum of the last ``window`` volumes."""

    def __init__(self, p: VolumeRatioParams) -> None:
        self.window = float(p.window)
        self.sum = Sum(p.window)

    def push(self, bars: Context) -> Floats:
        return quotient(bars.volume * self.window, self.sum.push(bars.volume), 1.0)


class VolumeZParams(Params):
    """Log volume in rolling standard deviations from its mean."""

    window: int = Field(100, ge=2, description="bars")
    clip: float = Field(5.0, gt=0.0, description="clip to +- this")


@calculator(
    "volume_z",
    VolumeZParams,
    unit="rolling standard deviations",
    source="z-score (ddof 1) of ln(1 + volume); 0 on constant volume",
    crosses_session=True,
    normalized=True,
    warmup=lambda p: p.window - 1,
)
class VolumeZ(Running):
    """(ln(1 + volume) - its rolling mean) / its rolling standard deviation."""

    def __init__(self, p: VolumeZParams) -> None:
        self.clip = p.clip
        self.mean = Mean(p.window)
        self.std = Std(p.window, 1)

    def push(self, bars: Context) -> Floats:
        value = np.log1p(bars.volume)
        score = quotient(value - self.mean.push(value), self.std.push(value), 0.0)
        return np.clip(score, -self.clip, self.clip)


class VolumeChangeParams(Params):
    """Change of volume over some bars, bounded."""

    periods: int = Field(1, ge=1, description="bars back")


@calculator(
    "volume_change",
    VolumeChangeParams,
    unit="-1..1",
    source="(v[t] - v[t - periods]) / (v[t] + v[t - periods]); 0 where both are 0",
    crosses_session=True,
    warmup=lambda p: p.periods,
)
class VolumeChange(Running):
    """Difference over sum: finite after a bar without volume, where v/v - 1 is not.

    It is tanh(ln(v[t] / v[t - periods]) / 2).
    """

    def __init__(self, p: VolumeChangeParams) -> None:
        self.before = Lag(p.periods)

    def push(self, bars: Context) -> Floats:
        before = self.before.push(bars.volume)
        return quotient(bars.volume - before, bars.volume + before, 0.0)
