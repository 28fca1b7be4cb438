"""Features of slow series, computed on the series' own values and joined as of their publication.

A window counts published values, not bars and not calendar days. Each derived value becomes visible
when its newest value does (``available_at``), never earlier; see :mod:`truefill.data.join`.
"""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import Field, model_validator

from truefill.core.registry import Params
from truefill.data.join import find_series, pair
from truefill.features.base import Context, Floats, calculator
from truefill.features.rolling import rolling_zscore


class _Rolling(Params):
    window: int = Field(252, ge=2, description="published values in the window")
    min_periods: int | None = Field(
        None, ge=2, description="values before the first result; null = half the window"
    )

    @property
    def needed(self) -> int:
        return max(2, self.window // 2) if self.min_periods is None else self.min_periods

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.needed > self.window:
            raise ValueError("min_periods exceeds window")
        return self


class MacroZscoreParams(_Rolling):
    """Rolling z-score of a slow series."""

    series: str = Field(description="name of the series in data.series")
    clip: float = Field(5.0, gt=0.0, description="clip to +- this")


@calculator(
    "macro_zscore",
    MacroZscoreParams,
    unit="rolling standard deviations",
    source="(value - mean) / std (ddof 1) of the last published values; 0 while constant",
    crosses_session=True,
    normalized=True,
    values_needed=lambda p: p.needed,
)
def macro_zscore(p: MacroZscoreParams, bars: Context) -> Floats:
    """Rolling z-score on published values, as of each bar's close."""
    series = find_series(bars.series, p.series, where="macro_zscore")
    scores = rolling_zscore(series.values, p.window, p.needed)
    return series.as_of(np.clip(scores, -p.clip, p.clip), bars.closes_s)


class MacroChangeParams(Params):
    """Relative change of a slow series."""

    series: str = Field(description="name of the series in data.series")
    periods: int = Field(1, ge=1, description="published values back")


@calculator(
    "macro_pct_change",
    MacroChangeParams,
    unit="fraction",
    source="value / value some publications ago - 1",
    crosses_session=True,
    values_needed=lambda p: p.periods + 1,
)
def macro_pct_change(p: MacroChangeParams, bars: Context) -> Floats:
    """Change against the value published ``periods`` values earlier; NaN where that was 0."""
    series = find_series(bars.series, p.series, where="macro_pct_change")
    change = np.full(len(series.values), np.nan)
    before = series.values[: -p.periods]
    safe = np.where(before == 0.0, np.nan, before)
    change[p.periods :] = series.values[p.periods :] / safe - 1.0
    return series.as_of(change, bars.closes_s)


class SpreadParams(_Rolling):
    """Rolling z-score of the difference of two slow series."""

    a: str = Field(description="name of a series")
    b: str = Field(description="name of the series subtracted from it")
    clip: float = Field(4.0, gt=0.0, description="clip to +- this")


@calculator(
    "spread_zscore",
    SpreadParams,
    unit="rolling standard deviations",
    source="z-score (ddof 1) of a - b on the value dates both have; 0 while constant",
    crosses_session=True,
    normalized=True,
    values_needed=lambda p: p.needed,
)
def spread_zscore(p: SpreadParams, bars: Context) -> Floats:
    """Rolling z-score of a - b, visible once both values of a date are published."""
    a = find_series(bars.series, p.a, where="spread_zscore")
    b = find_series(bars.series, p.b, where="spread_zscore")
    joint, first, second = pair(a, b)
    scores = rolling_zscore(first - second, p.window, p.needed)
    return joint.as_of(np.clip(scores, -p.clip, p.clip), bars.closes_s)
