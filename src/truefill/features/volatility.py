"""Volatility features: rolling standard deviation of log returns, Wilder's ATR."""

from __future__ import annotations

from math import sqrt

import numpy as np
from pydantic import Field

from truefill.core.registry import Params
from truefill.features.base import Context, Floats, calculator, wilder_settling
from truefill.features.price import LogReturnParams, log_return
from truefill.features.rolling import rolling_deviation


class VolatilityParams(Params):
    """Rolling standard deviation of one-bar log returns."""

    window: int = Field(14, ge=2, description="returns in the window")
    bars_per_year: float | None = Field(
        None, gt=0.0, description="annualize by sqrt(this); null = per bar. A z-score is the same"
    )


@calculator(
    "volatility_pct",
    VolatilityParams,
    unit="standard deviation of log returns, a fraction per bar or year",
    source="sample standard deviation (ddof 1)",
    crosses_session=True,
    warmup=lambda p: p.window,
)
def volatility_pct(p: VolatilityParams, bars: Context) -> Floats:
    """Standard deviation (ddof 1) of the last ``window`` one-bar log returns.

    The name is system 000's; the value is a fraction, not percent.
    """
    out = np.full(len(bars), np.nan)
    returns = log_return(LogReturnParams(periods=1), bars)[1:]
    _, std = rolling_deviation(returns, p.window)
    out[1:] = std * (sqrt(p.bars_per_year) if p.bars_per_year else 1.0)
    return out


def wilder_atr(high: Floats, low: Floats, close: Floats, period: int) -> Floats:
    """Average true range f64[T] in price units, from index ``period - 1`` on (NaN before).

    The first bar's true range is high - low; then max(high, previous close) - min(low, previous
    close). Seeded with the simple mean of the first ``period`` true ranges, smoothed as in Wilder
    (1978).
    """
    out = np.full(len(close), np.nan)
    if len(close) < period:
        return out
    before = np.concatenate([close[:1], close[:-1]])
    ranges = np.maximum(high, before) - np.minimum(low, before)
    ranges[0] = high[0] - low[0]
    true_range = ranges.tolist()
    average = sum(true_range[:period]) / period
    values = [average]
    for value in true_range[period:]:
        average = (average * (period - 1) + value) / period
        values.append(average)
    out[period - 1 :] = values
    return out


class AtrParams(Params):
    """Wilder's average true range, in price units or as a fraction of the close."""

    period: int = Field(14, ge=1, description="smoothing period, bars")
    relative: bool = Field(False, description="divide by the close")


@calculator(
    "atr",
    AtrParams,
    unit="price, or a fraction of the close",
    source="Wilder (1978), seeded with the simple mean",
    crosses_session=True,
    warmup=lambda p: p.period - 1 + wilder_settling(p.period),
)
def atr(p: AtrParams, bars: Context) -> Floats:
    """:func:`wilder_atr` once its seed weighs less than 1e-6."""
    out = wilder_atr(bars.high, bars.low, bars.close, p.period)
    out[: p.period - 1 + wilder_settling(p.period)] = np.nan
    return out / bars.close if p.relative else out
