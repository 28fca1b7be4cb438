"""Bars of US stocks from Alpaca."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
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
    need_key,
    session_dates,
)

KEY, SECRET = "APCA_API_KEY_ID", "APCA_API_SECRET_KEY"
CELLS = {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume", "n": "trades",
         "vw": "vwap"}  # fmt: skip
NEW_YORK = "America/New_York"
DAY_S = 86_400


class AlpacaParams(Period):
    """Bars of US stocks from Alpaca; keys from APCA_API_KEY_ID and APCA_API_SECRET_KEY."""

    symbol: str = Field(description="e.g. AAPL")
    interval: Duration = Field(description="whole minutes below 1h, whole hours, or 1d")
    adjustment: Literal["raw", "split", "dividend", "all"] = Field(
        "raw", description="what past prices are adjusted for"
    )
    feed: Literal["iex", "sip", "otc"] | None = Field(
        None, description="exchanges that count; null = what your subscription gives"
    )
    base_url: str | None = Field(None, description="another address of the same interface")


@SOURCES.register("alpaca", AlpacaParams)
class Alpaca:
    def __init__(self, params: AlpacaParams) -> None:
        self.params = params
        need_extra("alpaca.data", "alpaca")
        self.keys = (need_key(KEY, "alpaca"), need_key(SECRET, "alpaca"))

    @property
    def about(self) -> About:
        p = self.params
        request = {"adjustment": p.adjustment, "feed": p.feed or "default"}
        columns = (*PRICES, "trades", "vwap")
        whole = p.adjustment != "raw"
        return About("bars", p.symbol, p.interval, columns, request, whole)

    def pages(self, start: datetime | None, until: datetime) -> Iterator[pl.DataFrame]:
        p = self.params
        historical = need_extra("alpaca.data.historical", "alpaca")
        requests = need_extra("alpaca.data.requests", "alpaca")
        failures = need_extra("requests", "alpaca").exceptions.RequestException
        refused = need_extra("alpaca.common.exceptions", "alpaca").APIError
        client = historical.StockHistoricalDataClient(
            *self.keys, raw_data=True, url_override=p.base_url
        )
        ask = requests.StockBarsRequest(
            symbol_or_symbols=p.symbol,
            start=start or p.start,
            end=until,
            timeframe=self._timeframe(),
            adjustment=p.adjustment,
            feed=p.feed,
        )
        with asking("alpaca", p.symbol, refused, failures):
            answer = client.get_stock_bars(ask)
        others = sorted(set(answer) - {p.symbol})
        if others:
            raise FetchError(f"asked for {p.symbol}, got {others[0]}", where="source alpaca")
        rows = answer.get(p.symbol) or []
        if rows:
            yield self._table(rows)

    def _timeframe(self) -> Any:
        frames = need_extra("alpaca.data.timeframe", "alpaca")
        seconds = round(self.params.interval)
        sizes = (("Minute", 60, 59), ("Hour", 3_600, 23), ("Day", DAY_S, 1))
        for name, size, most in sizes:
            if seconds % size == 0 and seconds // size <= most:
                return frames.TimeFrame(seconds // size, getattr(frames.TimeFrameUnit, name))
        raise UsageError("Alpaca has no such interval", where="source alpaca", do="e.g. 5m, 1h, 1d")

    def _table(self, rows: list[dict[str, Any]]) -> pl.DataFrame:
        text = pl.Series([row["t"] for row in rows], dtype=pl.String)
        stamps = text.str.to_datetime(time_unit="us", time_zone="UTC")
        if self.params.interval >= DAY_S:
            stamps = session_dates(stamps, NEW_YORK)
        values = {
            ours: pl.Series([row.get(theirs) for row in rows], dtype=pl.Float64, strict=False)
            for theirs, ours in CELLS.items()
        }
        return pl.DataFrame({"timestamp": stamps, **values})
