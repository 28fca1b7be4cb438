"""ccxt's own client against a server that answers like Binance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from fetch_cases import (
    HOUR_MS,
    START,
    START_MS,
    Vendor,
    bring,
    files,
    hours,
    kline_rows,
    nobody,
    prices,
    serving,
)
from truefill.core.errors import DataError, UsageError
from truefill.data.snapshots import open_manifest, read_snapshot
from truefill.fetch.base import FetchError

ccxt = pytest.importorskip("ccxt", reason="needs the extra truefill[ccxt]")

HOURS = 50
"""Bars that the exchange has; the last one is not closed yet."""
NOW = START + timedelta(hours=HOURS - 1, minutes=20)
OURS = {"exchange": "binance", "symbol": "BTC/USDT", "interval": "1h", "start": "2024-01-01"}
FUNDING = {"exchange": "binance", "symbol": "BTC/USDT:USDT", "what": "funding",
           "start": "2024-01-01"}  # fmt: skip


def market(kind: str) -> dict[str, Any]:
    """BTCUSDT as Binance describes it."""
    sizes = [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": "0.01",
            "maxPrice": "1000000",
            "tickSize": "0.01",
        },
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
    ]
    common = {"symbol": "BTCUSDT", "status": "TRADING", "baseAsset": "BTC", "quoteAsset": "USDT",
              "filters": sizes, "orderTypes": ["LIMIT", "MARKET"]}  # fmt: skip
    if kind == "spot":
        return {**common, "baseAssetPrecision": 8, "quotePrecision": 8,
                "permissionSets": [["SPOT"]], "isSpotTradingAllowed": True}  # fmt: skip
    return {**common, "pair": "BTCUSDT", "contractType": "PERPETUAL", "marginAsset": "USDT",
            "deliveryDate": 4133404800000, "onboardDate": 1569398400000, "pricePrecision": 2,
            "quantityPrecision": 3, "underlyingType": "COIN"}  # fmt: skip


class Binance:
    """What the server knows: klines, funding rates, and how it misbehaves."""

    def __init__(self) -> None:
        self.rows: list[list[Any]] = [
            [int(row[0]), *row[1:6], int(row[6]), *row[7:]] for row in kline_rows(HOURS)
        ]
        self.rates = [(START_MS + i * 8 * HOUR_MS + i % 4, f"{0.0001 * (i + 1):.6f}")
                      for i in range(12)]  # fmt: skip
        self.refusals: list[tuple[int, Any]] = []
        self.page_of: Any = None

    def __call__(self, path: str, query: dict[str, str]) -> tuple[int, Any]:
        if path.endswith("exchangeInfo"):
            kind = "spot" if "/api/" in path else "swap"
            return 200, {"timezone": "UTC", "serverTime": START_MS, "symbols": [market(kind)]}
        if self.refusals:
            return self.refusals.pop(0)
        since, limit = int(query["startTime"]), int(query.get("limit", 500))
        if "klines" in path:
            page = [row for row in self.rows if row[0] >= since][:limit]
            return 200, self.page_of(page) if self.page_of else page
        rates = [(ms, rate) for ms, rate in self.rates if ms >= since][:limit]
        return 200, [
            {"symbol": "BTCUSDT", "fundingTime": ms, "fundingRate": rate} for ms, rate in rates
        ]


@pytest.fixture
def binance() -> Binance:
    return Binance()


@pytest.fixture
def vendor(binance: Binance, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """The server, and ccxt's binance class pointed at it by its own table of addresses."""
    with serving(binance) as found:
        point(monkeypatch, found.url)
        yield found


