"""Features of slow series, computed on the series' own values and joined as of their publication.

A window counts published values, not bars and not calendar days. Each derived value becomes visible
when its newest value does (``available_at``), never earlier; see :mod:`truefill.data.join`.
``series_value``, ``series_change`` and the like take a series as it is (an index of fear and greed,
a funding rate).
"""

from __future__ import annotations

from functools import partial
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

    def scores(values: Floats) -> Floats:
        return np.clip(rolling_zscore(values, p.window, p.needed), -p.clip, p.clip)

    return series.rolled(scores, p.window, bars.closes_s)


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

    def change(values: Floats) -> Floats:
        out, before = np.full(len(values), np.nan), values[: -p.periods]
        out[p.periods :] = values[p.periods :] / np.where(before == 0.0, np.nan, before) - 1.0
        return out

    return series.rolled(change, p.periods + 1, bars.closes_s)


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
    joint, _, _ = pair(a, b)

    def scores(values: Floats) -> Floats:
        return np.clip(rolling_zscore(values, p.window, p.needed), -p.clip, p.clip)

    return joint.rolled(scores, p.window, bars.closes_s)


class SpreadChangeParams(Params):
    """Change of the difference of two slow series over some publications."""

    a: str = Field(description="name of a series")
    b: str = Field(description="name of the series subtracted from it")
    periods: int = Field(1, ge=1, description="published pairs back")


@calculator(
    "spread_change", SpreadChangeParams, unit="the series' own",
    source="a - b less a - b some publications ago, on the value dates both have",
    crosses_session=True, values_needed=lambda p: p.periods + 1,
)  # fmt: skip
def spread_change(p: SpreadChangeParams, bars: Context) -> Floats:
    """Difference to the a - b of ``periods`` dates earlier, visible once both are published."""
    a = find_series(bars.series, p.a, where="spread_change")
    b = find_series(bars.series, p.b, where="spread_change")
    joint, _, _ = pair(a, b)
    return joint.rolled(partial(_change, periods=p.periods), p.periods + 1, bars.closes_s)


def _change(values: Floats, periods: int) -> Floats:
    """Difference to the value ``periods`` earlier, NaN where there is none."""
    out = np.full(len(values), np.nan)
    out[periods:] = values[periods:] - values[:-periods]
    return out


class SeriesParams(Params):
    """One slow series."""

    series: str = Field(description="name of the series in data.series")


class SeriesValueParams(SeriesParams):
    """Value of a slow series as it is."""

    scale: float = Field(1.0, description="multiplies the value")
    offset: float = Field(0.0, description="added after that")
    stationary: bool = Field(
        False, description="it does not drift (an index from 0 to 100, a rate): no level"
    )


@calculator(
    "series_value", SeriesValueParams, unit="the series' own, x scale + offset",
    source="value x scale + offset", crosses_session=True,
    level=lambda p: not p.stationary, values_needed=lambda p: 1,
)  # fmt: skip
def series_value(p: SeriesValueParams, bars: Context) -> Floats:
    """The newest value known at each bar's close, times ``scale``, plus ``offset``."""
    series = find_series(bars.series, p.series, where="series_value")
    return series.as_of(series.values * p.scale + p.offset, bars.closes_s)


class SeriesChangeParams(SeriesParams):
    """Difference of a slow series over some publications."""

    periods: int = Field(1, ge=1, description="published values back")


@calculator(
    "series_change", SeriesChangeParams, unit="the series' own",
    source="value - value some publications ago", crosses_session=True,
    values_needed=lambda p: p.periods + 1,
)  # fmt: skip
def series_change(p: SeriesChangeParams, bars: Context) -> Floats:
    """Difference to the value published ``periods`` values earlier (for a rate or an index that may
    be 0; ``macro_pct_change`` is the relative one)."""
    series = find_series(bars.series, p.series, where="series_change")
    return series.rolled(partial(_change, periods=p.periods), p.periods + 1, bars.closes_s)


class SeriesBelowParams(SeriesParams):
    """1 while a slow series is below a threshold, else 0."""

    threshold: float = Field(
        25.0, description="e.g. 25 on an index of fear and greed: extreme fear, risk off"
    )


@calculator(
    "series_below", SeriesBelowParams, unit="0 or 1", source="value < threshold",
    crosses_session=True, normalized=True, values_needed=lambda p: 1,
)  # fmt: skip
def series_below(p: SeriesBelowParams, bars: Context) -> Floats:
    """1.0 where the newest value known is below ``threshold``, else 0.0."""
    series = find_series(bars.series, p.series, where="series_below")
    return series.as_of((series.values < p.threshold).astype(np.float64), bars.closes_s)


class SeriesAgeParams(SeriesParams):
    """Age of the newest value of a slow series."""


@calculator(
    "series_age_hours", SeriesAgeParams, unit="hours",
    source="bar's close - moment at which the newest value was published", crosses_session=True,
    values_needed=lambda p: 1,
)  # fmt: skip
def series_age_hours(p: SeriesAgeParams, bars: Context) -> Floats:
    """Hours since the newest value was published; no value where it is stale."""
    series = find_series(bars.series, p.series, where="series_age_hours")
    published = series.as_of(series.available_at_s.astype(np.float64), bars.closes_s)
    return (bars.closes_s - published) / 3_600.0
