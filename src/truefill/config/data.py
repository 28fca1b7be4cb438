"""Bars, series, splits and features."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from truefill.config.fields import (
    ClockTime,
    Count,
    Duration,
    FilePath,
    Fraction,
    Moment,
    Positive,
    Section,
    Timezone,
    Weekday,
)


class BarsFile(Section):
    """One file of bars; timestamps mark the START of a bar."""

    path: FilePath = Field(
        description="CSV, Parquet or Feather file; relative to the config file, "
        "or 'sample:NAME' for data that ships with truefill"
    )
    symbol: str | None = Field(
        None, description="symbol of every row; null = the file has a symbol column"
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="source column -> ours (timestamp, symbol, open, high, low, close, volume)",
    )
    timezone: Timezone = Field("UTC", description="timezone of naive timestamps in this file")
    timestamp_unit: Literal["auto", "iso", "s", "ms"] = Field(
        "auto", description="how numeric or text timestamps are read; auto decides by magnitude"
    )


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


class SeriesFile(Section):
    """Slow series (macro) joined as of the moment each value became available."""

    path: FilePath = Field(description="CSV, Parquet or Feather file with one row a value date")
    timestamp: str = Field("timestamp", description="column that holds the value date")
    columns: dict[str, str] = Field(
        description="source column -> series name used by features; only these are read"
    )
    publication_lag: Duration = Field(
        description="available_at = value date + this lag (e.g. 1d, 24h; seconds as a number)"
    )
    publication_lag_by_column: dict[str, Duration] = Field(
        default_factory=dict, description="series name -> its own publication lag"
    )
    max_staleness: Duration = Field(
        5 * 86_400.0,
        description="a value older than this after available_at is null, not carried forward",
    )
    timezone: Timezone = Field("UTC", description="timezone of naive value dates")


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
    splits: SplitsConfig

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
