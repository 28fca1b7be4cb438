"""Files that the data come from: bars, slow series, economic calendars, events, exchange rates."""

from __future__ import annotations

import codecs
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from truefill.config.fields import ClockTime, Duration, FilePath, Section, Timezone

Kind = Literal["funding", "dividend", "split"]


class BarsFile(Section):
    """One file of bars; timestamps mark the START of a bar."""

    path: FilePath = Field(
        description="CSV, Parquet or Feather file, or a snapshot; relative to the config file, "
        "or 'sample:NAME' for data that ships with truefill"
    )
    symbol: str | None = Field(
        None, description="symbol of every row; null = the file has a symbol column"
    )
    columns: dict[str, str] = Field(
        default_factory=dict,
        description="source column -> ours (timestamp, symbol, open, high, low, close, volume; "
        "spread_multiplier and liquidity_multiplier are read only where mapped here)",
    )
    timezone: Timezone = Field("UTC", description="timezone of naive timestamps in this file")
    timestamp_unit: Literal["auto", "iso", "s", "ms"] = Field(
        "auto", description="how numeric or text timestamps are read; auto decides by magnitude"
    )
    delisted: bool = Field(
        False, description="the last bar of each symbol of this file is its last ever"
    )
    encoding: str = Field("utf-8", description="encoding of a CSV file, e.g. utf-16, latin-1")
    separator: Literal[",", ";", "\t", "|"] = Field(",", description="separator of a CSV file")
    non_positive_prices: bool = Field(
        False, description="prices of 0 or less are true here; bars in a split may not have them"
    )

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        try:
            codecs.lookup(value)
        except LookupError:
            raise ValueError(f"{value!r} is no encoding (e.g. utf-8, utf-16, latin-1)") from None
        return value


class Release(Section):
    """When values come out, counted from their value date: one of days, business_days, months."""

    days: int | None = Field(None, ge=0, description="calendar days after the value date")
    business_days: int | None = Field(
        None, ge=1, description="Mondays to Fridays after the value date; holidays are not known"
    )
    months: int | None = Field(
        None, ge=0, description="months after the month of the value date; needs day"
    )
    day: int | None = Field(
        None, ge=1, le=31, description="day of that month; beyond its end: its last day"
    )
    time: ClockTime = Field(description="time of the release on that day, HH:MM")
    timezone: Timezone = Field(description="timezone of that time")

    @model_validator(mode="after")
    def _one_count(self) -> Self:
        counts = (self.days, self.business_days, self.months)
        if sum(count is not None for count in counts) != 1:
            raise ValueError("give one of days, business_days and months")
        if (self.months is None) != (self.day is None):
            raise ValueError("months and day come together")
        return self


class SeriesFile(Section):
    """Slow series (macro) joined as of the moment each value became available."""

    path: FilePath = Field(
        description="CSV, Parquet or Feather file, or a snapshot; one row a value date"
    )
    timestamp: str = Field("timestamp", description="column that holds the value date")
    columns: dict[str, str] = Field(
        description="source column -> series name used by features; only these are read"
    )
    publication_lag: Duration | None = Field(
        None, description="available_at = value date + this lag (e.g. 1d, 24h; seconds as a number)"
    )
    release: Release | None = Field(
        None, description="available_at = a time of day, some days or months after the value date"
    )
    available_at: str | None = Field(
        None, description="column of the file that holds the moment each value was published"
    )
    publication_lag_by_column: dict[str, Duration] = Field(
        default_factory=dict, description="series name -> its own publication lag"
    )
    release_by_column: dict[str, Release] = Field(
        default_factory=dict, description="series name -> its own release"
    )
    max_staleness: Duration = Field(
        5 * 86_400.0,
        description="a value older than this after available_at is null, not carried forward",
    )
    timezone: Timezone = Field("UTC", description="timezone of naive value dates")

    @model_validator(mode="after")
    def _one_rule_each(self) -> Self:
        """Every series has one rule of publication: its own, or the file's."""
        rules = (self.publication_lag, self.release, self.available_at)
        given = sum(rule is not None for rule in rules)
        if given > 1:
            raise ValueError("give one of publication_lag, release and available_at")
        both = sorted(set(self.publication_lag_by_column) & set(self.release_by_column))
        if both:
            raise ValueError(f"{both[0]} has a publication lag and a release; give one")
        own = {*self.publication_lag_by_column, *self.release_by_column}
        without = [name for name in self.columns.values() if name not in own]
        if without and not given:
            raise ValueError(
                f"when is {without[0]} known? give publication_lag, release or available_at"
            )
        return self

    def rule_of(self, name: str) -> float | Release | None:
        """Publication lag (seconds) or release of series ``name``; null: ``available_at`` says."""
        if name in self.publication_lag_by_column:
            return self.publication_lag_by_column[name]
        if name in self.release_by_column:
            return self.release_by_column[name]
        return self.publication_lag if self.publication_lag is not None else self.release


