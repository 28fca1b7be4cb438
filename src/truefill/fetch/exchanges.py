"""Bars and funding rates of any crypto exchange that ccxt knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import polars as pl
from pydantic import Field

from truefill.config.fields import Duration
from truefill.core.errors import UsageError, did_you_mean
from truefill.fetch.base import (
    PRICES,
    SOURCES,
    About,
    FetchError,
    Period,
    asking,
    need_extra,
    table_of,
    to_stamps,
)
from truefill.fetch.klines import interval_text

RETRIES = 3
FUNDING_PERIOD_S = 8 * 3_600
EMPTY_PAGE_ROWS = 100
"""Rows by which to go on after a page without any, where the exchange names no limit."""


class ExchangeParams(Period):
    """Any exchange that ccxt knows: bars, or funding rates (extra: ccxt)."""

    exchange: str = Field(description="ccxt's id, e.g. binance, okx, kraken")
    symbol: str = Field(description="ccxt's unified symbol: BTC/USDT; BTC/USDT:USDT is the swap")
    interval: Duration | None = Field(None, description="of bars, e.g. 1m, 1h, 1d")
    what: Literal["bars", "funding"] = Field(
        "bars", description="funding: rates as events; funding is a fraction of the notional"
    )
    page: int | None = Field(
        None, ge=1, le=10_000, description="rows a page; null = the exchange's own most"
    )


@SOURCES.register("ccxt", ExchangeParams)
class Exchange:
    def __init__(self, params: ExchangeParams) -> None:
        if (params.interval is None) != (params.what == "funding"):
            raise UsageError("bars need an interval, and funding takes none", where="source ccxt")
        self.params = params
        self.ccxt = need_extra("ccxt", "ccxt")
        if params.exchange not in self.ccxt.exchanges:
            raise UsageError(
                f"ccxt knows no exchange {params.exchange!r}",
                where="source ccxt",
                do=did_you_mean(params.exchange, self.ccxt.exchanges),
            )

    @property
    def about(self) -> About:
        p = self.params
        if p.what == "funding":
            return About("events", p.symbol, None, ("value",), self._request())
        return About("bars", p.symbol, p.interval, PRICES, self._request())

    def _request(self) -> dict[str, Any]:
        return {"exchange": self.params.exchange, "what": self.params.what}

    def pages(self, start: datetime | None, until: datetime) -> Iterator[pl.DataFrame]:
        """Pages from ``start`` on, each asked for from the end of the one before."""
        client = getattr(self.ccxt, self.params.exchange)(
            {"enableRateLimit": True, "options": {"maxRetriesOnFailure": RETRIES}}
        )
        since = _milliseconds(start or self.params.start)
        step_ms = round((self.params.interval or FUNDING_PERIOD_S) * 1_000)
        last = _milliseconds(until) - (0 if self.params.interval is None else step_ms)
        with asking("ccxt", self.params.symbol, self.ccxt.BaseError):
            limit = self._prepared(client)
            while since <= last:
                rows = [row for row in self._ask(client, since, limit) if row[0] >= since]
                if not rows:
                    since += step_ms * (limit or EMPTY_PAGE_ROWS)
                    continue
                rows.sort(key=lambda row: row[0])
                yield self._table(rows)
                since = int(rows[-1][0]) + 1

    def _prepared(self, client: Any) -> int | None:
        """Load the exchange's markets; how many rows it gives at once, None where it says nothing.

        Raises ``UsageError`` for a symbol, an interval or a kind of rows that it does not have.
        """
        p = self.params
        client.load_markets()
        if p.symbol not in client.markets:
            raise UsageError(
                f"{p.exchange} has no symbol {p.symbol!r}",
                where="source ccxt",
                do=did_you_mean(p.symbol, client.markets),
            )
        method = "fetchOHLCV" if p.what == "bars" else "fetchFundingRateHistory"
        if not client.has.get(method):
            raise UsageError(f"{p.exchange} has no {method}", where="source ccxt")
        frames = client.timeframes or {}
        if p.interval is not None and interval_text(p.interval) not in frames:
            raise UsageError(
                f"{p.exchange} has no bars of {interval_text(p.interval)}",
                where="source ccxt",
                do=f"it has {', '.join(frames)}",
            )
        own: int | None = client.feature_value(p.symbol, method, "limit", None)
        return p.page or own

    def _ask(self, client: Any, since: int, limit: int | None) -> list[list[float]]:
        """Rows of (milliseconds, values...)."""
        p = self.params
        rows: list[list[float]]
        if p.interval is not None:
            rows = client.fetch_ohlcv(p.symbol, interval_text(p.interval), since, limit)
        else:
            rates = client.fetch_funding_rate_history(p.symbol, since, limit)
            rows = [[rate["timestamp"], rate["fundingRate"]] for rate in rates]
        if not rows:
            _require_json(client.last_http_response)
        return rows

    def _table(self, rows: list[list[float]]) -> pl.DataFrame:
        stamps = [int(row[0]) for row in rows]
        if self.params.what == "funding":
            # Exchanges stamp funding some milliseconds late, which would book it a bar late.
            stamps = [round(stamp / 1_000) * 1_000 for stamp in stamps]
        names = self.about.columns
        values = {name: [row[i + 1] for row in rows] for i, name in enumerate(names)}
        return table_of(to_stamps(stamps), values)


def _require_json(text: str) -> None:
    """Refuse an answer that is no JSON: ccxt makes an empty page of a page for people, and the rows
    that stood there would be missing for ever."""
    try:
        json.loads(text)
    except ValueError as error:
        raise FetchError(
            f"the exchange answered {text[:80]!r}", where="source ccxt", do="ask again later"
        ) from error


def _milliseconds(moment: datetime) -> int:
    return round(moment.astimezone(UTC).timestamp() * 1_000)
