"""Bars, series, splits and features."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from truefill.config.defects import Policy
from truefill.config.fields import (
    ClockTime,
    Duration,
    NonNegative,
    Positive,
    Section,
    Timezone,
    Weekday,
)
from truefill.config.seasonality import SeasonalityConfig
from truefill.config.sources import BarsFile, EventsFile, RateFile, ReleasesFile, SeriesFile
from truefill.config.splits import FoldsConfig, SplitPeriod, Splits, SplitsConfig
from truefill.config.synthetic import SyntheticConfig

__all__ = [
    "FILES",
    "BarsFile",
    "DataConfig",
    "EventsFile",
    "FeatureConfig",
    "FoldsConfig",
    "RateFile",
    "ReleasesFile",
    "SeriesFile",
    "SessionConfig",
    "SplitPeriod",
    "Splits",
    "SplitsConfig",
    "SyntheticConfig",
]


FILES = ("bars", "series", "releases", "events", "exchange_rates", "finer_bars")
"""Keys of ``data`` that hold lists of files."""


class SessionConfig(Section):
    """Trading session: bars outside are dropped and counted. Either an exchange's calendar, or days
    and hours."""

    calendar: str | None = Field(
        None,
        description="exchange calendar (e.g. XNYS: holidays, early closes; its timezone and hours) "
        "instead of timezone, days, start and end",
    )
    timezone: Timezone = Field("UTC", description="timezone of days, start and end")
    days: tuple[Weekday, ...] = Field(
        ("mon", "tue", "wed", "thu", "fri"), description="trading days"
    )
    start: ClockTime = Field(time(0, 0), description="first bar start of a session, HH:MM")
    end: ClockTime | None = Field(
        None, description="session end (exclusive), HH:MM; null = midnight"
    )

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.calendar is not None:
            hours = sorted({"timezone", "days", "start", "end"} & self._changed())
            if hours:
                raise ValueError(f"the calendar says {hours[0]} already; leave one of them out")
        return self

    def _changed(self) -> set[str]:
        """Fields that differ from their defaults."""
        fields = type(self).model_fields
        return {name for name, field in fields.items() if getattr(self, name) != field.default}


class DataConfig(Section):
    """Where the market's history comes from."""

    bars: tuple[BarsFile, ...] = Field((), description="bar files; all symbols together")
    synthetic: SyntheticConfig | None = Field(
        None, description="a synthetic market instead of files"
    )
    interval: Duration = Field(description="bar interval (e.g. 5m, 1h, 1d)")
    resample: Duration | None = Field(
        None,
        description="read files at interval, and use closed bars of this longer one (e.g. 4h) "
        "everywhere; null = as they are",
    )
    session: SessionConfig | None = Field(None, description="null = round the clock")
    series: tuple[SeriesFile, ...] = Field((), description="macro and other slow series")
    releases: tuple[ReleasesFile, ...] = Field(
        (), description="economic calendars: events known ahead, figures known after them"
    )
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
        None, description="interval of finer_bars; a whole number of them makes one bar"
    )
    finer_tolerance: NonNegative = Field(
        0.0, description="fraction by which a finer bar may leave the range of its bar"
    )
    seasonality: SeasonalityConfig | None = Field(
        None, description="spread and liquidity by hour of the week; null = the same at all hours"
    )
    defects: Policy = Field(
        default_factory=dict,
        description="rule -> error, warn or repair, in place of its default (docs/defects.md)",
    )
    splits: Splits = Field(
        description="train, validation and test; kind: dates (may be left out), fractions, "
        "walk_forward, column"
    )
    folds: FoldsConfig | None = Field(
        None, description="folds inside train for stages that tune or cross-validate"
    )

    def files(self) -> dict[str, Path]:
        """Every input file by its key: ``bars.0``, ``events.1``, ..., ``seasonality``."""
        found = {f"{key}.{i}": f.path for key in FILES for i, f in enumerate(getattr(self, key))}
        if self.seasonality is not None and self.seasonality.path is not None:
            found["seasonality"] = self.seasonality.path
        real = None if self.synthetic is None else self.synthetic.file()
        if real is not None:
            found["synthetic.params.file"] = real
        return found

    @property
    def bar_interval(self) -> float:
        """Seconds of the bars of the dataset: those of ``resample``, or of the files."""
        return self.interval if self.resample is None else self.resample

    @model_validator(mode="after")
    def _resample(self) -> Self:
        if self.resample is None or self.interval <= 0:
            return self
        if self.resample % self.interval or self.resample <= self.interval:
            raise ValueError("resample must be two or more whole intervals")
        if self.session is not None and self.resample > 86_400.0:
            raise ValueError("resample may not be longer than a day where there is a session")
        return self

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
            if self.finer_interval <= 0 or self.bar_interval % self.finer_interval:
                raise ValueError("a whole number of finer_interval must make one bar")
            if self.finer_interval == self.bar_interval:
                raise ValueError("finer_interval must be shorter than a bar")
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
