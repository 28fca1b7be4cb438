"""Volume-weighted average price: over a window, since the session began, since the first bar.

Where nothing was traded the average is the bar's close: a distance of 0.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from pydantic import Field

from truefill.core.errors import ConfigError
from truefill.core.registry import Params
from truefill.features.base import WHOLE_HISTORY, Context, Floats, Running, calculator
from truefill.features.filters import Sum, Total
from truefill.features.parts import SessionStarts, quotient, typical_price
from truefill.features.state import Stateful


def _average(value: Floats, volume: Floats, close: Floats) -> Floats:
    """value / volume, the close where there is no volume."""
    out = quotient(value, volume, 0.0)
    return np.where(volume == 0.0, close, out)


class VwapParams(Params):
    """Volume-weighted average price: a level."""

    window: int | None = Field(None, ge=1, description="bars; null: all since the first bar")


@calculator(
    "vwap",
    VwapParams,
    unit="price",
    source="sum of typical price x volume / sum of volume",
    crosses_session=True,
    level=True,
    warmup=lambda p: p.window - 1 if p.window else 0,
    lookback=lambda p: p.window or WHOLE_HISTORY,
)
class Vwap(Running):
    """Average typical price by volume, over a window or since the first bar."""

    def __init__(self, p: VwapParams) -> None:
        self.value = Sum(p.window) if p.window else Total()
        self.volume = Sum(p.window) if p.window else Total()

    def push(self, bars: Context) -> Floats:
        value = self.value.push(typical_price(bars) * bars.volume)
        return _average(value, self.volume.push(bars.volume), bars.close)


class VwapDistanceParams(Params):
    """Distance of the close from the volume-weighted average price of a window."""

    window: int = Field(20, ge=1, description="bars")


@calculator(
    "vwap_distance",
    VwapDistanceParams,
    unit="fraction",
    source="close / VWAP of the window - 1; 0 without volume",
    crosses_session=True,
    warmup=lambda p: p.window - 1,
)
class VwapDistance(Running):
    """close / VWAP of the last ``window`` bars - 1."""

    def __init__(self, p: VwapDistanceParams) -> None:
        self.vwap = Vwap(VwapParams(window=p.window))

    def push(self, bars: Context) -> Floats:
        return bars.close / self.vwap.push(bars) - 1.0


class SessionVwapParams(Params):
    """Distance of the close from the volume-weighted average price since the session began."""

    longest: int = Field(1_440, ge=1, description="most bars a session may have; more is an error")


class _SessionTotal(Stateful):
    """Sum since the session's first bar, one addition at a time."""

    def __init__(self) -> None:
        self.sum = 0.0

    def push(self, values: Floats, starts: npt.NDArray[np.bool_]) -> Floats:
        """f64[n]; ``starts`` [n]: bars at which the sum begins anew."""
        out = np.empty(len(values))
        cuts = np.flatnonzero(starts).tolist()
        for first, end in pairwise(sorted({0, *cuts, len(values)})):
            carry = 0.0 if starts[first] else self.sum
            parts = np.concatenate([[carry], values[first:end]])
            out[first:end] = np.add.accumulate(parts)[1:]
            self.sum = float(out[end - 1])
        return out


@calculator(
    "session_vwap_distance",
    SessionVwapParams,
    unit="fraction",
    source="close / VWAP since the session's first bar - 1; 0 without volume",
    crosses_session=False,
    lookback=lambda p: p.longest,
)
class SessionVwapDistance(Running):
    """close / VWAP of the session so far - 1; the session is data.session, the UTC day without."""

    def __init__(self, p: SessionVwapParams) -> None:
        self.longest = p.longest
        self.starts = SessionStarts()
        self.count, self.value, self.volume = _SessionTotal(), _SessionTotal(), _SessionTotal()

    def push(self, bars: Context) -> Floats:
        starts = self.starts.push(bars)
        if (self.count.push(np.ones(len(bars)), starts) > self.longest).any():
            raise ConfigError(
                f"{bars.symbol} has a session of more than {self.longest:,} bars",
                where="features, session_vwap_distance: longest",
                do="raise it, or set data.session",
            )
        value = self.value.push(typical_price(bars) * bars.volume, starts)
        volume = self.volume.push(bars.volume, starts)
        return bars.close / _average(value, volume, bars.close) - 1.0
