"""Bars, series, splits and features."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from truefill.config.fields import (
    ClockTime,
    Count,
    Duration,
    Fraction,
    Moment,
    NonNegative,
    Positive,
    Section,
    Timezone,
    Weekday,
)
from truefill.config.sources import BarsFile, EventsFile, RateFile, SeriesFile

__all__ = [
    "FILES",
    "BarsFile",
    "DataConfig",
    "EventsFile",
    "FeatureConfig",
    "RateFile",
    "SeriesFile",
    "SessionConfig",
    "SplitPeriod",
    "SplitsConfig",
    "SyntheticConfig",
]


FILES = ("bars", "series", "events", "exchange_rates", "finer_bars")
"""Keys of ``data`` that hold lists of files."""


class SessionConfig(Section):
    """Trading session: bars outside are dropped and counted."""

    timezone: Timezone = Field("UTC", description="timezone of days, start and end")
    days: tuple[Weekday, ...] = Field(
        ("mon", "tue", "wed", "thu", "fri"), description="trading days"
    )
    start: ClockTime = Field(time(0, 0), description="first bar start of a session, HH:MM")
    end: ClockTime | None = Field(
        None, description="session end (exclusive), HH:MM; null = midnight"
    )


class SyntheticConfig(Section):
    """A market with a known answer instead of files."""

    kind: Literal["random_walk", "planted_signal"] = Field(
        description="random_walk: no edge exists; planted_signal: a signal predicts the next bar"
    )
    bars: Count = Field(12_000, description="bars per symbol")
    symbols: Count = Field(1, description="number of symbols")
    seed: int = Field(0, ge=0, lt=2**63, description="random seed of the market")
    volatility: Positive = Field(0.002, description="standard deviation of a bar's log return")
    strength: Fraction = Field(
        0.7, description="planted_signal: share of the return's variance the signal explains"
    )
    start: Moment = Field(datetime(2020, 1, 1, tzinfo=UTC), description="first bar")


class SplitPeriod(Section):
    """Half-open period [start, end)."""

    start: Moment = Field(description="first bar start, inclusive (date or ISO timestamp)")
    end: Moment = Field(description="end, exclusive")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.start >= self.end:
            raise ValueError(f"start {self.start.date()} is not before end {self.end.date()}")
        return self


class SplitsConfig(Section):
    """Fixed-date splits in order; they may not overlap."""

    train: SplitPeriod
    validation: SplitPeriod
    test: SplitPeriod

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.train.end > self.validation.start:
            raise ValueError("train must end before validation starts")
        if self.validation.end > self.test.start:
            raise ValueError("validation must end before test starts")
        return self


class DataConfig(Section):
    """Where the market's history comes from."""

    bars: tuple[BarsFile, ...] = Field((), description="bar files; all symbols together")
    synthetic: SyntheticConfig | None = Field(
        None, description="a synthetic market instead of files"
    )
    interval: Duration = Field(description="bar interval (e.g. 5m, 1h, 1d)")
    session: SessionConfig | None = Field(None, description="null = round the clock")
    series: tuple[SeriesFile, ...] = Field((), description="macro and other slow series")
    events: tuple[EventsFile, ...] = Field(
        (), description="funding, dividends and splits; files of one kind add up"
    )
    exchange_rates: tuple[RateFile, ...] = Field(
        (), description="account currency for the quote currency of some symbols; others: 1"
    )
    finer_bars: tuple[BarsFile, ...] = Field(
        (), description="bars of a shorter interval: they say which of stop and target came first"
    )
    finer_interval: Duration | None = Field(
        None, description="interval of finer_bars; a whole number of them makes one interval"
    )
    finer_tolerance: NonNegative = Field(
        0.0, description="fraction by which a finer bar may leave the range of its bar"
    )
    splits: SplitsConfig

    def files(self) -> dict[str, Path]:
        """Every input file by its key: ``bars.0``, ``events.1``, ..."""
        return {f"{key}.{i}": f.path for key in FILES for i, f in enumerate(getattr(self, key))}

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if bool(self.bars) == (self.synthetic is not None):
            raise ValueError("give either bars (files) or synthetic, not both or neither")
        if self.interval <= 0:
            raise ValueError("interval must be positive")
        names = [name for file in self.series for name in file.columns.values()]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"series names are used twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _finer(self) -> Self:
        if bool(self.finer_bars) != (self.finer_interval is not None):
            raise ValueError("finer_bars and finer_interval come together")
        if self.finer_interval is not None:
            if self.finer_interval <= 0 or self.interval % self.finer_interval:
                raise ValueError("a whole number of finer_interval must make one interval")
            if self.finer_interval == self.interval:
                raise ValueError("finer_interval must be shorter than interval")
        if any(file.delisted for file in self.finer_bars):
            raise ValueError("delisted belongs to data.bars, not to finer_bars")
        return self

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        names = [symbol for file in self.exchange_rates for symbol in file.symbols]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two exchange rates are given for {', '.join(twice)}")
        return self


class FeatureConfig(Section):
    """One feature: a calculator, its parameters, and how the result is normalized."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]*$", description="column name; the order is the contract"
    )
    calculator: str = Field(description="registered calculator; see `truefill list calculators`")
    params: dict[str, Any] = Field(default_factory=dict, description="the calculator's parameters")
    normalizer: Literal["none", "zscore", "minmax"] = Field(
        "zscore", description="zscore: mean and std of train rows; minmax: fixed low..high to 0..1"
    )
    low: float = Field(0.0, description="minmax: value that becomes 0")
    high: float = Field(1.0, description="minmax: value that becomes 1")
    pre_clip: Positive | None = Field(
        None, description="clip to +- this before normalizing, in raw units"
    )
    clip: Positive | None = Field(None, description="clip to +- this after normalizing")
    clip_low: float | None = Field(
        None, description="lower clip after normalizing, instead of -clip"
    )

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if self.normalizer == "minmax" and self.low >= self.high:
            raise ValueError(f"feature {self.name}: low must be below high")
        if self.clip_low is not None and self.clip is None:
            raise ValueError(f"feature {self.name}: clip_low needs clip")
        return self
