"""Polygon: bars, dividends and splits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date, datetime
from itertools import groupby
from math import fsum, prod
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
    table_of,
    to_stamps,
)

KEY = "POLYGON_API_KEY"
HOST = "https://api.polygon.io"
SPANS = (("day", 86_400), ("hour", 3_600), ("minute", 60))
PAGE_ROWS = 10_000
DAY_S = 86_400
ROUND_THE_CLOCK = ("X:", "C:")
"""How tickers of crypto and of currencies begin: their days are those of UTC."""


class PolygonParams(Period):
    """Bars, dividends or splits from Polygon; the key from POLYGON_API_KEY (extra: polygon)."""

    symbol: str = Field(description="Polygon's ticker, e.g. AAPL, X:BTCUSD")
    interval: Duration | None = Field(None, description="of bars: whole minutes, hours or days")
    what: Literal["bars", "dividends", "splits"] = Field(
        "bars", description="dividends: cash a share; splits: new shares for an old one"
    )
    adjusted: bool = Field(False, description="past prices of bars adjusted for splits")
    base_url: str = Field(HOST, description="another address of the same interface")


@SOURCES.register("polygon", PolygonParams)
class Polygon:
    def __init__(self, params: PolygonParams) -> None:
        if (params.interval is None) == (params.what == "bars"):
            raise UsageError("bars need an interval, the others take none", where="source polygon")
        if params.interval is not None:
            _span(params.interval)
        self.params = params
        self.client = need_extra("polygon", "polygon")
        self.key = need_key(KEY, "polygon")

    @property
    def about(self) -> About:
        p = self.params
        request = {"what": p.what, "adjustment": "splits" if p.adjusted else "none"}
        if p.what == "bars":
            columns = (*PRICES, "trades", "vwap")
            return About("bars", p.symbol, p.interval, columns, request, p.adjusted)
        return About("events", p.symbol, None, ("value",), request, whole=True)

    def pages(self, start: datetime | None, until: datetime) -> Iterator[pl.DataFrame]:
        p = self.params
        failures = need_extra("urllib3", "polygon").exceptions.HTTPError
        errors = need_extra("polygon.exceptions", "polygon")
        since = start or p.start
        with asking("polygon", p.symbol, failures, errors.BadResponse, errors.AuthError):
            client = self.client.RESTClient(
                self.key, base=p.base_url, custom_json=_Answers(p.symbol)
            )
            if p.interval is None:
                yield self._events(client, since.date(), until.date())
                return
            span, count = _span(p.interval)
            rows: list[Any] = []
            for row in client.list_aggs(
                p.symbol, count, span, since, until, adjusted=p.adjusted, sort="asc", limit=50_000
            ):
                rows.append(row)
                if len(rows) == PAGE_ROWS:
                    yield self._bars(rows)
                    rows = []
            if rows:
                yield self._bars(rows)

    def _bars(self, rows: list[Any]) -> pl.DataFrame:
        stamps = to_stamps([row.timestamp for row in rows])
        if self.params.interval == DAY_S and not self.params.symbol.startswith(ROUND_THE_CLOCK):
            stamps = session_dates(stamps, "America/New_York")
        names = {**{name: name for name in (*PRICES, "vwap")}, "trades": "transactions"}
        values = {ours: [getattr(row, theirs) for row in rows] for ours, theirs in names.items()}
        return table_of(stamps, values)

    def _events(self, client: Any, first: date, last: date) -> pl.DataFrame:
        """One row a date; of one date dividends add up and splits multiply."""
        p = self.params
        pairs: list[tuple[str, float]]
        if p.what == "dividends":
            found = client.list_dividends(
                ticker=p.symbol, ex_dividend_date_gte=first, ex_dividend_date_lte=last,
                sort="ex_dividend_date", order="asc", limit=1_000,
            )  # fmt: skip
            pairs = [(row.ex_dividend_date, float(row.cash_amount)) for row in found]
        else:
            found = client.list_splits(
                ticker=p.symbol, execution_date_gte=first, execution_date_lte=last,
                sort="execution_date", order="asc", limit=1_000,
            )  # fmt: skip
            pairs = [(row.execution_date, row.split_to / row.split_from) for row in found]
        combine = fsum if p.what == "dividends" else prod
        days = groupby(sorted(set(pairs)) if p.what == "splits" else sorted(pairs), lambda q: q[0])
        rows = [(day, combine([value for _, value in group])) for day, group in days]
        stamps = pl.Series([day for day, _ in rows], dtype=pl.String)
        moments = stamps.str.to_datetime("%Y-%m-%d", time_unit="us", time_zone="UTC")
        return table_of(moments, {"value": [value for _, value in rows]})


class _Answers:
    """Reads answers for the client, which would take one that is broken for the last page."""

    def __init__(self, symbol: str) -> None:
        self.symbol = symbol

    def loads(self, text: str) -> Any:
        try:
            answer = json.loads(text)
        except json.JSONDecodeError as error:
            raise FetchError(
                "an answer is no JSON", where="source polygon", do="ask again"
            ) from error
        found = answer.get("ticker", self.symbol)
        if found != self.symbol:
            raise FetchError(f"asked for {self.symbol}, got {found}", where="source polygon")
        return answer


def _span(interval_s: float) -> tuple[str, int]:
    """Polygon's words for an interval: the span and how many of it."""
    for name, size in SPANS:
        if interval_s % size == 0 and interval_s >= size and (name != "day" or interval_s == size):
            return name, round(interval_s / size)
    raise UsageError("Polygon has no such interval", where="source polygon", do="e.g. 5m, 1h, 1d")
