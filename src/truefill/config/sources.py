"""Files that the data come from: bars, slow series, events and exchange rates."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from truefill.config.fields import Duration, FilePath, Section, Timezone

Kind = Literal["funding", "dividend", "split"]


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


class EventsFile(Section):
    """Moments at which whoever holds a symbol pays or receives, one a row.

    Each is booked at the open of the symbol's first bar that starts at or after it: for what was
    held at the close before.
    """

    path: FilePath = Field(description="CSV, Parquet or Feather file with one row an event")
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

    path: FilePath = Field(description="CSV, Parquet or Feather file; its volume is not needed")
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