class ReleasesFile(Section):
    """Economic calendar: scheduled events, one a row; several at one moment are legal."""

    path: FilePath = Field(
        description="CSV, Parquet or Feather file, or a snapshot; one row an event"
    )
    timestamp: str = Field("timestamp", description="column that holds the event's moment")
    timezone: Timezone = Field("UTC", description="timezone of naive moments in this file")
    name: str = Field("event", description="column that holds the event's name")
    currency: str | None = Field(
        "currency", description="column that holds the currency or country it moves; null = none"
    )
    impact: str | None = Field(
        "impact",
        description="column that holds the expected impact, read by its first word: high, medium, "
        "low, non-economic, holiday or none; null = every event counts as high",
    )
    actual: str | None = Field("actual", description="column that holds the figure; null = none")
    forecast: str | None = Field("forecast", description="column that holds its forecast")
    previous: str | None = Field("previous", description="column that holds the figure before it")
    known_ahead: Duration = Field(
        description="an event's time, name and impact are known this long before it (e.g. 7d)"
    )
    actual_lag: Duration = Field(
        60.0, description="the figures of an event are known this long after its moment"
    )
    max_gap: Duration = Field(
        4 * 86_400.0,
        description="where no event is listed for longer, the file is taken to have a hole: "
        "features of events are null there",
    )


class EventsFile(Section):
    """Moments at which whoever holds a symbol pays or receives, one a row.

    Each is booked at the open of the symbol's first bar that starts at or after it: for what was
    held at the close before.
    """

    path: FilePath = Field(
        description="CSV, Parquet or Feather file, or a snapshot; one row an event"
    )
    kind: Kind = Field(
        description="funding: fraction of the notional, longs pay; dividend: cash a unit; "
        "split: new units for an old one"
    )
    symbol: str | None = Field(
        None, description="symbol of every row; null = the file has a symbol column"
    )
    timestamp: str = Field(
        "timestamp",
        description="column that holds the moment; bars stamped 00:00 UTC need dates in UTC",
    )
    column: str = Field(description="column that holds the value")
    scale: float = Field(
        1.0,
        allow_inf_nan=False,
        description="multiplies every value, e.g. 3 for a daily mean of three funding rates",
    )
    timezone: Timezone = Field("UTC", description="timezone of naive moments in this file")

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.scale == 0.0:
            raise ValueError("scale 0 would book nothing")
        if self.kind == "split" and self.scale != 1.0:
            raise ValueError("a split takes no scale: 1 means none")
        if self.column in (self.timestamp, "timestamp", "symbol"):
            raise ValueError(f"column {self.column!r} cannot hold the value")
        return self


class RateFile(Section):
    """Bars of a currency pair, at the interval of the bars it converts."""

    path: FilePath = Field(
        description="CSV, Parquet or Feather file, or a snapshot; its volume is not needed"
    )
    symbols: tuple[str, ...] = Field(
        min_length=1, description="symbols whose prices it converts to account currency"
    )
    invert: bool = Field(
        False,
        description="false: the pair is account currency for one unit of the symbols' currency; "
        "true: the other way round",
    )
    max_staleness: Duration = Field(
        5 * 86_400.0, description="a bar whose last known rate is older is refused"
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="source column -> ours (timestamp, open, ... close)"
    )
    timezone: Timezone = Field("UTC", description="timezone of naive timestamps in this file")
    timestamp_unit: Literal["auto", "iso", "s", "ms"] = Field(
        "auto", description="how numeric or text timestamps are read; auto decides by magnitude"
    )
