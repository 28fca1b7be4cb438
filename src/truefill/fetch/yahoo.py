"""Yahoo through yfinance: bars, closes as a series, dividends and splits.

Yahoo's prices are always adjusted for splits, so every past price changes with a split; volume is
of whole shares. Daily bars stand at 00:00 UTC of their session's date.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Literal

import polars as pl
from pydantic import Field

from truefill.config.fields import Duration
from truefill.core.errors import UsageError
from truefill.fetch.base import (
    PRICES,
    SOURCES,
    About,
    FetchError,
    Period,
    asking,
    need_extra,
    session_dates,
    table_of,
)

INTERVALS = {60: "1m", 300: "5m", 900: "15m", 1_800: "30m", 3_600: "1h", 86_400: "1d"}
DAY_S = 86_400
RETRIES = 2
ROUNDING = 1e-6
"""Yahoo computes adjusted prices in single precision: two answers differ in the last digits."""


class YahooParams(Period):
    """Yahoo: bars, closes as a series, dividends or splits (extra: yfinance)."""

    symbol: str = Field(description="Yahoo's symbol, e.g. SPY, ^VIX, EURUSD=X")
    interval: Duration = Field(DAY_S, description="1m, 5m, 15m, 30m, 1h or 1d")
    what: Literal["bars", "series", "dividends", "splits"] = Field(
        "bars", description="series: closes; dividends: cash a share; splits: new shares for one"
    )
    adjusted: bool = Field(
        False, description="true: prices less dividends to come; false: adjusted for splits only"
    )


@SOURCES.register("yfinance", YahooParams)
class Yahoo:
    def __init__(self, params: YahooParams) -> None:
        if params.interval not in INTERVALS:
            names = ", ".join(INTERVALS.values())
            raise UsageError("Yahoo has no such interval", where="source yfinance", do=names)
        if params.what in ("dividends", "splits") and params.interval != DAY_S:
            raise UsageError(f"{params.what} come by day", where="source yfinance")
        self.params = params
        self.yfinance = need_extra("yfinance", "yfinance")
        # Without this the library logs errors of the network and goes on without the answer.
        self.yfinance.config.debug.hide_exceptions = False
        self.yfinance.config.network.retries = RETRIES

    @property
    def about(self) -> About:
        p = self.params
        adjustment = "splits and dividends" if p.adjusted else "splits"
        request = {"what": p.what, "adjustment": adjustment if p.what in ("bars", "series") else ""}
        if p.what == "bars":
            return About("bars", p.symbol, p.interval, PRICES, request, True, ROUNDING)
        if p.what == "series":
            final = DAY_S if p.interval >= DAY_S else 0.0
            return About("series", p.symbol, None, ("value",), request, True, ROUNDING, final)
        return About("events", p.symbol, None, ("value",), request, True, ROUNDING)

    def pages(self, start: datetime | None, until: datetime) -> Iterator[pl.DataFrame]:
        p = self.params
        errors = self.yfinance.exceptions.YFException
        http = need_extra("curl_cffi.requests", "yfinance").exceptions.RequestException
        with asking("yfinance", p.symbol, errors, http, json.JSONDecodeError, OSError):
            ticker = self.yfinance.Ticker(p.symbol)
            frame = ticker.history(
                start=start or p.start,
                end=until + timedelta(days=1),
                interval=INTERVALS[round(p.interval)],
                auto_adjust=p.adjusted,
                actions=True,
            )
            found = ticker.history_metadata.get("symbol", p.symbol)
        if found != p.symbol:
            raise FetchError(f"asked for {p.symbol}, Yahoo sent {found}", where="source yfinance")
        if len(frame):
            yield self._table(frame)

    def _table(self, frame: Any) -> pl.DataFrame:
        p = self.params
        zone = str(frame.index.tz)
        micros = frame.index.tz_convert("UTC").as_unit("us").asi8.tolist()
        stamps = pl.Series(micros, dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
        if p.interval >= DAY_S:
            stamps = session_dates(stamps, zone)
        if p.what == "bars":
            names = {name: frame[name.capitalize()].tolist() for name in PRICES}
            return table_of(stamps, names)
        if p.what == "series":
            # A value known at the close is dated by its day, or by the moment its bar closes.
            moved = stamps if p.interval >= DAY_S else stamps + timedelta(seconds=p.interval)
            return table_of(moved, {"value": frame["Close"].tolist()})
        column = {"dividends": "Dividends", "splits": "Stock Splits"}[p.what]
        return table_of(stamps, {"value": frame[column].tolist()}).filter(pl.col("value") != 0.0)
