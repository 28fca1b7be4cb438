"""The raw log return ahead: of the closes, or the one that an order of this bar can have."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from truefill.core.registry import Params
from truefill.forecast.labels.base import Asked, Floats, LabelBars, Walk, label, together


class FutureReturnParams(Params):
    """Log return over the next ``horizon`` bars."""

    horizon: int = Field(1, ge=1, description="bars ahead")
    entry: Literal["close", "next_open"] = Field(
        "close",
        description="close: from this close to that of bar t + horizon; next_open: from the open "
        "of bar t + 1, where an order of this close fills, to the open of bar t + 1 + horizon",
    )
    crosses_session: bool = Field(True, description="false: null where it runs past the session")


def expected(p: FutureReturnParams, bars: LabelBars, walk: Walk, threshold: float) -> Floats:
    """A random walk's return is its drift."""
    return np.full(len(bars), walk.drift * p.horizon)


@label("future_return", FutureReturnParams, classes=0, random_walk=expected)
def future_return(p: FutureReturnParams, bars: LabelBars) -> Asked:
    """log(close[t+h] / close[t]), or log(open[t+1+h] / open[t+1])."""
    T = len(bars)
    at = np.arange(T)
    lag = 0 if p.entry == "close" else 1
    price = bars.close if p.entry == "close" else bars.open
    last = at + lag + p.horizon
    whole = together(at, last, bars.session, p.crosses_session)
    quantity = np.full(T, np.nan)
    rows = np.flatnonzero(whole)
    quantity[rows] = np.log(price[last[rows]] / price[rows + lag])
    return Asked(quantity, at + lag, last)
