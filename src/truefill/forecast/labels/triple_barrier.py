"""Triple barrier: which is touched first, a barrier above, one below, or the end of the time.

Source: López de Prado, Advances in Financial Machine Learning (2018), chapter 3.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from truefill.core.registry import Params
from truefill.forecast.labels.base import (
    FALL,
    RISE,
    STILL,
    Asked,
    Floats,
    LabelBars,
    Walk,
    label,
    together,
)
from truefill.forecast.labels.exits import first_exit
from truefill.forecast.labels.trailing import volatility

Width = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
TOUCH = 1e-12
"""A log price this near to a barrier touches it: a high of 110 that of 100 and 10 %."""


class TripleBarrierParams(Params):
    """Rise, fall, or neither in time: the first barrier that a high or a low touches."""

    limit_bars: int = Field(20, ge=1, description="bars after which it is neither")
    upper: Width = Field(2.0, description="distance of the upper barrier, in the unit")
    lower: Width = Field(2.0, description="distance of the lower barrier, in the unit")
    unit: Literal["volatility", "fraction"] = Field(
        "volatility",
        description="volatility: root mean square of the last log returns, a bar; fraction: of the "
        "close",
    )
    volatility_bars: int = Field(50, ge=1, description="log returns that the volatility is of")
    side: Literal["long", "short"] = Field(
        "long", description="a bar that touches both barriers counts as the worse one for this side"
    )
    crosses_session: bool = Field(
        True, description="false: null where the limit passes the session"
    )


def exits(p: TripleBarrierParams, bars: LabelBars, walk: Walk, threshold: float) -> Floats:
    """Which barrier a Brownian motion leaves by until the limit; with widths in volatility its
    steps have the volatility that the widths are made of."""
    up, down, _ = _widths(p, bars)
    sigma = volatility(bars, p.volatility_bars) if p.unit == "volatility" else walk.sigma
    fall, rise = first_exit(up, down, np.broadcast_to(sigma, up.shape), walk.drift, p.limit_bars)
    return np.stack([fall, 1.0 - fall - rise, rise], axis=1)


@label("triple_barrier", TripleBarrierParams, classes=3, random_walk=exits, horizon="limit_bars")
def triple_barrier(p: TripleBarrierParams, bars: LabelBars) -> Asked:
    """The class of each bar; the quantity is the log return at the touch (at the barrier itself),
    or at the last close. A row is null unless all ``limit_bars`` bars are there: if those that are
    touched early had labels and the others none, the last labels would be a biased choice. The
    interval ends at the touch."""
    T = len(bars)
    at = np.arange(T)
    up, down, seen = _widths(p, bars)
    upper, lower = np.log(bars.close) + up - TOUCH, np.log(bars.close) - down + TOUCH
    first = at - seen
    asked = together(at, at + p.limit_bars, bars.session, p.crosses_session)
    asked &= np.isfinite(up) & (up > 0.0)
    rows = np.flatnonzero(asked)
    klass, quantity, last = np.full(T, np.nan), np.full(T, np.nan), at + p.limit_bars
    high, low = np.log(bars.high), np.log(bars.low)
    worse = FALL if p.side == "long" else RISE
    for j in range(1, p.limit_bars + 1):
        above, below = high[rows + j] >= upper[rows], low[rows + j] <= lower[rows]
        hit = above | below
        now = rows[hit]
        klass[now] = np.where(above & below, worse, np.where(above, RISE, FALL))[hit]
        quantity[now] = np.where(klass[now] == RISE, up[now], -down[now])
        last[now] = now + j
        rows = rows[~hit]
    klass[rows] = STILL
    quantity[rows] = np.log(bars.close[rows + p.limit_bars] / bars.close[rows])
    return Asked(quantity, first, last, klass, settled=at + p.limit_bars)


def _widths(p: TripleBarrierParams, bars: LabelBars) -> tuple[Floats, Floats, int]:
    """Log distances of the barriers, each f64[T] (NaN where the volatility is not known yet), and
    how many bars before its own a label looks at. A fraction of 1 and more below has no barrier."""
    if p.unit == "fraction":
        up = np.full(len(bars), np.log1p(p.upper))
        return up, np.full(len(bars), -np.log1p(-p.lower) if p.lower < 1.0 else np.inf), 0
    sigma = volatility(bars, p.volatility_bars)
    return p.upper * sigma, p.lower * sigma, p.volatility_bars