def point(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let ``ccxt.binance`` ask ``url``, without waits between requests."""
    real = ccxt.binance

    class Local(real):  # type: ignore[misc, valid-type]
        def describe(self) -> Any:
            api = {"public": f"{url}/api/v3", "fapiPublic": f"{url}/fapi/v1"}
            return self.deep_extend(
                super().describe(),
                {"urls": {"api": api}, "rateLimit": 1,
                 "options": {"fetchMarkets": {"types": ["spot", "linear"]},
                             "maxRetriesOnFailureDelay": 1}},
            )  # fmt: skip

    Local.__name__ = "binance"
    monkeypatch.setattr(ccxt, "binance", Local)


def test_pages_become_closed_bars(vendor: Vendor, tmp_path: Path) -> None:
    told: list[str] = []
    done = bring("ccxt", tmp_path / "s", NOW, tell=told.append, page=20, **OURS)
    table = read_snapshot(tmp_path / "s")
    assert hours(table) == list(range(HOURS - 1))
    assert table.row(30)[1:] == ("BTC/USDT", *prices(30), 10.5)
    asked = vendor.paths("klines")
    assert [int(q["startTime"]) for q in asked] == [
        START_MS, START_MS + 19 * HOUR_MS + 1, START_MS + 39 * HOUR_MS + 1,
    ]  # fmt: skip
    assert {q["limit"] for q in asked} == {"20"} and {q["interval"] for q in asked} == {"1h"}
    assert done.warnings == ()
    assert told[1] == "40 rows, to 2024-01-02 15:00"


def test_the_next_import_asks_for_the_end_only(vendor: Vendor, tmp_path: Path) -> None:
    bring("ccxt", tmp_path / "s", START + timedelta(hours=30), **OURS)
    before = len(vendor.asked)
    done = bring("ccxt", tmp_path / "s", NOW, **OURS)
    assert (done.added, done.rows) == (HOURS - 31, HOURS - 1)
    (query,) = [q for path, q in vendor.asked[before:] if "klines" in path]
    assert int(query["startTime"]) == START_MS + 20 * HOUR_MS


def test_a_revised_bar_is_told(vendor: Vendor, binance: Binance, tmp_path: Path) -> None:
    bring("ccxt", tmp_path / "s", START + timedelta(hours=30), **OURS)
    binance.rows[25][2] = "110.00"
    with pytest.raises(DataError, match=r"2024-01-02 01:00:00\+00:00 high 106\.0 -> 110\.0"):
        bring("ccxt", tmp_path / "s", NOW, **OURS)


def test_funding_rates_are_events_at_whole_seconds(vendor: Vendor, tmp_path: Path) -> None:
    bring("ccxt", tmp_path / "s", START + timedelta(days=3), page=5, **FUNDING)
    table = read_snapshot(tmp_path / "s")
    assert hours(table) == [8.0 * i for i in range(10)]
    assert table["value"].to_list() == pytest.approx([0.0001 * (i + 1) for i in range(10)])
    manifest = open_manifest(tmp_path / "s")
    assert (manifest.kind, manifest.interval_s, manifest.columns) == ("events", None, ("value",))
    assert manifest.request == {"exchange": "binance", "what": "funding"}


def test_a_gap_longer_than_a_page_is_crossed(
    vendor: Vendor, binance: Binance, tmp_path: Path
) -> None:
    """Some exchanges answer with the window that was asked for, even where it is empty."""
    binance.rows = binance.rows[:5] + binance.rows[40:]

    def answer(path: str, query: dict[str, str]) -> tuple[int, Any]:
        if "klines" not in path:
            return binance(path, query)
        first = int(query["startTime"])
        end = first + int(query["limit"]) * HOUR_MS
        return 200, [row for row in binance.rows if first <= row[0] < end]

    vendor.answer = answer
    bring("ccxt", tmp_path / "s", NOW, page=10, **OURS)
    assert hours(read_snapshot(tmp_path / "s")) == [*range(5), *range(40, HOURS - 1)]


def test_the_same_page_again_does_not_go_on_for_ever(
    vendor: Vendor, binance: Binance, tmp_path: Path
) -> None:
    first = binance.rows[:20]
    binance.page_of = lambda page: first
    assert bring("ccxt", tmp_path / "s", NOW, page=20, **OURS).rows == 20


def test_a_rate_limit_is_waited_for(vendor: Vendor, binance: Binance, tmp_path: Path) -> None:
    slow_down = {"code": -1003, "msg": "Too many requests."}
    binance.refusals = [(429, slow_down), (429, slow_down)]
    assert bring("ccxt", tmp_path / "s", NOW, **OURS).rows == HOURS - 1
    assert len(vendor.paths("klines")) == 3


def test_a_rate_limit_that_stays_is_an_error(
    vendor: Vendor, binance: Binance, tmp_path: Path
) -> None:
    binance.refusals = [(429, {"code": -1003, "msg": "Too many requests."})] * 50
    with pytest.raises(
        FetchError, match=r"source ccxt, BTC/USDT: .*(DDoS|RateLimit).*Too many requests"
    ):
        bring("ccxt", tmp_path / "s", NOW, **OURS)
    assert files(tmp_path / "s") == []


def test_no_network_is_an_error_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point(monkeypatch, nobody())
    with pytest.raises(FetchError, match=r"source ccxt, BTC/USDT: .*(NotAvailable|Network)"):
        bring("ccxt", tmp_path / "s", NOW, **OURS)
    assert files(tmp_path / "s") == []


def test_an_error_in_the_middle_keeps_what_was_stored(
    vendor: Vendor, binance: Binance, tmp_path: Path
) -> None:
    bring("ccxt", tmp_path / "s", START + timedelta(hours=12), **OURS)
    binance.page_of = lambda page: page if page[0][0] < START_MS + 20 * HOUR_MS else "<html>"
    with pytest.raises(FetchError):
        bring("ccxt", tmp_path / "s", NOW, page=10, **OURS)
    assert hours(read_snapshot(tmp_path / "s")) == list(range(12))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"exchange": "binanc"}, "no exchange 'binanc'(.|\n)*'binance'"),
        ({"symbol": "BTC/USTD"}, "no symbol 'BTC/USTD'(.|\n)*'BTC/USDT'"),
        ({"interval": "7m"}, "no bars of 7m(.|\n)*1m, 3m"),
        ({"what": "funding"}, "funding takes none"),
        ({"start": "2025-01-01"}, "is not before"),
        ({"strat": "2025-01-01"}, "'strat'(.|\n)*'start'"),
        ({"start": "yesterday"}, "'start'"),
    ],
)
def test_what_it_does_not_have_is_named(
    vendor: Vendor, tmp_path: Path, given: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        bring("ccxt", tmp_path / "s", NOW, **{**OURS, **given})
    assert files(tmp_path / "s") == []


def test_no_rows_at_all_are_an_error(vendor: Vendor, binance: Binance, tmp_path: Path) -> None:
    binance.rows = []
    with pytest.raises(FetchError, match="no closed rows of BTC/USDT"):
        bring("ccxt", tmp_path / "s", NOW, **OURS)
    assert files(tmp_path / "s") == []
