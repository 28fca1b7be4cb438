"""Features of price itself, and columns that come with the bars."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from truefill.core.errors import ConfigError, did_you_mean
from truefill.core.registry import Params
from truefill.features.base import Context, Floats, calculator


class LogReturnParams(Params):
    """Log return of the close over some bars."""

    periods: int = Field(1, ge=1, description="bars back")


@calculator(
    "log_return",
    LogReturnParams,
    unit="log return",
    source="ln(close[t] / close[t - periods])",
    crosses_session=True,
    warmup=lambda p: p.periods,
)
def log_return(p: LogReturnParams, bars: Context) -> Floats:
    """ln(close[t] / close[t - periods]); exactly 0 on an unchanged price."""
    out = np.full(len(bars), np.nan)
    if len(bars) > p.periods:
        out[p.periods :] = np.log(bars.close[p.periods :] / bars.close[: -p.periods])
    return out


class ColumnParams(Params):
    """A further column of the bars (e.g. the signal of a synthetic market)."""

    column: str = Field(
        description="name of the column, after `columns:`; known at the bar's close"
    )


@calculator(
    "column",
    ColumnParams,
    unit="as in the source",
    source="the column itself",
    crosses_session=False,
)
def column(p: ColumnParams, bars: Context) -> Floats:
    """The column itself. Whoever gives it vouches that it is known at the bar's close."""
    if p.column not in bars.extra:
        raise ConfigError(
            f"the bars of {bars.symbol} have no column {p.column!r}",
            where="features",
            do=did_you_mean(p.column, bars.extra),
        )
    return bars.extra[p.column]
