"""Features of price itself, and columns that come with the bars."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from truefill.core.errors import ConfigError, did_you_mean
from truefill.core.registry import Params
from truefill.features.base import Context, Floats, calculator
from truefill.features.parts import typical_price


def _before(values: Floats, periods: int) -> Floats:
    """The value ``periods`` bars earlier, NaN where there is none."""
    out = np.full(len(values), np.nan)
    out[periods:] = values[: max(0, len(values) - periods)]
    return out


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
    return np.log(bars.close / _before(bars.close, p.periods))


class SimpleReturnParams(Params):
    """Simple return of the close over some bars."""

    periods: int = Field(1, ge=1, description="bars back")


@calculator(
    "simple_return",
    SimpleReturnParams,
    unit="fraction",
    source="close[t] / close[t - periods] - 1",
    crosses_session=True,
    warmup=lambda p: p.periods,
)
def simple_return(p: SimpleReturnParams, bars: Context) -> Floats:
    """close[t] / close[t - periods] - 1."""
    return bars.close / _before(bars.close, p.periods) - 1.0


class PriceChangeParams(Params):
    """Change of the close over some bars, in price units."""

    periods: int = Field(1, ge=1, description="bars back")


@calculator(
    "price_change",
    PriceChangeParams,
    unit="price",
    source="close[t] - close[t - periods]",
    crosses_session=True,
    level=True,
    warmup=lambda p: p.periods,
)
def price_change(p: PriceChangeParams, bars: Context) -> Floats:
    """close[t] - close[t - periods]; its scale is that of the price, see ``simple_return``."""
    return bars.close - _before(bars.close, p.periods)


class GapReturnParams(Params):
    """Log return from the previous bar's close to this bar's open."""


@calculator(
    "gap_return",
    GapReturnParams,
    unit="log return",
    source="ln(open[t] / close[t - 1])",
    crosses_session=True,
    warmup=lambda p: 1,
)
def gap_return(p: GapReturnParams, bars: Context) -> Floats:
    """ln(open[t] / close[t - 1]): overnight moves and holes between bars."""
    return np.log(bars.open / _before(bars.close, 1))


class BarRangeParams(Params):
    """High of the bar over its low, less 1."""


@calculator(
    "bar_range",
    BarRangeParams,
    unit="fraction",
    source="high / low - 1",
    crosses_session=False,
)
def bar_range(p: BarRangeParams, bars: Context) -> Floats:
    """high / low - 1; 0 on a bar of one price."""
    return bars.high / bars.low - 1.0


class CloseOpenParams(Params):
    """Close of the bar over its open, less 1."""


@calculator(
    "close_open_ratio",
    CloseOpenParams,
    unit="fraction",
    source="close / open - 1",
    crosses_session=False,
)
def close_open_ratio(p: CloseOpenParams, bars: Context) -> Floats:
    """close / open - 1: the bar's own move, without the gap before it."""
    return bars.close / bars.open - 1.0


class IntradayRangeParams(Params):
    """Range of the bar as a fraction of the previous close."""


@calculator(
    "intraday_range",
    IntradayRangeParams,
    unit="fraction",
    source="(high[t] - low[t]) / close[t - 1]",
    crosses_session=True,
    warmup=lambda p: 1,
)
def intraday_range(p: IntradayRangeParams, bars: Context) -> Floats:
    """(high - low) / previous close."""
    return (bars.high - bars.low) / _before(bars.close, 1)


class PriceParams(Params):
    """A price of the bar: a level."""

    price: Literal["open", "high", "low", "close", "typical"] = Field(
        "close", description="which one; typical: (high + low + close) / 3"
    )
    log: bool = Field(False, description="its natural logarithm")


@calculator(
    "price",
    PriceParams,
    unit="price, or its logarithm",
    source="the bar itself",
    crosses_session=False,
    level=True,
)
def price(p: PriceParams, bars: Context) -> Floats:
    """The bar's price: not stationary, train statistics of it say little about later."""
    value = typical_price(bars) if p.price == "typical" else getattr(bars, p.price)
    return np.log(value) if p.log else value.copy()


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
    columns=lambda p: [p.column],
)
def column(p: ColumnParams, bars: Context) -> Floats:
    """The column itself. Whoever gives it vouches that it is known at the bar's close."""
    return bar_column(bars, p.column)


def bar_column(bars: Context, name: str) -> Floats:
    """A further column of the bars; ``ConfigError`` names the nearest one where it is absent."""
    if name not in bars.extra:
        raise ConfigError(
            f"the bars of {bars.symbol} have no column {name!r}",
            where="features",
            do=did_you_mean(name, bars.extra),
        )
    return bars.extra[name]
