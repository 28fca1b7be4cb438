"""Volume signed by price: on-balance volume, accumulation/distribution, money flow.

``obv`` and ``ad_line`` count from the first bar on: levels. Their changes over a window, divided by
its volume, are stationary; a window without volume gives 0.
"""

from __future__ import annotations

import numpy as np
from pydantic import Field

from truefill.core.registry import Params
from truefill.features.base import WHOLE_HISTORY, Context, Floats, Running, calculator
from truefill.features.filters import Lag, Sum, Total
from truefill.features.parts import masked, quotient, typical_price
from truefill.features.state import Stateful


class SignedVolume(Stateful):
    """Volume times the sign of the close's change; NaN at the first bar."""

    def __init__(self) -> None:
        self.before = Lag(1)

    def push(self, bars: Context) -> Floats:
        """f64[n]."""
        return np.sign(bars.close - self.before.push(bars.close)) * bars.volume


def money_flow_volume(bars: Context) -> Floats:
    """Volume times ((c - l) - (h - c)) / (h - l): 0 where the bar has no range."""
    place = (bars.close - bars.low) - (bars.high - bars.close)
    return quotient(place, bars.high - bars.low, 0.0) * bars.volume


class ObvParams(Params):
    """On-balance volume since the first bar: a level."""


@calculator(
    "obv",
    ObvParams,
    unit="units traded",
    source="Granville: volume added on a rise, taken off on a fall; starts at the first volume",
    crosses_session=True,
    level=True,
    lookback=lambda p: WHOLE_HISTORY,
)
class Obv(Running):
    """First volume + sum of sign(close change) x volume."""

    def __init__(self, p: ObvParams) -> None:
        self.signed = SignedVolume()
        self.total = Total()

    def push(self, bars: Context) -> Floats:
        signed = self.signed.push(bars)
        return self.total.push(np.where(np.isnan(signed), bars.volume, signed))


class ObvChangeParams(Params):
    """Change of on-balance volume over a window as a share of its volume."""

    window: int = Field(20, ge=1, description="bars")


@calculator(
    "obv_change",
    ObvChangeParams,
    unit="-1..1",
    source="sum of sign(close change) x volume / sum of volume; 0 without volume",
    crosses_session=True,
    warmup=lambda p: p.window,
)
class ObvChange(Running):
    """(OBV - OBV ``window`` bars earlier) / volume of these bars."""

    def __init__(self, p: ObvChangeParams) -> None:
        self.signed = SignedVolume()
        self.change, self.volume = Sum(p.window), Sum(p.window)

    def push(self, bars: Context) -> Floats:
        change = self.change.push(self.signed.push(bars))
        return quotient(change, self.volume.push(bars.volume), 0.0)


class AdLineParams(Params):
    """Accumulation/distribution line since the first bar: a level."""


@calculator(
    "ad_line",
    AdLineParams,
    unit="units traded",
    source="Chaikin: sum of ((c - l) - (h - c)) / (h - l) x volume; 0 on a bar without range",
    crosses_session=True,
    level=True,
    lookback=lambda p: WHOLE_HISTORY,
)
class AdLine(Running):
    """Sum of money flow volume since the first bar."""

    def __init__(self, p: AdLineParams) -> None:
        self.total = Total()

    def push(self, bars: Context) -> Floats:
        return self.total.push(money_flow_volume(bars))


class AdChangeParams(Params):
    """Change of the accumulation/distribution line over a window as a share of its volume."""

    window: int = Field(20, ge=1, description="bars")


@calculator(
    "ad_change",
    AdChangeParams,
    unit="-1..1",
    source="Chaikin's money flow: sum of money flow volume / sum of volume; 0 without volume",
    crosses_session=True,
    warmup=lambda p: p.window - 1,
)
class AdChange(Running):
    """(A/D - A/D ``window`` bars earlier) / volume of these bars."""

    def __init__(self, p: AdChangeParams) -> None:
        self.flow, self.volume = Sum(p.window), Sum(p.window)

    def push(self, bars: Context) -> Floats:
        flow = self.flow.push(money_flow_volume(bars))
        return quotient(flow, self.volume.push(bars.volume), 0.0)


class MfiParams(Params):
    """Money flow index: RSI's idea on price times volume, 0..100."""

    window: int = Field(14, ge=1, description="changes of the typical price")


@calculator(
    "mfi",
    MfiParams,
    unit="0..100",
    source="Quong, Soudack (1989): 100 x positive / (positive + negative money flow); 50 for none",
    crosses_session=True,
    warmup=lambda p: p.window,
)
class Mfi(Running):
    """Share of typical price x volume on bars whose typical price rose; unchanged ones count
    neither way."""

    def __init__(self, p: MfiParams) -> None:
        self.before = Lag(1)
        self.rise, self.fall = Sum(p.window), Sum(p.window)

    def push(self, bars: Context) -> Floats:
        price = typical_price(bars)
        change = price - self.before.push(price)
        flow = price * bars.volume
        known = 0.0 * change
        rise = self.rise.push(known + masked(flow, change > 0.0))
        fall = self.fall.push(known + masked(flow, change < 0.0))
        return 100.0 * quotient(rise, rise + fall, 0.5)
