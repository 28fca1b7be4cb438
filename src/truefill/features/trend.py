"""Trend features: Wilder's RSI, distance from a moving average."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from truefill.core.registry import Params
from truefill.features.base import Context, Floats, calculator, wilder_settling
from truefill.features.rolling import rolling_zscore


def wilder_rsi(close: Floats, period: int) -> Floats:
    """RSI f64[T] in 0..100, from index ``period`` on (NaN before); flat prices give 50.

    Average gain and loss are seeded with the simple mean of the first ``period`` changes, then
    x_t = (x_{t-1} (period - 1) + v_t) / period.
    Source: Wilder, New Concepts in Technical Trading Systems (1978).
    """
    out = np.full(len(close), np.nan)
    if len(close) <= period:
        return out
    changes = np.diff(close)
    gains = np.where(changes > 0.0, changes, 0.0).tolist()
    losses = np.where(changes < 0.0, -changes, 0.0).tolist()
    gain = sum(gains[:period]) / period
    loss = sum(losses[:period]) / period
    values = [_index(gain, loss)]
    for up, down in zip(gains[period:], losses[period:], strict=True):
        gain = (gain * (period - 1) + up) / period
        loss = (loss * (period - 1) + down) / period
        values.append(_index(gain, loss))
    out[period:] = values
    return out


def _index(gain: float, loss: float) -> float:
    total = gain + loss
    return 100.0 * gain / total if total > 0.0 else 50.0


class RsiParams(Params):
    """Wilder's relative strength index, 0..100."""

    period: int = Field(14, ge=2, description="smoothing period, bars")


@calculator(
    "rsi",
    RsiParams,
    unit="0..100",
    source="Wilder (1978), seeded with the simple mean",
    crosses_session=True,
    warmup=lambda p: p.period + wilder_settling(p.period),
)
def rsi(p: RsiParams, bars: Context) -> Floats:
    """:func:`wilder_rsi` once its seed weighs less than 1e-6."""
    out = wilder_rsi(bars.close, p.period)
    out[: p.period + wilder_settling(p.period)] = np.nan
    return out


class TrendZParams(Params):
    """Distance of the close from its moving average, in rolling standard deviations."""

    window: int = Field(50, ge=2, description="bars")
    clip: float = Field(3.0, gt=0.0, description="clip to +- this")


@calculator(
    "trend_z",
    TrendZParams,
    unit="rolling standard deviations",
    source="(close - SMA) / rolling std (ddof 1); 0 on constant prices",
    crosses_session=True,
    normalized=True,
    warmup=lambda p: p.window - 1,
)
def trend_z(p: TrendZParams, bars: Context) -> Floats:
    """(close - mean of the last ``window`` closes) / their standard deviation."""
    return np.clip(rolling_zscore(bars.close, p.window), -p.clip, p.clip)
