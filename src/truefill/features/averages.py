"""Moving averages of the close: levels, distances from them, and their slopes."""

from __future__ import annotations

from pydantic import Field

from truefill.core.registry import Params
from truefill.features.base import Context, Floats, Running, calculator
from truefill.features.filters import Ema, Lag, Mean
from truefill.features.parts import Settled, ema_alpha, ema_settling


class SmaParams(Params):
    """Simple moving average of the close: a level."""

    window: int = Field(20, ge=1, description="bars")


@calculator(
    "sma",
    SmaParams,
    unit="price",
    source="mean of the last closes",
    crosses_session=True,
    level=True,
    warmup=lambda p: p.window - 1,
)
class Sma(Running):
    """Mean of the last ``window`` closes."""

    def __init__(self, p: SmaParams) -> None:
        self.mean = Mean(p.window)

    def push(self, bars: Context) -> Floats:
        return self.mean.push(bars.close)


class SmaDistanceParams(Params):
    """Distance of the close from its simple moving average."""

    window: int = Field(20, ge=2, description="bars")


@calculator(
    "sma_distance",
    SmaDistanceParams,
    unit="fraction",
    source="close / SMA - 1",
    crosses_session=True,
    warmup=lambda p: p.window - 1,
)
class SmaDistance(Running):
    """close / mean of the last ``window`` closes - 1; 0 on constant prices."""

    def __init__(self, p: SmaDistanceParams) -> None:
        self.mean = Mean(p.window)

    def push(self, bars: Context) -> Floats:
        return bars.close / self.mean.push(bars.close) - 1.0


class SmaSlopeParams(Params):
    """Relative change of a simple moving average over some bars."""

    window: int = Field(20, ge=1, description="bars in the average")
    periods: int = Field(1, ge=1, description="bars back")


@calculator(
    "sma_slope",
    SmaSlopeParams,
    unit="fraction",
    source="SMA[t] / SMA[t - periods] - 1",
    crosses_session=True,
    warmup=lambda p: p.window - 1 + p.periods,
)
class SmaSlope(Running):
    """SMA / SMA ``periods`` bars earlier - 1."""

    def __init__(self, p: SmaSlopeParams) -> None:
        self.mean = Mean(p.window)
        self.before = Lag(p.periods)

    def push(self, bars: Context) -> Floats:
        mean = self.mean.push(bars.close)
        return mean / self.before.push(mean) - 1.0


class EmaParams(Params):
    """Exponential moving average of the close: a level."""

    period: int = Field(20, ge=1, description="alpha = 2 / (period + 1)")


@calculator(
    "ema",
    EmaParams,
    unit="price",
    source="alpha = 2 / (period + 1), seeded with the first close",
    crosses_session=True,
    level=True,
    warmup=lambda p: ema_settling(p.period),
)
class ExponentialAverage(Running):
    """Exponential average of the closes, once its seed weighs less than 1e-6."""

    def __init__(self, p: EmaParams) -> None:
        self.mean = Ema(ema_alpha(p.period))
        self.settled = Settled(ema_settling(p.period))

    def push(self, bars: Context) -> Floats:
        return self.settled.push(self.mean.push(bars.close))


class EmaDistanceParams(Params):
    """Distance of the close from its exponential moving average."""

    period: int = Field(20, ge=2, description="alpha = 2 / (period + 1)")


@calculator(
    "ema_distance",
    EmaDistanceParams,
    unit="fraction",
    source="close / EMA - 1",
    crosses_session=True,
    warmup=lambda p: ema_settling(p.period),
)
class EmaDistance(Running):
    """close / EMA - 1, once the seed weighs less than 1e-6."""

    def __init__(self, p: EmaDistanceParams) -> None:
        self.mean = Ema(ema_alpha(p.period))
        self.settled = Settled(ema_settling(p.period))

    def push(self, bars: Context) -> Floats:
        return self.settled.push(bars.close / self.mean.push(bars.close) - 1.0)


class EmaSlopeParams(Params):
    """Relative change of an exponential moving average over some bars."""

    period: int = Field(20, ge=1, description="alpha = 2 / (period + 1)")
    periods: int = Field(1, ge=1, description="bars back")


@calculator(
    "ema_slope",
    EmaSlopeParams,
    unit="fraction",
    source="EMA[t] / EMA[t - periods] - 1",
    crosses_session=True,
    warmup=lambda p: ema_settling(p.period) + p.periods,
)
class EmaSlope(Running):
    """EMA / EMA ``periods`` bars earlier - 1, once both have forgotten the seed."""

    def __init__(self, p: EmaSlopeParams) -> None:
        self.mean = Ema(ema_alpha(p.period))
        self.before = Lag(p.periods)
        self.settled = Settled(ema_settling(p.period) + p.periods)

    def push(self, bars: Context) -> Floats:
        mean = self.mean.push(bars.close)
        return self.settled.push(mean / self.before.push(mean) - 1.0)
